"""The totals that the ledger keeps with each told iteration, and the listings that read them."""

import json
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from benchmarks import large
from benchmarks.ledgers import Ledger
from ledger.database import managing, overview, protocol, reads, status, studies, transfer, trials
from ledger.database.managing import ProposedBatch
from ledger.database.rows import ProgressRow, StudyRow
from ledger.database.status import Improvement
from ledger.database.trials import ExternalTrial
from ledger.study.spec import StudySpec
from ledger.verification import disagreements
from tests.fuzz import cases
from tests.integration.ledgers import add_iteration, hold, propose, spec, take, tell
from tests.integration.recounting import check_totals
from tests.integration.test_commands import run as run
from tests.unit import overviews


def studied(db: Connection, size: int, mode: str = "batch", objective: Any = None) -> StudyRow:
    """A study whose trials fail at their first failure. In batch mode, the study has an iteration of pending trials."""
    known = {**spec(size, max_failures=1), "mode": mode, "resolved": {"initial_points": 1}}
    known |= {} if objective is None else {"objective": objective}
    row = studies.create(db, "s", known, "0" * 64, 9, {})
    assert row is not None
    if mode == "batch":
        add_iteration(db, row, 0, size)
    return row


def differences(db: Connection, row: StudyRow) -> list[str]:
    """Return the contradictions between the records. The losses that this module tells are no means."""
    study = StudySpec.from_spec(row.name, row.budget, row.spec)
    found = disagreements(transfer.snapshot(db, row.id), study)
    return [each for each in found if "mean_loss" not in each and "spec_hash" not in each]


def compared(db: Connection, row: StudyRow) -> overview.StudyOverview:
    """Read the overview of a study, and check that all its trials give the same overview."""
    read = overview.read(db, row)
    known = overviews.overview(replace(transfer.snapshot(db, row.id), at=read.at))
    assert replace(read, progress=_without_clock(read.progress)) == replace(
        known, progress=_without_clock(known.progress)
    )
    return read


def _without_clock(progress: ProgressRow) -> ProgressRow:
    return replace(progress, elapsed=timedelta(0), metric=None, best_score=None)


@pytest.fixture
def steady(db: Connection) -> StudyRow:
    """A study in steady mode with three iterations of one trial each."""
    row = studied(db, 1, "steady")
    for number in range(3):
        propose(db, row, number, [{"C": 1.0 + number}], seen=[])
    return row


def test_iterations_told_in_any_order_have_the_totals_so_far(db, connection, steady):
    held = [take(connection) for _ in range(3)]
    losses = [0.5, 0.25, 0.375]
    for number in (2, 0, 1):
        protocol.complete(connection, held[number], losses[number], {}, 1.0)
        assert tell(db, steady, number, losses[number], losses[number]) == "told"
        compared(db, steady)
    totals = connection.execute(
        "select iteration, told, total_complete, last_complete, improvements from ledger.iterations order by iteration"
    ).fetchall()
    # when the last iteration was told, no earlier trial was known to be better
    assert totals == [(0, 2, 2, 2, [0]), (1, 3, 3, 2, [1]), (2, 1, 1, 2, [2])]
    assert connection.execute("select trial, loss from ledger.improvements").fetchall() == [(0, 0.5), (1, 0.25)]
    assert status.read(db, steady.id).improvements == [Improvement(0, 0.5, 0.5), Improvement(1, 0.75, 0.25)]
    assert not differences(db, steady)


@pytest.mark.hypothesis
def test_any_order_of_ends_and_of_told_iterations_has_right_totals(db, connection):
    @cases(25)
    @given(st.data(), st.lists(st.sampled_from([None, 0.25, 0.5, 0.75]), min_size=1, max_size=6))
    def check(data: st.DataObject, losses: list[float | None]) -> None:
        row = studied(db, 1, "steady")
        for number in range(len(losses)):
            propose(db, row, number, [{"C": 1.0 + number}], seen=[])
        held = [take(connection) for _ in losses]
        for number in data.draw(st.permutations(range(len(losses)))):
            loss = losses[number]
            if loss is None:
                protocol.fail(connection, held[number], "no", 1.0)
            else:
                protocol.complete(connection, held[number], loss, {}, 1.0)
            check_totals(connection, row.id)
        for number in data.draw(st.permutations(range(len(losses)))):
            assert tell(db, row, number, losses[number], losses[number]) == "told"
            check_totals(connection, row.id)
        assert not differences(db, row)
        assert studies.delete(db, studies.get(db, row.name)) == "deleted"

    check()


def test_the_improvements_of_a_maximised_study_have_rising_values(db, connection):
    row = studied(db, 2, objective={"function": "my.code:profit", "direction": "maximize"})
    for value in (0.25, 0.5):
        protocol.complete(connection, take(connection), -value, {}, 1.0)
    assert tell(db, row, 0, -0.375, -0.5) == "told"
    propose(db, row, 1, [{"C": 501.0}, {"C": 502.0}])
    for value in (0.375, 0.75):
        protocol.complete(connection, take(connection), -value, {}, 1.0)
    check_totals(connection, row.id)
    found = compared(db, row)
    assert found.improvements == [
        Improvement(0, 0.25, -0.25),
        Improvement(1, 0.5, -0.5),
        Improvement(3, 0.75, -0.75),
    ]
    assert found.improvements == status.read(db, row.id).improvements
    assert (found.progress.best_value, found.highest_loss, found.worst_value) == (0.75, -0.25, 0.25)
    assert [mean.mean_value for mean in found.means] == [0.375]
    assert found.batch_sizes == [2]
    assert not differences(db, row)


def test_untold_iterations_are_counted_at_every_moment(db, connection, steady):
    held = [take(connection) for _ in range(3)]
    protocol.complete(connection, held[1], 0.5, {"accuracy": 0.5}, 1.0)
    found = compared(db, steady)
    assert (found.progress.complete, found.progress.running, found.progress.iterations_told) == (1, 2, 0)
    assert (found.improvements, found.last_complete) == ([Improvement(1, 0.5, 0.5)], 1)
    assert tell(db, steady, 1, 0.5, 0.5) == "told"
    (number,) = trials.enqueue(db, steady.id, [{"C": 77.0}])
    protocol.complete(connection, held[0], 0.75, {}, 1.0)
    found = compared(db, steady)
    assert (found.progress.complete, found.progress.pending, found.progress.proposed) == (2, 1, 3)
    assert (found.improvements, found.last_complete) == ([Improvement(0, 0.25, 0.75), Improvement(1, 0.5, 0.5)], 1)
    protocol.complete(connection, take(connection), 0.125, {}, 1.0)
    found = compared(db, steady)
    assert found.best is not None
    assert (found.best.number, found.best.source, number) == (3, "enqueued", 3)


def test_imported_and_retried_trials_are_in_the_totals(db, connection):
    row = studied(db, 2)
    protocol.fail(connection, take(connection), "no", 1.0)
    protocol.complete(connection, take(connection), 0.5, {}, 1.0)
    assert tell(db, row, 0, 0.5, 0.5) == "told"
    history = [ExternalTrial({"C": 500.0 + number}, 0.75 - number / 4, {}) for number in range(3)]
    assert trials.import_finished(db, row.id, history, 0.5) == 2
    assert trials.retry(db, row.id, [0]) == [5]
    compared(db, row)
    protocol.complete(connection, take(connection), 0.375, {}, 1.0)
    assert tell(db, row, 2, 0.375, 0.375) == "told"
    (last,) = studies.latest_iterations(db, row.id, 1)
    assert (last.told, last.total_proposed, last.total_complete, last.total_failed) == (3, 2, 5, 1)
    assert (last.total_attempts, last.total_failures, last.total_crashes, last.total_lost) == (3, 1, 0, 0)
    assert (last.first_trial, last.last_complete, last.improvements) == (5, 5, None)
    found = compared(db, row)
    assert found.improvements == [Improvement(1, 0.5, 0.5), Improvement(4, 0.75, 0.25)]
    assert not differences(db, row)


def test_a_replaced_round_is_not_counted_as_proposed(db, connection):
    row = studied(db, 2)
    for _ in range(2):
        protocol.fail(connection, take(connection), "no", 1.0)
    propose(db, row, 0, [{"C": 501.0}, {"C": 502.0}], round=1)
    for loss in (0.5, 0.25):
        protocol.complete(connection, take(connection), loss, {}, 1.0)
    compared(db, row)
    assert tell(db, row, 0, 0.375, 0.25) == "told"
    found = compared(db, row)
    assert (found.progress.proposed, found.progress.ended, found.progress.failed) == (2, 2, 2)
    assert not differences(db, row)


def test_no_trial_joins_an_iteration_that_is_not_the_last(db, connection):
    row = studied(db, 1)
    protocol.fail(connection, take(connection), "no", 1.0)
    propose(db, row, 1, [{"C": 501.0}])
    again = ProposedBatch(0, 1, 2, [{"C": 502.0}], None, {}, 0.0, 0.0)
    assert managing.propose(db, hold(db, row), again) == "changed"


@pytest.mark.parametrize("name", large.STUDIES)
def test_selections_of_many_trials_are_those_of_all_trials(url, db, monkeypatch, tmp_path, name):
    large.fill(Ledger(url, tmp_path), name, 400)
    row = studies.get(db, name)
    assert not differences(db, row)
    assert compared(db, row).trials == 400
    for limit, value in {"SHOWN": 30, "OBSERVED": 40, "BARS": 50, "WORKERS": 5, "PAGE": 7, "COUNTED": 60}.items():
        monkeypatch.setattr(overview, limit, value)
    found = compared(db, row)
    assert (len(found.shown), len(found.timeline.groups) > 5) == (30, True)
    (progress,) = reads.progress(db, row.name)
    now = status.read(db, row.id)
    assert (progress.complete, progress.running) == (now.complete, now.running)
    assert now.improvements == found.improvements


def test_very_many_improvements_are_thinned(db, connection, monkeypatch):
    row = studied(db, 20)
    for number in range(20):
        protocol.complete(connection, take(connection), 1 - number / 32, {}, 1.0)
    assert [each.trial for each in status.read(db, row.id).improvements] == list(range(20))
    monkeypatch.setattr(status, "LIMITS", {**status.LIMITS, "improvements": 5})
    found = [each.trial for each in status.read(db, row.id).improvements]
    assert (len(found), found[0], found[-1]) == (5, 0, 19)


@pytest.fixture
def ledger(run, url, monkeypatch) -> Any:
    """Return a function that runs the program with the ledger of the test."""
    monkeypatch.setenv("DATABASE_URL", url)
    return run


def listed(run: Any, *options: str) -> tuple[list[int], str]:
    code, out, error = run("trial", "list", "s", *options)
    assert code == 0, error
    return [int(line.split()[0]) for line in out.splitlines()[1:]], error


def test_trials_are_listed_in_pages(db, connection, ledger, monkeypatch):
    studied(db, 7)
    for number in range(4):
        if number % 2:
            protocol.fail(connection, take(connection), "no", 1.0)
        else:
            protocol.complete(connection, take(connection), 0.5, {}, 1.0)
    monkeypatch.setattr(trials, "pages", partial(trials.pages, size=2))
    assert listed(ledger) == (list(range(7)), "")
    assert listed(ledger, "--limit", "3") == ([0, 1, 2], "ledger: more trials follow: --after 2 lists them\n")
    assert listed(ledger, "--limit", "3", "--after", "2")[0] == [3, 4, 5]
    assert listed(ledger, "--limit", "3", "--after", "3") == ([4, 5, 6], "")
    assert listed(ledger, "--state", "failed", "--limit", "1")[0] == [1]
    assert listed(ledger, "--state", "failed", "--limit", "1", "--after", "1") == ([3], "")
    _, out, _ = ledger("trial", "list", "s", "--json", "--after", "1", "--limit", "4")
    rows = json.loads(out)
    assert [row["number"] for row in rows] == [2, 3, 4, 5]
    assert out == json.dumps(rows, indent=2) + "\n"
    assert ledger("trial", "list", "s", "--json", "--after", "6")[1] == "[]\n"
    assert ledger("trial", "list", "s", "--after", "6")[1] == "study s has no trials after trial 6\n"


def test_a_list_that_the_database_ends_says_where_it_ended(db, connection, ledger, monkeypatch):
    studied(db, 4)
    pages: Any = trials.pages

    def fails(*arguments: Any, **facts: Any) -> Any:
        yield next(pages(*arguments, size=2, **facts))
        raise OperationalError("select", {}, psycopg.OperationalError("the server is gone"))

    monkeypatch.setattr(trials, "pages", fails)
    code, out, error = ledger("trial", "list", "s")
    assert code == 1
    assert len(out.splitlines()) == 3
    assert error == (
        "ledger: the list is incomplete, because the database failed (the server is gone): --after 1 lists the missing"
        " trials\n"
    )


def test_the_last_iterations_are_shown(db, connection, ledger):
    row = studied(db, 1)
    for number in range(3):
        if number:
            propose(db, row, number, [{"C": 500.0 + number}])
        protocol.complete(connection, take(connection), 0.5, {}, 1.0)
        assert tell(db, row, number, 0.5, 0.5) == "told"
    _, out, _ = ledger("study", "show", "s", "--iterations", "2")
    lines = [line for line in out.splitlines() if line.startswith("iteration")]
    assert lines[1:] == [
        "iterations 0 to 0 are not shown: --iterations 3 shows all iterations",
        "iteration 1: 1 trials, mean value 0.500000, best 0.500000",
        "iteration 2: 1 trials, mean value 0.500000, best 0.500000",
    ]
    _, out, _ = ledger("study", "show", "s", "--iterations", "1", "--json")
    assert [each["number"] for each in json.loads(out)["iteration_list"]] == [2]


def test_the_totals_of_a_told_iteration_do_not_change(db, connection):
    row = studied(db, 1)
    protocol.complete(connection, take(connection), 0.5, {}, 1.0)
    assert tell(db, row, 0, 0.5, 0.5) == "told"
    for change in ("told = 2", "total_complete = 2", "improvements = null"):
        with pytest.raises(psycopg.errors.RestrictViolation, match="what has ended does not change"):
            connection.execute(f"update ledger.iteration set {change}")
