"""Which text a prediction was made of: a task's text may be edited, and nobody says so."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("shown", sa.Column("text_hash", sa.String(length=16), server_default="", nullable=False))
