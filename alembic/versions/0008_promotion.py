"""Trials that pause at a rung of the rule "promotion", the trial of a cutoff, and the promotions of steady mode."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from ledger.errors import LedgerError

revision: str = "0008"
down_revision: str | Sequence[str] | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_OPEN = "('pending', 'running', 'paused')"
_OPEN_BEFORE = "('pending', 'running')"
_STATES = "('pending', 'running', 'paused', 'complete', 'pruned', 'failed', 'cancelled')"
_STATES_BEFORE = "('pending', 'running', 'complete', 'pruned', 'failed', 'cancelled')"
_OUTCOMES = "('complete', 'pruned', 'paused', 'failed', 'crashed', 'lost', 'released', 'timeout', 'stale')"
_OUTCOMES_BEFORE = "('complete', 'pruned', 'failed', 'crashed', 'lost', 'released', 'timeout', 'stale')"


def upgrade() -> None:
    op.add_column(
        "cutoff",
        sa.Column(
            "trial",
            sa.Integer(),
            nullable=True,
            comment="With the rule promotion, number of the trial with the cutoff's loss. Another trial with the same "
            "loss goes on if its own number is lower. Null if the study has another rule, or if each trial with a loss "
            "goes on.",
        ),
        schema="ledger",
    )
    op.create_check_constraint(
        op.f("cutoff_trial_with_a_loss"), "cutoff", "trial is null or loss is not null", schema="ledger"
    )
    _add_steady_mode()
    _describe_states(_OPEN, _STATES, _OUTCOMES)
    _comment(
        cutoff="One row for each rung of an iteration in batch mode, with the loss below which a trial goes on. The "
        "loss follows from trials of earlier iterations. With the rule promotion, the loss follows from trials of the "
        "same iteration. A cutoff never changes.",
        of_cutoff="Number of earlier trials that have reached the rung. With the rule promotion, number of "
        "the iteration's trials that the rule has compared at the rung.",
        of_verdict="Number of other trials with which the trial was compared. With the rule promotion in batch mode, "
        "number of trials that the rule has compared at the rung, equal to the column compared of the cutoff.",
        state="State of the trial. An open trial is pending, running or paused, and an ended trial is complete, pruned, "
        "failed or cancelled.",
        claim="Secret of the current or last worker of the trial; null before the first claim, and after a release, a "
        "failure or a pause.",
        outcome="Outcome of the attempt (complete, pruned, paused, failed, crashed, timeout, released, stale or lost). "
        "The result of a stale attempt came too late. A lost attempt had no heartbeat within its lease, or was "
        "cancelled. Null while the attempt is running.",
        seen="In steady mode, numbers of trials that have ended or paused. The manager noticed each end or pause "
        "after the previous proposal, in the order of this list. The proposals depend on this column. Null in batch "
        "mode.",
    )
    # This revision changes the arguments of both functions. `ledger db upgrade` then creates the functions again.
    op.execute("drop function if exists ledger.rungs(jsonb)")
    op.execute(f"drop function if exists ledger.propose({_PROPOSE_BEFORE})")


_PROPOSE_BEFORE = "int, uuid, int, int, int, jsonb, jsonb, jsonb, float8, float8, int[], int"


def _add_steady_mode() -> None:
    """Add the table of promotions, and the column with the rungs at which the manager noticed paused trials."""
    op.create_table(
        "promotion",
        sa.Column("study_id", sa.Integer(), autoincrement=False, nullable=False, comment="The study."),
        sa.Column("trial", sa.Integer(), autoincrement=False, nullable=False, comment="The number of the trial."),
        sa.Column(
            "rung",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="The step of the rung at which the trial waited.",
        ),
        sa.Column(
            "arrivals",
            sa.Integer(),
            nullable=False,
            comment="Number of arrivals at the rung at the time of the promotion. The trial was among the best 1/eta "
            "of these arrivals.",
        ),
        sa.Column(
            "promoted_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Time of the promotion, by the database's clock.",
        ),
        sa.CheckConstraint("arrivals >= 1", name=op.f("promotion_arrivals_are_positive")),
        sa.PrimaryKeyConstraint("study_id", "trial", "rung", name=op.f("promotion_pkey")),
        schema="ledger",
        comment="One row for each promotion of a paused trial in steady mode, with the rung at which the trial waited. "
        "A promotion never changes.",
    )
    op.add_column(
        "iteration",
        sa.Column(
            "seen_rungs",
            postgresql.ARRAY(sa.BigInteger()),
            nullable=True,
            comment="In steady mode with the rule promotion, one element for each trial in the column seen: the rung "
            "at which the trial waited, or null if the trial had ended. Null with another rule, and in batch mode.",
        ),
        schema="ledger",
    )
    op.create_check_constraint(
        op.f("iteration_rungs_of_the_seen"),
        "iteration",
        "seen_rungs is null or (seen is not null and cardinality(seen_rungs) = cardinality(seen))",
        schema="ledger",
    )


def _describe_states(open_states: str, states: str, outcomes: str) -> None:
    """Replace the constraints and the index that list the states of trials or the outcomes of attempts."""
    for table, name, condition in (
        ("trial", "state_is_known", f"state in {states}"),
        ("attempt", "outcome_is_known", f"outcome in {outcomes}"),
    ):
        op.drop_constraint(op.f(f"{table}_{name}"), table, schema="ledger")
        op.create_check_constraint(op.f(f"{table}_{name}"), table, condition, schema="ledger")
    op.drop_index("trial_open", "trial", schema="ledger")
    op.create_index(
        "trial_open",
        "trial",
        ["study_id", "iteration"],
        schema="ledger",
        postgresql_where=sa.text(f"state in {open_states}"),
    )


def _comment(*, cutoff: str, of_cutoff: str, of_verdict: str, state: str, claim: str, outcome: str, seen: str) -> None:
    op.create_table_comment("cutoff", cutoff, schema="ledger")
    for table, column, kind, comment in (
        ("cutoff", "compared", sa.Integer(), of_cutoff),
        ("verdict", "compared", sa.Integer(), of_verdict),
        ("trial", "state", sa.Text(), state),
        ("trial", "claim", sa.UUID(), claim),
        ("attempt", "outcome", sa.Text(), outcome),
        ("iteration", "seen", postgresql.ARRAY(sa.Integer()), seen),
    ):
        op.alter_column(table, column, comment=comment, existing_type=kind, schema="ledger")


def downgrade() -> None:
    found = op.get_bind().execute(
        sa.text("select name from ledger.study where spec -> 'stopping' ->> 'rule' = 'promotion' order by id limit 1")
    )
    name = found.scalar()
    if name is not None:
        raise LedgerError(
            f"study {name} has the rule promotion, which revision 0007 does not know: delete each study with this rule"
            " first"
        )
    op.execute("drop function if exists ledger.rungs(jsonb, int)")
    _describe_states(_OPEN_BEFORE, _STATES_BEFORE, _OUTCOMES_BEFORE)
    _comment(
        cutoff="One row for each rung of an iteration in batch mode, with the loss below which a trial goes on. The "
        "loss follows from trials of earlier iterations. A cutoff never changes.",
        of_cutoff="Number of earlier trials that have reached the rung.",
        of_verdict="Number of other trials with which the trial was compared.",
        state="State of the trial. An open trial is pending or running, and an ended trial is complete, pruned, failed "
        "or cancelled.",
        claim="Secret of the current or last worker of the trial; null before the first claim, and after a release or a "
        "failure.",
        outcome="Outcome of the attempt (complete, pruned, failed, crashed, timeout, released, stale or lost). The "
        "result of a stale attempt came too late. A lost attempt had no heartbeat within its lease, or was cancelled. "
        "Null while the attempt is running.",
        seen="In steady mode, numbers of the trials whose end the manager read between the previous proposal and this "
        "proposal, in the order of the ends. The proposals depend on this list and the lists of earlier iterations. Null "
        "in batch mode.",
    )
    op.execute(f"drop function if exists ledger.propose({_PROPOSE_BEFORE}, bigint[])")
    # The views that depend on the columns and the table are dropped too. The next upgrade creates these views again.
    op.execute("alter table ledger.cutoff drop column trial cascade")
    op.execute("alter table ledger.iteration drop column seen_rungs cascade")
    op.execute("drop table ledger.promotion cascade")
