"""The estimator of a study with the best parameters: trained on all data, and as Python code."""

import csv
import pickle
import random
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from ledger.best_code import best_code
from ledger.errors import LedgerError, UsageError
from ledger.objectives import load, metrics
from ledger.objectives.context import Context
from ledger.objectives.form import read_form
from ledger.objectives.loading import load_dataset
from ledger.refitting import refit
from ledger.seeds import derive
from ledger.settings import Settings
from ledger.study.file import assemble
from ledger.study_result import StudyResult

SEED, TRIAL = 7, 3
BUNDLED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"model": "svm", "dataset": "iris"}, {"C": 2.5, "kernel": "rbf"}),
    ({"model": "svm", "dataset": "diabetes", "task": "regression", "metric": "r2"}, {"C": 2.5}),
    ({"model": "xgb", "dataset": "iris", "class_weights": "balanced"}, {"max_depth": 4, "n_estimators": 8}),
    ({"model": "xgb", "dataset": "iris", "class_weights": {"0": 5.0, "1": 1.0, "2": 0.5}}, {"n_estimators": 8}),
    ({"model": "lgbm", "dataset": "iris"}, {"num_leaves": 4, "subsample": 0.5, "n_estimators": 8, "top_rate": 0.3}),
    ({"estimator": "sklearn.ensemble:ExtraTreesClassifier", "dataset": "wine"}, {"n_estimators": 9}),
    (
        {
            "steps": [["scale", "sklearn.preprocessing:StandardScaler"], ["forest", "sklearn.svm:SVC"]],
            "dataset": "wine",
            "params": {"forest__tol": 1e-4},
            "class_weights": "balanced",
        },
        {"forest__C": 3.0, "forest__class_weight": None},
    ),
]


def spec_of(objective: dict[str, Any]) -> dict[str, Any]:
    return {"seed": SEED, "objective": objective}


def with_contents(settings: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
    """The objective of a study that trains on data files, and the contents of these files."""
    study = assemble({"target_column": "target", **settings})
    assert study.objective.data is not None
    contents = [file.content for file in study.objective.data.files if file.content is not None]
    return study.spec()["objective"], contents


def run(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def predictions(estimator: Any, features: Any) -> Any:
    # Probabilities show smaller differences than classes.
    predict = getattr(estimator, "predict_proba", estimator.predict)
    return predict(features)


@pytest.mark.parametrize(("objective", "params"), BUNDLED, ids=lambda value: str(value)[:40])
def test_the_code_trains_the_estimator_that_refit_returns(objective, params):
    fitted = refit("s", spec_of(objective), TRIAL, params, [], 1, ())
    code = best_code("s", spec_of(objective), TRIAL, 0.5, params, [])
    assert "ledger" not in code
    assert code.startswith(f"# study s, trial 3, {objective.get('metric', 'accuracy')} 0.5\n")
    assert max(map(len, code.splitlines())) <= 120
    ran = run(code)
    assert_array_equal(predictions(fitted, ran["features"]), predictions(ran["model"], ran["features"]))


def write(path: Any, names: list[str], rows: list[list[Any]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])


def rows_of(count: int, seed: int, *, text_target: bool) -> list[list[Any]]:
    """Rows with a missing number, a missing text and a weight, whose target depends on the features."""
    drawn = random.Random(seed)
    rows = []
    for _ in range(count):
        age, plan, income = drawn.randint(18, 80), drawn.choice(["free", "pro", "team"]), drawn.gauss(30, 9)
        leaves = age + 40 * (plan == "free") + drawn.gauss(0, 9) > 60
        target = ("yes" if leaves else "no") if text_target else age + income
        shown = drawn.choice([age, age, age, "", "NaN"])
        rows.append([shown, drawn.choice([plan, plan, ""]), f"2024-{drawn.randint(1, 12):02}", income, target, 1 + age])
    return rows


NAMES = ["age", "plan", "month", "income", "target", "importance"]


@pytest.mark.parametrize("text_target", [True, False], ids=["classes", "numbers"])
@pytest.mark.parametrize("model", ["xgb", "svm"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_code_reads_the_data_file_of_the_study(tmp_path, monkeypatch, text_target, model, kind):
    write(tmp_path / "data.csv", NAMES, rows_of(120, 1, text_target=text_target))
    if kind == "parquet":
        import pandas

        table = pandas.read_csv(tmp_path / "data.csv")
        table.to_parquet(tmp_path / "data.parquet")
    objective, contents = with_contents(
        {
            "model": model,
            "data": str(tmp_path / f"data.{kind}"),
            "time_column": "month",
            "weight_column": "importance",
            **({} if text_target else {"task": "regression"}),
        }
    )
    params = {"max_depth": 3, "n_estimators": 9} if model == "xgb" else {"C": 2.0}
    fitted = refit("s", spec_of(objective), TRIAL, params, contents, 1, ())
    monkeypatch.chdir(tmp_path)
    code = best_code("s", spec_of(objective), TRIAL, 0.5, params, contents)
    ran = run(code)
    numbers = ran["model"][0].transform(ran["features"])
    assert numbers.shape == (120, 1 + 3 + 1)
    assert_array_equal(predictions(fitted, numbers), predictions(ran["model"], ran["features"]))


def test_a_hold_out_file_scores_the_refitted_estimator(tmp_path):
    for name, seed in (("data.csv", 1), ("new.csv", 2)):
        write(tmp_path / name, NAMES, rows_of(90, seed, text_target=True))
    files = {"data": str(tmp_path / "data.csv"), "holdout": str(tmp_path / "new.csv")}
    objective, contents = with_contents({"model": "lgbm", **files})
    params = {"n_estimators": 12, "subsample": 0.7}
    evaluate = load(objective, (), contents=contents)
    result = evaluate(params, Context("s", TRIAL, 1, derive(SEED, "trial", TRIAL), SEED))
    fitted = refit("s", spec_of(objective), TRIAL, params, contents, 1, ())
    holdout = load_dataset(read_form(objective), contents).holdout
    assert holdout is not None
    score = metrics.scorer("accuracy")(fitted, holdout.features, holdout.targets, None)
    assert score == result.metrics["accuracy"], "the trial's own estimator"


def test_missing_numbers_are_replaced_by_the_refitted_estimator(tmp_path):
    write(tmp_path / "data.csv", NAMES, rows_of(60, 1, text_target=True))
    objective, contents = with_contents({"model": "svm", "data": str(tmp_path / "data.csv")})
    fitted = refit("s", spec_of(objective), TRIAL, {"C": 1.0}, contents, 1, ())
    assert set(fitted.predict(np.full((2, fitted.n_features_in_), np.nan))) <= {0, 1}


@pytest.mark.parametrize(
    ("objective", "kind"),
    [({"function": "my.code:loss"}, "function"), ({"command": ["./train", "{x}"]}, "command")],
)
def test_the_code_of_a_user_is_not_refitted(objective, kind):
    for call in (
        lambda: refit("s", spec_of(objective), 0, {}, [], 1, ()),
        lambda: best_code("s", spec_of(objective), 0, 0.5, {}, []),
    ):
        with pytest.raises(UsageError, match=f"does not know the model of study s, because the objective is a {kind}"):
            call()


def test_an_estimator_of_own_code_needs_a_permission(tmp_path, monkeypatch):
    (tmp_path / "own_forest.py").write_text(
        "from sklearn.ensemble import RandomForestClassifier\n\n\nclass Scaler(RandomForestClassifier):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    own = spec_of({"estimator": "own_forest:Scaler", "dataset": "iris"})
    with pytest.raises(UsageError, match=r"which this call does not permit; pass allow=\['own_forest'\]"):
        refit("s", own, 0, {}, [], 1, ())
    with pytest.raises(UsageError, match=r"`allow` must be a list of packages, such as \['own_forest'\]"):
        refit("s", own, 0, {}, [], 1, "own_forest")
    fitted = refit("s", own, 0, {"n_estimators": 5}, [], 1, ["own_forest"])
    ran = run(best_code("s", own, 0, 0.5, {"n_estimators": 5}, []))
    assert_array_equal(predictions(fitted, ran["features"]), predictions(ran["model"], ran["features"]))


def test_a_permission_of_a_package_includes_its_modules(tmp_path, monkeypatch):
    (tmp_path / "own_package" / "models").mkdir(parents=True)
    (tmp_path / "own_package" / "models" / "nearest.py").write_text(
        "from sklearn.neighbors import KNeighborsClassifier\n\n\nclass Nearest(KNeighborsClassifier):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    own = spec_of({"estimator": "own_package.models.nearest:Nearest", "dataset": "iris"})
    with pytest.raises(UsageError, match=r"pass allow=\['own_package'\] if"):
        refit("s", own, 0, {}, [], 1, ["own"])
    for allowed in ("own_package", "own_package.models"):
        assert type(refit("s", own, 0, {}, [], 1, [allowed])).__name__ == "Nearest"


def test_two_classes_with_one_name_stay_apart(tmp_path, monkeypatch):
    (tmp_path / "own_scaler.py").write_text(
        "from sklearn.preprocessing import MinMaxScaler\n\n\nclass StandardScaler(MinMaxScaler):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    steps = [
        ["a", "sklearn.preprocessing:StandardScaler"],
        ["b", "own_scaler:StandardScaler"],
        ["c", "sklearn.svm:SVC"],
    ]
    code = best_code("s", spec_of({"steps": steps, "dataset": "iris"}), 0, 0.5, {"c__C": 2.0}, [])
    kinds = [type(step).__module__.partition(".")[0] for _, step in run(code)["model"].steps]
    assert kinds == ["sklearn", "own_scaler", "sklearn"]


@pytest.mark.parametrize("threads", [0, -1, 2.0, True, 100_000])
def test_the_number_of_threads_is_bounded(threads):
    with pytest.raises(UsageError, match="`threads` must be an integer from 1 to 1,024"):
        refit("s", spec_of(BUNDLED[0][0]), 0, {}, [], threads, ())


def test_other_data_than_those_of_the_study_are_refused(tmp_path):
    write(tmp_path / "data.csv", NAMES, rows_of(60, 1, text_target=True))
    objective, _ = with_contents({"model": "svm", "data": str(tmp_path / "data.csv")})
    with pytest.raises(LedgerError, match="does not have the SHA-256 that the study has recorded"):
        refit("s", spec_of(objective), 0, {}, [b"a,b\n1,2\n"], 1, ())


def test_a_pickled_result_contains_no_password():
    settings = Settings(database_url="postgresql://reader:secret-word@localhost/ledger")
    result = StudyResult("s", "complete", None, 0, {}, (), _settings=settings)
    pickled = pickle.dumps(result)
    assert b"secret-word" not in pickled
    assert pickle.loads(pickled) == result
