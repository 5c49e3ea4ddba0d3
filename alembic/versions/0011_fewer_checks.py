"""Fewer checks of the columns of reports and verdicts, because PostgreSQL prepares each check in each statement."""

from collections.abc import Sequence

from alembic import op

revision: str = "0011"
down_revision: str | Sequence[str] | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_NEW = {
    "trial_step_and_loss_when_pruned": "case when state = 'pruned' then pruned_step is not null"
    " else pruned_step is null and pruned_loss is null end"
}
_OLD = {
    "trial_step_when_pruned": "(state = 'pruned') = (pruned_step is not null)",
    "trial_pruned_loss_when_pruned": "pruned_loss is null or state = 'pruned'",
    "trial_pruned_loss_is_finite": "pruned_loss > '-infinity' and pruned_loss < 'infinity'",
    "trial_reports_sha256_is_a_hash": "octet_length(reports_sha256) in (0, 32)",
}


def upgrade() -> None:
    # A trigger refuses an infinite loss (sql/functions/readable_rows.sql). Another trigger computes the hash of each
    # ended trial with reports (sql/functions/reports_digest.sql).
    _replace(_OLD, _NEW)


def downgrade() -> None:
    _replace(_NEW, _OLD)


def _replace(old: dict[str, str], new: dict[str, str]) -> None:
    for name in old:
        op.drop_constraint(op.f(name), "trial", schema="ledger")
    for name, condition in new.items():
        op.create_check_constraint(op.f(name), "trial", condition, schema="ledger")
