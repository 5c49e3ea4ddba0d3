"""Every table and column says what it holds."""

from collections.abc import Sequence

from alembic import op

revision: str = "0005"
down_revision: str | Sequence[str] | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TABLES = {
    "study": "One search: a space, an objective, an optimizer, a budget, a seed. Read it through the view ledger.studies.",
    "iteration": "One round of a study: its trials are proposed together and, once all have ended, told to the optimizer. In steady mode, one proposal. Read it through the view ledger.iterations.",
    "trial": "One point to evaluate. Once complete, failed or cancelled it never changes. Read it through the view ledger.trials.",
    "attempt": "One claim of a trial by a worker, from the claim to its end. Read it through the view ledger.attempts.",
    "worker": "Who is or was here to train. Read it through the view ledger.workers.",
}

COLUMNS = {
    "study": {
        "id": "Number of the study, by which the other tables know it.",
        "name": "Name, unique: 1 to 100 of A-Z, a-z, 0-9, point, underscore and hyphen.",
        "spec": "All that defines the study: points, mode, seed, space, objective, optimizer, limits, and what was resolved from defaults.",
        "spec_hash": "SHA-256, in hexadecimal, of what was asked for, without the budget and without what was resolved from it.",
        "iterations": "The budget: rounds to ask for, at least 1; it may grow.",
        "state": "running, paused, complete, failed or cancelled; the last three are ends.",
        "reason": "Why it is in this state, for people; null where there is nothing to say.",
        "created_at": "When it was made, by the database's clock.",
        "finished_at": "When it ended; null until then.",
        "versions": "Versions of Python, the packages and the BLAS kernel that it was made with.",
        "seed": "Of all that is random, from 0 to 2147483647; part of spec.",
        "batch_size": "Trials of an iteration, or in steady mode trials kept in flight, at least 1; part of spec.",
        "objective": "What turns parameters into a loss: model and dataset, or function; part of spec.",
        "max_failures": "Failed attempts, at least 1, after which a trial has failed; part of spec.",
        "max_lost": "Lost attempts, at least 1, after which a trial has failed; part of spec.",
        "lease": "For how long a claim is believed without a heartbeat; part of spec.",
        "heartbeat": "How often a worker renews its claim; shorter than the lease; part of spec.",
        "timeout": "After how much training an attempt is ended; null for no limit; part of spec.",
    },
    "iteration": {
        "study_id": "The study.",
        "number": "Number within the study, from 0.",
        "round": "The last round, from 0: where every trial of a round failed, the iteration is proposed anew.",
        "size": "Trials of all its rounds, at least 1.",
        "asked_at": "When its trials were inserted.",
        "told_at": "When its losses were told to the optimizer; null until then.",
        "ask_seconds": "Seconds that the optimizer took to propose its points, of the last round.",
        "tell_seconds": "Seconds taken to learn what came before and to fit its surrogate, of the last round.",
        "mean_loss": "Mean loss of its complete trials; null until it is told, and where none completed.",
        "best_loss": "Lowest loss of its complete trials; null until it is told, and where none completed.",
        "surrogate": "The fitted model that proposed it: estimator, kernel, theta (logarithms of the kernel's parameters), points it was fitted to; null where its points were drawn at random.",
        "environment": "Versions and BLAS kernel of the manager that proposed it; empty where it is a retry.",
        "seen": "In steady mode, the trials whose end was seen since the iteration before, in that order: all seen so far are what it was proposed from. Null in batch mode.",
    },
    "trial": {
        "study_id": "The study.",
        "number": "Number within the study, from 0, in the order of proposal.",
        "iteration": "The iteration that it belongs to.",
        "round": "The round of that iteration, from 0.",
        "source": "proposed by the optimizer, enqueued by a person, or retried.",
        "retry_of": "The trial whose parameters are tried again; null unless retried.",
        "params": "The point: an object of parameter to number, text or boolean, as the study's space says.",
        "state": "pending, running, complete, failed or cancelled; the last three are ends.",
        "attempts": "Times that it was claimed, from 0; claims that were given back count.",
        "failures": "Attempts that the objective failed or that ran out of time, up to the study's max_failures.",
        "lost": "Attempts that were lost with their worker, up to the study's max_lost.",
        "available_at": "From when on it may be claimed: its insertion, or since it was last given back.",
        "claim": "The secret of who holds it, or of the last to hold it; null where it was never claimed, or was given back.",
        "worker": "Who holds it, or held it last; null where it was never claimed.",
        "claimed_at": "When it was last claimed; null where it never was.",
        "lease_until": "Until when its claim is believed without a heartbeat; null unless running.",
        "deadline_at": "When its attempt is to be ended; null for no limit, and where the attempt has not begun.",
        "finished_at": "When it ended; null until then.",
        "loss": "What is minimised, finite; for the built-in models 1 - accuracy. Null unless complete.",
        "metrics": "What else the objective returned, an object that may be empty; null unless complete.",
        "error": "What went wrong last, or why it was cancelled; null where nothing did, and of a complete trial.",
    },
    "attempt": {
        "claim": "The secret of who holds it; drawn at random by the worker.",
        "study_id": "The study.",
        "trial": "The number of the trial.",
        "number": "Number within the trial, from 1.",
        "worker": "Who claimed it.",
        "claimed_at": "When it was claimed.",
        "ended_at": "When its end was recorded; null while it is under way.",
        "outcome": "complete, failed, lost (no heartbeat within the lease, or cancelled), released (given back), timeout, or stale (its result came too late). Null while it is under way.",
        "error": "What went wrong, with the traceback if there is one; null where nothing did.",
        "loss": "The loss that it found; also of a stale attempt, whose loss does not count. Null where it found none.",
        "seconds": "Seconds of training, as the worker measured them; null where it did not say.",
    },
    "worker": {
        "name": "Name, unique: host, process and four random digits.",
        "host": "Name of its machine.",
        "pid": "Number of its process there.",
        "versions": "Versions of the packages that it trains with.",
        "started_at": "When it first said that it is here.",
        "last_seen_at": "When it last said so; in hand with a long trial it may not say so, while its lease is renewed.",
        "stopped_at": "When it left; null while it is here, or where it died.",
    },
}


def upgrade() -> None:
    for table, comment in TABLES.items():
        op.create_table_comment(table, comment, schema="ledger")
        for column, of_column in COLUMNS[table].items():
            op.alter_column(table, column, comment=of_column, schema="ledger")
    # alembic's own, which no metadata names
    op.execute("comment on table ledger.alembic_version is 'The revision of the schema, for `ledger db upgrade`.'")
    op.execute(
        "comment on column ledger.alembic_version.version_num is 'Number of the last migration that it has had.'"
    )


def downgrade() -> None:
    for table, columns in COLUMNS.items():
        op.drop_table_comment(table, schema="ledger")
        for column in columns:
            op.alter_column(table, column, comment=None, schema="ledger")
    op.execute("comment on table ledger.alembic_version is null")
    op.execute("comment on column ledger.alembic_version.version_num is null")
