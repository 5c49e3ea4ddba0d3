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
            comment="SHA-256 of the file's content, in hexadecimal. A study's objective refers to the file by this"
            " hash.",
        ),
        sa.Column(
            "name",
            sa.Text(),
            nullable=False,
            comment="Name of the file when it was first stored, without the folder.",
        ),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="Content of the file, at most 64 MB."),
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
            comment="Time when the file was stored, by the database's clock.",
        ),
        sa.CheckConstraint("sha256 = encode(sha256(content), 'hex')", name=op.f("dataset_sha256_is_of_the_content")),
        sa.CheckConstraint("octet_length(content) <= 67108864", name=op.f("dataset_content_is_not_too_large")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("dataset_pkey")),
        schema="ledger",
        comment="One row for each file that studies train on. A stored file never changes. Read the table through "
        "the view ledger.datasets.",
    )
    op.create_table(
        "study",
        sa.Column(
            "id",
            sa.Integer(),
            sa.Identity(always=True),
            nullable=False,
            comment="Number of the study. Other tables refer to the study by this number.",
        ),
        sa.Column(
            "name",
            sa.Text(),
            nullable=False,
            comment="Unique name of 1 to 100 characters (A-Z, a-z, 0-9, dot, underscore and hyphen).",
        ),
        sa.Column(
            "spec",
            postgresql.JSONB(),
            nullable=False,
            comment="Definition of the study, with batch size, mode, seed, space, objective, optimizer, limits "
            "and resolved defaults.",
        ),
        sa.Column(
            "spec_hash",
            sa.Text(),
            nullable=False,
            comment="SHA-256 of the settings that the user requested, in hexadecimal. The hash contains neither the budget nor "
            "defaults.",
        ),
        sa.Column(
            "budget",
            sa.Integer(),
            nullable=False,
            comment="Number of trials that the optimizer may propose, at least 1. A user can raise the budget.",
        ),
        sa.Column(
            "state",
            sa.Text(),
            nullable=False,
            comment="State of the study. An open study is running or paused, and an ended study is complete, failed or "
            "cancelled.",
        ),
        sa.Column(
            "reason",
            sa.Text(),
            nullable=True,
            comment="Reason for the state, as a text for users; null if no reason is recorded.",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Time when the study was created, by the database's clock.",
        ),
        sa.Column(
            "finished_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Time when the study ended; null until the study has ended.",
        ),
        sa.Column(
            "versions",
            postgresql.JSONB(),
            nullable=False,
            comment="Versions of Python, the packages and the BLAS kernel when the study was created.",
        ),
        sa.Column(
            "target",
            sa.Double(),
            nullable=True,
            comment="Value at which the study ends. A study that minimises ends at this value or a lower value. A "
            "study that maximises ends at this value or a higher value. Null without a target.",
        ),
        sa.Column(
            "patience",
            sa.Integer(),
            nullable=True,
            comment="The study ends after this number of trials without a better value. At least 1; null without a "
            "limit.",
        ),
        sa.Column(
            "timeout_seconds",
            sa.Double(),
            nullable=True,
            comment="Timeout: total seconds for which managers may hold the study; null if the study has no timeout.",
        ),
        sa.Column(
            "managed_seconds",
            sa.Double(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Seconds for which earlier managers have held the study. The seconds of the current manager are not "
            "included.",
        ),
        sa.Column(
            "stopped_by",
            sa.Text(),
            nullable=True,
            comment="Criterion that ended the study before its budget was used (target, patience or timeout); null "
            "otherwise.",
        ),
        sa.Column(
            "stopping_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Time when the study met a stopping criterion; null if the study met no criterion.",
        ),
        sa.Column(
            "seed",
            sa.BigInteger(),
            sa.Computed("((spec ->> 'seed')::bigint)", persisted=True),
            nullable=False,
            comment="Seed of all random numbers of the study, from 0 to 2147483647; taken from the JSON in spec.",
        ),
        sa.Column(
            "changed_batch_size",
            sa.Integer(),
            nullable=True,
            comment="Batch size that a user has set after the creation of the study, at least 1; null if the study "
            "uses the batch size of spec.",
        ),
        sa.Column(
            "batch_size",
            sa.Integer(),
            sa.Computed("(coalesce(changed_batch_size, (spec ->> 'batch_size')::integer))", persisted=True),
            nullable=False,
            comment="Number of trials in an iteration, at least 1. In steady mode, number of trials in flight. The "
            "value is changed_batch_size, or the batch size of spec if changed_batch_size is null.",
        ),
        sa.Column(
            "objective",
            postgresql.JSONB(),
            sa.Computed("(spec -> 'objective')", persisted=True),
            nullable=False,
            comment="Objective that computes a value from parameters (a model and a dataset, or a function); taken "
            "from the JSON in spec.",
        ),
        sa.Column(
            "tuples",
            postgresql.JSONB(),
            sa.Computed("(jsonb_path_query_array(spec, '$.space[*] ? (exists (@.tuples))'))", persisted=True),
            nullable=False,
            comment="Dimensions of the space whose choices contain Python tuples. The column params stores these "
            "tuples as arrays. Part of the column spec.",
        ),
        sa.Column(
            "direction",
            sa.Text(),
            sa.Computed(
                "(case when spec -> 'objective' ?| array['model', 'estimator', 'steps'] then 'maximize'"
                " else coalesce(spec -> 'objective' ->> 'direction', 'minimize') end)",
                persisted=True,
            ),
            nullable=False,
            comment="Whether the study searches for the lowest value (minimize) or for the highest value (maximize). "
            "The score of a model or an estimator is maximised; taken from the JSON in spec.",
        ),
        sa.Column(
            "loss_of_zero",
            sa.Double(),
            sa.Computed(
                "(case when spec -> 'objective' ?| array['model', 'estimator', 'steps'] and "
                "left(coalesce(spec -> 'objective' ->> 'metric', 'accuracy'), 4) <> 'neg_' then 1 else 0 end)",
                persisted=True,
            ),
            nullable=False,
            comment="Loss for the value 0. If the direction is maximize, the loss for a value is loss_of_zero - "
            "value. If the direction is minimize, the loss is the value itself; taken from the JSON in spec.",
        ),
        sa.Column(
            "metric",
            sa.Text(),
            sa.Computed("(coalesce(spec -> 'objective' ->> 'metric', 'accuracy'))", persisted=True),
            nullable=False,
            comment="Name of the metric that is the score of a trial; taken from the JSON in spec. A user's own "
            "objective may omit this metric.",
        ),
        sa.Column(
            "max_failures",
            sa.Integer(),
            sa.Computed("((spec -> 'limits' ->> 'max_failures')::integer)", persisted=True),
            nullable=False,
            comment="Number of failed attempts after which a trial fails, at least 1; taken from the JSON in spec.",
        ),
        sa.Column(
            "max_crashes",
            sa.Integer(),
            sa.Computed("((spec -> 'limits' ->> 'max_crashes')::integer)", persisted=True),
            nullable=False,
            comment="Number of crashed attempts after which a trial fails, at least 1; taken from the JSON in spec.",
        ),
        sa.Column(
            "max_lost",
            sa.Integer(),
            sa.Computed("((spec -> 'limits' ->> 'max_lost')::integer)", persisted=True),
            nullable=False,
            comment="Number of lost attempts after which a trial fails, at least 1; taken from the JSON in spec.",
        ),
        sa.Column(
            "lease",
            sa.Interval(),
            sa.Computed("(make_interval(secs => (spec -> 'limits' ->> 'lease')::double precision))", persisted=True),
            nullable=False,
            comment="Time for which a claim is valid without a heartbeat; taken from the JSON in spec.",
        ),
        sa.Column(
            "heartbeat",
            sa.Interval(),
            sa.Computed(
                "(make_interval(secs => (spec -> 'limits' ->> 'heartbeat')::double precision))", persisted=True
            ),
            nullable=False,
            comment="Interval at which a worker renews its claim, shorter than the lease; taken from the JSON in spec.",
        ),
        sa.Column(
            "trial_timeout",
            sa.Interval(),
            sa.Computed(
                "(make_interval(secs => (spec -> 'limits' ->> 'trial_timeout')::double precision))", persisted=True
            ),
            nullable=True,
            comment="Maximum training time of an attempt, or null for no limit; taken from the JSON in spec.",
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
        sa.CheckConstraint("changed_batch_size >= 1", name=op.f("study_batch_size_is_positive")),
        sa.CheckConstraint("target > '-infinity' and target < 'infinity'", name=op.f("study_target_is_finite")),
        sa.CheckConstraint("patience >= 1", name=op.f("study_patience_is_positive")),
        sa.CheckConstraint("timeout_seconds > 0", name=op.f("study_timeout_is_positive")),
        sa.CheckConstraint("managed_seconds >= 0", name=op.f("study_managed_seconds_are_not_negative")),
        sa.CheckConstraint("stopped_by in ('target', 'patience', 'timeout')", name=op.f("study_criterion_is_known")),
        sa.CheckConstraint(
            "(stopped_by is null) = (stopping_at is null)", name=op.f("study_stopping_since_a_criterion")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("study_pkey")),
        sa.UniqueConstraint("name", name=op.f("study_name_key")),
        schema="ledger",
        comment="One row for each study, which is one search with a space, an objective, an optimizer, a budget "
        "and a seed. Read the table through the view ledger.studies.",
    )
    op.create_index(
        "study_running", "study", ["id"], unique=False, schema="ledger", postgresql_where=sa.text("state = 'running'")
    )
    op.create_table(
        "worker",
        sa.Column(
            "name", sa.Text(), nullable=False, comment="Unique name, made of host, process id and four random digits."
        ),
        sa.Column("host", sa.Text(), nullable=False, comment="Name of the worker's machine."),
        sa.Column("pid", sa.Integer(), nullable=False, comment="Process id of the worker on its machine."),
        sa.Column(
            "versions",
            postgresql.JSONB(),
            nullable=False,
            comment="Versions of the packages that the worker trains with.",
        ),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), nullable=False, comment="Time of the worker's first announcement."
        ),
        sa.Column(
            "last_seen_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Time of the worker's last announcement.",
        ),
        sa.Column(
            "stopped_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Time when the worker stopped; null if the worker is running or died.",
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("worker_pkey")),
        schema="ledger",
        comment="One row for each worker, including workers that have stopped. Read the table through the view "
        "ledger.workers.",
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
        "refusal",
        sa.Column(
            "worker",
            sa.Text(),
            nullable=False,
            comment="Name of the worker that cannot load the study's objective.",
        ),
        sa.Column("study_id", sa.Integer(), nullable=False, comment="The study."),
        sa.Column("reason", sa.Text(), nullable=False, comment="Reason of the refusal, at most 1000 characters."),
        sa.Column(
            "refused_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Time of the worker's last refusal of the study.",
        ),
        sa.ForeignKeyConstraint(
            ["study_id"], ["ledger.study.id"], name=op.f("refusal_study_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["worker"], ["ledger.worker.name"], name=op.f("refusal_worker_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("worker", "study_id", name=op.f("refusal_pkey")),
        schema="ledger",
        comment="One row for each study that a worker refuses. The row is deleted when the worker can load the "
        "objective, or when the worker stops. Read the table through the view ledger.refusals.",
    )
    op.create_table(
        "iteration",
        sa.Column("study_id", sa.Integer(), nullable=False, comment="The study."),
        sa.Column("number", sa.Integer(), nullable=False, comment="Number of the iteration within the study, from 0."),
        sa.Column(
            "round",
            sa.Integer(),
            nullable=False,
            comment="Number of the iteration's last round, from 0. If every trial of a round fails, the next "
            "round replaces that round.",
        ),
        sa.Column(
            "size", sa.Integer(), nullable=False, comment="Number of trials in all rounds of the iteration, at least 1."
        ),
        sa.Column(
            "batch_size",
            sa.Integer(),
            nullable=True,
            comment="Batch size of the study when the iteration was proposed, at least 1; null if the iteration has "
            "no proposed points.",
        ),
        sa.Column(
            "asked_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Time when the first trials of the iteration were inserted.",
        ),
        sa.Column(
            "told_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Time when the optimizer received the iteration's losses; null until then.",
        ),
        sa.Column(
            "ask_seconds",
            sa.Double(),
            nullable=False,
            comment="Time for choosing the points of the last round, in seconds.",
        ),
        sa.Column(
            "tell_seconds",
            sa.Double(),
            nullable=False,
            comment="Time for reading the history and fitting the surrogate in the last round, in seconds.",
        ),
        sa.Column(
            "mean_loss",
            sa.Double(),
            nullable=True,
            comment="Mean loss of the iteration's complete trials. Null before the optimizer receives the losses, "
            "or if no trial is complete.",
        ),
        sa.Column(
            "best_loss",
            sa.Double(),
            nullable=True,
            comment="Lowest loss of the iteration's complete trials. Null before the optimizer receives the losses, "
            "or if no trial is complete.",
        ),
        sa.Column(
            "surrogate",
            postgresql.JSONB(none_as_null=True),
            nullable=True,
            comment="Fitted surrogate that proposed the points: estimator, kernel, theta (logarithms of the "
            "kernel's parameters), number of observations and transform of the losses; null for random points.",
        ),
        sa.Column(
            "environment",
            postgresql.JSONB(),
            nullable=False,
            comment="Package versions and BLAS kernel of the manager that proposed the points; empty if the "
            "iteration has no proposed points.",
        ),
        sa.Column(
            "seen",
            postgresql.ARRAY(sa.Integer()),
            nullable=True,
            comment="In steady mode, numbers of the ended trials that the manager has found since the previous "
            "proposal, in the order in which the trials ended. The proposals depend on this list and the lists of "
            "earlier iterations. Null in batch mode.",
        ),
        sa.Column(
            "first_trial",
            sa.Integer(),
            nullable=False,
            comment="Number of the iteration's first trial. The trials of an iteration have consecutive numbers.",
        ),
        sa.Column(
            "told",
            sa.Integer(),
            nullable=True,
            comment="Position of the iteration in the order in which the optimizer received the losses, from 1; null "
            "until the optimizer receives the losses.",
        ),
        sa.Column(
            "total_proposed",
            sa.Integer(),
            nullable=True,
            comment="Number of proposed trials, without the trials of replaced rounds, in this iteration and in the "
            "iterations that were marked as told earlier; null while this iteration is not marked as told.",
        ),
        sa.Column(
            "total_complete",
            sa.Integer(),
            nullable=True,
            comment="Number of complete trials in this iteration and in the iterations that were marked as told "
            "earlier; null while this iteration is not marked as told.",
        ),
        sa.Column(
            "total_failed",
            sa.Integer(),
            nullable=True,
            comment="Number of failed trials in this iteration and in the iterations that were marked as told "
            "earlier; null while this iteration is not marked as told.",
        ),
        sa.Column(
            "total_cancelled",
            sa.Integer(),
            nullable=True,
            comment="Number of cancelled trials in this iteration and in the iterations that were marked as told "
            "earlier; null while this iteration is not marked as told.",
        ),
        sa.Column(
            "total_attempts",
            sa.BigInteger(),
            nullable=True,
            comment="Number of claims of trials in this iteration and in the iterations that were marked as told "
            "earlier; null while this iteration is not marked as told.",
        ),
        sa.Column(
            "total_failures",
            sa.BigInteger(),
            nullable=True,
            comment="Number of failed attempts in this iteration and in the iterations that were marked as told "
            "earlier; null while this iteration is not marked as told.",
        ),
        sa.Column(
            "total_crashes",
            sa.BigInteger(),
            nullable=True,
            comment="Number of crashed attempts in this iteration and in the iterations that were marked as told "
            "earlier; null while this iteration is not marked as told.",
        ),
        sa.Column(
            "total_lost",
            sa.BigInteger(),
            nullable=True,
            comment="Number of lost attempts in this iteration and in the iterations that were marked as told "
            "earlier; null while this iteration is not marked as told.",
        ),
        sa.Column(
            "last_complete",
            sa.Integer(),
            nullable=True,
            comment="Highest number of a complete trial in this iteration and in the iterations that were marked as "
            "told earlier; null while this iteration is not marked as told, or if no trial is complete.",
        ),
        sa.Column(
            "improvements",
            postgresql.ARRAY(sa.Integer()),
            nullable=True,
            comment="Numbers of the iteration's improving trials; null while this iteration is not marked as told, or "
            "if no trial improved. When the iteration was marked as told, an improving trial was better than all "
            "trials with a lower number.",
        ),
        sa.CheckConstraint(
            "(mean_loss is null) = (best_loss is null) and (mean_loss is null or told_at is not null)",
            name=op.f("iteration_losses_when_told"),
        ),
        sa.CheckConstraint(
            "number >= 0 and round >= 0 and size >= 1 and first_trial >= 0", name=op.f("iteration_numbers_are_natural")
        ),
        sa.CheckConstraint("batch_size >= 1", name=op.f("iteration_batch_size_is_positive")),
        sa.CheckConstraint(
            "told >= 1 and least(total_proposed, total_complete, total_failed, total_cancelled) >= 0"
            " and least(total_attempts, total_failures, total_crashes, total_lost) >= 0",
            name=op.f("iteration_totals_are_natural"),
        ),
        sa.CheckConstraint(
            "num_nulls(told_at, told, total_proposed, total_complete, total_failed, total_cancelled, total_attempts,"
            " total_failures, total_crashes, total_lost) in (0, 10)"
            " and (told is not null or num_nonnulls(last_complete, improvements) = 0)",
            name=op.f("iteration_totals_when_told"),
        ),
        sa.ForeignKeyConstraint(
            ["study_id"], ["ledger.study.id"], name=op.f("iteration_study_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("study_id", "number", name=op.f("iteration_pkey")),
        schema="ledger",
        comment="One row for each iteration of a study. The optimizer proposes the trials of an iteration "
        "together, and receives their losses together. In steady mode, an iteration is one proposal. Read "
        "the table through the view ledger.iterations.",
    )
    op.create_index(
        "iteration_told",
        "iteration",
        ["study_id", "told"],
        unique=True,
        schema="ledger",
        postgresql_where=sa.text("told is not null"),
    )
    op.create_index(
        "iteration_untold",
        "iteration",
        ["study_id", "number"],
        unique=False,
        schema="ledger",
        postgresql_where=sa.text("told is null"),
    )
    op.create_index(
        "iteration_improvements",
        "iteration",
        ["study_id", "number"],
        unique=False,
        schema="ledger",
        postgresql_where=sa.text("improvements is not null"),
    )
    op.create_table(
        "manager",
        sa.Column("study_id", sa.Integer(), nullable=False, comment="The study."),
        sa.Column(
            "claim",
            sa.UUID(),
            nullable=False,
            comment="Random secret of the manager that holds the study.",
        ),
        sa.Column(
            "name",
            sa.Text(),
            nullable=False,
            comment="Name of the manager, made of host, process id and random digits.",
        ),
        sa.Column(
            "backend_pid",
            sa.Integer(),
            nullable=True,
            comment="Process id of the manager's database session; null if unknown, for example behind a transaction"
            " pooler.",
        ),
        sa.Column(
            "backend_started_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Start time of the manager's database session; null if unknown.",
        ),
        sa.Column(
            "claimed_at", sa.DateTime(timezone=True), nullable=False, comment="Time when the manager took the study."
        ),
        sa.Column(
            "lease",
            sa.Interval(),
            nullable=False,
            comment="Time for which the manager's claim is valid without a renewal.",
        ),
        sa.Column(
            "lease_until",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Time when the manager's lease ends unless the manager renews it.",
        ),
        sa.CheckConstraint("lease > '0'", name=op.f("manager_lease_is_positive")),
        sa.ForeignKeyConstraint(
            ["study_id"], ["ledger.study.id"], name=op.f("manager_study_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("study_id", name=op.f("manager_pkey")),
        schema="ledger",
        comment="One row for each study that a manager holds. The row contains the manager's claim and lease. Read "
        "the table through the view ledger.managers.",
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "trial",
        sa.Column("study_id", sa.Integer(), nullable=False, comment="The study."),
        sa.Column(
            "number",
            sa.Integer(),
            nullable=False,
            comment="Number of the trial within the study, from 0, in the order of insertion.",
        ),
        sa.Column(
            "iteration", sa.Integer(), nullable=False, comment="Number of the iteration that the trial belongs to."
        ),
        sa.Column(
            "round", sa.Integer(), nullable=False, comment="Number of the trial's round within the iteration, from 0."
        ),
        sa.Column(
            "source",
            sa.Text(),
            nullable=False,
            comment="Origin of the trial (proposed by the optimizer, enqueued by a user, retried, or imported "
            "with its loss).",
        ),
        sa.Column(
            "retry_of",
            sa.Integer(),
            nullable=True,
            comment="Number of the earlier trial with the same parameters, if this trial is a retry; null otherwise.",
        ),
        sa.Column(
            "params",
            postgresql.JSONB(),
            nullable=False,
            comment="Parameters of the trial, as an object with a number, text or boolean for each name in the "
            "study's space.",
        ),
        sa.Column(
            "state",
            sa.Text(),
            server_default=sa.text("'pending'"),
            nullable=False,
            comment="State of the trial. An open trial is pending or running, and an ended trial is complete, failed "
            "or cancelled.",
        ),
        sa.Column(
            "attempts",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Number of times that workers have claimed the trial, including claims that workers released.",
        ),
        sa.Column(
            "failures",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Number of attempts that failed or exceeded the time limit, at most the study's max_failures.",
        ),
        sa.Column(
            "crashes",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Number of attempts that crashed, at most the study's max_crashes.",
        ),
        sa.Column(
            "lost",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Number of times that the trial was lost with its worker, at most the study's max_lost.",
        ),
        sa.Column(
            "available_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Time from which workers can claim the trial. The time is set when the trial becomes pending.",
        ),
        sa.Column(
            "claim",
            sa.UUID(),
            nullable=True,
            comment="Secret of the current or last worker of the trial; null before the first claim, and after a "
            "release or a failure.",
        ),
        sa.Column(
            "worker",
            sa.Text(),
            nullable=True,
            comment="Name of the current or last worker of the trial; null before the first claim.",
        ),
        sa.Column(
            "claimed_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Time of the last claim; null before the first claim.",
        ),
        sa.Column(
            "lease_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Time when the lease ends if the worker sends no heartbeat; null if the trial is not running.",
        ),
        sa.Column(
            "deadline_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Time when the current attempt times out; null if the trial has no time limit, or if the "
            "training has not started.",
        ),
        sa.Column(
            "finished_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Time when the trial ended; null until the trial has ended.",
        ),
        sa.Column(
            "loss",
            sa.Double(),
            nullable=True,
            comment="Finite loss, which the optimizer minimises. If the study minimises, the loss is the value of the "
            "objective. If the study maximises, the loss is loss_of_zero minus the value. Null unless the trial is "
            "complete.",
        ),
        sa.Column(
            "metrics",
            postgresql.JSONB(none_as_null=True),
            nullable=True,
            comment="Metrics that the objective returned, as an object that may be empty; null unless the trial "
            "is complete.",
        ),
        sa.Column(
            "error",
            sa.Text(),
            nullable=True,
            comment="Last error of the trial, or reason why the trial was cancelled. Null if the trial has had no "
            "error, or is complete.",
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
        sa.CheckConstraint(
            "attempts >= 0 and failures >= 0 and crashes >= 0 and lost >= 0", name=op.f("trial_counts_are_natural")
        ),
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
        comment="One row for each trial, which evaluates one point. A complete, failed or cancelled trial never "
        "changes. Read the table through the view ledger.trials.",
        postgresql_with={
            "fillfactor": 70,
            "autovacuum_vacuum_scale_factor": 0.01,
            "autovacuum_vacuum_threshold": 200,
            "autovacuum_analyze_scale_factor": 0.02,
            "autovacuum_vacuum_cost_delay": 0,
        },
    )
    op.create_index(
        "trial_best",
        "trial",
        ["study_id", "loss", "number"],
        unique=False,
        schema="ledger",
        postgresql_where=sa.text("state = 'complete'"),
    )
    op.create_index(
        "trial_complete_of_worker",
        "trial",
        ["study_id", "worker"],
        unique=False,
        schema="ledger",
        postgresql_where=sa.text("state = 'complete'"),
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
        "trial_failures",
        "trial",
        ["study_id", "finished_at"],
        unique=False,
        schema="ledger",
        postgresql_where=sa.text("failures + crashes + lost > 0"),
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
            comment="Random secret of the worker that claimed the trial.",
        ),
        sa.Column("study_id", sa.Integer(), nullable=False, comment="The study."),
        sa.Column("trial", sa.Integer(), nullable=False, comment="The number of the trial."),
        sa.Column("number", sa.Integer(), nullable=False, comment="Number of the attempt within the trial, from 1."),
        sa.Column("worker", sa.Text(), nullable=False, comment="Name of the worker that claimed the trial."),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False, comment="Time of the claim."),
        sa.Column(
            "ended_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Time when the end of the attempt was recorded; null while the attempt is running.",
        ),
        sa.Column(
            "outcome",
            sa.Text(),
            nullable=True,
            comment="Outcome of the attempt (complete, failed, timeout, released, stale or lost). The result of a "
            "stale attempt came too late. A lost attempt had no heartbeat within its lease, or was cancelled. Null "
            "while the attempt is running.",
        ),
        sa.Column(
            "error",
            sa.Text(),
            nullable=True,
            comment="Error of the attempt, with a traceback if one exists; null without an error.",
        ),
        sa.Column(
            "loss",
            sa.Double(),
            nullable=True,
            comment="Loss, which follows from the value that the objective returned; null without a value. The "
            "ledger ignores the loss of a stale attempt.",
        ),
        sa.Column(
            "seconds",
            sa.Double(),
            nullable=True,
            comment="Training time in seconds, as measured by the worker; null if the worker reported no time.",
        ),
        sa.Column(
            "output",
            sa.Text(),
            nullable=True,
            comment="Last 65,536 characters that the objective wrote to its standard output and standard error; null "
            "without such output.",
        ),
        sa.CheckConstraint("outcome <> 'complete' or loss is not null", name=op.f("attempt_complete_with_a_loss")),
        sa.CheckConstraint(
            "outcome in ('complete', 'failed', 'crashed', 'lost', 'released', 'timeout', 'stale')",
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
        comment="One row for each attempt, which begins when a worker claims a trial. Read the table through the "
        "view ledger.attempts.",
        postgresql_with={"fillfactor": 90, "autovacuum_vacuum_scale_factor": 0.05},
    )
    op.create_index("attempt_worker", "attempt", ["worker"], unique=False, schema="ledger")
    op.create_table(
        "cancellation",
        sa.Column("study_id", sa.Integer(), nullable=False, comment="The study."),
        sa.Column("trial", sa.Integer(), nullable=False, comment="The number of the trial."),
        sa.Column("reason", sa.Text(), nullable=False, comment="Reason for the cancellation, for users."),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False, comment="Time of the cancellation."),
        sa.ForeignKeyConstraint(
            ["study_id", "trial"],
            ["ledger.trial.study_id", "ledger.trial.number"],
            name="cancellation_trial_fkey",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("study_id", "trial", name=op.f("cancellation_pkey")),
        schema="ledger",
        comment="One row for each trial that a user cancelled while another session had locked the trial's row. The "
        "trial ends when its worker next calls the database, or when a manager finds that the row is no longer "
        "locked.",
    )
    op.create_table(
        "code_version",
        sa.Column("study_id", sa.Integer(), nullable=False, comment="The study."),
        sa.Column(
            "number",
            sa.Integer(),
            nullable=False,
            comment="Number of the version within the study, from 0. The version with the highest number is valid now.",
        ),
        sa.Column(
            "first_trial",
            sa.Integer(),
            nullable=False,
            comment="Number of the first trial that had not ended when the version was recorded. A trial that a "
            "worker claimed before that moment was trained with an earlier version.",
        ),
        sa.Column(
            "sha256",
            sa.Text(),
            nullable=False,
            comment="SHA-256, in hexadecimal, of the hashes that the column parts contains. Two codes with the same "
            "hash are equal.",
        ),
        sa.Column(
            "parts",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="List of the functions, classes, values and files that the objective uses. Each entry contains a "
            "kind, a name, and the hash of a source (code) or of a value. If a value has no hash, the entry "
            "contains the type of the value (unwatched).",
        ),
        sa.Column(
            "sources",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="JSON object that maps each file name to the SHA-256 of the file's source text. The texts are in "
            "the table ledger.source.",
        ),
        sa.Column(
            "git_commit",
            sa.Text(),
            nullable=True,
            comment="Commit of the git repository that contains the code; null without a repository.",
        ),
        sa.Column(
            "git_clean",
            sa.Boolean(),
            nullable=True,
            comment="Whether the code's files equal the files in the commit; null without a repository or without"
            " files.",
        ),
        sa.Column(
            "versions",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Versions of Python and of the packages that the code imports.",
        ),
        sa.Column(
            "recorded_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Time when the version was recorded, by the database's clock.",
        ),
        sa.CheckConstraint(
            "git_clean is null or git_commit is not null", name=op.f("code_version_clean_with_a_commit")
        ),
        sa.CheckConstraint("number >= 0 and first_trial >= 0", name=op.f("code_version_numbers_are_natural")),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("code_version_sha256_is_hexadecimal")),
        sa.ForeignKeyConstraint(
            ["study_id"], ["ledger.study.id"], name=op.f("code_version_study_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("study_id", "number", name=op.f("code_version_pkey")),
        schema="ledger",
        comment="One row for each version of the code of a study's objective. Read the table through the view "
        "ledger.code_versions.",
    )
    op.create_table(
        "source",
        sa.Column("sha256", sa.Text(), nullable=False, comment="SHA-256 of the text in UTF-8, in hexadecimal."),
        sa.Column("text", sa.Text(), nullable=False, comment="Source text, at most 1,000,000 characters."),
        sa.CheckConstraint(
            "sha256 = encode(sha256(convert_to(text, 'UTF8')), 'hex')", name=op.f("source_sha256_is_of_the_text")
        ),
        sa.PrimaryKeyConstraint("sha256", name=op.f("source_pkey")),
        schema="ledger",
        comment="One row for each source text of an objective's code. Studies with the same text share the row. Read "
        "the table through the view ledger.sources.",
    )


def downgrade() -> None:
    # An upgrade made functions and views that use the tables.
    op.execute("""
        do $$
        declare
          thing text;
          left_over oid;
        begin
          for thing in select format('%I.%I', schemaname, viewname) from pg_views where schemaname = 'ledger' loop
            execute 'drop view if exists ' || thing || ' cascade';
          end loop;
          -- a function may answer a row of a table, so that functions go first, and triggers with them
          for left_over in select oid from pg_proc where pronamespace = 'ledger'::regnamespace loop
            -- a function goes together with a function that it calls
            continue when not exists (select from pg_proc where oid = left_over);
            execute 'drop function ' || left_over::regprocedure || ' cascade';
          end loop;
        end $$
    """)
    for table in (
        "source",
        "code_version",
        "cancellation",
        "attempt",
        "trial",
        "iteration",
        "manager",
        "refusal",
        "worker",
        "dataset",
        "study",
    ):
        op.drop_table(table, schema="ledger")
