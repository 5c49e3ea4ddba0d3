"""Query plans: frequent statements use their indexes.

The ledgers have 100,000 finished trials, 100,000 pending trials, or pending trials and statistics of empty tables.
"""

import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from sqlalchemy import event, text

from ledger.database import managing, protocol, reads, savings, selecting, status, studies, trials
from ledger.database.connection import engine
from ledger.resources import folder
from ledger.study.early_stopping import EarlyStopping
from tests.databases import new_database
from tests.integration.ledgers import add_iteration, make_study, spec, take

TRIALS = 100_000
MOST_BUFFERS = 60


@pytest.fixture(scope="module", params=["complete", "pending", "pending, not analyzed"])
def big(request: pytest.FixtureRequest, server: str, template: str) -> Iterator[tuple[str, int]]:
    """Yield the URL of a ledger with 100,000 trials in one state, and the study's id."""
    state, _, not_analyzed = request.param.partition(", ")
    with new_database(server, template) as url:
        with engine(url).connect() as connection:
            row = make_study(connection, trials=4)
        with psycopg.connect(url, autocommit=True) as connection:
            if not_analyzed:
                connection.execute("analyze ledger.trial, ledger.attempt, ledger.iteration")
            # Autovacuum would analyze the tables during a test. Then PostgreSQL plans each statement again, and the
            # reads of its catalogs count as buffers of the statement.
            for table in ("trial", "attempt", "iteration"):
                connection.execute(f"alter table ledger.{table} set (autovacuum_enabled = off)")
            connection.execute(
                "insert into ledger.iteration (study_id, number, first_trial, round, size, asked_at, ask_seconds,"
                " tell_seconds, environment) select %s, k, 92 + 8 * k, 0, 8, now(), 0, 0, '{}'"
                " from generate_series(1, %s) as k",
                (row.id, TRIALS // 8),
            )
            finished = state == "complete"
            connection.execute(
                """
                insert into ledger.trial (study_id, number, iteration, round, source, params, available_at, state,
                  attempts, finished_at, loss, metrics, claim, worker, claimed_at)
                select %(study)s, n, 1 + (n - 100) / 8, 0, 'proposed', jsonb_build_object('C', n), now(), %(state)s,
                  1, case when %(finished)s then now() end, case when %(finished)s then random() end,
                  case when %(finished)s then '{"accuracy": 0.5}'::jsonb end,
                  case when %(finished)s then gen_random_uuid() end, 'w', now()
                from generate_series(100, 99 + %(trials)s) as n
                """,
                {"study": row.id, "state": state, "finished": finished, "trials": TRIALS},
            )
            connection.execute(
                "insert into ledger.attempt"
                " (claim, study_id, trial, number, worker, claimed_at, ended_at, outcome, loss)"
                " select claim, study_id, number, 1, 'w', now(), now(), 'complete', loss from ledger.trial"
                " where state = 'complete'"
            )
            if finished:
                # Iteration 7 is told by a test.
                connection.execute(
                    "update ledger.iteration set told_at = now(), mean_loss = 0.5, best_loss = 0.5, told = number,"
                    " total_proposed = 8 * number, total_complete = 8 * number, total_pruned = 0,"
                    " total_failed = 0, total_cancelled = 0,"
                    " total_attempts = 8 * number, total_failures = 0, total_crashes = 0, total_lost = 0,"
                    " last_complete = 99 + 8 * number,"
                    " improvements = case when number = 1 then array[100] end where number not in (0, 7)"
                )
            if not not_analyzed:
                connection.execute("vacuum (analyze) ledger.trial, ledger.attempt, ledger.iteration")
        yield url, row.id


@pytest.fixture
def explained(big: tuple[str, int]) -> Iterator[tuple[psycopg.Connection[Any], int, list[str]]]:
    """Yield a connection and a list of the generic plans of its statements, including statements in functions."""
    url, study_id = big
    plans: list[str] = []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.add_notice_handler(lambda notice: plans.append(notice.message_primary or ""))
        connection.execute("load 'auto_explain'")
        for setting, value in {
            "auto_explain.log_min_duration": "0",
            "auto_explain.log_nested_statements": "on",
            "auto_explain.log_analyze": "on",
            "auto_explain.log_buffers": "on",
            "auto_explain.log_timing": "off",
            "auto_explain.log_level": "notice",
            "plan_cache_mode": "force_generic_plan",
        }.items():
            connection.execute(f"set {setting} = {value}")
        yield connection, study_id, plans


def check(plans: list[str], expected: int, most: int = MOST_BUFFERS) -> None:
    """Check that no plan has a sequential scan, and that each touches few buffers."""
    assert len(plans) >= expected, "auto_explain has shown each statement"
    for plan in plans:
        assert "Seq Scan" not in plan, plan
        # the buffers of the outermost node, which include those of all other nodes
        found = re.search(r"Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?", plan)
        buffers = sum(int(number or 0) for number in found.groups()) if found else 0
        assert buffers <= most, plan


def shown(connection: psycopg.Connection[Any], plans: list[str]) -> list[str]:
    """Take the plans of the executed statements. The last plan arrives only with the next statement."""
    connection.execute("set application_name = 'plans'")
    taken = plans[:]
    plans.clear()
    return taken


def ask(connection: psycopg.Connection[Any], function: str, *arguments: object) -> Any:
    """Call a function of the ledger."""
    places = ", ".join(["%s"] * len(arguments))
    (answer,) = connection.execute(f"select ledger.{function}({places})", arguments).fetchone() or (None,)
    return answer


def claimed(connection: psycopg.Connection[Any], several: int = 1) -> list[protocol.ClaimedTrial]:
    held = protocol.claim(connection, "s", [uuid.uuid4() for _ in range(several)], "w")
    # if all others are complete, four trials are pending
    assert len(held) == min(several, 4) or len(held) == several
    return held


@pytest.mark.parametrize("several", [1, 16])
@pytest.mark.parametrize("end", ["complete", "fail", "release"])
def test_the_functions_of_the_hot_path_keep_their_indexes(explained, end, several):
    connection, _, plans = explained
    finish: Callable[[list[protocol.ClaimedTrial]], Any] = {
        "complete": lambda held: protocol.complete_together(
            connection, [protocol.CompletedTrial(each, 0.5, {}, 1.0) for each in held]
        ),
        "fail": lambda held: protocol.fail(connection, held[0], "error", 1.0),
        "release": lambda held: protocol.release(connection, *held),
    }[end]
    for _warm_up_then_measure in range(2):
        with connection.transaction(force_rollback=True):
            measured: dict[str, list[str]] = {}
            shown(connection, plans)
            held = claimed(connection, several)
            measured["claim"] = shown(connection, plans)
            assert protocol.heartbeat(connection, held[0])
            measured["heartbeat"] = shown(connection, plans)
            assert protocol.report(connection, held[0], [0, 1], [0.5, None]) == "continue"
            measured["report"] = shown(connection, plans)
            answer = finish(held)
            expected = {"complete": ["recorded"] * len(held), "fail": "retry", "release": {each.claim for each in held}}
            assert answer == expected[end]
            measured[end] = shown(connection, plans)
    # the statements in each function, and the statement that called it
    check(measured["claim"], 5, MOST_BUFFERS * (1 + len(held)))
    check(measured["heartbeat"], 3)
    check(measured["report"], 5)
    check(measured[end], 4, MOST_BUFFERS * (1 + len(held)))
    (found,) = [plan for plan in measured["claim"] if "for no key update" in plan]
    assert "using trial_pending" in found


def test_an_enqueued_trial_is_claimed_first_at_no_cost(explained):
    connection, study_id, plans = explained
    for _warm_up_then_measure in range(2):
        with connection.transaction(force_rollback=True):
            enqueued = connection.execute("select ledger.enqueue(%s, '{\"C\": 0.5}')", (study_id,)).fetchone()
            shown(connection, plans)
            (held,) = claimed(connection)
            assert (held.trial,) == enqueued
            measured = shown(connection, plans)
    check(measured, 5)
    (found,) = [plan for plan in measured if "for no key update" in plan]
    assert "using trial_pending" in found


def test_a_claim_that_finds_nothing_keeps_its_index(explained):
    connection, _, plans = explained
    with connection.transaction(force_rollback=True):
        claimed_nothing = "select from ledger.claim('none', array[gen_random_uuid()], 'w')"
        connection.execute(claimed_nothing)
        plans.clear()
        assert connection.execute(claimed_nothing).fetchone() is None
        check(plans, 3)


def test_taking_back_an_expired_claim_keeps_its_index(explained):
    connection, study_id, plans = explained
    for _warm_up_then_measure in range(2):
        with connection.transaction(force_rollback=True):
            (held,) = claimed(connection)
            connection.execute(
                "update ledger.trial set lease_until = '2000-01-01' where study_id = %s and number = %s",
                (study_id, held.trial),
            )
            claim = uuid.uuid4()
            assert ask(connection, "claim_study", study_id, claim, "m", 30.0, None) == "held"
            plans.clear()
            assert ask(connection, "reap", study_id, claim, held.trial, datetime(2000, 1, 1, tzinfo=UTC)) == "pending"
    check(plans, 3, MOST_BUFFERS + 10)


def test_the_functions_of_a_manager_keep_their_indexes(explained):
    connection, study_id, plans = explained
    claim = uuid.uuid4()
    point = Jsonb([{"C": 0.5}])
    known = 100 + TRIALS
    calls: list[tuple[str, set[Any], tuple[Any, ...]]] = [
        ("claim_study", {"held"}, ("m", 30.0, None)),
        ("claim_study", {"held"}, ("m", 30.0, None)),
        ("tell", {"told", "changed"}, (7, 8, 0.5, 0.25)),
        ("propose", {"proposed"}, (25_001, 0, known, point, None, Jsonb({}), 0.0, 0.0, None)),
        ("propose", {"proposed"}, (25_001, 1, known + 1, Jsonb([{"C": 0.25}]), None, Jsonb({}), 0.0, 0.0, None)),
        ("stop", {"none"}, ()),
        ("finish", {"changed"}, ("complete", None, 4)),
        ("leave_study", {True}, ()),
    ]
    for _warm_up_then_measure in range(2):
        with connection.transaction(force_rollback=True):
            shown(connection, plans)
            for function, answers, arguments in calls:
                assert ask(connection, function, study_id, claim, *arguments) in answers
            measured = shown(connection, plans)
    # each of these two tables has one row, and is read as a whole
    plans = [re.sub(r"Seq Scan on (study|manager)\b", "", plan) for plan in measured]
    # the triggers of sql/functions/readable_rows.sql read the catalog
    check(plans, 3 * len(calls), MOST_BUFFERS + 10)


@pytest.mark.parametrize(
    ("question", "index"),
    [
        # through a view
        (lambda db, study: managing.news(db, study, range(4), 100 + TRIALS), "trial_pkey"),
        (lambda db, study: next(trials.pages(db, study, 8)), "trial_pkey"),
        (lambda db, study: studies.iterations(db, study, first=TRIALS // 8), "iteration_pkey"),
    ],
    ids=["poll", "page of trials", "last iterations"],
)
def test_the_managers_questions_keep_their_indexes(big, explained, question, index):
    connection, study_id, plans = explained
    url, _ = big
    seen: list[tuple[str, Any]] = []
    with engine(url).connect() as own:
        event.listen(own, "before_cursor_execute", lambda *args: seen.append((args[2], args[3])))
        question(own, study_id)
    statement, parameters = seen[-1]
    connection.prepare_threshold = 0
    connection.execute(statement, parameters)
    # one of the ledgers has no attempts, and an empty table is read with a sequential scan
    check([plan.replace("Seq Scan on attempt", "") for plan in plans], 1)
    assert any(index in plan for plan in plans)


@pytest.mark.parametrize("big", ["complete"], indirect=True)
@pytest.mark.parametrize(
    "question",
    [
        lambda db, study: reads.progress(db),
        lambda db, study: status.read(db, study),
        lambda db, study: trials.best(db, study),
        lambda db, study: studies.latest_iterations(db, study, 20),
        lambda db, study: next(trials.pages(db, study, 20, after=TRIALS // 2)),
        lambda db, study: list(trials.pages(db, study, 20, state="failed")),
        lambda db, study: trials.last_failed(db, study),
        lambda db, study: next(trials.recorded_pages(db, study, 20)),
        lambda db, study: db.execute(text("select * from ledger.best_trials where study = 's' and rank <= 10")).all(),
        lambda db, study: db.execute(text("select * from ledger.best_trials where rank <= 10")).all(),
        lambda db, study: db.execute(text("select * from ledger.improvements where study = 's'")).all(),
    ],
    ids=[
        "study list",
        "status",
        "best trial",
        "iterations",
        "trial list",
        "failed trials",
        "last failed trial",
        "export",
        "leaderboard",
        "all leaderboards",
        "improvements",
    ],
)
def test_a_listing_does_not_read_what_has_ended(big, question):
    url, study_id = big
    with engine(url).connect() as own, psycopg.connect(url, autocommit=True) as observer:
        question(own, study_id)
        own.rollback()
        before = _blocks(own, observer)
        question(own, study_id)
        own.rollback()
        # the table of 100,000 ended trials has about 3,500 blocks
        assert _blocks(own, observer) - before < 1_200


def last_statement(url: str, read: Callable[[Any], object]) -> tuple[str, Any]:
    """Return the last statement that `read` sends on a connection of SQLAlchemy, and its parameters."""
    sent: list[tuple[str, Any]] = []
    with engine(url).connect() as own:
        event.listen(own, "before_cursor_execute", lambda *args: sent.append((args[2], args[3])))
        read(own)
    return sent[-1]


@pytest.mark.parametrize("big", ["complete"], indirect=True)
def test_the_status_reads_the_steps_of_running_trials_by_an_index(big, explained):
    connection, study_id, plans = explained
    url, _ = big
    statement, parameters = last_statement(url, lambda own: status.read(own, study_id))
    connection.prepare_threshold = 0
    with connection.transaction(force_rollback=True):
        # The trials of this ledger have reported many values, but the running trial has reported none.
        connection.execute(
            "insert into ledger.report (study_id, trial, attempt, step, loss, reported_at)"
            " select study_id, trial, number, step, 0.5, now()"
            " from (select * from ledger.attempt limit 1000) as few, generate_series(0, 49) as step"
        )
        connection.execute("select ledger.announce('w', 'host', 1)")
        claimed(connection)
        shown(connection, plans)
        connection.execute(statement, parameters)
        found = "\n".join(shown(connection, plans))
    assert "report_pkey" in found
    assert "Seq Scan on report" not in found


@pytest.mark.parametrize("big", ["complete"], indirect=True)
def test_the_saved_steps_are_read_by_an_index(big, explained):
    connection, study_id, plans = explained
    url, _ = big

    def read(own: Any) -> None:
        with own.begin():
            assert savings.read(own, study_id) == (0, None)

    statement = last_statement(url, read)
    with connection.transaction(force_rollback=True):
        connection.execute("alter table ledger.trial disable trigger user")
        connection.execute(
            "update ledger.trial set state = 'pruned', pruned_step = 0, loss = null, metrics = null"
            " where number % 100 = 0 and state = 'complete'"
        )
        connection.execute(
            "insert into ledger.report (study_id, trial, attempt, step, loss, reported_at)"
            " select study_id, number, 1, step, 0.5, now() from ledger.trial, generate_series(0, 49) as step"
            " where state = 'pruned'"
        )
        connection.execute("analyze ledger.trial, ledger.report")
        shown(connection, plans)
        connection.execute(*statement)
        found = "\n".join(shown(connection, plans))
    # the rows of each scan of the table, for one trial
    rows = re.findall(r"using report_pkey on report.*actual rows=(\d+)", found)
    assert rows
    assert max(map(int, rows)) == 1
    assert "Seq Scan on report" not in found


def test_the_report_of_a_rung_is_found_without_reading_the_curves(db, connection):
    steps = 5_000
    rule = EarlyStopping(rule="median", min_resource=steps // 2, max_resource=steps, audit=0.0)
    of_study = {**spec(1, max_failures=3), "stopping": rule.model_dump(exclude_none=True)}
    row = studies.create(db, "s", of_study, "0" * 64, 1, {})
    assert row is not None
    add_iteration(db, row, 0, 1)
    for _ in range(2):  # both attempts report the whole curve
        held = take(connection)
        for first in range(1, steps + 1, 500):
            assert protocol.report(connection, held, range(first, first + 500), [0.5] * 500) == "continue"
        assert protocol.fail(connection, held, "the loss is missing", 1.0) == "retry"
        connection.execute("update ledger.trial set available_at = claimed_at")
    connection.execute("analyze")
    whole = connection.execute("select pg_relation_size('ledger.report') / 8192").fetchone()
    assert whole is not None
    for statement in (
        f"select * from ledger.last_report({row.id}, 0, {steps // 2})",
        selecting.query("rung_reports").text.replace(":study", str(row.id)),
    ):
        connection.execute(statement)  # reads the catalogs
        explained = connection.execute(f"explain (analyze, buffers, format json) {statement}").fetchone()
        assert explained is not None
        plan = explained[0][0]["Plan"]
        assert plan["Actual Rows"] == 1
        assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < whole[0]


def _blocks(own: Any, observer: psycopg.Connection[Any]) -> int:
    """Return the number of blocks that have been read from the tables of the ledger and their indexes."""
    own.execute(text("select pg_stat_force_next_flush()"))
    own.rollback()
    own.execute(text("select"))
    own.rollback()
    ((blocks,),) = observer.execute(
        "select sum(heap_blks_read + heap_blks_hit + coalesce(idx_blks_read + idx_blks_hit, 0))"
        " from pg_statio_user_tables where schemaname = 'ledger'"
    ).fetchall()
    return int(blocks)


def test_every_function_of_the_hot_path_is_explained_here():
    explained_here = {"claim", "heartbeat", "report", "complete", "fail", "release", "reap"}
    # the functions of the last line within those that call them
    explained_here |= {"claim_study", "leave_study", "propose", "tell", "stop", "finish"}
    explained_here |= {"current_code", "held_study", "lock_trial", "mark_told", "next_trial"}
    others = {
        "accept",
        "add_artifact_piece",
        "add_code",
        "annotate_study",
        "annotate_trial",
        "annotations",
        "announced_recently",
        "announce",
        "archive_study",
        "arrive",
        "artifact_bytes",
        "begin_artifact",
        "bounds",
        "code_digest",
        "cancel",
        "cancel_trials",
        "clock",
        "create_study",
        "criterion_met",
        "data_files",
        "dataset",
        "decide",
        "delete_study",
        "difference",
        "discard_contents",
        "end_cancelled",
        "ended",
        "enqueue",
        "extend",
        "faults",
        "forget_workers",
        "held_attempt",
        "hold_dataset",
        "is_audited",
        "import_trials",
        "is_managed",
        "is_stopped",
        "iteration_ended",
        "join_iteration",
        "judge",
        "keep_dataset",
        "kept_output",
        "last_checkpoints",
        "last_report",
        "lease_ended",
        "manager_seconds",
        "notify",
        "number",
        "objective_code",
        "params_fault",
        "pause",
        "paused_trials",
        "promote",
        "promote_waiting",
        "promotion_cutoff",
        "prune",
        "prune_paused",
        "readable_rows",
        "ready_for_promotion",
        "record_code",
        "refuse",
        "release_pause",
        "remove_artifact",
        "remove_beaten_artifacts",
        "remove_checkpoints",
        "rename_study",
        "report_code",
        "reports_digest",
        "resume",
        "retry",
        "revision",
        "rung_cutoff",
        "rungs",
        "save_artifact",
        "session_ended",
        "set_batch_size",
        "set_criteria",
        "set_cutoffs",
        "set_group_cutoffs",
        "shortened",
        "spec_fault",
        "terminal_rows",
        "trial_group",
        "trial_stopping",
        "trial_value",
        "unchanging_artifacts",
        "unchanging_code",
        "unchanging_datasets",
        "unchanging_reports",
        "unchanging_verdicts",
        "value",
    }
    assert {file.stem for file in Path(folder("sql") / "functions").glob("*.sql")} == explained_here | others
