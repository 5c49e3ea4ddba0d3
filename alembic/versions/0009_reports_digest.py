"""The hash of the reports of each ended trial."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | Sequence[str] | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "trial",
        sa.Column(
            "reports_sha256",
            sa.LargeBinary(),
            nullable=True,
            comment="SHA-256 of the trial's reports and of its arrivals at rungs, recorded when the trial ended. Empty "
            "if the trial has reports, and has not ended. Null if the trial has no reports.",
        ),
        schema="ledger",
    )
    op.create_check_constraint(
        op.f("trial_reports_sha256_is_a_hash"),
        "trial",
        "octet_length(reports_sha256) in (0, 32)",
        schema="ledger",
    )


def downgrade() -> None:
    # The next upgrade creates the functions, the trigger and the views again.
    op.execute("drop function if exists ledger.record_reports_digest() cascade")
    op.execute("alter table ledger.trial drop column reports_sha256 cascade")
