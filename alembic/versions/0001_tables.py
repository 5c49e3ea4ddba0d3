"""The tables of a ledger."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | Sequence[str] | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "dataset",
        sa.Column(
            "sha256",
            sa.Text(),
            nullable=False,
            comment="SHA-256 of the content, in hexadecimal, by which a study's objective names it.",
        ),
        sa.Column(
            "name",
            sa.Text(),
            nullable=False,
            comment="Name of the file that it was first read from, without its folder.",
        ),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="The file, byte for byte; at most 64 MB."),
        sa.Column(
            "bytes",
            sa.Integer(),
            sa.Computed("(octet_length(content))", persisted=True),
            nullable=False,
            comment="Size of the content.",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When it was stored, by the database's clock.",
        ),
        sa.CheckConstraint("sha256 = encode(sha256(content), 'hex')", name=op.f("dataset_sha256_is_of_the_content")),
        sa.CheckConstraint("octet_length(content) <= 67108864", name=op.f("dataset_content_is_not_too_large")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("dataset_pkey")),
        schema="ledger",
        comment="Files that studies train on, which never change. Read it through the view ledger.datasets.",
    )
    op.create_table(
        "study",
        sa.Column(
            "id",
            sa.Integer(),
            sa.Identity(always=True),
            nullable=False,
            comment="Number of the study, by which the other tables know it.",
        ),
        sa.Column(
            "name",
            sa.Text(),
            nullable=False,
            comment="Name, unique: 1 to 100 of A-Z, a-z, 0-9, point, underscore and hyphen.",
        ),
        sa.Column(
            "spec",
            postgresql.JSONB(),
            nullable=False,
            comment="All that defines the study: batch size, mode, seed, space, objective, optimizer, limits, and what was resolved from defaults.",
        ),
        sa.Column(
            "spec_hash",
            sa.Text(),
            nullable=False,
            comment="SHA-256, in hexadecimal, of what was asked for, without the budget and without what was resolved from it.",
        ),
        sa.Column(
            "budget", sa.Integer(), nullable=False, comment="The number of trials to propose, at least 1; it may grow."
        ),
        sa.Column(
            "state",
            sa.Text(),
            nullable=False,
            comment="running, paused, complete, failed or cancelled; the last three are ends.",
        ),
        sa.Column(
            "reason", sa.Text(), nullable=True, comment="Reason of the state, for people; null where there is none."
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When it was made, by the database's clock.",
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True, comment="When it ended; null until then."),
        sa.Column(
            "versions",
            postgresql.JSONB(),
            nullable=False,
            comment="Versions of Python, the packages and the BLAS kernel that it was made with.",
        ),
        sa.Column(
            "seed",
            sa.BigInteger(),
            sa.Computed("((spec ->> 'seed')::bigint)", persisted=True),
            nullable=False,
            comment="Seed of all random numbers, from 0 to 2147483647; part of spec.",
        ),
        sa.Column(
            "batch_size",
            sa.Integer(),
            sa.Computed("((spec ->> 'batch_size')::integer)", persisted=True),
            nullable=False,
            comment="Trials of an iteration, or in steady mode trials kept in flight, at least 1; part of spec.",
        ),
        sa.Column(
            "objective",
            postgresql.JSONB(),
            sa.Computed("(spec -> 'objective')", persisted=True),
            nullable=False,
            comment="What turns parameters into a loss: model and dataset, or function; part of spec.",
        ),
        sa.Column(
            "metric",
            sa.Text(),
            sa.Computed("(coalesce(spec -> 'objective' ->> 'metric', 'accuracy'))", persisted=True),
            nullable=False,
            comment="The metric that trials are scored by, which an own objective need not report; part of spec.",
        ),
        sa.Column(
            "max_failures",
            sa.Integer(),
            sa.Computed("((spec -> 'limits' ->> 'max_failures')::integer)", persisted=True),
            nullable=False,
            comment="Failed attempts, at least 1, after which a trial has failed; part of spec.",
        ),
        sa.Column(
            "max_lost",
            sa.Integer(),
            sa.Computed("((spec -> 'limits' ->> 'max_lost')::integer)", persisted=True),
            nullable=False,
            comment="Lost attempts, at least 1, after which a trial has failed; part of spec.",
        ),
        sa.Column(
            "lease",
            sa.Interval(),
            sa.Computed("(make_interval(secs => (spec -> 'limits' ->> 'lease')::double precision))", persisted=True),
            nullable=False,
            comment="How long a claim is valid without a heartbeat; part of spec.",
        ),
        sa.Column(
            "heartbeat",
            sa.Interval(),
            sa.Computed(
                "(make_interval(secs => (spec -> 'limits' ->> 'heartbeat')::double precision))", persisted=True
            ),
            nullable=False,
            comment="How often a worker renews its claim; shorter than the lease; part of spec.",
        ),
        sa.Column(
            "timeout",
            sa.Interval(),
            sa.Computed(
                "(make_interval(secs => (spec -> 'limits' ->> 'trial_timeout')::double precision))", persisted=True
            ),
            nullable=True,
            comment="Longest training of an attempt; null for no limit; part of spec.",
        ),
        sa.CheckConstraint(
            "(state in ('complete', 'failed', 'cancelled')) = (finished_at is not null)",
            name=op.f("study_finished_when_it_ended"),
        ),
        sa.CheckConstraint("name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'", name=op.f("study_name_is_plain")),
        sa.CheckConstraint(
            "state in ('running', 'paused', 'complete', 'failed', 'cancelled')", name=op.f("study_state_is_known")
        ),
        sa.CheckConstraint("budget >= 1", name=op.f("study_budget_is_positive")),
        sa.PrimaryKeyConstraint("id", name=op.f("study_pkey")),
        sa.UniqueConstraint("name", name=op.f("study_name_key")),
        schema="ledger",
        comment="One search: a space, an objective, an optimizer, a budget, a seed. Read it through the view ledger.studies.",
    )
    op.create_index(
        "study_running", "study", ["id"], unique=False, schema="ledger", postgresql_where=sa.text("state = 'running'")
    )
    op.create_table(
        "worker",
        sa.Column("name", sa.Text(), nullable=False, comment="Name, unique: host, process and four random digits."),
        sa.Column("host", sa.Text(), nullable=False, comment="Name of its machine."),
        sa.Column("pid", sa.Integer(), nullable=False, comment="Number of its process there."),
        sa.Column(
            "versions", postgresql.JSONB(), nullable=False, comment="Versions of the packages that it trains with."
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, comment="When it was first announced."),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False, comment="When it was last announced."),
        sa.Column(
            "stopped_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When it stopped; null while it runs, or where it died.",
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("worker_pkey")),
        schema="ledger",
        comment="The workers, also those that have stopped. Read it through the view ledger.workers.",
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(
        "worker_here",
        "worker",
        ["last_seen_at"],
        unique=False,
        schema="ledger",
        postgresql_where=sa.text("stopped_at is null"),
    )
    op.create_table(
        "iteration",
        sa.Column("study_id", sa.Integer(), nullable=False, comment="The study."),
        sa.Column("number", sa.Integer(), nullable=False, comment="Number within the study, from 0."),
        sa.Column(
            "round",
            sa.Integer(),
            nullable=False,
            comment="The last round, from 0: a round in which every trial failed is replaced by another.",
        ),
        sa.Column("size", sa.Integer(), nullable=False, comment="Trials of all its rounds, at least 1."),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False, comment="When its trials were inserted."),
        sa.Column(
            "told_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When its losses were told to the optimizer; null before.",
        ),
        sa.Column(
            "ask_seconds", sa.Double(), nullable=False, comment="Seconds taken to choose the points, of the last round."
        ),
        sa.Column(
            "tell_seconds",
            sa.Double(),
            nullable=False,
            comment="Seconds taken to read the history and to fit the surrogate, of the last round.",
        ),
        sa.Column(
            "mean_loss",
            sa.Double(),
            nullable=True,
            comment="Mean loss of its complete trials; null until it is told, and where none completed.",
        ),
        sa.Column(
            "best_loss",
            sa.Double(),
            nullable=True,
            comment="Lowest loss of its complete trials; null until it is told, and where none completed.",
        ),
        sa.Column(
            "surrogate",
            postgresql.JSONB(none_as_null=True),
            nullable=True,
            comment="The fitted model that proposed it: estimator, kernel, theta (logarithms of the kernel's parameters), points it was fitted to; null where its points were drawn at random.",
        ),
        sa.Column(
            "environment",
            postgresql.JSONB(),
            nullable=False,
            comment="Versions and BLAS kernel of the manager that proposed it; empty where nothing was proposed.",
        ),
        sa.Column(
            "seen",
            postgresql.ARRAY(sa.Integer()),
            nullable=True,
            comment="In steady mode, the trials whose end was seen since the previous iteration, in that order; its proposals follow from all trials seen so far. Null otherwise.",
        ),
        sa.CheckConstraint(
            "(mean_loss is null) = (best_loss is null) and (mean_loss is null or told_at is not null)",
            name=op.f("iteration_losses_when_told"),
        ),
        sa.CheckConstraint("number >= 0 and round >= 0 and size >= 1", name=op.f("iteration_numbers_are_natural")),
        sa.ForeignKeyConstraint(
            ["study_id"], ["ledger.study.id"], name=op.f("iteration_study_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("study_id", "number", name=op.f("iteration_pkey")),
        schema="ledger",
        comment="One round of a study: its trials are proposed together and, once all have ended, told to the optimizer. In steady mode, one proposal. Read it through the view ledger.iterations.",
    )
    op.create_table(
        "manager",
        sa.Column("study_id", sa.Integer(), nullable=False, comment="The study."),
        sa.Column(
            "claim",
            sa.UUID(),
            nullable=False,
            comment="The secret of the manager that holds the study; drawn at random by it.",
        ),
        sa.Column("name", sa.Text(), nullable=False, comment="Name of the manager: host, process and random digits."),
        sa.Column(
            "backend_pid",
            sa.Integer(),
            nullable=True,
            comment="Process id of its session; null where that is unknown, as behind a transaction pooler.",
        ),
        sa.Column(
            "backend_started_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When its session began; null where that is unknown.",
        ),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False, comment="When it took the study."),
        sa.Column("lease", sa.Interval(), nullable=False, comment="How long its claim is valid without a renewal."),
        sa.Column(
            "lease_until",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="End of its lease, unless it is renewed before.",
        ),
        sa.CheckConstraint("lease > '0'", name=op.f("manager_lease_is_positive")),
        sa.ForeignKeyConstraint(
            ["study_id"], ["ledger.study.id"], name=op.f("manager_study_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("study_id", name=op.f("manager_pkey")),
        schema="ledger",
        comment="The manager that holds a study, by a claim with a lease. Read it through the view ledger.managers.",
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "trial",
        sa.Column("study_id", sa.Integer(), nullable=False, comment="The study."),
        sa.Column(
            "number", sa.Integer(), nullable=False, comment="Number within the study, from 0, in the order of proposal."
        ),
        sa.Column("iteration", sa.Integer(), nullable=False, comment="The iteration that it belongs to."),
        sa.Column("round", sa.Integer(), nullable=False, comment="The round of that iteration, from 0."),
        sa.Column(
            "source",
            sa.Text(),
            nullable=False,
            comment="proposed by the optimizer, enqueued by a person, retried, or imported with its loss.",
        ),
        sa.Column(
            "retry_of",
            sa.Integer(),
            nullable=True,
            comment="The trial whose parameters are tried again; null unless retried.",
        ),
        sa.Column(
            "params",
            postgresql.JSONB(),
            nullable=False,
            comment="The point: an object of parameter to number, text or boolean, as the study's space says.",
        ),
        sa.Column(
            "state",
            sa.Text(),
            server_default=sa.text("'pending'"),
            nullable=False,
            comment="pending, running, complete, failed or cancelled; the last three are ends.",
        ),
        sa.Column(
            "attempts",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Number of its claims, from 0, released claims included.",
        ),
        sa.Column(
            "failures",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Attempts that the objective failed or that ran out of time, up to the study's max_failures.",
        ),
        sa.Column(
            "lost",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Attempts that were lost with their worker, up to the study's max_lost.",
        ),
        sa.Column(
            "available_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When it became claimable: its insertion, or its last release.",
        ),
        sa.Column(
            "claim",
            sa.UUID(),
            nullable=True,
            comment="The secret of the worker that holds it, or held it last; null where it was never claimed, or was released.",
        ),
        sa.Column(
            "worker",
            sa.Text(),
            nullable=True,
            comment="The worker that holds it, or held it last; null where it was never claimed.",
        ),
        sa.Column(
            "claimed_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When it was last claimed; null where it never was.",
        ),
        sa.Column(
            "lease_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="End of its lease, unless a heartbeat comes before; null unless running.",
        ),
        sa.Column(
            "deadline_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Deadline of its attempt; null without a time limit, and before the attempt begins.",
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True, comment="When it ended; null until then."),
        sa.Column(
            "loss",
            sa.Double(),
            nullable=True,
            comment="The loss, which is minimised, finite; for built-in models usually 1 - score. Null unless complete.",
        ),
        sa.Column(
            "metrics",
            postgresql.JSONB(none_as_null=True),
            nullable=True,
            comment="Metrics that the objective returned, an object that may be empty; null unless complete.",
        ),
        sa.Column(
            "error",
            sa.Text(),
            nullable=True,
            comment="The last error, or the reason of its cancellation; null without one, and for a complete trial.",
        ),
        sa.CheckConstraint("(source = 'retried') = (retry_of is not null)", name=op.f("trial_retried_from_a_trial")),
        sa.CheckConstraint("(state = 'complete') = (loss is not null)", name=op.f("trial_loss_when_complete")),
        sa.CheckConstraint("(state = 'complete') = (metrics is not null)", name=op.f("trial_metrics_when_complete")),
        sa.CheckConstraint(
            "(state in ('complete', 'failed', 'cancelled')) = (finished_at is not null)",
            name=op.f("trial_finished_when_it_ended"),
        ),
        sa.CheckConstraint("jsonb_typeof(params) = 'object'", name=op.f("trial_params_is_an_object")),
        sa.CheckConstraint("loss > '-infinity' and loss < 'infinity'", name=op.f("trial_loss_is_finite")),
        sa.CheckConstraint(
            "source <> 'imported' or (state = 'complete' and attempts = 0 and claim is null)",
            name=op.f("trial_imported_without_attempts"),
        ),
        sa.CheckConstraint(
            "source in ('proposed', 'enqueued', 'retried', 'imported')", name=op.f("trial_source_is_known")
        ),
        sa.CheckConstraint("state <> 'failed' or error is not null", name=op.f("trial_failed_with_an_error")),
        sa.CheckConstraint(
            "state <> 'running' or (claim is not null and worker is not null and claimed_at is not null and lease_until is not null)",
            name=op.f("trial_running_under_a_claim"),
        ),
        sa.CheckConstraint("state = 'running' or lease_until is null", name=op.f("trial_leased_only_while_running")),
        sa.CheckConstraint(
            "state in ('pending', 'running', 'complete', 'failed', 'cancelled')", name=op.f("trial_state_is_known")
        ),
        sa.CheckConstraint("attempts >= 0 and failures >= 0 and lost >= 0", name=op.f("trial_counts_are_natural")),
        sa.CheckConstraint("number >= 0 and iteration >= 0 and round >= 0", name=op.f("trial_numbers_are_natural")),
        sa.ForeignKeyConstraint(
            ["study_id", "iteration"],
            ["ledger.iteration.study_id", "ledger.iteration.number"],
            name="trial_iteration_fkey",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["study_id"], ["ledger.study.id"], name=op.f("trial_study_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("study_id", "number", name=op.f("trial_pkey")),
        schema="ledger",
        comment="One point to evaluate. A trial that is complete, failed or cancelled never changes. Read it through the view ledger.trials.",
        postgresql_with={
            "fillfactor": 70,
            "autovacuum_vacuum_scale_factor": 0.01,
            "autovacuum_vacuum_threshold": 200,
            "autovacuum_analyze_scale_factor": 0.02,
            "autovacuum_vacuum_cost_delay": 0,
        },
    )
    op.create_index(
        "trial_open",
        "trial",
        ["study_id", "iteration"],
        unique=False,
        schema="ledger",
        postgresql_where=sa.text("state in ('pending', 'running')"),
    )
    op.create_index(
        "trial_params_once",
        "trial",
        ["study_id", sa.literal_column("md5(params::text)")],
        unique=True,
        schema="ledger",
        postgresql_where=sa.text("retry_of is null"),
    )
    op.create_index(
        "trial_pending",
        "trial",
        ["study_id", sa.literal_column("(source <> 'enqueued')"), "iteration", "number"],
        unique=False,
        schema="ledger",
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_table(
        "attempt",
        sa.Column(
            "claim",
            sa.UUID(),
            nullable=False,
            comment="The secret of the worker that holds it; drawn at random by the worker.",
        ),
        sa.Column("study_id", sa.Integer(), nullable=False, comment="The study."),
        sa.Column("trial", sa.Integer(), nullable=False, comment="The number of the trial."),
        sa.Column("number", sa.Integer(), nullable=False, comment="Number within the trial, from 1."),
        sa.Column("worker", sa.Text(), nullable=False, comment="The worker that claimed it."),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False, comment="When it was claimed."),
        sa.Column(
            "ended_at", sa.DateTime(timezone=True), nullable=True, comment="When its end was recorded; null before."
        ),
        sa.Column(
            "outcome",
            sa.Text(),
            nullable=True,
            comment="complete, failed, lost (no heartbeat within the lease, or cancelled), released (given back), timeout, or stale (its result came too late). Null while it runs.",
        ),
        sa.Column(
            "error",
            sa.Text(),
            nullable=True,
            comment="The error, with its traceback if it has one; null without an error.",
        ),
        sa.Column(
            "loss",
            sa.Double(),
            nullable=True,
            comment="The loss that it measured, also of a stale attempt, whose loss does not count; null without one.",
        ),
        sa.Column(
            "seconds",
            sa.Double(),
            nullable=True,
            comment="Seconds of training, as the worker measured them; null where it did not report them.",
        ),
        sa.CheckConstraint("outcome <> 'complete' or loss is not null", name=op.f("attempt_complete_with_a_loss")),
        sa.CheckConstraint(
            "outcome in ('complete', 'failed', 'lost', 'released', 'timeout', 'stale')",
            name=op.f("attempt_outcome_is_known"),
        ),
        sa.CheckConstraint("(outcome is null) = (ended_at is null)", name=op.f("attempt_outcome_when_it_ended")),
        sa.CheckConstraint("number >= 1", name=op.f("attempt_number_counts_from_one")),
        sa.CheckConstraint("seconds >= 0", name=op.f("attempt_seconds_are_not_negative")),
        sa.ForeignKeyConstraint(
            ["study_id", "trial"],
            ["ledger.trial.study_id", "ledger.trial.number"],
            name="attempt_trial_fkey",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("claim", name=op.f("attempt_pkey")),
        sa.UniqueConstraint("study_id", "trial", "number", name="attempt_number_key"),
        schema="ledger",
        comment="One claim of a trial by a worker, from the claim to its end. Read it through the view ledger.attempts.",
        postgresql_with={"fillfactor": 90, "autovacuum_vacuum_scale_factor": 0.05},
    )


def downgrade() -> None:
    # An upgrade made functions and views that use the tables.
    op.execute("""
        do $$
        declare
          thing text;
        begin
          for thing in select format('%I.%I', schemaname, viewname) from pg_views where schemaname = 'ledger' loop
            execute 'drop view ' || thing || ' cascade';
          end loop;
          -- a function may answer a row of a table, so that functions go first, and triggers with them
          for thing in select oid::regprocedure::text from pg_proc where pronamespace = 'ledger'::regnamespace loop
            execute 'drop function if exists ' || thing || ' cascade';
          end loop;
        end $$
    """)
    for table in ("attempt", "trial", "iteration", "manager", "worker", "dataset", "study"):
        op.drop_table(table, schema="ledger")
