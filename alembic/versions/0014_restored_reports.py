"""Return the last report before each checkpoint, which the next attempt of the trial reports again."""

from collections.abc import Sequence

from alembic import op

revision: str = "0014"
down_revision: str | Sequence[str] | None = "0013"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# The result of the function differs between the revisions. `ledger db upgrade` creates the function again.
_DROP = "drop function if exists ledger.last_checkpoints(int, int, uuid)"


def upgrade() -> None:
    op.execute(_DROP)


def downgrade() -> None:
    op.execute(_DROP)
