"""The tables of the schema `ledger` (SQLAlchemy metadata). Functions, triggers and views are in sql/."""

from sqlalchemy import (
    BigInteger,
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


def _moment(name: str, *, nullable: bool = True) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _of_spec(name: str, type_: type, expression: str, *, nullable: bool = False) -> Column[object]:
    """What the hot path needs of the spec as a column of its own, which cannot disagree with it."""
    return Column(name, type_, Computed(expression, persisted=True), nullable=nullable)


study = Table(
    "study",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("spec", JSONB, nullable=False),
    Column("spec_hash", Text, nullable=False),
    # the budget, which may grow
    Column("iterations", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    _moment("created_at", nullable=False),
    _moment("finished_at"),
    Column("versions", JSONB, nullable=False),
    _of_spec("seed", BigInteger, "((spec ->> 'seed')::bigint)"),
    _of_spec("points", Integer, "((spec ->> 'points')::integer)"),
    _of_spec("objective", JSONB, "(spec -> 'objective')"),
    _of_spec("max_failures", Integer, "((spec -> 'limits' ->> 'max_failures')::integer)"),
    _of_spec("max_lost", Integer, "((spec -> 'limits' ->> 'max_lost')::integer)"),
    _of_spec("lease", Interval, "(make_interval(secs => (spec -> 'limits' ->> 'lease')::double precision))"),
    _of_spec("heartbeat", Interval, "(make_interval(secs => (spec -> 'limits' ->> 'heartbeat')::double precision))"),
    _of_spec(
        "timeout",
        Interval,
        "(make_interval(secs => (spec -> 'limits' ->> 'trial_timeout')::double precision))",
        nullable=True,
    ),
    CheckConstraint("name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'", name="name_is_plain"),
    CheckConstraint("iterations >= 1", name="budget_is_positive"),
    CheckConstraint("state in ('running', 'paused', 'complete', 'failed', 'cancelled')", name="state_is_known"),
    CheckConstraint(
        "(state in ('complete', 'failed', 'cancelled')) = (finished_at is not null)", name="finished_when_it_ended"
    ),
    Index("study_running", "id", postgresql_where=text("state = 'running'")),
)

iteration = Table(
    "iteration",
    metadata,
    Column("study_id", Integer, ForeignKey("ledger.study.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    # the last round; a round is proposed anew where every trial of the one before failed
    Column("round", Integer, nullable=False),
    # trials of all rounds
    Column("size", Integer, nullable=False),
    _moment("asked_at", nullable=False),
    _moment("told_at"),
    Column("ask_seconds", Double, nullable=False),
    Column("tell_seconds", Double, nullable=False),
    Column("mean_loss", Double),
    Column("best_loss", Double),
    Column("surrogate", JSONB(none_as_null=True)),
    Column("environment", JSONB, nullable=False),
    # In steady mode: the trials whose end was seen since the iteration before, in that order. All that were seen so far
    # are the history that this one was proposed from.
    Column("seen", ARRAY(Integer)),
    CheckConstraint("number >= 0 and round >= 0 and size >= 1", name="numbers_are_natural"),
    # told without losses: retried trials, none of which completed
    CheckConstraint(
        "(mean_loss is null) = (best_loss is null) and (mean_loss is null or told_at is not null)",
        name="losses_when_told",
    ),
)

trial = Table(
    "trial",
    metadata,
    Column("study_id", Integer, ForeignKey("ledger.study.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("iteration", Integer, nullable=False),
    Column("round", Integer, nullable=False),
    Column("source", Text, nullable=False),
    Column("retry_of", Integer),
    Column("params", JSONB, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'pending'")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("lost", Integer, nullable=False, server_default=text("0")),
    _moment("available_at", nullable=False),
    Column("claim", UUID(as_uuid=True)),
    Column("worker", Text),
    _moment("claimed_at"),
    _moment("lease_until"),
    _moment("deadline_at"),
    _moment("finished_at"),
    Column("loss", Double),
    Column("metrics", JSONB),
    Column("error", Text),
    ForeignKeyConstraint(
        ["study_id", "iteration"],
        ["ledger.iteration.study_id", "ledger.iteration.number"],
        ondelete="CASCADE",
        name="trial_iteration_fkey",
    ),
    CheckConstraint("number >= 0 and iteration >= 0 and round >= 0", name="numbers_are_natural"),
    CheckConstraint("attempts >= 0 and failures >= 0 and lost >= 0", name="counts_are_natural"),
    CheckConstraint("source in ('proposed', 'enqueued', 'retried')", name="source_is_known"),
    CheckConstraint("(source = 'retried') = (retry_of is not null)", name="retried_from_a_trial"),
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
    Index("trial_pending", "study_id", "iteration", "number", postgresql_where=text("state = 'pending'")),
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
)

attempt = Table(
    "attempt",
    metadata,
    Column("claim", UUID(as_uuid=True), primary_key=True),
    Column("study_id", Integer, nullable=False),
    Column("trial", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("worker", Text, nullable=False),
    _moment("claimed_at", nullable=False),
    _moment("ended_at"),
    Column("outcome", Text),
    Column("error", Text),
    Column("loss", Double),
    Column("seconds", Double),
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
)

worker = Table(
    "worker",
    metadata,
    Column("name", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("versions", JSONB, nullable=False),
    _moment("started_at", nullable=False),
    _moment("last_seen_at", nullable=False),
    _moment("stopped_at"),
    # how many are here, which a claim of several asks
    Index("worker_here", "last_seen_at", postgresql_where=text("stopped_at is null")),
    postgresql_with={"fillfactor": 70},
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


def _view(name: str, of: Table, *more: Column[object]) -> TableClause:
    """A view of sql/views/ that shows a table to those who may not see a claim."""
    columns = [*of.columns, *more]
    return table(name, *(column(each.name, each.type) for each in columns if each.name != "claim"), schema=SCHEMA)


studies = _view("studies", study)
iterations = _view("iterations", iteration)
trials = _view("trials", trial, Column("seconds", Double))
attempts = _view("attempts", attempt)
