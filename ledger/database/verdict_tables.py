"""The tables of early stopping: the cutoffs of each iteration, the verdicts on trials, and the promotions of trials.

The module also defines the columns `pruned_step` and `pruned_loss` of the table `trial`.

Like the table of reports, the tables of early stopping have no foreign keys. When a study is deleted, a trigger deletes
the study's cutoffs and verdicts (sql/functions/unchanging_verdicts.sql).
"""

from typing import Any

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Double, Index, Integer, Table, text

from ledger.database.schema import metadata, moment

cutoff = Table(
    "cutoff",
    metadata,
    Column("study_id", Integer, primary_key=True, autoincrement=False, comment="The study."),
    Column("iteration", Integer, primary_key=True, autoincrement=False, comment="The number of the iteration."),
    Column("rung", BigInteger, primary_key=True, autoincrement=False, comment="The step of the rung."),
    Column(
        "group_number",
        Integer,
        primary_key=True,
        autoincrement=False,
        server_default="0",
        comment="Number of the group of trials in the iteration, from 0; 0 if the rule has no groups.",
    ),
    Column(
        "loss",
        Double,
        comment="Loss below which a trial of the iteration goes on; null if each trial with a loss goes on.",
    ),
    Column(
        "compared",
        Integer,
        nullable=False,
        comment="Number of trials of earlier iterations and groups that have reached the rung. With the rule "
        "promotion, number of trials of the iteration and of earlier iterations that the rule has compared at the "
        "rung.",
    ),
    Column(
        "trial",
        Integer,
        comment="With the rule promotion, number of the trial with the cutoff's loss. Another trial with the same loss "
        "goes on if its own number is lower. Null if the study has another rule, or if each trial with a loss goes on.",
    ),
    CheckConstraint("compared >= 0", name="compared_is_natural"),
    CheckConstraint("group_number >= 0", name="group_number_is_natural"),
    CheckConstraint("trial is null or loss is not null", name="trial_with_a_loss"),
    comment="One row for each rung of an iteration in batch mode, or of a group, with the loss below which a trial "
    "goes on. It follows from earlier iterations; with the rule promotion or groups, also from the same iteration. A "
    "cutoff never changes.",
)

verdict = Table(
    "verdict",
    metadata,
    Column("study_id", Integer, primary_key=True, autoincrement=False, comment="The study."),
    Column("trial", Integer, primary_key=True, autoincrement=False, comment="The number of the trial."),
    Column("rung", BigInteger, primary_key=True, autoincrement=False, comment="The step of the rung."),
    Column("attempt", Integer, nullable=False, comment="Number of the attempt that reported the step, from 1."),
    Column("step", BigInteger, nullable=False, comment="Last reported step at or below the rung."),
    Column("loss", Double, comment="Loss at the verdict's step; null if the reported value was NaN or an infinity."),
    Column("cutoff", Double, comment="Loss below which the trial goes on; null if each trial with a loss goes on."),
    Column(
        "compared",
        Integer,
        nullable=False,
        comment="Number of other trials with which the trial was compared. With the rule promotion in batch mode, "
        "number of trials that the rule has compared at the rung, equal to the column compared of the cutoff.",
    ),
    Column(
        "arrival",
        Integer,
        comment="In steady mode, position of the trial in the order of the arrivals at the rung, from 1; null in batch "
        "mode.",
    ),
    Column("stops", Boolean, nullable=False, comment="Whether the rule stops the trial at the rung."),
    Column(
        "audited",
        Boolean,
        nullable=False,
        comment="Whether the trial belongs to the share of trials that go on despite the rule.",
    ),
    moment("decided_at", nullable=False, comment="Time of the verdict, by the database's clock."),
    CheckConstraint("step <= rung", name="step_is_at_most_the_rung"),
    CheckConstraint("compared >= 0", name="compared_is_natural"),
    CheckConstraint("arrival = compared + 1", name="compared_with_earlier_arrivals"),
    Index("verdict_losses", "study_id", "rung", "trial"),
    Index(
        "verdict_arrivals",
        *("study_id", "rung", "arrival"),
        unique=True,
        postgresql_where=text("arrival is not null"),
    ),
    comment="One row for each rung that a trial has reached, with the verdict of the study's rule. A verdict never "
    "changes.",
)


promotion = Table(
    "promotion",
    metadata,
    Column("study_id", Integer, primary_key=True, autoincrement=False, comment="The study."),
    Column("trial", Integer, primary_key=True, autoincrement=False, comment="The number of the trial."),
    Column(
        "rung",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="The step of the rung at which the trial waited.",
    ),
    Column(
        "arrivals",
        Integer,
        nullable=False,
        comment="Number of arrivals at the rung at the time of the promotion. The trial was among the best 1/eta of "
        "these arrivals.",
    ),
    moment("promoted_at", nullable=False, comment="Time of the promotion, by the database's clock."),
    CheckConstraint("arrivals >= 1", name="arrivals_are_positive"),
    comment="One row for each promotion of a paused trial in steady mode, with the rung at which the trial waited. A "
    "promotion never changes.",
)


def trial_columns() -> list[Column[Any]]:
    """Return the new columns `pruned_step` and `pruned_loss` for the table `trial`."""
    return [
        Column(
            "pruned_step",
            BigInteger,
            comment="Last step at or below the rung that stopped the trial; null unless the trial is pruned.",
        ),
        Column(
            "pruned_loss",
            Double,
            comment="Finite loss at pruned_step; null if the trial is not pruned, or if the reported value was NaN or "
            "an infinity.",
        ),
    ]


def trial_constraint() -> CheckConstraint:
    """Return a new constraint for the columns that `trial_columns` returns."""
    return CheckConstraint(
        "case when state = 'pruned' then pruned_step is not null else pruned_step is null and pruned_loss is null end",
        name="step_and_loss_when_pruned",
    )
