"""The views of a study with known times, and their plans: a query for one study reads no other study."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.databases import new_database
from tests.integration import known_study
from tests.integration.test_privileges import VIEWS


@pytest.fixture(scope="module")
def asked(server: str, template: str) -> Iterator[psycopg.Connection[Any]]:
    """Yield the URL of a ledger with the known study, thirty small studies and one of 100,000 trials."""
    with (
        new_database(server, template) as url,
        psycopg.connect(url, autocommit=True, row_factory=dict_row, cursor_factory=psycopg.ClientCursor) as connection,
    ):
        known_study.insert(connection)
        connection.execute(
            """
            insert into ledger.study (name, spec, spec_hash, budget, state, created_at, versions)
            select 'other' || n, %(spec)s, '', 1, 'running', now(), '{}' from generate_series(2, 32) as n;
            insert into ledger.iteration
              (study_id, number, first_trial, round, size, asked_at, ask_seconds, tell_seconds, environment)
            select id, 0, 1, 0, case id when 32 then 100000 else 100 end, now(), 0, 0, '{}'
            from ledger.study where id > 1;
            insert into ledger.trial (study_id, number, iteration, round, source, params, available_at, state, attempts,
              finished_at, loss, metrics, claim, worker, claimed_at)
            select id, n, 0, 0, 'proposed', jsonb_build_object('C', n), now(), 'complete', 1, now(), 0.5, '{}',
              gen_random_uuid(), 'w', now()
            from ledger.study, generate_series(1, case id when 32 then 100000 else 100 end) as n
            where id > 1;
            insert into ledger.attempt
              (claim, study_id, trial, number, worker, claimed_at, ended_at, outcome, loss)
            select claim, study_id, number, 1, 'w', now(), now(), 'complete', loss from ledger.trial where study_id > 1;
            insert into ledger.trial_annotation (study_id, trial, note, annotated_by, annotated_at)
            select study_id, number, 'a note', 'me', now() from ledger.trial where study_id > 1;
            insert into ledger.report (study_id, trial, attempt, step, loss, reported_at)
            select study_id, number, 1, 0, 0.5, now() from ledger.trial where study_id > 1
            """,
            {"spec": known_study.SPEC},
        )
        connection.execute(
            "vacuum (analyze) ledger.study, ledger.iteration, ledger.trial, ledger.attempt, ledger.trial_annotation,"
            " ledger.report"
        )
        yield connection


def rows(asked: psycopg.Connection[Any], view: str, *columns: str) -> list[tuple[Any, ...]]:
    """Return the known study's rows of a view, in the order of the view or by trial."""
    order = "" if view in ("utilisation", "outcomes", "iteration_regret") else " order by trial"
    found = asked.execute(f"select * from ledger.{view} where study = 's'{order}").fetchall()
    return [tuple(row[column] for column in columns) for row in found]


def test_regret_counts_from_the_studys_own_best(asked):
    assert rows(asked, "regret", "trial", "best_loss", "study_best", "simple_regret", "instantaneous_regret") == [
        (0, 0.5, 0.25, 0.25, 0.25),
        (1, 0.25, 0.25, 0, 0),
        (3, 0.25, 0.25, 0, 0.5),
    ]
    columns = ("iteration", "complete", "mean_loss", "iteration_best", "best_loss", "study_best", "simple_regret")
    assert rows(asked, "iteration_regret", *columns) == [
        (0, 2, 0.375, 0.25, 0.25, 0.25, 0),
        (1, 1, 0.75, 0.75, 0.25, 0.25, 0),
    ]


def test_a_worker_is_utilised_by_the_time_in_which_it_holds_trials(asked):
    found = rows(asked, "utilisation", "worker", "attempts", "complete", "busy_seconds", "training_seconds")
    # worker a held two trials at the same time, from 15 to 80
    assert sorted(found) == [("a", 2, 1, 65, 46), ("b", 4, 2, 35, 24)]
    # worker a never announced itself; b was present from the start of the study
    assert sorted(rows(asked, "utilisation", "worker", "present_seconds", "utilisation")) == [
        ("a", None, None),
        ("b", 150, 35 / 150),
    ]


def test_the_time_of_a_trial_is_in_the_queue_with_a_worker_and_in_training(asked):
    columns = ("trial", "queue_seconds", "claimed_seconds", "training_seconds", "total_seconds")
    assert rows(asked, "trial_times", *columns) == [
        (0, 5, 20, 16, 25),
        # held from 20 to its end at 65, because the stale attempt continued
        (1, 10, 45, 38, 55),
        (2, 25, 15, 9, 40),
        (3, 2, 10, 7, 12),
        (4, 60, 0, 0, 60),
    ]


def test_attempts_are_counted_by_outcome(asked):
    columns = ("outcome", "attempts", "trials", "workers", "training_seconds", "claimed_seconds")
    assert sorted(rows(asked, "outcomes", *columns)) == [
        ("complete", 3, 3, 2, 31, 40),
        ("failed", 2, 1, 1, 9, 15),
        ("stale", 1, 1, 1, 30, 60),
    ]


def test_each_parameter_stands_against_the_loss(asked):
    found = rows(asked, "parameters", "trial", "loss", "parameter", "kind", "number", "text", "position")
    assert len(found) == 5 * 4
    by_place = {(trial, parameter): rest for trial, loss, parameter, *rest in found}
    assert by_place[0, "C"] == ["real", 1, "1.0", pytest.approx(0.5)]
    assert by_place[1, "C"] == ["real", 0.01, "0.01", 0]
    assert by_place[2, "C"] == ["real", 10, "10", pytest.approx(0.75)]
    assert by_place[0, "depth"] == ["integer", 4, "4", 0.25]
    assert by_place[0, "kernel"] == ["categorical", None, "rbf", None]
    assert by_place[1, "bins"] == ["categorical", 16, "16", None]
    assert {trial: loss for trial, loss, *_ in found} == {0: 0.5, 1: 0.25, 2: None, 3: 0.75, 4: None}


def test_a_metric_that_is_no_number_is_no_accuracy(asked):
    assert rows(asked, "best_trials", "trial", "rank", "metric", "score") == [
        (0, 2, "accuracy", 0.5),
        (1, 1, "accuracy", None),
        (3, 3, "accuracy", None),
    ]


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("1.5", 1.5),
        ("-1e308", -1e308),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ("1e309", None),
        ("-1e4000", None),
        ("5e-324", 5e-324),
        ("1e-4000", 0.0),
        ('"1.5"', None),
        ("true", None),
        ("null", None),
        ("[1]", None),
        (None, None),
    ],
)
def test_a_number_of_json_is_a_double_or_null(asked, value, number):
    assert asked.execute("select ledger.number(%s::jsonb) as n", (value,)).fetchone() == {"n": number}


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize("zero", [0.0, 1.0])
@pytest.mark.parametrize("metrics", ["{}", '{"auc": 0.9}', '{"auc": 0.8}', '{"auc": "0.9"}', '{"auc": 1e400}', None])
@pytest.mark.parametrize("loss", [1 - 0.9, -0.9, 0.25, None])
def test_the_value_of_a_trial_is_the_value_of_its_loss_and_score(asked, loss, metrics, zero, direction):
    answer = asked.execute(
        "select ledger.trial_value(loss, direction, zero, metrics, metric) as of_trial,"
        " ledger.value(loss, direction, zero, ledger.number(metrics -> metric)) as of_score"
        " from (select %s::float8 as loss, %s as direction, %s::float8 as zero, %s::jsonb as metrics, 'auc' as metric"
        " offset 0) as trial",
        (loss, direction, zero, metrics),
    ).fetchone()
    assert answer is not None
    assert answer["of_trial"] == answer["of_score"]


@pytest.mark.parametrize("view", ["best_trials", "improvements", "parameters", "progress", "regret", "trials"])
def test_the_values_of_a_view_need_no_call_of_a_function(asked, view):
    column = "best_value" if view == "progress" else "value"
    plan = asked.execute(f"explain (verbose, format json) select {column} from ledger.{view}").fetchone()
    assert "ledger.trial_value" not in str(plan)


def test_losses_that_are_further_apart_than_a_double_can_say_break_no_view(connection):
    connection.execute(
        """
        insert into ledger.study (name, spec, spec_hash, budget, state, created_at, versions) values
          ('s', '{"batch_size": 1, "seed": 1, "objective": {}, "limits": {"max_failures": 1, "max_crashes": 1,
                                                           "max_lost": 1, "lease": 3, "heartbeat": 1},
                  "space": [{"name": "x", "type": "real", "low": 0, "high": 1e308, "prior": "uniform"}]}',
           '', 1, 'running', now(), '{}');
        insert into ledger.iteration
          (study_id, number, first_trial, round, size, asked_at, ask_seconds, tell_seconds, environment)
        values (1, 0, 0, 0, 2, now(), 0, 0, '{}');
        insert into ledger.trial (study_id, number, iteration, round, source, params, available_at, state, attempts,
          finished_at, loss, metrics)
        select 1, n, 0, 0, 'proposed', jsonb_build_object('x', x), now(), 'complete', 1, now(), loss, '{}'
        from (values (0, 1.7e308, 5e-324), (1, -1.7e308, 1e308)) as given (n, loss, x)
        """
    )
    regret = "select simple_regret, instantaneous_regret from ledger.regret order by trial"
    assert connection.execute(regret).fetchall() == [(float("inf"), float("inf")), (0, 0)]
    assert connection.execute("select mean_loss, simple_regret from ledger.iteration_regret").fetchall() == [(0, 0)]
    positions = connection.execute("select position from ledger.parameters order by trial").fetchall()
    assert positions == [(0,), (1,)]


def buffers(plan: dict[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


@pytest.mark.parametrize("view", sorted(VIEWS - {"datasets", "sources", "workers"}))
def test_a_view_asked_of_one_study_reads_that_study_alone(asked, view):
    question = f"select * from ledger.{view} where study = 's'"
    answer = asked.execute("explain (analyze, buffers, format json) " + question).fetchone()
    assert answer is not None
    plan = answer["QUERY PLAN"][0]["Plan"]
    read_whole = {node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"}
    assert read_whole <= {"study", "study_annotation", "worker", "iteration", "refusal"}, answer
    assert buffers(plan) < 100, answer


def test_the_view_of_workers_reads_what_is_open_and_no_more(asked):
    answer = asked.execute("explain (analyze, buffers, format json) select * from ledger.workers").fetchone()
    assert answer is not None
    assert buffers(answer["QUERY PLAN"][0]["Plan"]) < 100, answer
