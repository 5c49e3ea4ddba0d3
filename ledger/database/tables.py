"""The tables of the schema `ledger` (SQLAlchemy metadata). Functions, triggers and views are in sql/."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Table,
    TableClause,
    Text,
    UniqueConstraint,
    column,
    table,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

SCHEMA = "ledger"

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s",
    },
)


def _moment(name: str, *, nullable: bool = True, comment: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable, comment=comment)


def _of_spec(name: str, type_: type, expression: str, *, nullable: bool = False, comment: str) -> Column[object]:
    """Return a column computed from the spec, for statements that run often; it always agrees with the spec."""
    return Column(name, type_, Computed(expression, persisted=True), nullable=nullable, comment=comment)


study = Table(
    "study",
    metadata,
    Column(
        "id",
        Integer,
        Identity(always=True),
        primary_key=True,
        comment="Number of the study, by which the other tables know it.",
    ),
    Column(
        "name",
        Text,
        nullable=False,
        unique=True,
        comment="Name, unique: 1 to 100 of A-Z, a-z, 0-9, point, underscore and hyphen.",
    ),
    Column(
        "spec",
        JSONB,
        nullable=False,
        comment="All that defines the study: batch size, mode, seed, space, objective, optimizer, limits, and what "
        "was resolved from defaults.",
    ),
    Column(
        "spec_hash",
        Text,
        nullable=False,
        comment="SHA-256, in hexadecimal, of what was asked for, without the budget and without what was resolved"
        " from it.",
    ),
    Column("budget", Integer, nullable=False, comment="The number of trials to propose, at least 1; it may grow."),
    Column(
        "state",
        Text,
        nullable=False,
        comment="running, paused, complete, failed or cancelled; the last three are ends.",
    ),
    Column("reason", Text, comment="Reason of the state, for people; null where there is none."),
    _moment("created_at", nullable=False, comment="When it was made, by the database's clock."),
    _moment("finished_at", comment="When it ended; null until then."),
    Column(
        "versions",
        JSONB,
        nullable=False,
        comment="Versions of Python, the packages and the BLAS kernel that it was made with.",
    ),
    _of_spec(
        "seed",
        BigInteger,
        "((spec ->> 'seed')::bigint)",
        comment="Seed of all random numbers, from 0 to 2147483647; part of spec.",
    ),
    _of_spec(
        "batch_size",
        Integer,
        "((spec ->> 'batch_size')::integer)",
        comment="Trials of an iteration, or in steady mode trials kept in flight, at least 1; part of spec.",
    ),
    _of_spec(
        "objective",
        JSONB,
        "(spec -> 'objective')",
        comment="What turns parameters into a loss: model and dataset, or function; part of spec.",
    ),
    _of_spec(
        "metric",
        Text,
        "(coalesce(spec -> 'objective' ->> 'metric', 'accuracy'))",
        comment="The metric that trials are scored by, which an own objective need not report; part of spec.",
    ),
    _of_spec(
        "max_failures",
        Integer,
        "((spec -> 'limits' ->> 'max_failures')::integer)",
        comment="Failed attempts, at least 1, after which a trial has failed; part of spec.",
    ),
    _of_spec(
        "max_lost",
        Integer,
        "((spec -> 'limits' ->> 'max_lost')::integer)",
        comment="Lost attempts, at least 1, after which a trial has failed; part of spec.",
    ),
    _of_spec(
        "lease",
        Interval,
        "(make_interval(secs => (spec -> 'limits' ->> 'lease')::double precision))",
        comment="How long a claim is valid without a heartbeat; part of spec.",
    ),
    _of_spec(
        "heartbeat",
        Interval,
        "(make_interval(secs => (spec -> 'limits' ->> 'heartbeat')::double precision))",
        comment="How often a worker renews its claim; shorter than the lease; part of spec.",
    ),
    _of_spec(
        "timeout",
        Interval,
        "(make_interval(secs => (spec -> 'limits' ->> 'trial_timeout')::double precision))",
        nullable=True,
        comment="Longest training of an attempt; null for no limit; part of spec.",
    ),
    CheckConstraint("name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'", name="name_is_plain"),
    CheckConstraint("budget >= 1", name="budget_is_positive"),
    CheckConstraint("state in ('running', 'paused', 'complete', 'failed', 'cancelled')", name="state_is_known"),
    CheckConstraint(
        "(state in ('complete', 'failed', 'cancelled')) = (finished_at is not null)", name="finished_when_it_ended"
    ),
    Index("study_running", "id", postgresql_where=text("state = 'running'")),
    comment="One search: a space, an objective, an optimizer, a budget, a seed. Read it through the view "
    "ledger.studies.",
)

manager = Table(
    "manager",
    metadata,
    Column(
        "study_id", Integer, ForeignKey("ledger.study.id", ondelete="CASCADE"), primary_key=True, comment="The study."
    ),
    Column(
        "claim",
        UUID(as_uuid=True),
        nullable=False,
        comment="The secret of the manager that holds the study; drawn at random by it.",
    ),
    Column("name", Text, nullable=False, comment="Name of the manager: host, process and random digits."),
    Column(
        "backend_pid",
        Integer,
        comment="Process id of its session; null where that is unknown, as behind a transaction pooler.",
    ),
    _moment("backend_started_at", comment="When its session began; null where that is unknown."),
    _moment("claimed_at", nullable=False, comment="When it took the study."),
    Column("lease", Interval, nullable=False, comment="How long its claim is valid without a renewal."),
    _moment("lease_until", nullable=False, comment="End of its lease, unless it is renewed before."),
    CheckConstraint("lease > '0'", name="lease_is_positive"),
    postgresql_with={"fillfactor": 50},
    comment="The manager that holds a study, by a claim with a lease. Read it through the view ledger.managers.",
)

iteration = Table(
    "iteration",
    metadata,
    Column(
        "study_id", Integer, ForeignKey("ledger.study.id", ondelete="CASCADE"), primary_key=True, comment="The study."
    ),
    Column("number", Integer, primary_key=True, comment="Number within the study, from 0."),
    Column(
        "round",
        Integer,
        nullable=False,
        comment="The last round, from 0: a round in which every trial failed is replaced by another.",
    ),
    Column("size", Integer, nullable=False, comment="Trials of all its rounds, at least 1."),
    _moment("asked_at", nullable=False, comment="When its trials were inserted."),
    _moment("told_at", comment="When its losses were told to the optimizer; null before."),
    Column(
        "ask_seconds",
        Double,
        nullable=False,
        comment="Seconds taken to choose the points, of the last round.",
    ),
    Column(
        "tell_seconds",
        Double,
        nullable=False,
        comment="Seconds taken to read the history and to fit the surrogate, of the last round.",
    ),
    Column(
        "mean_loss",
        Double,
        comment="Mean loss of its complete trials; null until it is told, and where none completed.",
    ),
    Column(
        "best_loss",
        Double,
        comment="Lowest loss of its complete trials; null until it is told, and where none completed.",
    ),
    Column(
        "surrogate",
        JSONB(none_as_null=True),
        comment="The fitted model that proposed it: estimator, kernel, theta (logarithms of the kernel's "
        "parameters), points it was fitted to; null where its points were drawn at random.",
    ),
    Column(
        "environment",
        JSONB,
        nullable=False,
        comment="Versions and BLAS kernel of the manager that proposed it; empty where nothing was proposed.",
    ),
    Column(
        "seen",
        ARRAY(Integer),
        comment="In steady mode, the trials whose end was seen since the previous iteration, in that order; its "
        "proposals follow from all trials seen so far. Null otherwise.",
    ),
    CheckConstraint("number >= 0 and round >= 0 and size >= 1", name="numbers_are_natural"),
    # an iteration without proposed trials may be told without losses
    CheckConstraint(
        "(mean_loss is null) = (best_loss is null) and (mean_loss is null or told_at is not null)",
        name="losses_when_told",
    ),
    comment="One round of a study: its trials are proposed together and, once all have ended, told to the "
    "optimizer. In steady mode, one proposal. Read it through the view ledger.iterations.",
)

trial = Table(
    "trial",
    metadata,
    Column(
        "study_id", Integer, ForeignKey("ledger.study.id", ondelete="CASCADE"), primary_key=True, comment="The study."
    ),
    Column("number", Integer, primary_key=True, comment="Number within the study, from 0, in the order of proposal."),
    Column("iteration", Integer, nullable=False, comment="The iteration that it belongs to."),
    Column("round", Integer, nullable=False, comment="The round of that iteration, from 0."),
    Column(
        "source",
        Text,
        nullable=False,
        comment="proposed by the optimizer, enqueued by a person, retried, or imported with its loss.",
    ),
    Column("retry_of", Integer, comment="The trial whose parameters are tried again; null unless retried."),
    Column(
        "params",
        JSONB,
        nullable=False,
        comment="The point: an object of parameter to number, text or boolean, as the study's space says.",
    ),
    Column(
        "state",
        Text,
        nullable=False,
        server_default=text("'pending'"),
        comment="pending, running, complete, failed or cancelled; the last three are ends.",
    ),
    Column(
        "attempts",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="Number of its claims, from 0, released claims included.",
    ),
    Column(
        "failures",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="Attempts that the objective failed or that ran out of time, up to the study's max_failures.",
    ),
    Column(
        "lost",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="Attempts that were lost with their worker, up to the study's max_lost.",
    ),
    _moment(
        "available_at",
        nullable=False,
        comment="When it became claimable: its insertion, or its last release.",
    ),
    Column(
        "claim",
        UUID(as_uuid=True),
        comment="The secret of the worker that holds it, or held it last; null where it was never claimed, or was "
        "released.",
    ),
    Column("worker", Text, comment="The worker that holds it, or held it last; null where it was never claimed."),
    _moment("claimed_at", comment="When it was last claimed; null where it never was."),
    _moment("lease_until", comment="End of its lease, unless a heartbeat comes before; null unless running."),
    _moment(
        "deadline_at",
        comment="Deadline of its attempt; null without a time limit, and before the attempt begins.",
    ),
    _moment("finished_at", comment="When it ended; null until then."),
    Column(
        "loss",
        Double,
        comment="The loss, which is minimised, finite; for built-in models usually 1 - score. Null unless complete.",
    ),
    Column(
        "metrics",
        JSONB(none_as_null=True),
        comment="Metrics that the objective returned, an object that may be empty; null unless complete.",
    ),
    Column(
        "error",
        Text,
        comment="The last error, or the reason of its cancellation; null without one, and for a complete trial.",
    ),
    ForeignKeyConstraint(
        ["study_id", "iteration"],
        ["ledger.iteration.study_id", "ledger.iteration.number"],
        ondelete="CASCADE",
        name="trial_iteration_fkey",
    ),
    CheckConstraint("number >= 0 and iteration >= 0 and round >= 0", name="numbers_are_natural"),
    CheckConstraint("attempts >= 0 and failures >= 0 and lost >= 0", name="counts_are_natural"),
    CheckConstraint("source in ('proposed', 'enqueued', 'retried', 'imported')", name="source_is_known"),
    CheckConstraint("(source = 'retried') = (retry_of is not null)", name="retried_from_a_trial"),
    # its loss was measured elsewhere
    CheckConstraint(
        "source <> 'imported' or (state = 'complete' and attempts = 0 and claim is null)",
        name="imported_without_attempts",
    ),
    CheckConstraint("jsonb_typeof(params) = 'object'", name="params_is_an_object"),
    CheckConstraint("state in ('pending', 'running', 'complete', 'failed', 'cancelled')", name="state_is_known"),
    CheckConstraint(
        "state <> 'running' or (claim is not null and worker is not null and claimed_at is not null"
        " and lease_until is not null)",
        name="running_under_a_claim",
    ),
    CheckConstraint("state = 'running' or lease_until is null", name="leased_only_while_running"),
    CheckConstraint(
        "(state in ('complete', 'failed', 'cancelled')) = (finished_at is not null)", name="finished_when_it_ended"
    ),
    CheckConstraint("(state = 'complete') = (loss is not null)", name="loss_when_complete"),
    CheckConstraint("(state = 'complete') = (metrics is not null)", name="metrics_when_complete"),
    CheckConstraint("loss > '-infinity' and loss < 'infinity'", name="loss_is_finite"),
    CheckConstraint("state <> 'failed' or error is not null", name="failed_with_an_error"),
    # lease_until and worker are in no index, so that heartbeats stay heap-only
    # in the order in which they are claimed
    Index(
        "trial_pending",
        "study_id",
        text("(source <> 'enqueued')"),
        "iteration",
        "number",
        postgresql_where=text("state = 'pending'"),
    ),
    Index("trial_open", "study_id", "iteration", postgresql_where=text("state in ('pending', 'running')")),
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
    comment="One point to evaluate. A trial that is complete, failed or cancelled never changes. Read it through the"
    " view ledger.trials.",
)

attempt = Table(
    "attempt",
    metadata,
    Column(
        "claim",
        UUID(as_uuid=True),
        primary_key=True,
        comment="The secret of the worker that holds it; drawn at random by the worker.",
    ),
    Column("study_id", Integer, nullable=False, comment="The study."),
    Column("trial", Integer, nullable=False, comment="The number of the trial."),
    Column("number", Integer, nullable=False, comment="Number within the trial, from 1."),
    Column("worker", Text, nullable=False, comment="The worker that claimed it."),
    _moment("claimed_at", nullable=False, comment="When it was claimed."),
    _moment("ended_at", comment="When its end was recorded; null before."),
    Column(
        "outcome",
        Text,
        comment="complete, failed, lost (no heartbeat within the lease, or cancelled), released (given back), "
        "timeout, or stale (its result came too late). Null while it runs.",
    ),
    Column("error", Text, comment="The error, with its traceback if it has one; null without an error."),
    Column(
        "loss",
        Double,
        comment="The loss that it measured, also of a stale attempt, whose loss does not count; null without one.",
    ),
    Column(
        "seconds",
        Double,
        comment="Seconds of training, as the worker measured them; null where it did not report them.",
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
        "outcome in ('complete', 'failed', 'lost', 'released', 'timeout', 'stale')", name="outcome_is_known"
    ),
    CheckConstraint("(outcome is null) = (ended_at is null)", name="outcome_when_it_ended"),
    CheckConstraint("outcome <> 'complete' or loss is not null", name="complete_with_a_loss"),
    CheckConstraint("seconds >= 0", name="seconds_are_not_negative"),
    postgresql_with={"fillfactor": 90, "autovacuum_vacuum_scale_factor": 0.05},
    comment="One claim of a trial by a worker, from the claim to its end. Read it through the view ledger.attempts.",
)

worker = Table(
    "worker",
    metadata,
    Column("name", Text, primary_key=True, comment="Name, unique: host, process and four random digits."),
    Column("host", Text, nullable=False, comment="Name of its machine."),
    Column("pid", Integer, nullable=False, comment="Number of its process there."),
    Column("versions", JSONB, nullable=False, comment="Versions of the packages that it trains with."),
    _moment("started_at", nullable=False, comment="When it was first announced."),
    _moment(
        "last_seen_at",
        nullable=False,
        comment="When it was last announced.",
    ),
    _moment("stopped_at", comment="When it stopped; null while it runs, or where it died."),
    # a claim of several trials counts the workers that are alive
    Index("worker_here", "last_seen_at", postgresql_where=text("stopped_at is null")),
    postgresql_with={"fillfactor": 70},
    comment="The workers, also those that have stopped. Read it through the view ledger.workers.",
)

dataset = Table(
    "dataset",
    metadata,
    Column(
        "sha256",
        Text,
        primary_key=True,
        comment="SHA-256 of the content, in hexadecimal, by which a study's objective names it.",
    ),
    Column(
        "name",
        Text,
        nullable=False,
        comment="Name of the file that it was first read from, without its folder.",
    ),
    Column("content", LargeBinary, nullable=False, comment="The file, byte for byte; at most 64 MB."),
    Column(
        "bytes",
        Integer,
        Computed("(octet_length(content))", persisted=True),
        nullable=False,
        comment="Size of the content.",
    ),
    Column(
        "created_at",
        DateTime(timezone=True),
        nullable=False,
        comment="When it was stored, by the database's clock.",
    ),
    CheckConstraint("sha256 = encode(sha256(content), 'hex')", name="sha256_is_of_the_content"),
    CheckConstraint("octet_length(content) <= 67108864", name="content_is_not_too_large"),
    comment="Files that studies train on, which never change. Read it through the view ledger.datasets.",
)


def _view(name: str, of: Table, *more: Column[Any]) -> TableClause:
    """Return a view of sql/views/ that shows a table without its claim."""
    columns = [*of.columns, *more]
    return table(name, *(column(each.name, each.type) for each in columns if each.name != "claim"), schema=SCHEMA)


studies = _view("studies", study)
iterations = _view("iterations", iteration)
trials = _view("trials", trial, Column("seconds", Double))
attempts = _view("attempts", attempt)
workers = _view("workers", worker, Column("alive", Boolean), Column("study", Text), Column("trial", Integer))
progress = table(
    "progress",
    *(column(name, Text) for name in ("study", "state", "reason", "metric")),
    *(column(name, Integer) for name in ("budget", "proposed", "ended", "iterations_told", "attempts")),
    *(column(name, Integer) for name in ("complete", "running", "pending", "failed", "cancelled")),
    *(column(name, Double) for name in ("best_loss", "best_score")),
    column("created_at", DateTime(timezone=True)),
    column("elapsed", Interval),
    schema=SCHEMA,
)
