"""The hash of the reports of each ended trial."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | Sequence[str] | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# The hash is that of the function ledger.reports_digest, which the upgrade creates after the revisions.
_FILL = """
update ledger.trial
set reports_sha256 = case when trial.finished_at is null then '' else digest.sha256 end
from (
  select study_id, trial, sha256(string_agg(
    int4send(attempt) || int8send(step) || float8send(coalesce(loss, 'NaN'))
      || convert_to(coalesce(metrics::text, ''), 'UTF8'), '' order by attempt, step)) as sha256
  from (
    select study_id, trial, attempt, step, loss, metrics from ledger.report
    union all
    select study_id, trial, 0, rung, arrival, null from ledger.verdict where arrival is not null) as known
  group by study_id, trial) as digest
where trial.study_id = digest.study_id and trial.number = digest.trial
"""


def upgrade() -> None:
    op.add_column(
        "trial",
        sa.Column(
            "reports_sha256",
            sa.LargeBinary(),
            nullable=True,
            comment="SHA-256 of the trial's reports, without their times, and of its arrivals at rungs, recorded when "
            "the trial ended. Empty if the trial has reports, and has not ended. Null if the trial has no reports.",
        ),
        schema="ledger",
    )
    op.create_check_constraint(
        op.f("trial_reports_sha256_is_a_hash"),
        "trial",
        "octet_length(reports_sha256) in (0, 32)",
        schema="ledger",
    )
    # The trials of an older ledger have reports without a hash. A trigger refuses each change of an ended trial. The
    # files of sql/, which the upgrade runs later, enable the triggers for every role again.
    op.execute("alter table ledger.trial disable trigger user")
    op.execute(_FILL)
    op.execute("alter table ledger.trial enable trigger user")


def downgrade() -> None:
    # The next upgrade creates the functions, the trigger and the views again.
    op.execute("drop function if exists ledger.record_reports_digest() cascade")
    op.execute("alter table ledger.trial drop column reports_sha256 cascade")
