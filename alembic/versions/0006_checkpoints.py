"""Checkpoints of trials, which are artifacts with a step."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | Sequence[str] | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_TABLE = (
    "One row for each artifact and each checkpoint of an attempt. Read the table through the views ledger.artifacts and "
    "ledger.checkpoints."
)
_NAME = (
    "Name within the attempt, of 1 to 100 characters (A-Z, a-z, 0-9, dot, underscore and hyphen). The name of a "
    "checkpoint consists of .checkpoint- and its step."
)


def upgrade() -> None:
    op.add_column(
        "artifact",
        sa.Column(
            "step",
            sa.BigInteger(),
            sa.Computed(
                "(case when left(name, 12) = '.checkpoint-' then substr(name, 13)::bigint end)", persisted=True
            ),
            nullable=True,
            comment="Step of the training at which the trial kept this checkpoint; null if the artifact is no "
            "checkpoint; taken from the text in name.",
        ),
        schema="ledger",
    )
    op.create_index(
        "artifact_checkpoints",
        "artifact",
        ["study_id", "trial", "attempt", "step"],
        schema="ledger",
        postgresql_where=sa.text("step is not null"),
    )
    _comment(_TABLE, _NAME)


def downgrade() -> None:
    op.execute("delete from ledger.artifact where step is not null")
    # The next upgrade creates the views again that depend on the column.
    op.execute("alter table ledger.artifact drop column step cascade")
    _comment(
        "One row for each artifact of an attempt. Read the table through the view ledger.artifacts.",
        "Name within the attempt, of 1 to 100 characters (A-Z, a-z, 0-9, dot, underscore and hyphen).",
    )


def _comment(table: str, name: str) -> None:
    op.create_table_comment("artifact", table, schema="ledger")
    op.alter_column("artifact", "name", schema="ledger", existing_type=sa.Text(), comment=name)
