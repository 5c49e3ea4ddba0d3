"""SQLAlchemy metadata of the tables in the schema `ledger`. The folder sql/ defines functions, triggers and views."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Interval,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from ledger.database import iteration_totals, report_tables, verdict_tables
from ledger.database.cancellation_table import cancellation
from ledger.database.schema import SCHEMA, metadata, moment, of_spec
from ledger.database.worker_tables import dataset, refusal, worker

__all__ = [
    "SCHEMA",
    "attempt",
    "cancellation",
    "dataset",
    "iteration",
    "manager",
    "metadata",
    "refusal",
    "study",
    "trial",
    "worker",
]


study = Table(
    "study",
    metadata,
    Column(
        "id",
        Integer,
        Identity(always=True),
        primary_key=True,
        comment="Number of the study. Other tables refer to the study by this number.",
    ),
    Column(
        "name",
        Text,
        nullable=False,
        unique=True,
        comment="Unique name of 1 to 100 characters (A-Z, a-z, 0-9, dot, underscore and hyphen).",
    ),
    Column(
        "spec",
        JSONB,
        nullable=False,
        comment="Definition of the study, with batch size, mode, seed, space, objective, optimizer, limits and "
        "resolved defaults.",
    ),
    Column(
        "spec_hash",
        Text,
        nullable=False,
        comment="SHA-256 of the settings that the user requested, in hexadecimal. The hash contains neither the budget "
        "nor defaults.",
    ),
    Column(
        "budget",
        Integer,
        nullable=False,
        comment="Number of trials that the optimizer may propose, at least 1. A user can raise the budget.",
    ),
    Column(
        "state",
        Text,
        nullable=False,
        comment="State of the study. An open study is running or paused, and an ended study is complete, failed or "
        "cancelled.",
    ),
    Column("reason", Text, comment="Reason for the state, as a text for users; null if no reason is recorded."),
    moment("created_at", nullable=False, comment="Time when the study was created, by the database's clock."),
    moment("finished_at", comment="Time when the study ended; null until the study has ended."),
    Column(
        "versions",
        JSONB,
        nullable=False,
        comment="Versions of Python, the packages and the BLAS kernel when the study was created.",
    ),
    Column(
        "target",
        Double,
        comment="Value at which the study ends. A study that minimises ends at this value or a lower value. A study "
        "that maximises ends at this value or a higher value. Null without a target.",
    ),
    Column(
        "patience",
        Integer,
        comment="The study ends after this number of trials without a better value. At least 1; null without a limit.",
    ),
    Column(
        "timeout_seconds",
        Double,
        comment="Timeout: total seconds for which managers may hold the study; null if the study has no timeout.",
    ),
    Column(
        "managed_seconds",
        Double,
        nullable=False,
        server_default=text("0"),
        comment="Seconds for which earlier managers have held the study. The seconds of the current manager are not "
        "included.",
    ),
    Column(
        "stopped_by",
        Text,
        comment="Criterion that ended the study before its budget was used (target, patience or timeout); null "
        "otherwise.",
    ),
    moment("stopping_at", comment="Time when the study met a stopping criterion; null if the study met no criterion."),
    moment("archived_at", comment="Time when the study was archived; null unless the study is archived."),
    of_spec(
        "seed",
        BigInteger,
        "((spec ->> 'seed')::bigint)",
        comment="Seed of all random numbers of the study, from 0 to 2147483647; taken from the JSON in spec.",
    ),
    Column(
        "changed_batch_size",
        Integer,
        comment="Batch size that a user has set after the creation of the study, at least 1; null if the study uses "
        "the batch size of spec.",
    ),
    of_spec(
        "batch_size",
        Integer,
        "(coalesce(changed_batch_size, (spec ->> 'batch_size')::integer))",
        comment="Number of trials in an iteration, at least 1. In steady mode, number of trials in flight. The value "
        "is changed_batch_size, or the batch size of spec if changed_batch_size is null.",
    ),
    of_spec(
        "objective",
        JSONB,
        "(spec -> 'objective')",
        comment="Objective that computes a value from parameters (a model and a dataset, or a function); taken from "
        "the JSON in spec.",
    ),
    of_spec(
        "direction",
        Text,
        "(case when spec -> 'objective' ?| array['model', 'estimator', 'steps'] then 'maximize'"
        " else coalesce(spec -> 'objective' ->> 'direction', 'minimize') end)",
        comment="Whether the study searches for the lowest value (minimize) or for the highest value (maximize). The "
        "score of a model or an estimator is maximised; taken from the JSON in spec.",
    ),
    of_spec(
        "loss_of_zero",
        Double,
        "(case when spec -> 'objective' ?| array['model', 'estimator', 'steps'] and "
        "left(coalesce(spec -> 'objective' ->> 'metric', 'accuracy'), 4) <> 'neg_' then 1 else 0 end)",
        comment="Loss for the value 0. If the direction is maximize, the loss for a value is loss_of_zero - value. "
        "If the direction is minimize, the loss is the value itself; taken from the JSON in spec.",
    ),
    of_spec(
        "tuples",
        JSONB,
        "(jsonb_path_query_array(spec, '$.space[*] ? (exists (@.tuples))'))",
        comment="Dimensions of the space whose choices contain Python tuples. The column params stores these tuples "
        "as arrays. Part of the column spec.",
    ),
    of_spec(
        "metric",
        Text,
        "(coalesce(spec -> 'objective' ->> 'metric', 'accuracy'))",
        comment="Name of the metric that is the score of a trial; taken from the JSON in spec. A user's own objective "
        "may omit this metric.",
    ),
    of_spec(
        "max_failures",
        Integer,
        "((spec -> 'limits' ->> 'max_failures')::integer)",
        comment="Number of failed attempts after which a trial fails, at least 1; taken from the JSON in spec.",
    ),
    of_spec(
        "max_crashes",
        Integer,
        "((spec -> 'limits' ->> 'max_crashes')::integer)",
        comment="Number of crashed attempts after which a trial fails, at least 1; taken from the JSON in spec.",
    ),
    of_spec(
        "max_lost",
        Integer,
        "((spec -> 'limits' ->> 'max_lost')::integer)",
        comment="Number of lost attempts after which a trial fails, at least 1; taken from the JSON in spec.",
    ),
    of_spec(
        "lease",
        Interval,
        "(make_interval(secs => (spec -> 'limits' ->> 'lease')::double precision))",
        comment="Time for which a claim is valid without a heartbeat; taken from the JSON in spec.",
    ),
    of_spec(
        "heartbeat",
        Interval,
        "(make_interval(secs => (spec -> 'limits' ->> 'heartbeat')::double precision))",
        comment="Interval at which a worker renews its claim, shorter than the lease; taken from the JSON in spec.",
    ),
    of_spec(
        "trial_timeout",
        Interval,
        "(make_interval(secs => (spec -> 'limits' ->> 'trial_timeout')::double precision))",
        nullable=True,
        comment="Maximum training time of an attempt, or null for no limit; taken from the JSON in spec.",
    ),
    CheckConstraint("name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'", name="name_is_plain"),
    CheckConstraint("budget >= 1", name="budget_is_positive"),
    CheckConstraint("changed_batch_size >= 1", name="batch_size_is_positive"),
    CheckConstraint("state in ('running', 'paused', 'complete', 'failed', 'cancelled')", name="state_is_known"),
    CheckConstraint(
        "(state in ('complete', 'failed', 'cancelled')) = (finished_at is not null)", name="finished_when_it_ended"
    ),
    CheckConstraint("target > '-infinity' and target < 'infinity'", name="target_is_finite"),
    CheckConstraint("patience >= 1", name="patience_is_positive"),
    CheckConstraint("timeout_seconds > 0", name="timeout_is_positive"),
    CheckConstraint("managed_seconds >= 0", name="managed_seconds_are_not_negative"),
    CheckConstraint("stopped_by in ('target', 'patience', 'timeout')", name="criterion_is_known"),
    CheckConstraint("(stopped_by is null) = (stopping_at is null)", name="stopping_since_a_criterion"),
    Index("study_running", "id", postgresql_where=text("state = 'running'")),
    comment="One row for each study, which is one search with a space, an objective, an optimizer, a budget and a "
    "seed. Read the table through the view ledger.studies.",
)

manager = Table(
    "manager",
    metadata,
    Column(
        "study_id", Integer, ForeignKey("ledger.study.id", ondelete="CASCADE"), primary_key=True, comment="The study."
    ),
    Column("claim", UUID(as_uuid=True), nullable=False, comment="Random secret of the manager that holds the study."),
    Column("name", Text, nullable=False, comment="Name of the manager, made of host, process id and random digits."),
    Column(
        "backend_pid",
        Integer,
        comment="Process id of the manager's database session; null if unknown, for example behind a transaction"
        " pooler.",
    ),
    moment("backend_started_at", comment="Start time of the manager's database session; null if unknown."),
    moment("claimed_at", nullable=False, comment="Time when the manager took the study."),
    Column("lease", Interval, nullable=False, comment="Time for which the manager's claim is valid without a renewal."),
    moment("lease_until", nullable=False, comment="Time when the manager's lease ends unless the manager renews it."),
    CheckConstraint("lease > '0'", name="lease_is_positive"),
    postgresql_with={"fillfactor": 50},
    comment="One row for each study that a manager holds. The row contains the manager's claim and lease. Read the "
    "table through the view ledger.managers.",
)

iteration = Table(
    "iteration",
    metadata,
    Column(
        "study_id", Integer, ForeignKey("ledger.study.id", ondelete="CASCADE"), primary_key=True, comment="The study."
    ),
    Column("number", Integer, primary_key=True, comment="Number of the iteration within the study, from 0."),
    Column(
        "round",
        Integer,
        nullable=False,
        comment="Number of the iteration's last round, from 0. If every trial of a round fails, the next round "
        "replaces that round.",
    ),
    Column("size", Integer, nullable=False, comment="Number of trials in all rounds of the iteration, at least 1."),
    Column(
        "batch_size",
        Integer,
        comment="Batch size of the study when the iteration was proposed, at least 1; null if the iteration has no "
        "proposed points.",
    ),
    moment("asked_at", nullable=False, comment="Time when the first trials of the iteration were inserted."),
    moment("told_at", comment="Time when the optimizer received the iteration's losses; null until then."),
    Column(
        "ask_seconds",
        Double,
        nullable=False,
        comment="Time for choosing the points of the last round, in seconds.",
    ),
    Column(
        "tell_seconds",
        Double,
        nullable=False,
        comment="Time for reading the history and fitting the surrogate in the last round, in seconds.",
    ),
    Column(
        "mean_loss",
        Double,
        comment="Mean loss of the iteration's complete trials. Null before the optimizer receives the losses, or "
        "if no trial is complete.",
    ),
    Column(
        "best_loss",
        Double,
        comment="Lowest loss of the iteration's complete trials. Null before the optimizer receives the losses, or "
        "if no trial is complete.",
    ),
    Column(
        "surrogate",
        JSONB(none_as_null=True),
        comment="Fitted surrogate that proposed the points: estimator, kernel, theta (logarithms of the "
        "kernel's parameters), number of observations and transform of the losses; null for random points.",
    ),
    Column(
        "environment",
        JSONB,
        nullable=False,
        comment="Package versions and BLAS kernel of the manager that proposed the points; empty if the iteration "
        "has no proposed points.",
    ),
    Column(
        "seen",
        ARRAY(Integer),
        comment="In steady mode, numbers of trials that have ended or paused. The manager noticed each end or pause "
        "after the previous proposal, in the order of this list. The proposals depend on this column. Null in batch "
        "mode.",
    ),
    Column(
        "seen_rungs",
        ARRAY(BigInteger),
        comment="In steady mode with the rule promotion, one element for each trial in the column seen: the rung at "
        "which the trial waited, or null if the trial had ended. Null with another rule, and in batch mode.",
    ),
    *iteration_totals.columns(),
    CheckConstraint("number >= 0 and round >= 0 and size >= 1 and first_trial >= 0", name="numbers_are_natural"),
    CheckConstraint("batch_size >= 1", name="batch_size_is_positive"),
    CheckConstraint(
        "seen_rungs is null or (seen is not null and cardinality(seen_rungs) = cardinality(seen))",
        name="rungs_of_the_seen",
    ),
    *iteration_totals.constraints(),
    # If an iteration has no proposed trials and no complete trials, the manager sets `told_at`, but `mean_loss` and
    # `best_loss` stay null.
    CheckConstraint(
        "(mean_loss is null) = (best_loss is null) and (mean_loss is null or told_at is not null)",
        name="losses_when_told",
    ),
    *iteration_totals.indexes(),
    comment="One row for each iteration of a study. The optimizer proposes the trials of an iteration together, "
    "and receives their losses together. In steady mode, an iteration is one proposal. Read the table "
    "through the view ledger.iterations.",
)

trial = Table(
    "trial",
    metadata,
    Column(
        "study_id", Integer, ForeignKey("ledger.study.id", ondelete="CASCADE"), primary_key=True, comment="The study."
    ),
    Column(
        "number",
        Integer,
        primary_key=True,
        comment="Number of the trial within the study, from 0, in the order of insertion.",
    ),
    Column("iteration", Integer, nullable=False, comment="Number of the iteration that the trial belongs to."),
    Column("round", Integer, nullable=False, comment="Number of the trial's round within the iteration, from 0."),
    Column(
        "source",
        Text,
        nullable=False,
        comment="Origin of the trial (proposed by the optimizer, enqueued by a user, retried, or imported with "
        "its loss).",
    ),
    Column(
        "retry_of",
        Integer,
        comment="Number of the earlier trial with the same parameters, if this trial is a retry; null otherwise.",
    ),
    Column(
        "params",
        JSONB,
        nullable=False,
        comment="Parameters of the trial, as an object with a number, text or boolean for each name in the "
        "study's space.",
    ),
    Column(
        "state",
        Text,
        nullable=False,
        server_default=text("'pending'"),
        comment="State of the trial. An open trial is pending, running or paused, and an ended trial is complete, "
        "pruned, failed or cancelled.",
    ),
    Column(
        "attempts",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="Number of times that workers have claimed the trial, including claims that workers released.",
    ),
    Column(
        "failures",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="Number of attempts that failed or exceeded the time limit, at most the study's max_failures.",
    ),
    Column(
        "crashes",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="Number of attempts that crashed, at most the study's max_crashes.",
    ),
    Column(
        "lost",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="Number of times that the trial was lost with its worker, at most the study's max_lost.",
    ),
    moment(
        "available_at",
        nullable=False,
        comment="Time from which workers can claim the trial. The time is set when the trial becomes pending.",
    ),
    Column(
        "claim",
        UUID(as_uuid=True),
        comment="Secret of the current or last worker of the trial; null before the first claim, and after a release, "
        "a failure or a pause.",
    ),
    Column("worker", Text, comment="Name of the current or last worker of the trial; null before the first claim."),
    moment("claimed_at", comment="Time of the last claim; null before the first claim."),
    moment(
        "lease_until",
        comment="Time when the lease ends if the worker sends no heartbeat; null if the trial is not running.",
    ),
    moment(
        "deadline_at",
        comment="Time when the current attempt times out; null if the trial has no time limit, or if the training has "
        "not started.",
    ),
    moment("finished_at", comment="Time when the trial ended; null until the trial has ended."),
    Column(
        "loss",
        Double,
        comment="Finite loss, which the optimizer minimises. If the study minimises, the loss is the value of the "
        "objective. If the study maximises, the loss is loss_of_zero minus the value. Null unless the trial is "
        "complete.",
    ),
    Column(
        "metrics",
        JSONB(none_as_null=True),
        comment="Metrics that the objective returned, as an object that may be empty; null unless the trial is "
        "complete.",
    ),
    Column(
        "error",
        Text,
        comment="Last error of the trial, or reason why the trial was cancelled. Null if the trial has had no error, "
        "or is complete.",
    ),
    *verdict_tables.trial_columns(),
    report_tables.trial_column(),
    ForeignKeyConstraint(
        ["study_id", "iteration"],
        ["ledger.iteration.study_id", "ledger.iteration.number"],
        ondelete="CASCADE",
        name="trial_iteration_fkey",
    ),
    CheckConstraint("number >= 0 and iteration >= 0 and round >= 0", name="numbers_are_natural"),
    CheckConstraint("attempts >= 0 and failures >= 0 and crashes >= 0 and lost >= 0", name="counts_are_natural"),
    CheckConstraint("source in ('proposed', 'enqueued', 'retried', 'imported')", name="source_is_known"),
    CheckConstraint("(source = 'retried') = (retry_of is not null)", name="retried_from_a_trial"),
    # The user trained an imported trial outside this ledger. Therefore an imported trial has no attempts and no claim.
    CheckConstraint(
        "source <> 'imported' or (state in ('complete', 'pruned') and attempts = 0 and claim is null)",
        name="imported_without_attempts",
    ),
    CheckConstraint("jsonb_typeof(params) = 'object'", name="params_is_an_object"),
    CheckConstraint(
        "state in ('pending', 'running', 'paused', 'complete', 'pruned', 'failed', 'cancelled')", name="state_is_known"
    ),
    CheckConstraint(
        "state <> 'running' or (claim is not null and worker is not null and claimed_at is not null"
        " and lease_until is not null)",
        name="running_under_a_claim",
    ),
    CheckConstraint("state = 'running' or lease_until is null", name="leased_only_while_running"),
    CheckConstraint(
        "(state in ('complete', 'pruned', 'failed', 'cancelled')) = (finished_at is not null)",
        name="finished_when_it_ended",
    ),
    CheckConstraint("(state = 'complete') = (loss is not null)", name="loss_when_complete"),
    CheckConstraint("(state = 'complete') = (metrics is not null)", name="metrics_when_complete"),
    CheckConstraint("loss > '-infinity' and loss < 'infinity'", name="loss_is_finite"),
    CheckConstraint("state <> 'failed' or error is not null", name="failed_with_an_error"),
    verdict_tables.trial_constraint(),
    # No index of the table `trial` contains a column that a heartbeat changes. Therefore PostgreSQL can record a
    # heartbeat as a heap-only update, which changes no index. Workers claim the pending trials in the order of the
    # index `trial_pending`.
    Index(
        "trial_pending",
        "study_id",
        text("(source <> 'enqueued')"),
        "iteration",
        "number",
        postgresql_where=text("state = 'pending'"),
    ),
    Index("trial_best", "study_id", "loss", "number", postgresql_where=text("state = 'complete'")),
    # The query for the list of workers counts the complete trials of each live worker. The query for the list of
    # failures reads the latest failures. The query for a list of failed or cancelled trials uses the index
    # `trial_no_success`.
    Index("trial_no_success", "study_id", "state", "number", postgresql_where=text("state in ('failed', 'cancelled')")),
    Index("trial_complete_of_worker", "study_id", "worker", postgresql_where=text("state = 'complete'")),
    Index("trial_failures", "study_id", "finished_at", postgresql_where=text("failures + crashes + lost > 0")),
    Index("trial_open", "study_id", "iteration", postgresql_where=text("state in ('pending', 'running', 'paused')")),
    Index(
        "trial_params_once",
        "study_id",
        text("md5(params::text)"),
        unique=True,
        postgresql_where=text("retry_of is null"),
    ),
    postgresql_with={
        "fillfactor": 70,
        "autovacuum_vacuum_scale_factor": 0.01,
        "autovacuum_vacuum_threshold": 200,
        "autovacuum_analyze_scale_factor": 0.02,
        "autovacuum_vacuum_cost_delay": 0,
    },
    comment="One row for each trial, which evaluates one point. A complete, pruned, failed or cancelled trial never "
    "changes. Read the table through the view ledger.trials.",
)

attempt = Table(
    "attempt",
    metadata,
    Column(
        "claim",
        UUID(as_uuid=True),
        primary_key=True,
        comment="Random secret of the worker that claimed the trial.",
    ),
    Column("study_id", Integer, nullable=False, comment="The study."),
    Column("trial", Integer, nullable=False, comment="The number of the trial."),
    Column("number", Integer, nullable=False, comment="Number of the attempt within the trial, from 1."),
    Column("worker", Text, nullable=False, comment="Name of the worker that claimed the trial."),
    moment("claimed_at", nullable=False, comment="Time of the claim."),
    moment("ended_at", comment="Time when the end of the attempt was recorded; null while the attempt is running."),
    Column(
        "outcome",
        Text,
        comment="Outcome of the attempt (complete, pruned, paused, failed, crashed, timeout, released, stale or lost). "
        "The result of a stale attempt came too late. A lost attempt had no heartbeat within its lease, or was "
        "cancelled. Null while the attempt is running.",
    ),
    Column("error", Text, comment="Error of the attempt, with a traceback if one exists; null without an error."),
    Column(
        "loss",
        Double,
        comment="Loss, which follows from the value that the objective returned; null without a value. The ledger "
        "ignores the loss of a stale attempt.",
    ),
    Column(
        "seconds",
        Double,
        comment="Training time in seconds, as measured by the worker; null if the worker reported no time.",
    ),
    Column(
        "output",
        Text,
        comment="Last 65,536 characters that the objective wrote to its standard output and standard error; null "
        "without such output.",
    ),
    ForeignKeyConstraint(
        ["study_id", "trial"],
        ["ledger.trial.study_id", "ledger.trial.number"],
        ondelete="CASCADE",
        name="attempt_trial_fkey",
    ),
    UniqueConstraint("study_id", "trial", "number", name="attempt_number_key"),
    CheckConstraint("number >= 1", name="number_counts_from_one"),
    CheckConstraint(
        "outcome in ('complete', 'pruned', 'paused', 'failed', 'crashed', 'lost', 'released', 'timeout', 'stale')",
        name="outcome_is_known",
    ),
    CheckConstraint("(outcome is null) = (ended_at is null)", name="outcome_when_it_ended"),
    CheckConstraint("outcome <> 'complete' or loss is not null", name="complete_with_a_loss"),
    CheckConstraint("seconds >= 0", name="seconds_are_not_negative"),
    # The function `ledger.forget_workers` uses the index `attempt_worker` to find workers without an attempt.
    Index("attempt_worker", "worker"),
    postgresql_with={"fillfactor": 90, "autovacuum_vacuum_scale_factor": 0.05},
    comment="One row for each attempt, which begins when a worker claims a trial. Read the table through the view "
    "ledger.attempts.",
)
