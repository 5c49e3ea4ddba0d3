"""Recorded studies and enqueued trials.

Enqueued trials are claimed first, and do not count towards the budget. Proposals stay a function of the history.
"""

import threading
import uuid
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from ledger.database import managing, protocol, studies, transfer, trials
from ledger.database.connection import engine
from ledger.database.managing import ClaimedStudy, ProposedBatch
from ledger.database.rows import StudyRow
from ledger.database.trials import ExternalTrial
from ledger.errors import LedgerError
from ledger.manager.registration import record, register
from ledger.study.spec import StudySpec
from ledger.verification import verify
from tests.integration.ledgers import make_study, managed, take, trial
from tests.integration.test_commands import run as run
from tests.integration.test_manager import square, study
from tests.integration.test_manager import workers as workers


def sources(db: Connection) -> list[tuple[int, int, str]]:
    return [(row.number, row.iteration, row.source) for row in trials.all_of(db, studies.get(db, "s").id)]


def recorded(db: Connection, asked: StudySpec) -> StudyRow:
    row = record(db, asked)
    assert row is not None
    return row


def verified(db: Connection) -> Any:
    return verify(transfer.snapshot(db, studies.get(db, "s").id))


def test_enqueued_trials_are_claimed_before_what_was_proposed(db, connection):
    row = make_study(db, trials=4)
    assert trials.enqueue(db, row.id, [{"C": 700.0}, {"C": 701.0}]) == [4, 5]
    new = trial(connection, 4)
    assert (new["source"], new["iteration"], new["round"], new["retry_of"]) == ("enqueued", 0, 0, None)
    last = studies.iterations(db, row.id)[-1]
    assert (last.number, last.size) == (0, 6)
    assert [take(connection).trial for _ in range(3)] == [4, 5, 0]


def test_claims_of_several_hold_enqueued_trials_and_begin_at_the_lowest(db, connection):
    row = make_study(db, trials=4, trial_timeout=60.0)
    trials.enqueue(db, row.id, [{"C": 700.0}])
    held = protocol.claim(connection, "s", [uuid.uuid4() for _ in range(3)], "w")
    assert [one.trial for one in held] == [0, 1, 4]
    assert {one.trial: trial(connection, one.trial)["claim"] for one in held} == {one.trial: one.claim for one in held}
    deadlines = [trial(connection, one.trial)["deadline_at"] is not None for one in held]
    assert deadlines == [True, False, False]


def test_before_a_study_begins_they_make_an_iteration_of_their_own(db, tmp_path):
    row = recorded(db, study(tmp_path))
    assert record(db, study(tmp_path)) is None
    assert trials.enqueue(db, row.id, [{"x": 0.5}]) == [0]
    assert trials.enqueue(db, row.id, [{"x": -0.5}]) == [1]
    last = studies.iterations(db, row.id)[-1]
    assert (last.number, last.size, last.told_at) == (0, 2, None)
    assert register(db, study(tmp_path)).budget == 8, "they do not count"
    assert register(db, study(tmp_path, iterations=6)).budget == 12
    with pytest.raises(LedgerError, match=r"trials: the study has 12, but 10 is requested \(the budget of a study "):
        register(db, study(tmp_path, iterations=5))


def test_they_are_observations_and_the_study_is_carried_on_as_before(db, workers, tmp_path):
    row = recorded(db, study(tmp_path))
    trials.enqueue(db, row.id, [{"x": 0.5}, {"x": -0.25}])
    workers(square)
    assert managed(db, register(db, study(tmp_path))).run().state == "complete"
    assert sources(db) == [
        *((number, 0, "enqueued") for number in range(2)),
        *((number, number // 2, "proposed") for number in range(2, 10)),
    ]
    # two observations are all the initial points that this study asks for
    assert [told.surrogate is not None for told in studies.iterations(db, row.id)] == [False, True, True, True, True]
    assert studies.iterations(db, row.id)[0].best_loss == 0.0625
    assert verified(db).recomputed == 4
    # the same settings find it complete, and one that has ended runs again
    assert register(db, study(tmp_path)).state == "complete"
    assert trials.enqueue(db, row.id, [{"x": 0.125}]) == [10]
    now = studies.get(db, "s")
    assert (now.state, now.budget, now.finished_at) == ("running", 8, None)
    assert managed(db, now).run().state == "complete"
    assert verified(db).recomputed == 4


def test_trials_enqueued_while_a_manager_waits_join_its_iteration(db, url, workers, tmp_path):
    points = iter([0.5, 0.25, 0.125])
    seen: set[float] = set()

    def watch(progress: Any) -> None:
        # once in each iteration
        if progress.ended not in seen and len(seen) < 3:
            seen.add(progress.ended)
            with engine(url).connect() as connection:
                other = connection
                trials.enqueue(other, studies.get(other, "s").id, [{"x": next(points)}])
            if len(seen) == 1:
                workers(square)

    row = managed(db, register(db, study(tmp_path)), watch).run()
    assert row.state == "complete"
    assert sum(source == "enqueued" for *_, source in sources(db)) == 3
    assert sum(source == "proposed" for *_, source in sources(db)) == 8
    assert verified(db).recomputed == 4


def test_a_trial_that_joins_and_ends_while_its_iteration_is_told_counts(db, connection, tmp_path, monkeypatch):
    tell = managing.tell
    answers: list[str] = []

    def work(_progress: Any = None) -> None:
        while held := protocol.claim(connection, "s", [uuid.uuid4()], "w"):
            protocol.complete(connection, held[0], square(held[0].params), {}, 0.0)

    def join_first(*arguments: Any) -> str:
        if not answers:
            # after the losses of the other trials were read
            trials.enqueue(db, row.id, [{"x": 0.5}])
            work()
        answers.append(tell(*arguments))
        return answers[-1]

    row = register(db, study(tmp_path, iterations=1))
    monkeypatch.setattr(managing, "tell", join_first)
    assert managed(db, row, work).run().state == "complete"
    assert answers == ["changed", "told"]
    assert studies.iterations(db, row.id)[0].size == 3
    assert verified(db).recomputed == 1


def test_a_point_enqueued_while_it_is_proposed_is_not_proposed_again(db, url, workers, tmp_path, monkeypatch):
    """The space has four points, so that the two must meet; the manager sees the other's before it writes."""
    propose = managing.propose
    made: list[int] = []

    def enqueue_first(own: Connection, held: ClaimedStudy, batch: ProposedBatch) -> str:
        if not made:
            with engine(url).connect() as connection:
                made.extend(trials.enqueue(connection, held.study_id, batch.points[:1]))
        return propose(own, held, batch)

    monkeypatch.setattr(managing, "propose", enqueue_first)
    workers(lambda params: float(params["x"]))
    asked = study(tmp_path, space='x = { type = "integer", low = 0, high = 3 }', iterations=2, seed=3)
    row = managed(db, register(db, asked)).run()
    assert row.state == "complete"
    assert sources(db)[0] == (0, 0, "enqueued")
    assert sorted(one.params["x"] for one in trials.all_of(db, row.id)) == [0, 1, 2, 3]
    assert verified(db).trials == 4


def test_where_all_that_were_enqueued_fail_the_study_goes_on(db, workers, tmp_path):
    row = recorded(db, study(tmp_path))
    trials.enqueue(db, row.id, [{"x": 0.5}, {"x": -0.25}])
    workers(lambda params: None if params["x"] in (0.5, -0.25) else square(params))
    assert managed(db, register(db, study(tmp_path))).run().state == "complete"
    first = studies.iterations(db, row.id)[0]
    assert (first.size, first.round, first.mean_loss) == (2, 0, None)
    assert verified(db).recomputed == 4


@pytest.mark.parametrize("when", ["before", "while it runs"])
def test_enqueued_trials_of_steady_mode_do_not_count(db, url, workers, tmp_path, when):
    asked = study(tmp_path, mode="steady", batch_size=3)
    row = recorded(db, asked)
    more = threading.Event()

    def enqueue(points: list[dict[str, float]]) -> None:
        with engine(url).connect() as connection:
            trials.enqueue(connection, row.id, points)

    def watch(progress: Any) -> None:
        if progress.ended >= 5 and not more.is_set():
            more.set()
            enqueue([{"x": 0.5}, {"x": 0.25}])

    if when == "before":
        more.set()
        enqueue([{"x": 0.5}, {"x": 0.25}])
    workers(square)
    assert managed(db, register(db, asked), watch).run().state == "complete"
    assert studies.get(db, "s").budget == 12
    counted = [source for *_, source in sources(db)]
    assert (counted.count("proposed"), counted.count("enqueued")) == (12, 2)
    assert all(iteration.told_at is not None for iteration in studies.iterations(db, row.id))
    assert verified(db).trials == 14


def test_a_study_that_has_them_is_the_same_after_every_kill(db, url, workers, tmp_path):
    class Killed(Exception):
        pass

    polls = 0

    def begin(name: str) -> Any:
        asked = study(tmp_path).model_copy(update={"name": name})
        row = recorded(db, asked)
        trials.enqueue(db, row.id, [{"x": 0.5}, {"x": -0.25}])
        trials.import_finished(db, row.id, [ExternalTrial({"x": 0.75}, 0.5625, {})], 0.5625)
        return asked

    def kill(_progress: Any) -> None:
        nonlocal polls
        polls += 1
        if polls % 2 == 0:
            raise Killed

    calm, killed = begin("calm"), begin("s")
    workers(square)
    managed(db, register(db, calm)).run()
    while studies.get(db, "s").state != "complete":
        with engine(url).connect() as connection:
            again = connection
            try:
                managed(again, register(again, killed), kill).run()
            except Killed:
                continue
    recorded_trials = [
        [
            (one.number, one.iteration, one.source, one.params, one.loss)
            for one in trials.all_of(db, studies.get(db, name).id)
        ]
        for name in ("calm", "s")
    ]
    assert recorded_trials[0] == recorded_trials[1]
    assert polls > 4


def test_a_trial_that_cannot_be_enqueued_is_refused_with_its_reason(db, connection):
    row = make_study(db, trials=4, max_failures=1)
    protocol.complete(connection, take(connection), 0.5, {}, 1.0)
    protocol.fail(connection, take(connection), "no", 1.0)
    take(connection)
    recorded_trials = trials.all_of(db, row.id)
    for number, said in {
        0: r"trial 0 of study s has these parameters, and is complete: its value is 0\.5$",
        1: "trial 1 of study s has these parameters, and is failed: `ledger trial retry s 1` tries them again",
        2: "trial 2 of study s has these parameters, and is running, so it has not ended yet",
        3: "trial 3 of study s has these parameters, and is pending, so it has not ended yet",
    }.items():
        with pytest.raises(LedgerError, match=said):
            trials.enqueue(db, row.id, [{"C": 500.0}, recorded_trials[number].params])
    assert trials.all_of(db, row.id) == recorded_trials
    assert studies.iterations(db, row.id)[-1].size == 4
    studies.cancel(db, row.id, "test")
    with pytest.raises(LedgerError, match="study s was cancelled, which is final: enqueue the trial in another study"):
        trials.enqueue(db, row.id, [{"C": 500.0}])


@pytest.mark.parametrize("params", [{}, {"D": 1.0}, {"C": 1.0, "D": 1.0}])
def test_a_trial_without_the_parameters_of_its_space_is_refused(db, params):
    """Every reader of a trial reads the value of each parameter of the space."""
    row = make_study(db)
    before = trials.all_of(db, row.id)
    with pytest.raises(LedgerError, match="study s: the parameters do not have the names of the search space"):
        trials.enqueue(db, row.id, [params])
    with pytest.raises(LedgerError, match="study s: the parameters do not have the names of the search space"):
        trials.import_finished(db, row.id, [ExternalTrial(params, 1.0, {})], 1.0)
    assert trials.all_of(db, row.id) == before


def test_workers_are_notified_of_an_enqueued_trial(db, connection):
    row = make_study(db)
    studies.pause(db, row.id)
    protocol.listen(connection)
    trials.enqueue(db, row.id, [{"C": 700.0}])
    assert [notice.channel for notice in connection.notifies(timeout=10, stop_after=1)] == [protocol.CHANNEL]
    assert studies.get(db, "s").state == "paused"
    assert protocol.claim(connection, "s", [uuid.uuid4()], "w") == []


def test_the_commands_record_a_study_enqueue_in_it_and_refuse_in_one_line(run, url, monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", url)
    made = run("study", "create", "--name", "s", "--iterations", "2")
    assert made[:2] == (
        0,
        "study s is recorded, but not started: `ledger resume s` starts the study\n",
    )
    code, _, error = run("study", "create", "--name", "s")
    assert (code, error.count("\n")) == (1, 1)
    assert "study s exists already" in error
    assert run("trial", "enqueue", "s", "gamma=0.5", "C=1")[:2] == (
        0,
        'trial 0 of study s is enqueued: {"C": 1.0, "gamma": 0.5}\n',
    )
    (tmp_path / "points.jsonl").write_text('{"C": 2, "gamma": 0.5}\n{"C": 3, "gamma": 0.5}\n')
    assert run("trial", "enqueue", "s", "--file", "points.jsonl")[1].count("enqueued") == 2
    for arguments, expected, said in [
        (["C=1e9", "gamma=0.5"], 2, "parameter 'C': 1000000000.0 is not in [0.001, 1000.0]"),
        (["C=1"], 2, "parameter 'gamma' of the space is missing"),
        (["C=1", "gamma=0.5"], 1, "trial 0 of study s has these parameters"),
        ([], 2, "say which point"),
        (["C=1", "--file", "points.jsonl"], 2, "say which point"),
        (["--file", "none.jsonl"], 2, "none.jsonl: No such file or directory; give the path of a file"),
        (["--file", "points.jsonl"], 1, "trial 1 of study s has these parameters"),
    ]:
        code, _, error = run("trial", "enqueue", "s", *arguments)
        assert (code, error.count("\n")) == (expected, 1), error
        assert said in error
    with psycopg.connect(url) as connection:
        assert connection.execute("select count(*) from ledger.trial").fetchone() == (3,)
    assert run("resume", "s", "--iterations", "1", "--workers", "0")[::2] == (
        1,
        "ledger: study s has a budget of 4 trials; the budget of a study cannot be reduced\n",
    )
