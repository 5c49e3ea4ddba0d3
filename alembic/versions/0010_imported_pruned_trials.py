"""Imported trials that another program has pruned, and rungs that compare earlier iterations."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from ledger.errors import LedgerError

revision: str = "0010"
down_revision: str | Sequence[str] | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_NAME = "trial_imported_without_attempts"


def upgrade() -> None:
    _replace("state in ('complete', 'pruned')")
    _comment(
        "One row for each rung of an iteration in batch mode, with the loss below which a trial goes on. The loss "
        "follows from trials of earlier iterations. With the rule promotion, it also follows from trials of the same "
        "iteration. A cutoff never changes.",
        "Number of earlier trials that have reached the rung. With the rule promotion, number of trials of the "
        "iteration and of earlier iterations that the rule has compared at the rung.",
    )


def downgrade() -> None:
    found = op.get_bind().exec_driver_sql(
        "select name from ledger.trial join ledger.study on study.id = trial.study_id"
        " where trial.source = 'imported' and trial.state = 'pruned' limit 1"
    )
    name = found.scalar()
    if name is not None:
        raise LedgerError(
            f"study {name} has an imported trial that is pruned, which revision 0009 does not know: delete each study"
            " with such a trial first"
        )
    _replace("state = 'complete'")
    _comment(
        "One row for each rung of an iteration in batch mode, with the loss below which a trial goes on. The loss "
        "follows from trials of earlier iterations. With the rule promotion, the loss follows from trials of the same "
        "iteration. A cutoff never changes.",
        "Number of earlier trials that have reached the rung. With the rule promotion, number of the iteration's trials "
        "that the rule has compared at the rung.",
    )


def _comment(cutoff: str, compared: str) -> None:
    op.create_table_comment("cutoff", cutoff, schema="ledger")
    op.alter_column("cutoff", "compared", comment=compared, existing_type=sa.Integer(), schema="ledger")


def _replace(states: str) -> None:
    op.drop_constraint(op.f(_NAME), "trial", schema="ledger")
    op.create_check_constraint(
        op.f(_NAME), "trial", f"source <> 'imported' or ({states} and attempts = 0 and claim is null)", schema="ledger"
    )
