"""The tables of the database; alembic's migrations make exactly these.

`shown` and `ledger` are append-only, because Label Studio forgets which label a machine proposed. Rows
of `shown` go with tasks that do not exist.
"""

import sqlalchemy as sa

STANDS_FOR_NUL = "\ufffe"  # a noncharacter, which no text has


class AnyText(sa.types.TypeDecorator[str]):
    """Text that may hold NUL, which PostgreSQL does not take; it comes back as it was."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: sa.Dialect) -> str | None:
        return value.replace("\0", STANDS_FOR_NUL) if value else value

    def process_result_value(self, value: str | None, _dialect: sa.Dialect) -> str | None:
        return value.replace(STANDS_FOR_NUL, "\0") if value else value


metadata = sa.MetaData()

projects = sa.Table(
    "projects",
    metadata,
    sa.Column("key", sa.String(40), primary_key=True),
    sa.Column("config_hash", sa.String(16), nullable=False, server_default=""),
    sa.Column("watermark", sa.String(40), nullable=False, server_default=""),  # updated_at of the last task read
    sa.Column("counters", sa.JSON, nullable=False),  # of Label Studio, at the last reconcile
    sa.Column("generation", sa.Integer, nullable=False, server_default="0"),  # of the neighbour index
    sa.Column("pinned", sa.String(60), nullable=False, server_default=""),
    sa.Column("frozen", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("changed_labels", sa.Integer, nullable=False, server_default="0"),  # since the last training
    sa.Column("changed_at", sa.Float, nullable=False, server_default="0"),  # unix; the last accepted label
    sa.Column("due_at", sa.Float, nullable=False, server_default="0"),  # unix; since when a training is worth it
    sa.Column("trained_at", sa.Float, nullable=False, server_default="0"),
    sa.Column("trained_labels", sa.Integer, nullable=False, server_default="0"),
    sa.Column("webhook_at", sa.Float, nullable=False, server_default="0"),
    sa.Column("reconciled_at", sa.Float, nullable=False, server_default="0"),
    sa.Column(
        "snapshot", sa.JSON, nullable=False
    ),  # the project's own settings before `connect`, our ids, and whether it is push-only
)
shown = sa.Table(
    "shown",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("project", sa.String(40), nullable=False),
    sa.Column("task_id", sa.BigInteger, nullable=False),
    sa.Column("version", sa.String(60), nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("label", sa.Text, nullable=False),  # ticked, or, of a blind task, what would have been; empty for nothing
    sa.Column("confidence", sa.Float, nullable=False),
    sa.Column("stage", sa.String(20), nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),  # label, out_of_scope, abstain, blind
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("text_hash", sa.String(16), nullable=False, server_default=""),  # empty: not known
    sa.Column("stored_at", sa.Float, nullable=False, server_default="0"),  # unix, Label Studio's clock; 0: not told
    sa.Index("shown_by_task", "project", "task_id", "id"),
)
ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("project", sa.String(40), nullable=False),
    sa.Column("task_id", sa.BigInteger, nullable=False),
    sa.Column("annotation_id", sa.BigInteger, nullable=False),
    sa.Column("annotation_updated_at", sa.String(40), nullable=False),
    sa.Column("annotator", sa.Integer, nullable=False),
    sa.Column("label", sa.Text, nullable=False),  # as accepted; empty for a skip
    sa.Column("how", sa.String(20), nullable=False),
    sa.Column("lead_time_s", sa.Float, nullable=True),
    sa.Column("version", sa.String(60), nullable=False),  # what was shown at that moment; empty where nothing was
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("shown_label", sa.Text, nullable=False),  # where `how` is blind, nobody saw it
    sa.Column("confidence", sa.Float, nullable=True),
    sa.Column("stage", sa.String(20), nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.UniqueConstraint("project", "annotation_id", "annotation_updated_at", name="one_row_a_state"),
)
examples = sa.Table(
    "examples",
    metadata,
    sa.Column("project", sa.String(40), primary_key=True),
    sa.Column("task_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("text", AnyText, nullable=False),
    sa.Column("label", sa.Text, nullable=False),  # empty: forgotten
    sa.Column("bucket", sa.Integer, nullable=False),  # 0-99, of the holdout rule; -1 for what a gold row says
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Index("examples_by_generation", "project", "generation"),
)
past = sa.Table(  # what `examples` held before, so that the index of any generation can be made again
    "past_examples",
    metadata,
    sa.Column("project", sa.String(40), primary_key=True),
    sa.Column("task_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("bucket", sa.Integer, nullable=False),
    sa.Column("replaced_at", sa.Integer, nullable=False),  # the generation that it is not in any more
    sa.Column("erased", sa.Boolean, nullable=False, server_default=sa.false()),  # its task is gone, and so is its text
)
auto_accepted = sa.Table(
    "auto_accepted",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("project", sa.String(40), nullable=False),
    sa.Column("task_id", sa.BigInteger, nullable=False),
    sa.Column("version", sa.String(60), nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("confidence", sa.Float, nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),  # mark, annotation
    sa.Column("annotation_id", sa.BigInteger, nullable=False),  # 0 for marks, and until Label Studio has named it
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("taken_back_at", sa.Float, nullable=False, server_default="0"),  # 0: it stands
    sa.Index("auto_accepted_by_task", "project", "task_id"),
)
trainings = sa.Table(
    "trainings",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("project", sa.String(40), nullable=False),
    sa.Column("version", sa.String(60), nullable=False),
    sa.Column("why", sa.String(20), nullable=False),  # due, asked
    sa.Column("started_at", sa.Float, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("n_examples", sa.Integer, nullable=False),
    sa.Column("promoted", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)
spending = sa.Table(
    "spending",
    metadata,
    sa.Column("scope", sa.String(60), primary_key=True),  # a project's key, or the name of a run
    sa.Column("day", sa.String(10), primary_key=True),  # UTC; of a run, empty
    sa.Column("tokens", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("seconds", sa.Float, nullable=False, server_default="0"),
    sa.Column("cost", sa.Float, nullable=False, server_default="0"),
    sa.Column("n_over", sa.BigInteger, nullable=False, server_default="0"),  # texts that nobody was asked about
)
