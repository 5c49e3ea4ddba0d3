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
        "study",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("spec", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("spec_hash", sa.Text(), nullable=False),
        sa.Column("iterations", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("versions", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("seed", sa.BigInteger(), sa.Computed("((spec ->> 'seed')::bigint)", persisted=True), nullable=False),
        sa.Column(
            "batch_size",
            sa.Integer(),
            sa.Computed("((spec ->> 'batch_size')::integer)", persisted=True),
            nullable=False,
        ),
        sa.Column(
            "objective",
            postgresql.JSONB(astext_type=sa.Text()),
            sa.Computed("(spec -> 'objective')", persisted=True),
            nullable=False,
        ),
        sa.Column(
            "max_failures",
            sa.Integer(),
            sa.Computed("((spec -> 'limits' ->> 'max_failures')::integer)", persisted=True),
            nullable=False,
        ),
        sa.Column(
            "max_lost",
            sa.Integer(),
            sa.Computed("((spec -> 'limits' ->> 'max_lost')::integer)", persisted=True),
            nullable=False,
        ),
        sa.Column(
            "lease",
            sa.Interval(),
            sa.Computed("(make_interval(secs => (spec -> 'limits' ->> 'lease')::double precision))", persisted=True),
            nullable=False,
        ),
        sa.Column(
            "heartbeat",
            sa.Interval(),
            sa.Computed(
                "(make_interval(secs => (spec -> 'limits' ->> 'heartbeat')::double precision))", persisted=True
            ),
            nullable=False,
        ),
        sa.Column(
            "timeout",
            sa.Interval(),
            sa.Computed(
                "(make_interval(secs => (spec -> 'limits' ->> 'trial_timeout')::double precision))", persisted=True
            ),
            nullable=True,
        ),
        sa.CheckConstraint(
            "(state in ('complete', 'failed', 'cancelled')) = (finished_at is not null)",
            name=op.f("study_finished_when_it_ended"),
        ),
        sa.CheckConstraint("name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'", name=op.f("study_name_is_plain")),
        sa.CheckConstraint(
            "state in ('running', 'paused', 'complete', 'failed', 'cancelled')", name=op.f("study_state_is_known")
        ),
        sa.CheckConstraint("iterations >= 1", name=op.f("study_budget_is_positive")),
        sa.PrimaryKeyConstraint("id", name=op.f("study_pkey")),
        sa.UniqueConstraint("name", name=op.f("study_name_key")),
        schema="ledger",
    )
    op.create_index(
        "study_running", "study", ["id"], unique=False, schema="ledger", postgresql_where=sa.text("state = 'running'")
    )
    op.create_table(
        "worker",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("versions", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("worker_pkey")),
        schema="ledger",
        postgresql_with={"fillfactor": 70},
    )
    op.create_table(
        "iteration",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ask_seconds", sa.Double(), nullable=False),
        sa.Column("tell_seconds", sa.Double(), nullable=False),
        sa.Column("mean_loss", sa.Double(), nullable=True),
        sa.Column("best_loss", sa.Double(), nullable=True),
        sa.Column("surrogate", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("environment", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint(
            "(told_at is null) = (mean_loss is null) and (told_at is null) = (best_loss is null)",
            name=op.f("iteration_told_with_its_losses"),
        ),
        sa.CheckConstraint("number >= 0 and round >= 0 and size >= 1", name=op.f("iteration_numbers_are_natural")),
        sa.ForeignKeyConstraint(
            ["study_id"], ["ledger.study.id"], name=op.f("iteration_study_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("study_id", "number", name=op.f("iteration_pkey")),
        schema="ledger",
    )
    op.create_table(
        "trial",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("iteration", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("retry_of", sa.Integer(), nullable=True),
        sa.Column("params", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lost", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("available_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claim", sa.UUID(), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("loss", sa.Double(), nullable=True),
        sa.Column("metrics", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("(source = 'retried') = (retry_of is not null)", name=op.f("trial_retried_from_a_trial")),
        sa.CheckConstraint("(state = 'complete') = (loss is not null)", name=op.f("trial_loss_when_complete")),
        sa.CheckConstraint("(state = 'complete') = (metrics is not null)", name=op.f("trial_metrics_when_complete")),
        sa.CheckConstraint(
            "(state in ('complete', 'failed', 'cancelled')) = (finished_at is not null)",
            name=op.f("trial_finished_when_it_ended"),
        ),
        sa.CheckConstraint("jsonb_typeof(params) = 'object'", name=op.f("trial_params_is_an_object")),
        sa.CheckConstraint("loss > '-infinity' and loss < 'infinity'", name=op.f("trial_loss_is_finite")),
        sa.CheckConstraint("source in ('proposed', 'enqueued', 'retried')", name=op.f("trial_source_is_known")),
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
        ["study_id", "number"],
        unique=False,
        schema="ledger",
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_table(
        "attempt",
        sa.Column("claim", sa.UUID(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("trial", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("loss", sa.Double(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
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
        postgresql_with={"fillfactor": 90, "autovacuum_vacuum_scale_factor": 0.05},
    )


def downgrade() -> None:
    # The functions and views came with the upgrade, and use the tables.
    op.execute("""
        do $$
        declare
          thing text;
        begin
          for thing in select format('%I.%I', schemaname, viewname) from pg_views where schemaname = 'ledger' loop
            execute 'drop view ' || thing;
          end loop;
        end $$
    """)
    for table in ("attempt", "trial", "iteration", "worker", "study"):
        op.drop_table(table, schema="ledger")
    op.execute("""
        do $$
        declare
          thing regprocedure;
        begin
          for thing in select oid from pg_proc where pronamespace = 'ledger'::regnamespace loop
            execute 'drop function ' || thing;
          end loop;
        end $$
    """)
