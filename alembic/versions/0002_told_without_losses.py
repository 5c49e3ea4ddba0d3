"""An iteration of retried trials, none of which completed, is told without losses."""

from collections.abc import Sequence

from alembic import op

revision: str = "0002"
down_revision: str | Sequence[str] | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.drop_constraint(op.f("iteration_told_with_its_losses"), "iteration", schema="ledger")
    op.create_check_constraint(
        op.f("iteration_losses_when_told"),
        "iteration",
        "(mean_loss is null) = (best_loss is null) and (mean_loss is null or told_at is not null)",
        schema="ledger",
    )


def downgrade() -> None:
    op.drop_constraint(op.f("iteration_losses_when_told"), "iteration", schema="ledger")
    op.create_check_constraint(
        op.f("iteration_told_with_its_losses"),
        "iteration",
        "(told_at is null) = (mean_loss is null) and (told_at is null) = (best_loss is null)",
        schema="ledger",
    )
