"""Models that real workers keep: of the best trial only, equal to those of refit, and read by commands and Python."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

import ledger
from ledger.objectives import Context, datasets, load
from ledger.worker.artifact_messages import ArtifactAnnouncement, reply
from ledger.worker.trainer import TrainerHandle
from tests.system.programs import Program

OWN = """
from sklearn.linear_model import Ridge

class Odd(Ridge):
    def fit(self, X, y, sample_weight=None):
        self.odd_ = (x for x in [])
        return super().fit(X, y, sample_weight)
"""

# The training on all 442 rows never ends, but those for the value end.
SLOW = """
import os, signal, time
from sklearn.linear_model import Ridge

class Slow(Ridge):
    def fit(self, X, y, sample_weight=None):
        if len(X) == 442:
            ENDING
        return super().fit(X, y, sample_weight)
"""


def python_of(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `ledger` of this process read the ledger of the program."""
    for name in ("LEDGER_HOME", "LEDGER_STORE"):
        if value := program.environment.get(name):
            monkeypatch.setenv(name, value)


def losses(program: Program, name: str) -> list[tuple[int, float]]:
    return [(trial["number"], trial["loss"]) for trial in program.document(name)["trials"]]


@pytest.mark.parametrize("store", [None, "ledger"], ids=["folder", "database"])
def test_two_workers_keep_the_model_of_the_best_trial_only(tmp_path, monkeypatch, store):
    program = Program(tmp_path, **({} if store is None else {"LEDGER_STORE": store}))
    search = ("run", "--model", "svm", "--dataset", "iris", "--trials", "12", "--batch-size", "4")
    program.run(*search, "--keep-models", "best", "--workers", "2", "--name", "kept")
    program.run(*search, "--workers", "1", "--name", "plain")
    assert losses(program, "kept") == losses(program, "plain")
    rows = json.loads(program.run("artifact", "list", "kept", "--json"))
    best = min(losses(program, "kept"), key=lambda trial: (trial[1], trial[0]))[0]
    assert {(row["trial"], row["name"]) for row in rows} == {(best, "model.json"), (best, "model.skops")}

    python_of(program, monkeypatch)
    model = ledger.load_model("kept")
    assert (model.trial, model.loss) == (best, ledger.load_study("kept").best_loss)
    fitted = ledger.load_study("kept").refit()
    features = datasets.load("iris").features
    assert_array_equal(model.predict(features), fitted.predict(features))
    frame = pd.DataFrame(features, columns=list(model.columns))
    assert_array_equal(model.predict(frame), fitted.predict(features))
    beaten = next(number for number, _loss in losses(program, "kept") if number != best)
    with pytest.raises(
        ledger.LedgerError, match=f"trial {beaten} of study kept has no kept model.*with a model: {best};"
    ):
        ledger.load_model("kept", beaten)
    with pytest.raises(ledger.LedgerError, match="^study plain keeps no models: .*refit"):
        ledger.load_model("plain")
    for trial in ("0", True, 10**30, -1):
        with pytest.raises(ledger.UsageError, match="^load_model: `trial` must be the number of a trial"):
            ledger.load_model("kept", trial)  # type: ignore[arg-type]
    for allow in (None, ["svm", 5], 5):
        with pytest.raises(ledger.UsageError, match="^load_model: `allow` must be a list of packages"):
            ledger.load_model("kept", allow=allow)  # type: ignore[arg-type]
    with pytest.raises(ledger.UsageError, match="^the name of a study must be a text, but it is 5$"):
        ledger.load_model(5)  # type: ignore[arg-type]
    for read in (ledger.load_study("kept").artifacts, ledger.load_study("kept").reports):
        with pytest.raises(ledger.UsageError, match="`trial` must be the number of a trial"):
            read(trial="0")  # type: ignore[arg-type]

    said = program.run("model", "kept")
    assert "estimator        svm\n" in said
    assert json.loads(program.run("model", "kept", "--json"))["trial"] == best
    assert program.run("model", "kept", "--output", "m.skops").startswith(f"model of study kept, trial {best}: ")
    assert json.loads(Path(tmp_path, "m.json").read_text())["columns"][0] == {
        "name": "sepal length (cm)",
        "texts": None,
    }
    said = program.run("model", "kept", "--output", "m.skops", code=1)
    assert said == "ledger: m.skops exists: choose another path, or overwrite the file with --force\n"
    program.run("model", "kept", "--output", "m.skops", "--force", "--trial", str(best))
    said = program.run("model", "kept", "--output", "a" * 300, code=1)
    assert said.endswith("aaa cannot be written (File name too long): choose another path\n")
    assert "choose another ending" in program.run("model", "kept", "--output", "m.json", code=2)
    program.run("artifact", "rm", "kept", str(best), "model.json")
    said = program.run("model", "kept", code=1)
    assert f"trial {best} of study kept has no kept model" in said
    assert "trials with a model" not in said


@pytest.mark.parametrize(
    ("best", "kept"),
    [(None, [3, 4]), ((1.0, 0), [3, 4]), ((0.0, 0), []), ("equal", [3])],
    ids=["first", "better", "worse", "equal"],
)
def test_a_trainer_keeps_only_models_that_may_be_the_best(best, kept):
    objective = {"model": "svm", "dataset": "iris", "keep_models": "best"}
    jobs = [({"C": 1.0}, Context("s", number, 1, 7, 7)) for number in (3, 4)]
    if best == "equal":
        best = (load(objective, ())(*jobs[0]).loss, 3)
    trainer, asked = TrainerHandle([], 1), []
    try:
        trainer.start(objective, jobs, best=best)
        ended: list[Any] = []
        while trainer.jobs:
            ended += trainer.wait(None)
            for message in trainer.take_messages():
                if isinstance(message, ArtifactAnnouncement):
                    asked.append((3 + len(ended), message.name))
                # The supervisor accepts no artifact, so the model is not kept.
                trainer.reply(reply(message.request, "the store is full"))
    finally:
        trainer.close()
    assert asked == [(number, "model.skops") for number in kept]
    assert [outcome.kind for outcome in ended] == ["result", "result"]
    said = "is not kept: save_artifact: the store is full"
    assert [said in outcome.output for outcome in ended] == [number in kept for number in (3, 4)]


def test_a_model_that_cannot_be_kept_fails_no_trial(tmp_path, monkeypatch):
    (tmp_path / "own_odd.py").write_text(OWN)
    (tmp_path / "own.toml").write_text(
        "[study]\nname = 'odd'\ntrials = 2\n[objective]\nestimator = 'own_odd:Odd'\ndataset = 'diabetes'\n"
        "keep_models = 'best'\n[space]\nalpha = { type = 'real', low = 0.1, high = 1.0 }\n"
    )
    program = Program(tmp_path)
    program.run("run", "own.toml", "--allow", "own_odd", "--workers", "1")
    assert [trial["state"] for trial in program.document("odd")["trials"]] == ["complete", "complete"]
    assert "the model of trial 0 is not kept: the format of skops cannot represent" in program.run(
        *("trial", "show", "odd", "0")
    )
    assert json.loads(program.run("artifact", "list", "odd", "--json")) == []
    python_of(program, monkeypatch)
    with pytest.raises(ledger.LedgerError, match="has no kept model"):
        ledger.load_model("odd", allow=["own_odd"])


def test_python_keeps_the_model_of_a_pipeline_on_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEDGER_HOME", str(tmp_path / "home"))
    random = np.random.default_rng(7)
    table = pd.DataFrame({"area": random.normal(80, 20, 90), "town": random.choice(["Bern", "Chur"], 90)})
    table["price"] = table["area"] * 10 + (table["town"] == "Bern") * 300
    table.loc[3, "area"] = np.nan
    table.to_csv("flats.csv", index=False)
    steps: dict[str, Any] = {"fill": "sklearn.impute:SimpleImputer", "ridge": "sklearn.linear_model:Ridge"}
    flats = ledger.estimator(steps, space={"ridge__alpha": (0.01, 10.0)}, data="flats.csv", target_column="price")
    found = ledger.maximize(flats, trials=4, workers=2, name="flats", keep_models="best")
    model = ledger.load_model("flats")
    assert model.value == found.best_value
    expected = found.refit().predict(_features(table))
    assert_array_equal(model.predict(table[["area", "town"]]), expected)
    assert model.classes is None


def _features(table: pd.DataFrame) -> Any:
    return np.column_stack([table["area"], table["town"] == "Bern", table["town"] == "Chur"])


@pytest.mark.parametrize("ending", ["time.sleep(600)", "os.kill(os.getpid(), signal.SIGKILL)"], ids=["time", "death"])
def test_a_trainer_that_ends_while_it_saves_a_model_fails_no_trial(tmp_path, ending):
    (tmp_path / "own_slow.py").write_text(SLOW.replace("ENDING", ending))
    for name, setting in (("kept", "keep_models = 'best'\n"), ("plain", "")):
        (tmp_path / f"{name}.toml").write_text(
            f"[study]\nname = '{name}'\ntrials = 2\n[objective]\nestimator = 'own_slow:Slow'\ndataset = 'diabetes'\n"
            f"{setting}[space]\nalpha = {{ type = 'real', low = 0.1, high = 1.0 }}\n"
            "[limits]\ntrial_timeout = 5.0\nmax_failures = 1\n"
        )
    program = Program(tmp_path)
    for name in ("kept", "plain"):
        program.run("run", f"{name}.toml", "--allow", "own_slow", "--workers", "1")
    assert [trial["state"] for trial in program.document("kept")["trials"]] == ["complete", "complete"]
    assert losses(program, "kept") == losses(program, "plain")
    reason = (
        "not done within 5 s" if "sleep" in ending else "the trainer process died during the training: signal SIGKILL"
    )
    assert f"the model is not kept: {reason}" in program.run("trial", "show", "kept", "0")
