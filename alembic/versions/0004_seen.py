"""In steady mode an iteration records which ends of trials were seen since the one before it."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | Sequence[str] | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("iteration", sa.Column("seen", sa.ARRAY(sa.Integer())), schema="ledger")


def downgrade() -> None:
    # every upgrade makes it again
    op.execute("drop view if exists ledger.iterations")
    op.drop_column("iteration", "seen", schema="ledger")
