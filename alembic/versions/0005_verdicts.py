"""Cutoffs and verdicts of early stopping."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | Sequence[str] | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "cutoff",
        sa.Column("study_id", sa.Integer(), autoincrement=False, nullable=False, comment="The study."),
        sa.Column(
            "iteration", sa.Integer(), autoincrement=False, nullable=False, comment="The number of the iteration."
        ),
        sa.Column("rung", sa.BigInteger(), autoincrement=False, nullable=False, comment="The step of the rung."),
        sa.Column(
            "loss",
            sa.Double(),
            nullable=True,
            comment="Loss below which a trial of the iteration goes on; null if the rung stops no trial with a loss.",
        ),
        sa.Column(
            "compared",
            sa.Integer(),
            nullable=False,
            comment="Number of earlier trials that have reached the rung.",
        ),
        sa.CheckConstraint("compared >= 0", name=op.f("cutoff_compared_is_natural")),
        sa.PrimaryKeyConstraint("study_id", "iteration", "rung", name=op.f("cutoff_pkey")),
        schema="ledger",
        comment="One row for each rung of an iteration in batch mode: what earlier iterations say about the rung. A "
        "cutoff never changes.",
    )
    op.create_table(
        "verdict",
        sa.Column("study_id", sa.Integer(), autoincrement=False, nullable=False, comment="The study."),
        sa.Column("trial", sa.Integer(), autoincrement=False, nullable=False, comment="The number of the trial."),
        sa.Column("rung", sa.BigInteger(), autoincrement=False, nullable=False, comment="The step of the rung."),
        sa.Column(
            "attempt",
            sa.Integer(),
            nullable=False,
            comment="Number of the attempt that reached the rung first, from 1.",
        ),
        sa.Column("step", sa.BigInteger(), nullable=False, comment="Last reported step at or below the rung."),
        sa.Column(
            "loss",
            sa.Double(),
            nullable=True,
            comment="Loss at this step; null if the reported value was NaN or an infinity.",
        ),
        sa.Column(
            "cutoff",
            sa.Double(),
            nullable=True,
            comment="Loss below which the trial goes on; null if the rung stops no trial with a loss.",
        ),
        sa.Column(
            "compared",
            sa.Integer(),
            nullable=False,
            comment="Number of other trials with which the trial was compared.",
        ),
        sa.Column("stops", sa.Boolean(), nullable=False, comment="Whether the rule stops the trial at the rung."),
        sa.Column(
            "audited",
            sa.Boolean(),
            nullable=False,
            comment="Whether the trial belongs to the share of trials that go on despite the rule.",
        ),
        sa.Column(
            "decided_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Time of the verdict, by the database's clock.",
        ),
        sa.CheckConstraint("step <= rung", name=op.f("verdict_step_is_at_most_the_rung")),
        sa.CheckConstraint("compared >= 0", name=op.f("verdict_compared_is_natural")),
        sa.PrimaryKeyConstraint("study_id", "trial", "rung", name=op.f("verdict_pkey")),
        schema="ledger",
        comment="One row for each rung that a trial has reached, with the verdict of the study's rule. A verdict never "
        "changes.",
    )
    op.create_index("verdict_losses", "verdict", ["study_id", "rung", "trial"], schema="ledger")


def downgrade() -> None:
    op.execute("drop trigger if exists verdicts_go_with_their_study on ledger.study")
    op.execute("drop table ledger.verdict cascade")
    op.execute("drop table ledger.cutoff cascade")
