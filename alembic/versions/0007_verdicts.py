"""Cutoffs and verdicts of early stopping, and trials that are pruned."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from ledger.errors import LedgerError

revision: str = "0007"
down_revision: str | Sequence[str] | None = "0006"
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
            comment="Loss below which a trial of the iteration goes on; null if each trial with a loss goes on.",
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
        comment="One row for each rung of an iteration in batch mode, with the loss below which a trial goes on. The "
        "loss follows from trials of earlier iterations. A cutoff never changes.",
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
            comment="Number of the attempt that reported the step, from 1.",
        ),
        sa.Column("step", sa.BigInteger(), nullable=False, comment="Last reported step at or below the rung."),
        sa.Column(
            "loss",
            sa.Double(),
            nullable=True,
            comment="Loss at the verdict's step; null if the reported value was NaN or an infinity.",
        ),
        sa.Column(
            "cutoff",
            sa.Double(),
            nullable=True,
            comment="Loss below which the trial goes on; null if each trial with a loss goes on.",
        ),
        sa.Column(
            "compared",
            sa.Integer(),
            nullable=False,
            comment="Number of other trials with which the trial was compared.",
        ),
        sa.Column(
            "arrival",
            sa.Integer(),
            nullable=True,
            comment="In steady mode, position of the trial in the order of the arrivals at the rung, from 1; null in "
            "batch mode.",
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
        sa.CheckConstraint("arrival = compared + 1", name=op.f("verdict_compared_with_earlier_arrivals")),
        sa.PrimaryKeyConstraint("study_id", "trial", "rung", name=op.f("verdict_pkey")),
        schema="ledger",
        comment="One row for each rung that a trial has reached, with the verdict of the study's rule. A verdict never "
        "changes.",
    )
    op.create_index("verdict_losses", "verdict", ["study_id", "rung", "trial"], schema="ledger")
    op.create_index(
        "verdict_arrivals",
        "verdict",
        ["study_id", "rung", "arrival"],
        unique=True,
        schema="ledger",
        postgresql_where=sa.text("arrival is not null"),
    )
    _add_pruned_trials()
    # The answer of the function has another column. The next upgrade creates the function again.
    op.execute("drop function if exists ledger.claim(text, uuid[], text, int[])")


_ENDED = "('complete', 'pruned', 'failed', 'cancelled')"
_ENDED_BEFORE = "('complete', 'failed', 'cancelled')"
_STATES = "('pending', 'running', 'complete', 'pruned', 'failed', 'cancelled')"
_STATES_BEFORE = "('pending', 'running', 'complete', 'failed', 'cancelled')"
_OUTCOMES = "('complete', 'pruned', 'failed', 'crashed', 'lost', 'released', 'timeout', 'stale')"
_OUTCOMES_BEFORE = "('complete', 'failed', 'crashed', 'lost', 'released', 'timeout', 'stale')"
_COUNTS_BEFORE = "total_proposed, total_complete, total_failed, total_cancelled"
_COUNTS = "total_proposed, total_complete, total_pruned, total_failed, total_cancelled"
_SUMS = "total_attempts, total_failures, total_crashes, total_lost"


def _add_pruned_trials() -> None:
    op.add_column(
        "trial",
        sa.Column(
            "pruned_step",
            sa.BigInteger(),
            nullable=True,
            comment="Last step at or below the rung that stopped the trial; null unless the trial is pruned.",
        ),
        schema="ledger",
    )
    op.add_column(
        "trial",
        sa.Column(
            "pruned_loss",
            sa.Double(),
            nullable=True,
            comment="Finite loss at pruned_step; null if the trial is not pruned, or if the reported value was NaN or "
            "an infinity.",
        ),
        schema="ledger",
    )
    op.add_column(
        "iteration",
        sa.Column(
            "total_pruned",
            sa.Integer(),
            nullable=True,
            server_default="0",
            comment="Number of pruned trials in this iteration and in the iterations that were marked as told earlier; "
            "null while this iteration is not marked as told.",
        ),
        schema="ledger",
    )
    # No earlier trial is pruned. A told iteration does not change, so the default gives it the number.
    op.execute("update ledger.iteration set total_pruned = null where told is null")
    op.alter_column("iteration", "total_pruned", server_default=None, schema="ledger")
    _describe_states(_STATES, _ENDED, _OUTCOMES, _COUNTS, 11)
    op.create_check_constraint(
        op.f("trial_step_when_pruned"), "trial", "(state = 'pruned') = (pruned_step is not null)", schema="ledger"
    )
    op.create_check_constraint(
        op.f("trial_pruned_loss_when_pruned"), "trial", "pruned_loss is null or state = 'pruned'", schema="ledger"
    )
    op.create_check_constraint(
        op.f("trial_pruned_loss_is_finite"),
        "trial",
        "pruned_loss > '-infinity' and pruned_loss < 'infinity'",
        schema="ledger",
    )
    _comment(
        state="State of the trial. An open trial is pending or running, and an ended trial is complete, pruned, failed or "
        "cancelled.",
        trial="One row for each trial, which evaluates one point. A complete, pruned, failed or cancelled trial never "
        "changes. Read the table through the view ledger.trials.",
        outcome="Outcome of the attempt (complete, pruned, failed, crashed, timeout, released, stale or lost). The result "
        "of a stale attempt came too late. A lost attempt had no heartbeat within its lease, or was cancelled. Null while "
        "the attempt is running.",
    )


def _describe_states(states: str, ended: str, outcomes: str, counts: str, columns: int) -> None:
    """Replace the constraints that list the states of trials, the outcomes of attempts or the totals of iterations."""
    constraints = {
        ("trial", "state_is_known"): f"state in {states}",
        ("trial", "finished_when_it_ended"): f"(state in {ended}) = (finished_at is not null)",
        ("attempt", "outcome_is_known"): f"outcome in {outcomes}",
        ("iteration", "totals_are_natural"): f"told >= 1 and least({counts}) >= 0 and least({_SUMS}) >= 0",
        ("iteration", "totals_when_told"): (
            f"num_nulls(told_at, told, {counts}, {_SUMS}) in (0, {columns})"
            " and (told is not null or num_nonnulls(last_complete, improvements) = 0)"
        ),
    }
    for (table, name), condition in constraints.items():
        op.drop_constraint(op.f(f"{table}_{name}"), table, schema="ledger")
        op.create_check_constraint(op.f(f"{table}_{name}"), table, condition, schema="ledger")


def _comment(state: str, trial: str, outcome: str) -> None:
    op.alter_column("trial", "state", comment=state, existing_type=sa.Text(), schema="ledger")
    op.create_table_comment("trial", trial, schema="ledger")
    op.alter_column("attempt", "outcome", comment=outcome, existing_type=sa.Text(), schema="ledger")


def downgrade() -> None:
    connection = op.get_bind()
    if connection.execute(sa.text("select from ledger.trial where state = 'pruned' limit 1")).first() is not None:
        raise LedgerError("the ledger has pruned trials, which revision 0006 does not know: delete their studies first")
    op.execute("drop function if exists ledger.claim(text, uuid[], text, int[])")
    _describe_states(_STATES_BEFORE, _ENDED_BEFORE, _OUTCOMES_BEFORE, _COUNTS_BEFORE, 10)
    # The next upgrade creates the views again that depend on the columns.
    op.execute("alter table ledger.trial drop column pruned_step cascade, drop column pruned_loss cascade")
    op.execute("alter table ledger.iteration drop column total_pruned cascade")
    _comment(
        state="State of the trial. An open trial is pending or running, and an ended trial is complete, failed or "
        "cancelled.",
        trial="One row for each trial, which evaluates one point. A complete, failed or cancelled trial never changes. "
        "Read the table through the view ledger.trials.",
        outcome="Outcome of the attempt (complete, failed, timeout, released, stale or lost). The result of a stale "
        "attempt came too late. A lost attempt had no heartbeat within its lease, or was cancelled. Null while the "
        "attempt is running.",
    )
    op.execute("drop trigger if exists verdicts_go_with_their_study on ledger.study")
    op.execute("drop table ledger.verdict cascade")
    op.execute("drop table ledger.cutoff cascade")
