"""Studies whose space has defaults: the first proposed trial has them, and `verify` recomputes it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

import ledger
from ledger.database import overview, studies, transfer, trials
from ledger.database.rows import StudyRow, TrialRow
from ledger.database.trials import ExternalTrial
from ledger.errors import LedgerError
from ledger.manager.registration import record, register
from ledger.report.page import render
from ledger.study.file import assemble
from ledger.study.spec import StudySpec
from ledger.verification import verify
from tests.integration.ledgers import managed
from tests.integration.moving import exported, moved
from tests.integration.test_commands import Run
from tests.integration.test_commands import run as run
from tests.integration.test_manager import workers as workers
from tests.integration.test_verification import corrupt

PLAIN = """
C = { type = "real", low = 1e-3, high = 1e3, prior = "log-uniform" }
n = { type = "integer", low = 1, high = 64 }
layers = { type = "categorical", choices = [[64], [64, 32]], tuples = true }
depth = { type = "categorical", choices = "[4, null]" }
"""
WHOLE = """
C = { type = "real", low = 1e-3, high = 1e3, prior = "log-uniform", default = 1.0 }
n = { type = "integer", low = 1, high = 64, default = 8 }
layers = { type = "categorical", choices = [[64], [64, 32]], tuples = true, default = [64, 32] }
depth = { type = "categorical", choices = "[4, null]", default = "null" }
"""
PARTIAL = PLAIN.replace('"log-uniform"', '"log-uniform", default = 1.0').replace('null]"', 'null]", default = "null"')
ALL = {"C": 1.0, "n": 8, "layers": [64, 32], "depth": None}
SOME = {"C": 1.0, "depth": None}


def study(folder: Path, space: str = WHOLE, **options: Any) -> StudySpec:
    file = folder / "study.toml"
    file.write_text(
        f'[study]\nname = "s"\n[objective]\nfunction = "m:f"\n[optimizer]\nbase_estimator = "ET"\n[space]\n{space}'
        "[limits]\nmax_failures = 1\n"
    )
    return assemble({"iterations": 4, "batch_size": 2, "seed": 1, **options}, file)


def loss(params: dict[str, Any]) -> float:
    return float(abs(params["C"] - 3) + params["n"] / 10 + (params["depth"] is None))


Ran = Callable[..., list[TrialRow]]


@pytest.fixture
def ran(db: Connection, workers: Callable[[Any], None], tmp_path: Path) -> Ran:
    """Return a function that runs a study to its end, verifies it, and returns its trials."""

    def run(asked: StudySpec | None = None, loss: Callable[[dict[str, Any]], float | None] = loss) -> list[TrialRow]:
        workers(loss)
        row = managed(db, register(db, asked or study(tmp_path))).run()
        assert row.state == "complete"
        found = verified(db, row)
        assert not found.not_comparable
        assert found.recomputed > 0
        return trials.all_of(db, row.id)

    return run


def verified(db: Connection, row: StudyRow) -> Any:
    return verify(transfer.snapshot(db, row.id))


def has(trial: TrialRow, values: dict[str, Any]) -> bool:
    return {name: trial.params[name] for name in values} == values


@pytest.mark.parametrize("options", [{}, {"mode": "steady"}, {"batch_size": 1, "iterations": 8}])
def test_the_defaults_are_the_first_trial_of_the_budget(ran: Ran, tmp_path, options):
    rows = ran(study(tmp_path, **options))
    assert rows[0].params == ALL
    assert len(rows) == 8
    assert not any(has(row, ALL) for row in rows[1:])


def test_the_other_points_of_a_batch_stay_as_they_are(db, ran: Ran, tmp_path):
    plain = ran(study(tmp_path, PLAIN, name="plain"))[:2]
    partial = ran(study(tmp_path, PARTIAL, name="partial"))[:2]
    whole = ran(study(tmp_path, WHOLE, name="whole"))[:2]
    assert [row.params for row in partial] == [{**plain[0].params, **SOME}, plain[1].params]
    assert [row.params for row in whole] == [ALL, plain[1].params]
    assert "default" not in str(studies.get(db, "plain").spec)


def test_enqueued_trials_run_before_the_defaults(db, ran: Ran, tmp_path):
    record(db, study(tmp_path))
    other = {**ALL, "n": 9}
    trials.enqueue(db, studies.get(db, "s").id, [other])
    rows = ran()
    assert [(row.source, row.iteration, row.params) for row in rows[:2]] == [
        ("enqueued", 0, other),
        ("proposed", 1, ALL),
    ]


def test_defaults_that_were_enqueued_are_not_proposed(db, ran: Ran, tmp_path):
    record(db, study(tmp_path))
    trials.enqueue(db, studies.get(db, "s").id, [ALL])
    rows = ran()
    assert [row.source for row in rows if has(row, ALL)] == ["enqueued"]
    assert len(rows) == 9


def test_the_first_proposal_after_an_import_takes_the_defaults(db, ran: Ran, run: Run, url, tmp_path, monkeypatch):
    row = record(db, study(tmp_path))
    assert row is not None
    imported = [ExternalTrial({**ALL, "C": 2.0 + number}, 0.5 + number, {}) for number in range(6)]
    trials.import_finished(db, row.id, imported, 3.0)
    rows = ran()
    assert [trial.params for trial in rows if trial.source == "proposed" and has(trial, ALL)] == [rows[6].params]
    assert studies.iterations(db, row.id)[1].surrogate is not None
    monkeypatch.setenv("DATABASE_URL", url)
    _, out, _ = run("why", "s", "6")
    assert "point: the defaults of the parameters C, n, layers, depth, because no earlier trial had these values" in out
    assert "\nthe surrogate (ET, EI) knew 6 trials, and expected the value " in out


@pytest.mark.parametrize("mode", ["batch", "steady"])
def test_failed_defaults_are_not_proposed_again(ran: Ran, tmp_path, mode):
    failed: list[dict[str, Any]] = []

    def fails_first(params: dict[str, Any]) -> float | None:
        if len(failed) < 2 and loss(params) > 0 and params not in failed:
            failed.append(params)
            return None
        return loss(params)

    rows = ran(study(tmp_path, mode=mode, batch_size=4, iterations=2), fails_first)
    assert [row.number for row in rows if has(row, ALL)] == [0]
    assert sum(row.state == "failed" for row in rows) == 2


def test_a_trial_with_other_values_than_the_defaults_is_named(db, ran: Ran, url):
    ran()
    corrupt(url, """update ledger.trial set params = params || '{"C": 2.0}' where number = 0""")
    message = r"trial 0 \(iteration 0\): the recorded value of C is 2.0, but the recomputed value is 1.0"
    with pytest.raises(LedgerError, match=message):
        verified(db, studies.get(db, "s"))


def test_another_recorded_default_is_noticed(db, ran: Ran, url, tmp_path):
    ran()
    corrupt(url, """update ledger.study set spec = jsonb_set(spec, '{space,0,default}', '2.0')""")
    with pytest.raises(LedgerError, match="the study itself: `spec_hash` is "):
        verified(db, studies.get(db, "s"))
    other = study(tmp_path, WHOLE.replace("= 1.0", "= 2.0"))
    corrupt(url, f"update ledger.study set spec_hash = '{other.spec_hash}'")
    message = r"trial 0 \(iteration 0\): the recorded value of C is 1.0, but the recomputed value is 2.0"
    with pytest.raises(LedgerError, match=message):
        verified(db, studies.get(db, "s"))


def test_a_study_continues_only_with_its_defaults(db, ran: Ran, tmp_path):
    ran()
    assert len(ran(study(tmp_path, iterations=5))) == 10
    for space, message in (
        (WHOLE.replace("= 1.0", "= 2.0"), "space.C.default: the study has 1.0, but 2.0 is requested"),
        (WHOLE.replace(", default = 1.0", ""), "space.C.default: the study has 1.0, but nothing is requested"),
    ):
        with pytest.raises(LedgerError, match=message):
            register(db, study(tmp_path, space, iterations=6))


def test_a_moved_study_keeps_its_defaults(db, ran: Ran, tmp_path):
    ran()
    there = moved(db, exported(db, "s"), "there")
    spec = StudySpec.from_spec("there", there.budget, there.spec)
    assert spec.space == study(tmp_path).space
    assert spec.space.defaults == {"C": 1.0, "n": 8, "layers": (64, 32), "depth": None}
    assert verified(db, there).recomputed == 4


def test_the_report_and_the_reason_of_a_point_name_the_defaults(db, ran: Ran, run: Run, url, tmp_path, monkeypatch):
    ran(study(tmp_path, PARTIAL))
    monkeypatch.setenv("DATABASE_URL", url)
    assert "log-uniform; default 1.0" in render(overview.read(db, studies.get(db, "s")))
    lines = [run("why", "s", str(number))[1].splitlines()[-2:] for number in (0, 1)]
    reason = "random, because 0 trials had ended, and the surrogate needs 2"
    first = "point: the defaults of the parameters C, depth, because no earlier trial had these values"
    assert lines[0] == [first, f"other parameters: {reason}"]
    assert lines[1][-1] == f"point: {reason}"
    # The objective receives the defaults as Python values.
    assert ledger.load_study("s").trials[0].params["depth"] is None
