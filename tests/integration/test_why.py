"""The command `ledger why`, in what it says about the point of a trial."""

import json
import math
import re
import uuid
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from ledger.database import protocol, trials
from ledger.database.connection import engine
from ledger.database.rows import StudyRow
from ledger.database.trials import ExternalTrial
from ledger.manager.registration import register
from ledger.proposals import environment
from ledger.study.file import assemble
from ledger.verification import proposals
from tests.integration.ledgers import managed
from tests.integration.test_commands import Run
from tests.integration.test_commands import run as run

FILE = """
[study]
name = "s"
trials = 20
batch_size = 5
mode = "{mode}"
seed = 7
[objective]
function = "m:f"
direction = "{direction}"
[space]
x = {{ type = "real", low = 0.0, high = 10.0 }}
y = {{ type = "categorical", choices = ["a", "b", "c"] }}
[optimizer]
base_estimator = "{estimator}"
acq_func = "{acq_func}"
"""


def value_of(params: dict[str, Any]) -> float:
    return float((params["x"] - 3) ** 2 + "abc".index(params["y"]))


def search(url: str, folder: Path, **settings: str) -> StudyRow:
    """Run a whole study in this process."""
    given = {"mode": "batch", "direction": "minimize", "estimator": "GP", "acq_func": "EI", **settings}
    file = folder / "s.toml"
    file.write_text(FILE.format(**given))
    with psycopg.connect(url, autocommit=True) as connection, engine(url).connect() as own:

        def train(_progress: Any) -> None:
            while held := protocol.claim(connection, "s", [uuid.uuid4()], "w"):
                protocol.complete(connection, held[0], value_of(held[0].params), {}, 1.0)

        return managed(own, register(own, assemble({}, file)), train).run()


@pytest.fixture
def searched(request, url, tmp_path, run: Run, monkeypatch) -> StudyRow:
    monkeypatch.setenv("DATABASE_URL", url)
    return search(url, tmp_path, **getattr(request, "param", {}))


def point(run: Run, number: int) -> dict[str, Any]:
    code, out, error = run("why", "s", str(number), "--json")
    assert (code, error) == (0, "")
    return dict(json.loads(out)["point"])


def lines(run: Run, number: int) -> list[str]:
    code, out, error = run("why", "s", str(number))
    assert (code, error) == (0, "")
    return [line for line in out.splitlines() if "early stopping" not in line]


def unit_cube(params: dict[str, Any]) -> list[float]:
    return [params["x"] / 10, *(float(params["y"] == choice) for choice in "abc")]


@pytest.mark.parametrize(
    "searched",
    [{}, {"estimator": "RF", "acq_func": "PI"}, {"acq_func": "LCB", "mode": "steady"}, {"acq_func": "EIps"}],
    ids=["batch", "forest", "steady", "seconds"],
    indirect=True,
)
def test_a_proposed_point_has_its_expectation_and_its_nearest_trial(searched, db, run: Run):
    rows = trials.all_of(db, searched.id)
    last = len(rows) - 1
    shown = point(run, last)
    known = shown["known_trials"]
    assert 10 <= known <= last
    assert shown["source"] == "proposed"
    assert shown["environment_difference"] is None
    assert shown["expected"]["deviation"] > 0
    assert math.isfinite(shown["expected"]["value"])
    own = unit_cube(rows[last].params)
    distance, nearest = min((math.dist(own, unit_cube(row.params)), row.number) for row in rows[:known])
    assert shown["nearest"] == {"trial": nearest, "distance": pytest.approx(distance), "value": rows[nearest].value}
    expected = shown["expected"]["acquisition"]
    assert (expected is None) == (shown["expected"]["acquisition_function"] == "EIps")
    said = lines(run, last)
    assert said[1].startswith(f"point: the surrogate ({searched.spec['optimizer']['base_estimator']}, ")
    assert f"knew {known} trials, and expected the value {shown['expected']['value']:.6g} with" in said[1]
    exponent, gain = (shown["expected"][name] for name in ("exponent", "gain"))
    transform = (
        "transform: Yeo-Johnson with the exponent {:.3g}, which increases the log-likelihood of the losses by {:.3g}"
    )
    assert said[2:-1] == ([] if exponent is None else [transform.format(exponent, gain)])
    assert said[-1].startswith(f"nearest known trial: trial {nearest}, ")
    assert ", at the distance " in said[-1]


def test_the_first_points_are_random(searched, run: Run):
    assert point(run, 0) == {
        "source": "proposed",
        "retry_of": None,
        "known_trials": 0,
        "defaults": [],
        "expected": None,
        "nearest": None,
        "environment_difference": None,
    }
    assert re.fullmatch(r"point: random, because 0 trials had ended, and the surrogate needs \d+", lines(run, 0)[1])


def test_a_proposal_of_another_environment_is_marked(searched, run: Run, monkeypatch):
    here = environment()
    monkeypatch.setattr(proposals, "environment", lambda: {**here, "numpy": "0.1"})
    assert "0.1 here" in point(run, 19)["environment_difference"]
    assert lines(run, 19)[-1].startswith(
        "the surrogate's numbers can differ from the numbers of the proposal, because the environments differ:"
        f" numpy {here['numpy']}"
    )
    assert point(run, 0)["environment_difference"] is None, "a random point has no numbers"


def test_points_of_users_say_where_they_come_from(db: Connection, connection, url, tmp_path, run: Run, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", url)
    file = tmp_path / "s.toml"
    file.write_text(FILE.format(mode="batch", direction="minimize", estimator="GP", acq_func="EI"))
    row = register(db, assemble({}, file))
    (enqueued,) = trials.enqueue(db, row.id, [{"x": 1.0, "y": "a"}])
    held = protocol.claim(connection, "s", [uuid.uuid4()], "w")[0]
    while protocol.fail(connection, held, "error", 1.0) == "retry":
        held = protocol.claim(connection, "s", [uuid.uuid4()], "w")[0]
    (retried,) = trials.retry(db, row.id, [enqueued])
    trials.import_finished(db, row.id, [ExternalTrial({"x": 2.0, "y": "b"}, 0.5, {})], 0.5)
    imported = trials.all_of(db, row.id)[-1].number
    assert lines(run, enqueued)[1:] == ["point: a user enqueued the point"]
    assert lines(run, retried)[1:] == [f"point: a user retried trial {enqueued}, so this trial has the same point"]
    assert lines(run, imported)[1:] == ["point: a user imported the point together with its result"]
    assert point(run, retried)["retry_of"] == enqueued
