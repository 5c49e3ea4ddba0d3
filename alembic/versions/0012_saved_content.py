"""Save an artifact by the id of its content. A repeated call of begin_artifact cannot replace the content unnoticed."""

from collections.abc import Sequence

from alembic import op

revision: str = "0012"
down_revision: str | Sequence[str] | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("drop function if exists ledger.save_artifact(int, int, uuid, text, text)")


def downgrade() -> None:
    op.execute("drop function if exists ledger.save_artifact(int, int, uuid, text, uuid)")
