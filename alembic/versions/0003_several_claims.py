"""Several trials are claimed at once, by one function that takes the place of the one for a single trial."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | Sequence[str] | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # an upgrade replaces functions, but not one whose parameters have changed
    op.execute("drop function if exists ledger.claim(text, uuid, text)")
    # in an order that no other index has
    _index_pending("study_id", "iteration", "number")
    op.create_index(
        "worker_here",
        "worker",
        ["last_seen_at"],
        unique=False,
        schema="ledger",
        postgresql_where=sa.text("stopped_at is null"),
    )


def downgrade() -> None:
    op.drop_index("worker_here", table_name="worker", schema="ledger")
    _index_pending("study_id", "number")
    op.execute("drop function if exists ledger.claim(text, uuid[], text)")


def _index_pending(*columns: str) -> None:
    op.drop_index("trial_pending", table_name="trial", schema="ledger")
    op.create_index(
        "trial_pending",
        "trial",
        columns,
        unique=False,
        schema="ledger",
        postgresql_where=sa.text("state = 'pending'"),
    )
