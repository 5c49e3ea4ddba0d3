"""Kept models: written by a trainer, read back without code of the file, and asked with a table."""

import hashlib
import io
import json
import os
import pickle
import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import skops.io
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from ledger.database.protocol import ClaimedTrial, CompletedTrial
from ledger.errors import LedgerError, UsageError
from ledger.kept_model import KeptModel, open_model
from ledger.objectives import load
from ledger.objectives.context import Context
from ledger.objectives.form import read_form
from ledger.objectives.loading import load_dataset
from ledger.objectives.model_document import DOCUMENT, MODEL, ModelDocument, parse
from ledger.refitting import refit
from ledger.seeds import derive
from ledger.study.file import assemble
from ledger.worker.best_losses import BestLosses
from tests.unit.test_refit import NAMES, rows_of, with_contents, write

SEED, TRIAL = 7, 3
STEPS = [["scale", "sklearn.preprocessing:StandardScaler"], ["best", "sklearn.feature_selection:SelectKBest"]]
BUNDLED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"model": "svm", "dataset": "iris"}, {"C": 2.5}),
    ({"model": "svm", "dataset": "iris"}, {"C": 2.5, "kernel": "poly", "class_weight": "balanced"}),
    ({"model": "svm", "dataset": "diabetes"}, {"C": 2.5}),
    ({"model": "xgb", "dataset": "iris"}, {"max_depth": 4, "n_estimators": 8}),
    ({"model": "xgb", "dataset": "breast_cancer"}, {"max_depth": 4, "n_estimators": 8}),
    ({"model": "xgb", "dataset": "diabetes"}, {"n_estimators": 8, "booster": "gblinear"}),
    ({"model": "lgbm", "dataset": "iris"}, {"num_leaves": 4, "n_estimators": 8}),
    ({"model": "lgbm", "dataset": "diabetes"}, {"num_leaves": 4, "n_estimators": 8}),
    ({"estimator": "xgboost:XGBRFRegressor", "dataset": "diabetes"}, {"n_estimators": 8}),
    ({"estimator": "lightgbm:LGBMRegressor", "dataset": "diabetes"}, {"n_estimators": 8}),
    ({"steps": [*STEPS, ["svc", "sklearn.svm:SVC"]], "dataset": "wine"}, {"svc__C": 3.0, "best__k": 5}),
    *(
        ({"estimator": f"sklearn.{name}", "dataset": "wine"}, params)
        for name, params in (
            ("ensemble:RandomForestClassifier", {"n_estimators": 4}),
            ("ensemble:HistGradientBoostingClassifier", {"max_iter": 4}),
            ("ensemble:GradientBoostingClassifier", {"n_estimators": 4}),
            ("linear_model:LogisticRegression", {}),
            ("linear_model:SGDClassifier", {"loss": "modified_huber"}),
            ("neighbors:KNeighborsClassifier", {}),
            ("neural_network:MLPClassifier", {"max_iter": 5}),
            ("tree:DecisionTreeClassifier", {}),
        )
    ),
    *(
        ({"estimator": f"sklearn.{name}", "dataset": "diabetes"}, params)
        for name, params in (
            ("ensemble:ExtraTreesRegressor", {"n_estimators": 4}),
            ("ensemble:HistGradientBoostingRegressor", {"max_iter": 4, "loss": "poisson"}),
            ("linear_model:ElasticNet", {}),
            ("linear_model:PoissonRegressor", {}),
        )
    ),
]


@dataclass(frozen=True)
class RecordingContext(Context):
    """A context that keeps the artifacts of the trial in memory."""

    saved: dict[str, bytes] = field(default_factory=dict)

    def save_artifact(self, name: str, content: Any) -> None:
        self.saved[name] = content


def spec_of(objective: dict[str, Any]) -> dict[str, Any]:
    return {"seed": SEED, "objective": {"keep_models": "best", **objective}}


def keep(
    objective: dict[str, Any], params: dict[str, Any], contents: Any = (), allowed: Any = ()
) -> tuple[ModelDocument, bytes]:
    """Train a trial, keep its model, and return what the trainer has saved."""
    evaluate = load(spec_of(objective)["objective"], allowed, contents=contents)
    context = RecordingContext("s", TRIAL, 2, derive(SEED, "trial", TRIAL), SEED)
    assert evaluate.keeps_models
    evaluate.keep_model(params, context, evaluate(params, context))
    assert list(context.saved) == [MODEL, DOCUMENT]
    return parse(context.saved[DOCUMENT]), context.saved[MODEL]


def opened(objective: dict[str, Any], params: dict[str, Any], contents: Any = (), allowed: Any = ()) -> KeptModel:
    document, content = keep(objective, params, contents, allowed)
    return open_model("s", spec_of(objective), params, document, content, allowed)


def of_task(objective: dict[str, Any]) -> dict[str, Any]:
    is_regression = objective["dataset"] == "diabetes"
    return {**objective, **({"task": "regression", "metric": "r2"} if is_regression else {})}


@pytest.fixture(scope="module")
def iris() -> KeptModel:
    return opened({"model": "svm", "dataset": "iris"}, {"C": 2.5})


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:'n_jobs' has no effect")
@pytest.mark.parametrize(("objective", "params"), BUNDLED, ids=lambda value: str(value)[:60])
def test_a_kept_model_predicts_exactly_as_refit_does(objective, params):
    objective = of_task(objective)
    model = opened(objective, params)
    fitted = refit("s", spec_of(objective), TRIAL, params, [], 1, ())
    rows = load_dataset(read_form(objective), []).features
    assert_array_equal(model.predict(rows), fitted.predict(rows))
    if model.classes is not None and hasattr(fitted, "predict_proba"):
        assert_array_equal(model.predict_proba(rows), fitted.predict_proba(rows))
        assert model.predict_proba(rows).shape[1] == len(model.classes)
    with pytest.raises(UsageError, match="^the model predicts from a table with "):
        model.predict(rows[:, :-1])


def test_a_document_describes_the_model():
    document, content = keep({"model": "xgb", "dataset": "iris"}, {"n_estimators": 3})
    assert (document.study, document.trial, document.attempt) == ("s", TRIAL, 2)
    assert (document.metric, document.loss) == ("accuracy", 1 - document.value)
    assert (document.dataset, document.dataset_sha256, document.rows) == ("iris", None, 150)
    assert [column.name for column in document.columns] == load_iris().feature_names
    assert (document.classes, document.missing_numbers) == ([0, 1, 2], "refused")
    assert set(document.versions) == {"python", "numpy", "skops", "sklearn", "xgboost"}
    assert document.sha256 == hashlib.sha256(content).hexdigest()
    assert json.loads(document.model_dump_json())["params"] == {"n_estimators": 3}


@pytest.fixture(scope="module")
def leavers(tmp_path_factory: pytest.TempPathFactory) -> tuple[KeptModel, pd.DataFrame, Any]:
    """A model of a file with a column of text and missing numbers, the file's columns, and the encoded rows."""
    folder = tmp_path_factory.mktemp("leavers")
    write(folder / "data.csv", NAMES, rows_of(120, 1, text_target=True))
    objective, contents = with_contents(
        {"model": "svm", "data": str(folder / "data.csv"), "time_column": "month", "weight_column": "importance"}
    )
    params = {"C": 2.0}
    model = opened(objective, params, contents)
    fitted = refit("s", spec_of(objective), TRIAL, params, contents, 1, ())
    table = pd.read_csv(folder / "data.csv").sort_values("month", kind="stable")
    expected = fitted.predict(load_dataset(read_form(objective), contents).features)
    return model, table[["age", "plan", "income"]], np.array(["no", "yes"])[expected]


def test_a_frame_is_converted_as_the_data_file(leavers):
    model, frame, expected = leavers
    assert model.columns == ("age", "plan", "income")
    assert model.classes == ("no", "yes")
    assert frame["age"].isna().any()
    assert frame["plan"].isna().any()
    assert_array_equal(model.predict(frame), expected)
    assert_array_equal(model.predict(frame.to_numpy()), expected)
    assert_array_equal(model.predict(frame.convert_dtypes()), expected)
    assert_array_equal(model.predict(frame.astype({"plan": "category"})), expected)
    assert_array_equal(model.predict(frame.astype(object).where(frame.notna(), None).values.tolist()), expected)
    assert_array_equal(model.predict(frame.iloc[5:6]), expected[5:6])
    assert_array_equal(model.predict(pa.Table.from_pandas(frame)), expected)
    with pytest.raises(UsageError, match="^predict_proba: study s trains an estimator without predict_proba"):
        model.predict_proba(frame)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.assign(plan="por"), 'row 0, column "plan": no training row has the text "por"; did you'),
        (lambda frame: frame.assign(income="high"), 'row 0, column "income": "high" is not a number, but the column'),
        (lambda frame: frame.assign(income=np.inf), 'row 0, column "income": the number is not finite'),
        (
            lambda frame: frame[["plan", "age", "income"]],
            'the columns of the table are in the wrong order: column 0 is "pla',
        ),
        (lambda frame: frame.rename(columns={"age": "agee"}), "the model has no column \"agee\"; did you mean 'age'?"),
        (
            lambda frame: frame.assign(target="yes"),
            'the model has no column "target"; pass `frame[list(model.columns)]',
        ),
        (lambda frame: frame[["age", "plan"]], 'the table has no column "income"; add the columns'),
        (lambda frame: frame[["age", "plan", "income", "plan"]], 'two columns of the table have the name "plan"'),
        (lambda frame: frame.iloc[:0], "the table has no rows"),
        (lambda frame: frame.to_numpy()[0], "the model predicts from a table with 3 columns"),
        (lambda frame: [[1.0, "pro"]], "the model predicts from a table with 3 columns"),
        (lambda frame: [[1.0, "pro", [2.0]]], 'row 0, column "income": [2.0] is not a number'),
        (lambda frame: 5, "the model predicts from a table with 3 columns"),
        (lambda frame: list(np.ma.masked_invalid([[1.0, 2.0, np.nan]])), "row 0 of the list has a mask, which the"),
        (lambda frame: [frame.iloc[0, ::-1], frame.iloc[1, ::-1]], "row 0 of the list has names, which the model"),
        (lambda frame: NotComputed(), "the table is of the type tests.unit.test_kept_models.NotComputed, which cannot"),
        (lambda frame: np.ma.masked_invalid([[1.0, 2.0, np.nan]]), "the array has a mask; pass an array"),
        (lambda frame: pa.Table.from_pandas(frame[["plan", "age", "income"]]), "the columns of the table are in the "),
        (
            lambda frame: OtherTable(),
            "the table is of the type tests.unit.test_kept_models.OtherTable, which cannot be",
        ),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(leavers, change, message):
    model, frame, _expected = leavers
    with pytest.raises(UsageError) as refused:
        model.predict(change(frame))
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_a_text_that_pandas_reads_as_missing_is_never_unknown(tmp_path):
    lines = [f"{['None', 'Good', ''][row % 3]},{row % 3 == 0}\n" for row in range(60)]
    (tmp_path / "data.csv").write_text("pool,y\n" + "".join(lines))
    objective, contents = with_contents({"model": "svm", "data": str(tmp_path / "data.csv"), "target_column": "y"})
    model = opened(objective, {"C": 9.0}, contents)
    with pytest.raises(UsageError, match='^row 0, column "pool": the text is missing, but pandas also reads .* "None"'):
        model.predict(pd.read_csv(tmp_path / "data.csv")[["pool"]])
    predicted = model.predict(pd.read_csv(tmp_path / "data.csv", keep_default_na=False)[["pool"]])
    assert predicted[:3].tolist() == ["True", "False", "False"]
    assert_array_equal(model.predict([["None"], ["Good"], [""]]), predicted[:3])


def test_a_boolean_with_two_known_spellings_is_refused(tmp_path):
    lines = [f"{['TRUE', 'true', 'false'][row % 3]},{row % 3 == 0}\n" for row in range(60)]
    (tmp_path / "data.csv").write_text("flag,y\n" + "".join(lines))
    objective, contents = with_contents({"model": "svm", "data": str(tmp_path / "data.csv"), "target_column": "y"})
    model = opened(objective, {"C": 9.0}, contents)
    with pytest.raises(UsageError, match='^row 0, column "flag": the training rows have the texts "true", "TRUE", and'):
        model.predict(pd.read_csv(tmp_path / "data.csv")[["flag"]])
    text = pd.read_csv(tmp_path / "data.csv", dtype=str)[["flag"]]
    assert model.predict(text)[:3].tolist() == ["True", "False", "False"]


def test_a_missing_number_needs_a_model_that_replaces_it(iris):
    with pytest.raises(UsageError, match='^row 1, column "petal length .cm.": the number is missing, but the training'):
        iris.predict([[1, 2, 3, 4], [1, 2, None, 4]])


def test_texts_of_numbers_and_booleans_are_those_of_the_file(tmp_path):
    lines = [f"{row % 2 == 0},{['5', 'x', 'y'][row % 3]},{row % 2}\n".lower() for row in range(30)]
    (tmp_path / "data.csv").write_text("flag,code,y\n" + "".join(lines))
    objective, contents = with_contents({"model": "svm", "data": str(tmp_path / "data.csv"), "target_column": "y"})
    model = opened(objective, {"C": 9.0}, contents)
    assert model.classes == (0, 1)
    expected = model.predict([["true", "5"], ["false", "x"]])
    assert_array_equal(model.predict(pd.DataFrame({"flag": [True, False], "code": [5, "x"]})), expected)
    assert_array_equal(model.predict([[True, 5.0], [np.False_, " x "]]), expected)


def test_an_own_estimator_needs_permission(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    Path(tmp_path, "own_kept.py").write_text(
        "from sklearn.linear_model import Ridge\n"
        "class Part:\n    pass\n"
        "class Own(Ridge):\n"
        "    def fit(self, X, y, sample_weight=None):\n"
        "        self.part_ = Part()\n"
        "        return super().fit(X, y, sample_weight)\n"
        "class Odd(Own):\n"
        "    def fit(self, X, y, sample_weight=None):\n"
        "        self.odd_ = (x for x in [])\n"
        "        return super().fit(X, y, sample_weight)\n"
    )
    objective = {"estimator": "own_kept:Own", "dataset": "diabetes", "task": "regression", "metric": "r2"}
    document, content = keep(objective, {"alpha": 0.5}, allowed=["own_kept"])
    spec = spec_of(objective)
    with pytest.raises(UsageError, match=r"load_model: study s trains own_kept:Own.*pass allow=\['own_kept'\]"):
        open_model("s", spec, {"alpha": 0.5}, document, content)
    model = open_model("s", spec, {"alpha": 0.5}, document, content, ["own_kept"])
    assert type(model.estimator.part_).__name__ == "Part"
    with pytest.raises(LedgerError, match="^the format of skops cannot represent the estimator "):
        keep({**objective, "estimator": "own_kept:Odd"}, {"alpha": 0.5}, allowed=["own_kept"])


class Foreign(SVC):  # type: ignore[misc]
    """A class that no study needs."""


class OtherTable:
    """A table of a library that cannot convert it."""

    columns = ("age", "plan", "income")


class NotComputed(OtherTable):
    """A table that is like a data frame, but whose cells are not computed."""

    iloc = None


def with_root(content: bytes, module: str, class_name: str) -> bytes:
    """Return the file of a model in which the estimator itself has another type."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "schema.json":
                data = json.dumps({**json.loads(data), "__module__": module, "__class__": class_name}).encode()
            new.writestr(name, data)
    return buffer.getvalue()


def compressed(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: b"", "the file of the model cannot be read"),
        (lambda content: content[: len(content) // 2], "the file of the model cannot be read"),
        (lambda content: pickle.dumps(os.getcwd), "the file of the model cannot be read"),
        (lambda content: content.replace(b"StandardScaler", b"StandardScalor"), "the file of the model "),
        (compressed, "the file of the model is compressed, so the ledger has not written it"),
        (lambda content: skops.io.dumps(make_pipeline(StandardScaler(), Foreign())), "the file of the model contains"),
        (lambda content: skops.io.dumps(FunctionTransformer(os.getcwd)), "the file of the model contains"),
        (lambda content: skops.io.dumps(FunctionTransformer(load_iris)), "the file of the model contains"),
        (lambda content: skops.io.dumps(FunctionTransformer(np.save)), "the file of the model contains"),
    ],
)
def test_a_damaged_or_foreign_file_is_refused(damage, message):
    objective = {"model": "svm", "dataset": "iris"}
    document, content = keep(objective, {"C": 2.5})
    with pytest.raises(LedgerError) as refused:
        open_model("s", spec_of(objective), {"C": 2.5}, document, damage(content))
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_a_file_imports_no_module_of_a_user(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "own_whole"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "import importlib\nfrom sklearn.linear_model import Ridge\nclass Own(Ridge):\n    pass\n"
        "def __getattr__(name):\n"
        "    if name != 'script':\n        raise AttributeError(name)\n"
        "    return importlib.import_module('own_whole.script')\n"
    )
    for name in ("__main__", "script"):
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own:\n    pass\n")
    objective = {"estimator": "own_whole:Own", "dataset": "diabetes", "task": "regression", "metric": "r2"}
    document, content = keep(objective, {"alpha": 0.5}, allowed=["own_whole"])
    for module, said in (
        ("own_whole.__main__", "import the module own_whole.__main__ first"),
        ("own_whole.script", "import the module own_whole.script first"),
        ("own_whole", 'contains "own_whole.script", which'),
        ("sklearn.linear_model._ridge", "contains a Ridge, but the study trains a Own"),
    ):
        class_name = {"own_whole": "script", "sklearn.linear_model._ridge": "Ridge"}.get(module, "Own")
        hostile = with_root(content, module, class_name)
        with pytest.raises(LedgerError, match=said):
            open_model("s", spec_of(objective), {"alpha": 0.5}, document, hostile, ["own_whole"])
    assert not (tmp_path / "ran").exists()


def test_the_worker_says_which_part_cannot_be_kept(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    Path(tmp_path, "own_part.py").write_text(
        "from sklearn.linear_model import Ridge\n"
        "def helper(x):\n    return x\n"
        "class Own(Ridge):\n"
        "    def fit(self, X, y, sample_weight=None):\n"
        "        self.helper_ = helper\n"
        "        return super().fit(X, y, sample_weight)\n"
    )
    objective = {"estimator": "own_part:Own", "dataset": "diabetes", "task": "regression", "metric": "r2"}
    with pytest.raises(LedgerError, match=r'^the fitted estimator contains "own_part.helper", which .*refit`$'):
        keep(objective, {"alpha": 0.5}, allowed=["own_part"])


@pytest.mark.filterwarnings("ignore:Number of subclusters found")
@pytest.mark.parametrize("name", ["preprocessing:SplineTransformer", "cluster:BisectingKMeans", "cluster:Birch"])
def test_the_documented_parts_of_scikit_learn_cannot_be_kept(name):
    steps = [["part", f"sklearn.{name}"], ["model", "sklearn.linear_model:LinearRegression"]]
    objective = of_task({"steps": steps, "dataset": "diabetes"})
    with pytest.raises(LedgerError, match=r"^the .*; train the best model by `StudyResult\.refit`$") as refused:
        keep(objective, {})
    assert "allow=" not in str(refused.value)
    assert f"`{name.partition(':')[2]}`" in (Path(__file__).parents[2] / "docs" / "models.md").read_text()


def test_a_file_of_another_library_than_the_study_is_refused():
    document, content = keep({"model": "xgb", "dataset": "iris"}, {"n_estimators": 2})
    with pytest.raises(LedgerError, match="contains .*xgboost.*, which the estimator of the study does not need"):
        open_model("s", spec_of({"model": "svm", "dataset": "iris"}), {"C": 2.5}, document, content)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"[]", b"{}", b'{"format": 2}', b"null", b'{"format": 1, "study": "s"}', b"[" * 100_000],
)
def test_a_damaged_document_is_refused(content):
    with pytest.raises(LedgerError, match=r"^model\.json.*the file is damaged or foreign") as refused:
        parse(content)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "change",
    [{"loss": "low"}, {"trial": -1}, {"classes": None}, {"classes": [1, "a"]}, {"columns": []}, {"more": 1}],
)
def test_a_document_with_a_wrong_value_is_refused(change):
    document, _content = keep({"model": "svm", "dataset": "iris"}, {"C": 2.5})
    with pytest.raises(LedgerError, match=r"^model\.json"):
        parse(json.dumps({**json.loads(document.model_dump_json()), **change}).encode())


def test_other_versions_are_a_warning():
    objective, params = {"model": "svm", "dataset": "iris"}, {"C": 2.5}
    document, content = keep(objective, params)
    older = document.model_copy(update={"versions": {**document.versions, "sklearn": "1.5.0"}})
    with pytest.warns(UserWarning, match=r"trained with other versions of packages.*sklearn 1\.\d+.* instead of 1.5.0"):
        open_model("s", spec_of(objective), params, older, content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_model("s", spec_of(objective), params, document, content)


def test_a_study_without_the_setting_keeps_no_model():
    assert not load({"model": "svm", "dataset": "iris"}, ()).keeps_models
    assert "keep_models" not in assemble({"model": "svm"}).spec()["objective"]
    with pytest.raises(LedgerError, match="this version of the ledger has no objective"):
        load({"model": "svm", "keep_models": "all"}, ())


def completed(trial: int, loss: float, objective: dict[str, Any]) -> CompletedTrial:
    held = ClaimedTrial(UUID(int=trial), 1, "s", trial, 1, {}, objective, SEED, 30.0, 10.0, None, None)
    return CompletedTrial(held, loss, {}, 1.0, "")


def test_only_a_recorded_result_beats_another_trial():
    best, keeps = BestLosses(), {"model": "svm", "keep_models": "best"}
    best.add([completed(0, 0.1, keeps), completed(2, 0.5, keeps)], ["stale", "recorded"])
    assert best.of(1) == (0.5, 2)
    best.add([completed(1, 0.5, keeps), completed(3, 0.5, keeps)], ["already", "recorded"])
    assert best.of(1) == (0.5, 1)
    best.add([completed(4, 0.0, {"model": "svm"})], ["recorded"])
    assert best.of(1) == (0.5, 1)
    assert best.of(2) is None
