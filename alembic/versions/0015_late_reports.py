"""Record whether a report came after a report of a higher step, so that no verdict depends on the time of the report."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | Sequence[str] | None = "0014"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Revision 0014 computes the hash of a trial's reports without the column.
_FORGET = """
create temporary table late on commit drop as
select distinct study_id, trial from ledger.report where after_step is not null;
update ledger.report set after_step = null where after_step is not null
"""
_FILL = """
update ledger.trial set reports_sha256 = ledger.reports_digest(trial.study_id, trial.number)
from late
where trial.study_id = late.study_id and trial.number = late.trial and trial.finished_at is not null
"""


def upgrade() -> None:
    op.add_column(
        "report",
        sa.Column(
            "after_step",
            sa.BigInteger(),
            nullable=True,
            comment="Highest step that the attempt had reported before this lower step; null if the attempt had "
            "reported no higher step.",
        ),
        schema="ledger",
    )
    op.create_check_constraint(op.f("report_after_step_is_higher"), "report", "after_step > step", schema="ledger")


def downgrade() -> None:
    # The hashes of the reports cover the column. A trigger refuses each change of a report and of an ended trial.
    for table in ("report", "trial"):
        op.execute(f"alter table ledger.{table} disable trigger user")
    op.execute(_FORGET)
    op.execute(_FILL)
    for table in ("report", "trial"):
        op.execute(f"alter table ledger.{table} enable trigger user")
    # The view and the trigger that read the column are dropped too. The next upgrade creates them again.
    op.execute("drop function if exists ledger.refuse_unreadable_report() cascade")
    op.execute("alter table ledger.report drop column after_step cascade")
