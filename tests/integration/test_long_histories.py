"""Studies with more trials than the GP uses: a new manager reads columns, and proposes what the old one would."""

import json
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pytest
from sqlalchemy import Connection

from ledger.database import histories, protocol, studies, transfer, trials
from ledger.database.rows import SOURCES, TRIAL_STATES
from ledger.database.trials import ExternalTrial
from ledger.errors import UsageError
from ledger.manager.recorded_history import read_trials
from ledger.manager.registration import register
from ledger.optimizer import gaussian_process
from ledger.proposals import TrialTable
from ledger.study.file import assemble
from ledger.study.space import Space
from ledger.study.spec import StudySpec
from ledger.verification import verify
from tests.integration.ledgers import claim_one, managed, propose, take

SPACE: dict[str, Any] = {
    "C": {"type": "real", "low": 1e-3, "high": 1e3, "prior": "log-uniform"},
    "x": {"type": "real", "low": -1.0, "high": 1.0},
    "degree": {"type": "integer", "low": 1, "high": 50},
    "dropout": {"type": "real", "low": 0, "high": 0.5, "step": 0.1},
    "kernel": [None, "rbf", 1, 2.5, (1, "ä"), {"a": [None]}],
    "fixed": "constant",
}


class Killed(Exception):
    pass


def study(name: str = "s", mode: str = "batch", acq_func: str = "EI") -> StudySpec:
    tables: dict[str, dict[str, Any]] = {
        "study": {"name": name, "trials": 40, "batch_size": 4, "seed": 3, "mode": mode},
        "objective": {"function": "m:f"},
        "optimizer": {"acq_func": acq_func},
        "space": SPACE,
        "limits": {"max_failures": 1},
    }
    return assemble({}, tables=tables)


@pytest.fixture
def _few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the GP use few trials, and let a manager read many pages."""
    monkeypatch.setattr(gaussian_process, "MODELLED", 12)
    monkeypatch.setattr(gaussian_process, "FITTED_TO", 10)
    monkeypatch.setattr(histories, "PAGE", 3)


@pytest.fixture
def _worker(url: str) -> Iterator[None]:
    """Run a worker for which every seventh trial fails."""
    done = threading.Event()

    def work() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            protocol.listen(connection)
            while not done.is_set():
                held = claim_one(connection, None, uuid.uuid4(), "w")
                if held is None:
                    list(connection.notifies(timeout=0.1, stop_after=1))
                elif held.trial % 7 == 3:
                    protocol.fail(connection, held, "ValueError: no", 0.0)
                else:
                    protocol.complete(connection, held, held.params["x"] ** 2 + held.params["degree"], {}, 0.0)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    done.set()
    thread.join()


def run_with_kills(db: Connection, spec: StudySpec, ends: list[int]) -> None:
    """Run a study, and kill its manager each time that one of the numbers of trials has ended."""
    for limit in [*ends, None]:

        def kill(progress: Any, limit: int | None = limit) -> None:
            if limit is not None and progress.ended >= limit:
                raise Killed

        manager = managed(db, register(db, spec), kill)
        if limit is None:
            manager.run()
        else:
            with pytest.raises(Killed):
                manager.run()


@pytest.mark.usefixtures("_few_points", "_worker")
def test_a_resumed_manager_proposes_the_same_points(db):
    found = {}
    for name, ends in {"calm": [], "s": [4, 12, 16, 24, 36]}.items():
        run_with_kills(db, study(name), ends)
        row = studies.get(db, name)
        iterations = studies.iterations(db, row.id)
        assert iterations[-1].surrogate is not None
        assert iterations[-1].surrogate["known"] == 12 < iterations[-1].surrogate["observations"]
        points = [(trial.number, trial.iteration, trial.params) for trial in trials.all_of(db, row.id)]
        found[name] = points, [iteration.surrogate for iteration in iterations]
        assert verify(transfer.snapshot(db, row.id)).recomputed == 10
    assert found["s"] == found["calm"]


@pytest.mark.usefixtures("_few_points", "_worker")
def test_verify_accepts_points_of_resumed_managers_in_steady_mode(db):
    run_with_kills(db, study(mode="steady"), [4, 13, 20, 31])
    row = studies.get(db, "s")
    checked = verify(transfer.snapshot(db, row.id))
    assert (row.state, checked.trials, checked.not_comparable) == ("complete", 40, [])
    seen = [number for iteration in studies.iterations(db, row.id) for number in iteration.seen or ()]
    assert len(seen) == len(set(seen)) > 30


@pytest.mark.usefixtures("_few_points")
@pytest.mark.parametrize("acq_func", ["EI", "EIps"])
def test_the_columns_have_the_values_of_the_rows(db, connection, acq_func):
    spec = study(acq_func=acq_func)
    row = register(db, spec)
    points = [*spec.space.extreme_points(), {**next(spec.space.extreme_points()), "C": 0.3, "x": 0.1}]
    propose(db, row, 0, points)
    for number in range(4):
        held = take(connection)
        if number == 3:
            protocol.fail(connection, held, "ValueError: no", 0.0)
        elif number > 0:
            protocol.complete(connection, held, number / 7, {}, 0.1)
    connection.execute(
        "update ledger.trial set state = 'pruned', pruned_step = 1, pruned_loss = 0.1, finished_at = ledger.clock()"
        " where study_id = %s and number = 4",
        [row.id],
    )
    trials.cancel(db, row.id, [5], "no")
    trials.retry(db, row.id, [3])
    trials.enqueue(db, row.id, [{**points[0], "x": 0.625}])
    trials.import_finished(db, row.id, [ExternalTrial({**points[0], "x": 0.75}, 0.5, {})], 0.5)
    rows = trials.all_of(db, row.id)
    expected, found = TrialTable(spec), TrialTable(spec)
    expected.put(rows)
    kinds = read_trials(db, row.id, found)
    assert {trial.state for trial in rows} == set(TRIAL_STATES) - {"paused"}
    assert {trial.source for trial in rows} == set(SOURCES)
    assert expected.records.tobytes() == found.records.tobytes()
    assert [TRIAL_STATES[place] for place in kinds.states] == [trial.state for trial in rows]
    assert [SOURCES[place] for place in kinds.sources] == [trial.source for trial in rows]


def test_a_manager_reads_the_trials_of_a_space_of_constants(db):
    spec = study().model_copy(update={"space": Space.from_toml({"a": 3, "k": "x"})})
    row = register(db, spec)
    propose(db, row, 0, [{"a": 3, "k": "x"}])
    table = TrialTable(spec)
    read_trials(db, row.id, table)
    assert len(table) == 1
    assert table.given(1, 0, None).table.shape == (1, 0)


WRONG = ['{"x": 7}', '{"x": "0.5"}', '{"x": 1e-400, "degree": 1.5}', '{"kernel": "poly"}', '{"fixed": "changed"}']


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_value_is_named_only_when_a_proposal_uses_it(db, connection, wrong):
    spec = study()
    row = register(db, spec)
    points = list(spec.space.extreme_points())[:3]
    propose(db, row, 0, points)
    params = json.dumps({**points[1], **json.loads(wrong)})
    params = params.replace('"x": 0.0', '"x": 1e-400') if "1e-400" in wrong else params
    connection.execute("alter table ledger.trial disable trigger user")
    connection.execute("update ledger.trial set params = %s where study_id = %s and number = 1", [params, row.id])
    table = TrialTable(spec)
    read_trials(db, row.id, table)
    assert np.isfinite(table.records["point"][[0, 2]]).all()
    assert len(table.given(0, 0, None).observed) == 0
    with pytest.raises(UsageError, match="parameter"):
        table.given(1, 0, None)
