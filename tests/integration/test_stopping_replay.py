"""The command `ledger stopping replay`, on studies with and without a rule of their own."""

import json
import re
from typing import Any

import psycopg
import pytest

from ledger.database import protocol, reports, studies, trials
from ledger.database.rows import StudyRow
from ledger.database.trials import ExternalTrial
from ledger.study.early_stopping import EarlyStopping
from tests.integration.ledgers import add_iteration, make_study, spec, take, tell
from tests.integration.test_commands import Run
from tests.integration.test_commands import run as run
from tests.integration.test_stopping_shown import decided as decided

NAN = float("nan")
ARGUMENTS = ("stopping", "replay", "s", "--rule", "halving", "--eta", "2", "--max-resource", "4")


def train(connection: psycopg.Connection[Any], losses: list[float]) -> None:
    """Train a trial of an objective that reports at the steps 1, 2 and so on, and returns the last value."""
    held = take(connection)
    assert protocol.report(connection, held, range(1, len(losses) + 1), losses) == "continue"
    assert protocol.complete(connection, held, losses[-1], {}, 1.0) == "recorded"


@pytest.fixture
def curves(db, connection, url, run: Run, monkeypatch) -> StudyRow:
    """The study s without a rule: 5 trials in 2 iterations. Trial 3 begins badly and is the best, and trial 5 runs."""
    row = studies.create(db, "s", {**spec(2), "objective": {"function": "own.code:score"}}, "0" * 64, 6, {})
    assert row is not None
    add_iteration(db, row, 0, 2)
    train(connection, [0.75, 0.5, 0.5, 0.5])
    train(connection, [0.5, 0.75, 0.75, 0.75])
    assert tell(db, row, 0, 0.625, 0.5) == "told"
    add_iteration(db, row, 1, 4)
    train(connection, [0.25, 0.25, 0.25, 0.25])
    train(connection, [0.875, 0.5, 0.5, 0.125])
    train(connection, [0.375, NAN, 0.5, 0.5])
    protocol.report(connection, take(connection), [1], [0.0])
    monkeypatch.setenv("DATABASE_URL", url)
    return row


def test_a_replay_says_what_a_rule_would_have_saved_and_lost(curves, run: Run):
    code, out, error = run(*ARGUMENTS)
    assert (code, error) == (0, "")
    assert out.splitlines() == [
        "rule halving, eta 2, min_resource 1, max_resource 4: 5 trials with reports",
        "RUNG  TRIALS  STOPPED",
        "   1       5        1",
        "   2       4        1",
        "steps: 20 trained, of which the rule avoids 5 (25.0%)",
        "stopped: 2 trials, of which 1 ended among the best 10% (false stops: 3)",
        "best value: 0.125 (trial 3) without the rule, 0.25 (trial 2) with the rule",
    ]


def test_the_rule_promotion_compares_the_trials_of_an_iteration(curves, run: Run):
    code, out, error = run(*(word.replace("halving", "promotion") for word in ARGUMENTS))
    assert (code, error) == (0, "")
    assert out.splitlines()[:4] == [
        "rule promotion, eta 2, min_resource 1, max_resource 4: 5 trials with reports",
        "RUNG  TRIALS  STOPPED",
        # trial 1 of 0 and 1, and trial 2 of 2, 3 and 4 go on
        "   1       5        3",
        "   2       2        0",
    ]


def test_a_replay_in_steady_mode_refuses_the_rule_promotion(db, url, run: Run, monkeypatch):
    assert studies.create(db, "s", {**spec(2), "mode": "steady"}, "0" * 64, 6, {}) is not None
    monkeypatch.setenv("DATABASE_URL", url)
    code, out, error = run(*(word.replace("halving", "promotion") for word in ARGUMENTS))
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert "replays the rule promotion only for batch mode, but study s is in steady mode: choose halving" in error


def test_a_replay_with_fewer_rungs_has_fewer_brackets(db, connection, url, run: Run, monkeypatch):
    rule = EarlyStopping(rule="promotion", eta=2, max_resource=8, brackets=3, audit=1.0)
    settings = {**spec(1), "stopping": rule.model_dump(exclude_none=True)}
    row = studies.create(db, "s", settings, "0" * 64, 6, {})
    assert row is not None
    add_iteration(db, row, 0, 1)
    train(connection, [0.5, 0.25])
    monkeypatch.setenv("DATABASE_URL", url)
    for arguments, brackets in (((), 3), (("--max-resource", "4"), 2), (("--brackets", "1"), 1)):
        code, out, error = run("stopping", "replay", "s", "--json", *arguments)
        assert (code, error) == (0, "")
        assert [each["brackets"] for each in json.loads(out)["replays"]] == [brackets]


def test_several_rules_are_compared_in_one_document(curves, run: Run):
    code, out, error = run(*ARGUMENTS, "--eta", "3", "--rule", "median", "--eta", "2", "--json")
    assert (code, error) == (0, "")
    document = json.loads(out)
    assert (document["study"], document["mode"], document["trials"], document["steps"]) == ("s", "batch", 5, 20)
    assert document["best"] == {"trial": 3, "value": 0.125}
    assert document["audit"] is None
    asked = [(each["rule"], each["eta"], each["min_resource"], each["max_resource"]) for each in document["replays"]]
    assert asked == [("halving", 2, 1, 4), ("halving", 3, 1, 4), ("median", 2, 1, 4), ("median", 3, 1, 4)]
    first = document["replays"][0]
    assert first["rungs"] == [{"rung": 1, "trials": 5, "stopped": 1}, {"rung": 2, "trials": 4, "stopped": 1}]
    assert (first["steps_saved"], first["share_saved"], first["stopped"]) == (5, 0.25, 2)
    assert (first["false_stops"], first["unknown"], first["unjudged"]) == ([3], 0, 0)
    assert first["best_survivor"] == {"trial": 2, "value": 0.25}


def test_a_replay_reads_the_same_in_pages_of_any_size(curves, run: Run, monkeypatch):
    _, whole, _ = run(*ARGUMENTS, "--json")
    for size in (1, 2, 3, 20, 21):
        monkeypatch.setattr(reports, "POINTS_PAGE", size)
        assert run(*ARGUMENTS, "--json")[1] == whole


def test_the_ended_trials_are_read_in_pages(curves, db):
    whole = [tuple(row) for page in trials.ended_pages(db, curves.id) for row in page]
    assert [row[0] for row in whole] == [0, 1, 2, 3, 4]
    for size in (1, 2, 5, 6):
        assert [tuple(row) for page in trials.ended_pages(db, curves.id, size) for row in page] == whole


def test_a_study_without_reports_is_refused_in_one_line(db, url, run: Run, monkeypatch):
    make_study(db)
    monkeypatch.setenv("DATABASE_URL", url)
    code, out, error = run(*ARGUMENTS)
    assert (code, out, error.count("\n")) == (1, "", 1)
    assert "study s has no ended trial with reports" in error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "max_resource is missing; rule halving needs the number of steps of a whole training"),
        (("--max-resource", "1"), "min_resource 1 is not below max_resource 1"),
        (("--rule", "median", "--max-resource", "1000"), "min_resource 1 gives 999 rungs"),
        (("--eta", "17", "--max-resource", "9"), "'--eta'"),
        (("--rule", "none", "--max-resource", "9"), "'--rule'"),
        (("--rule", "median", "--max-resource", "9", "--group-size", "2"), "--group-size: only the rule halving has"),
        (("--max-resource", "9", "--brackets", "2"), "--brackets: only the rule promotion has this setting"),
        (("--rule", "promotion", "--max-resource", "9", "--brackets", "3"), "brackets 3 is larger than the number of"),
    ],
)
def test_a_wrong_rule_is_refused_in_one_line(curves, run: Run, arguments, said):
    code, out, error = run("stopping", "replay", "s", *arguments)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert said in error


def rungs_of_verdicts(connection: psycopg.Connection[Any]) -> list[tuple[int, int, int]]:
    return connection.execute(
        "select rung, count(*), count(*) filter (where stops) from ledger.verdicts group by rung order by rung"
    ).fetchall()


@pytest.mark.parametrize(
    "decided",
    [{}, {"mode": "steady"}, {"direction": "maximize"}, {"rule": {"rule": "median"}}],
    ids=["halving", "steady", "maximize", "median"],
    indirect=True,
)
def test_the_replay_of_a_studys_own_rule_repeats_its_verdicts(decided, connection, run: Run):
    code, out, error = run("stopping", "replay", "s", "--json")
    assert (code, error) == (0, "")
    document = json.loads(out)
    (replayed,) = document["replays"]
    counted = [(each["rung"], each["trials"], each["stopped"]) for each in replayed["rungs"]]
    recorded = rungs_of_verdicts(connection)
    assert [each for each in counted if each[1]] == recorded
    assert document["audit"] is None


def test_trials_that_the_study_pruned_are_counted_as_not_judged(decided, db, run: Run):
    # the study's own rule has not pruned an imported trial
    imported = [ExternalTrial({"C": 999.0}, 0.5, {}, pruned_step=1)]
    trials.import_finished(db, studies.get(db, "s").id, imported, None)
    # the first rung is after the end of trial 2, which the study pruned at step 5
    code, out, _ = run("stopping", "replay", "s", "--min-resource", "6")
    assert code == 0
    assert "not judged: the study's own rule has pruned 1 other trial, so" in out
    code, out, _ = run("stopping", "replay", "s")
    assert code == 0
    assert "not known: 1 of the stopped trials ended without a final value" in out
    assert "not judged" not in out


@pytest.mark.parametrize("decided", [{"rule": {"audit": 1.0}}], indirect=True)
def test_the_audit_of_a_study_measures_its_rule(decided, connection, run: Run):
    document = json.loads(run("stopping", "replay", "s", "--json")[1])
    ((audited, stopped),) = connection.execute(
        "select count(distinct trial), count(distinct trial) filter (where stops) from ledger.verdicts where audited"
    ).fetchall()
    assert (document["audit"]["trials"], document["audit"]["stopped"]) == (audited, stopped)
    assert stopped > 0
    _, out, _ = run("stopping", "replay", "s")
    assert re.search(
        rf"audit of the study's own rule: the rule would have stopped {stopped} of {audited} audited trials", out
    )
