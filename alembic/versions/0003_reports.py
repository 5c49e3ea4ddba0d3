"""Reports of intermediate values."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0003"
down_revision: str | Sequence[str] | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "report",
        sa.Column("study_id", sa.Integer(), autoincrement=False, nullable=False, comment="The study."),
        sa.Column("trial", sa.Integer(), autoincrement=False, nullable=False, comment="The number of the trial."),
        sa.Column(
            "attempt", sa.Integer(), autoincrement=False, nullable=False, comment="Number of the attempt, from 1."
        ),
        sa.Column(
            "step",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="Step of the training, such as an epoch, from 0.",
        ),
        sa.Column(
            "loss",
            sa.Double(),
            nullable=True,
            comment="Loss, which follows from the value that the objective reported at the step; null if the value "
            "was NaN or an infinity.",
        ),
        sa.Column(
            "metrics",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="Metrics at the step, as an object of at most 10,000 bytes; null without metrics.",
        ),
        sa.Column(
            "reported_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Time when the report was recorded, by the database's clock.",
        ),
        sa.CheckConstraint("step >= 0", name=op.f("report_step_is_not_negative")),
        sa.PrimaryKeyConstraint("study_id", "trial", "attempt", "step", name=op.f("report_pkey")),
        schema="ledger",
        comment="One row for each report of an intermediate value. A report never changes. Read the table through the "
        "view ledger.reports.",
    )


def downgrade() -> None:
    # The next upgrade creates the views again that depend on the table. The trigger on the table of studies names the
    # table of reports, so the downgrade removes the trigger, too.
    op.execute("drop trigger if exists reports_go_with_their_study on ledger.study")
    op.execute("drop table ledger.report cascade")
