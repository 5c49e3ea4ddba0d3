"""Finished trials are imported as history, and enqueued ones are claimed before those that were proposed."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | Sequence[str] | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


BEFORE = "proposed by the optimizer, enqueued by a person, or retried."
NOW = "proposed by the optimizer, enqueued by a person, retried, or imported with its loss."


def upgrade() -> None:
    _say(NOW)
    _sources("source in ('proposed', 'enqueued', 'retried', 'imported')")
    op.create_check_constraint(
        op.f("trial_imported_without_attempts"),
        "trial",
        "source <> 'imported' or (state = 'complete' and attempts = 0 and claim is null)",
        schema="ledger",
    )
    _index_pending("study_id", sa.text("(source <> 'enqueued')"), "iteration", "number")


def downgrade() -> None:
    _say(BEFORE)
    _index_pending("study_id", "iteration", "number")
    op.drop_constraint(op.f("trial_imported_without_attempts"), "trial", schema="ledger")
    _sources("source in ('proposed', 'enqueued', 'retried')")


def _say(comment: str) -> None:
    op.alter_column("trial", "source", comment=comment, schema="ledger")


def _sources(known: str) -> None:
    op.drop_constraint(op.f("trial_source_is_known"), "trial", schema="ledger")
    op.create_check_constraint(op.f("trial_source_is_known"), "trial", known, schema="ledger")


def _index_pending(*columns: str | sa.TextClause) -> None:
    op.drop_index("trial_pending", table_name="trial", schema="ledger")
    op.create_index(
        "trial_pending", "trial", list(columns), schema="ledger", postgresql_where=sa.text("state = 'pending'")
    )
