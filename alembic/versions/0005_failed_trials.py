"""An index of the failed and the cancelled trials."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | Sequence[str] | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_index(
        "trial_no_success",
        "trial",
        ["study_id", "state", "number"],
        schema="ledger",
        postgresql_where=sa.text("state in ('failed', 'cancelled')"),
    )


def downgrade() -> None:
    op.drop_index("trial_no_success", "trial", schema="ledger")
