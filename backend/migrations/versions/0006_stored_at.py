"""Since when, by Label Studio's clock, a prediction that replaced another one has been there."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("shown", sa.Column("stored_at", sa.Float(), server_default="0", nullable=False))
