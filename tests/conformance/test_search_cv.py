"""`LedgerSearchCV` beside scikit-learn's searches: equal candidates have equal results and equal errors."""

import copy
import pickle
import tempfile
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn
from scipy.stats import loguniform, randint
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification, make_regression
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, f1_score, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    StratifiedKFold,
    TimeSeriesSplit,
    cross_val_score,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.metadata_routing import get_routing_for_object

import ledger
from ledger.objectives.reporting import INSIDE
from ledger.sklearn import LedgerSearchCV
from tests.unit.in_process_study import InProcessStudies

X, y = make_classification(90, 5, n_informative=3, n_redundant=0, random_state=1)
COLUMNS = [f"column {number}" for number in range(5)]


@pytest.fixture(autouse=True)
def studies(monkeypatch: pytest.MonkeyPatch) -> InProcessStudies:
    return InProcessStudies(monkeypatch)


class FailingClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Raises an exception for some values of its parameter, and for one of three splits with another value."""

    def __init__(self, parameter: int = 0) -> None:
        self.parameter = parameter

    def fit(self, X: Any, y: Any) -> "FailingClassifier":
        if self.parameter == 2 or (self.parameter == 1 and X[0, 0] == globals()["X"][0, 0]):
            raise ValueError(f"parameter {self.parameter} fails")
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X), dtype=int)

    def score(self, X: Any, y: Any) -> float:
        return 0.5 + 0.1 * self.parameter


def both_scores(estimator: Any, X: Any, y: Any) -> dict[str, float]:
    predicted = estimator.predict(X)
    return {"accuracy": accuracy_score(y, predicted), "f1": f1_score(y, predicted)}


def weighted_score(estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
    return float(accuracy_score(y, estimator.predict(X), sample_weight=sample_weight))


def second(results: dict[str, Any]) -> int:
    return 1


SVM_SPACE = {"C": loguniform(1e-2, 1e2), "kernel": ["rbf", "linear"]}
WEIGHTS = np.linspace(0.1, 2.0, len(X))
GROUPS = np.arange(len(X)) % 6

CASES: dict[str, dict[str, Any]] = {
    "the score of the estimator": {},
    "a name of a scorer": {"scoring": "f1"},
    "a loss as a scorer": {"scoring": "neg_log_loss", "estimator": LogisticRegression(), "space": {"C": (0.1, 10.0)}},
    "a callable": {"scoring": make_scorer(f1_score)},
    "a list of scorers": {"scoring": ["accuracy", "f1"], "refit": "f1"},
    "a dict of scorers": {"scoring": {"a": "accuracy", "b": make_scorer(f1_score)}, "refit": "a"},
    "a callable with several scores": {"scoring": both_scores, "refit": "f1"},
    "a callable that chooses": {"scoring": ["f1", "accuracy"], "refit": second},
    "a callable that chooses by one score": {"refit": second},
    "no refit": {"refit": False},
    "several scorers and no refit": {"scoring": ["f1", "accuracy"], "refit": False},
    "scores on the training data": {"return_train_score": True, "scoring": ["accuracy", "f1"], "refit": "f1"},
    "three folds": {"cv": 3},
    "a generator of splits": {"cv": StratifiedKFold(4, shuffle=True, random_state=3)},
    "an iterable of splits": {"cv": list(KFold(3).split(X))},
    "a series in time": {"cv": TimeSeriesSplit(3)},
    "groups": {"cv": GroupKFold(3), "fit": {"groups": GROUPS}},
    "weights": {"scoring": weighted_score, "fit": {"sample_weight": WEIGHTS}},
    "a frame": {"X": pd.DataFrame(X, columns=COLUMNS), "y": pd.Series(y, name="target")},
    "classes with names": {"y": np.array(["no", "yes"])[y]},
    "a sparse matrix": {"X": scipy.sparse.csr_matrix(X)},
    "a list": {"X": X.tolist(), "y": y.tolist()},
    "a kernel matrix": {"X": X @ X.T, "estimator": SVC(kernel="precomputed"), "space": {"C": (0.01, 10.0)}},
    "no target": {"y": None, "estimator": KMeans(random_state=0), "space": {"n_clusters": randint(2, 6)}},
    "several targets": {
        "X": make_regression(60, 4, n_targets=2, random_state=2)[0],
        "y": make_regression(60, 4, n_targets=2, random_state=2)[1],
        "estimator": Ridge(),
        "space": {"alpha": (1e-3, 1e3, "log-uniform")},
    },
    "None and numbers": {
        "estimator": DecisionTreeClassifier(random_state=0),
        "space": {"max_depth": [None, 1, 2], "max_features": ["sqrt", None, 0.5]},
    },
    "estimators as choices": {
        "estimator": Pipeline([("scale", StandardScaler()), ("reduce", PCA()), ("model", SVC())]),
        "space": {
            "scale": [StandardScaler(), None],
            "reduce": ["passthrough", PCA(2), PCA(3)],
            "model": [SVC(), LogisticRegression()],
            "model__C": (0.01, 10.0),
        },
    },
    "failing candidates": {"estimator": FailingClassifier(), "space": {"parameter": [0, 1, 2, 3]}, "warns": True},
    "failing candidates with a score": {
        "estimator": FailingClassifier(),
        "space": {"parameter": [0, 1, 2, 3]},
        "error_score": 0.25,
        "return_train_score": True,
        "warns": True,
    },
    "failing candidates of several scorers": {
        "estimator": FailingClassifier(),
        "space": {"parameter": [0, 1, 2, 3]},
        "scoring": ["accuracy", "f1"],
        "refit": "accuracy",
        "warns": True,
    },
    "failing candidates of a callable": {
        "estimator": FailingClassifier(),
        "space": {"parameter": [0, 1, 2, 3]},
        "scoring": both_scores,
        "refit": "accuracy",
        "warns": True,
    },
}


def _shown(value: Any) -> str:
    return repr(dict(sorted(value.items())) if isinstance(value, dict) else value)


@pytest.mark.parametrize("name", CASES)
def test_results_are_those_of_sklearn_for_equal_candidates(name: str) -> None:
    case = dict(CASES[name])
    estimator, space = case.pop("estimator", SVC()), case.pop("space", SVM_SPACE)
    data, target, of_fit = case.pop("X", X), case.pop("y", y), case.pop("fit", {})
    settings = {"cv": 3, **case}
    has_warnings = settings.pop("warns", False)
    search = LedgerSearchCV(estimator, space, n_trials=4, **settings)
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        search.fit(data, target, **of_fit)
        candidates = search.cv_results_["params"]
        wanted = GridSearchCV(
            estimator, [{key: [value] for key, value in each.items()} for each in candidates], **settings
        )
        wanted.fit(data, target, **of_fit)
    assert len(candidates) == 4
    # The parameters have the order of the space, and scikit-learn sorts them.
    assert sorted(search.cv_results_) == sorted(wanted.cv_results_)
    for column, values in wanted.cv_results_.items():
        if column.endswith("_time"):
            assert np.isfinite(search.cv_results_[column]).all()
        elif column == "params" or column.startswith("param_"):
            assert [*map(_shown, search.cv_results_[column])] == [*map(_shown, values)]
        else:
            np.testing.assert_array_equal(search.cv_results_[column], values, err_msg=column)
            assert search.cv_results_[column].dtype == values.dtype
    texts = [str(warning.message).splitlines()[0:2] for warning in raised if warning.category is FitFailedWarning]
    assert len(texts) == (2 if has_warnings else 0)
    assert texts[:1] == texts[1:]
    assert search.multimetric_ == wanted.multimetric_
    assert search.n_splits_ == wanted.n_splits_
    for attribute in ("best_index_", "best_score_", "n_features_in_"):
        assert getattr(search, attribute, None) == getattr(wanted, attribute, None)
    for attribute in ("best_params_", "best_estimator_", "scorer_"):
        assert _shown(getattr(search, attribute, None)) == _shown(getattr(wanted, attribute, None))
    for attribute in ("classes_", "feature_names_in_"):
        np.testing.assert_array_equal(getattr(search, attribute, []), getattr(wanted, attribute, []))
    if search.refit:
        assert search.refit_time_ > 0
        np.testing.assert_array_equal(search.predict(data), wanted.predict(data))
        assert not callable(search.refit) or search.best_index_ == 1
        if not callable(search.refit):
            assert search.score(data, target) == wanted.score(data, target)


def test_methods_are_those_of_the_best_estimator() -> None:
    search = LedgerSearchCV(make_pipeline(StandardScaler(), PCA()), {"pca__n_components": [2, 3]}, n_trials=2)
    assert not hasattr(search, "predict")
    with pytest.raises(NotFittedError):
        search.transform(X)
    search.fit(X)
    np.testing.assert_array_equal(search.transform(X), search.best_estimator_.transform(X))
    np.testing.assert_array_equal(
        search.inverse_transform(search.transform(X)), search.best_estimator_.inverse_transform(search.transform(X))
    )
    np.testing.assert_array_equal(search.score_samples(X), search.best_estimator_.score_samples(X))
    classifier = LedgerSearchCV(LogisticRegression(), {"C": (0.1, 1.0)}, n_trials=2).fit(X, y)
    for method in ("predict_proba", "predict_log_proba", "decision_function"):
        np.testing.assert_array_equal(getattr(classifier, method)(X), getattr(classifier.best_estimator_, method)(X))
    assert not hasattr(classifier, "transform")
    assert not hasattr(LedgerSearchCV(LogisticRegression(), {"C": [1.0]}, n_trials=1, refit=False), "predict")


def test_an_exception_of_a_fit_is_raised_if_the_user_asks_for_it() -> None:
    space = {"parameter": [0, 1, 2, 3]}
    search = LedgerSearchCV(FailingClassifier(), space, n_trials=4, error_score="raise")
    with pytest.raises(ValueError, match=r"^parameter [12] fails$"):
        search.fit(X, y)
    with pytest.raises(ValueError, match="All the 5 fits failed"):
        LedgerSearchCV(FailingClassifier(), {"parameter": [2]}, n_trials=4).fit(X, y)


def test_a_score_that_is_no_number_ends_the_search() -> None:
    with pytest.raises(ValueError, match="scoring must return a number"):
        LedgerSearchCV(SVC(), SVM_SPACE, n_trials=2, scoring=lambda *_: "good").fit(X, y)


def test_a_candidate_whose_process_died_counts_as_failed(studies: InProcessStudies) -> None:
    search = LedgerSearchCV(SVC(), SVM_SPACE, n_trials=3, cv=3, scoring=["accuracy", "f1"], refit="f1").fit(X, y)
    result = studies.results[search.study_name_]
    died: dict[str, Any] = {
        "state": "failed",
        "value": None,
        "loss": None,
        "metrics": {},
        "error": "the trainer process died",
    }
    trials = (ledger.Trial(**{**vars(result.trials[0]), **died}), *result.trials[1:])
    studies.results[result.name] = ledger.StudyResult(result.name, "complete", None, 3, result.spec, trials)
    with pytest.warns(FitFailedWarning, match="3 fits failed out of a total of 9"), pytest.warns(match="non-finite"):
        search.fit(X, y)
    assert np.isnan(search.cv_results_["mean_test_f1"][0])
    assert search.cv_results_["rank_test_f1"][0] == 3
    studies.results[result.name] = ledger.StudyResult(result.name, "failed", None, 3, result.spec, trials)
    with (
        pytest.warns(FitFailedWarning, match="the search ended early: study .* is failed"),
        pytest.warns(FitFailedWarning, match="3 fits failed"),
        pytest.warns(match="non-finite"),
    ):
        search.fit(X, y)
    assert len(search.cv_results_["params"]) == 3
    search.set_params(error_score="raise")
    search.fit(X, y)
    studies.results[search.study_name_] = ledger.StudyResult(
        search.study_name_, "complete", None, 3, result.spec, trials
    )
    with pytest.raises(ledger.LedgerError, match="trial 0 of study SVC-42-.* failed: the trainer process died"):
        search.fit(X, y)


def test_trials_without_results_of_this_search_are_no_candidates(studies: InProcessStudies) -> None:
    search = LedgerSearchCV(SVC(), SVM_SPACE, n_trials=3, cv=3).fit(X, y)
    result = studies.results[search.study_name_]
    imported = ledger.Trial(**{**vars(result.trials[0]), "metrics": {"accuracy": 0.5}, "source": "imported"})
    without_result: dict[str, Any] = {"metrics": {}, "state": "cancelled", "value": None, "loss": None}
    cancelled = ledger.Trial(**{**vars(result.trials[1]), **without_result})
    studies.results[result.name] = ledger.StudyResult(
        result.name, "complete", None, 3, result.spec, (imported, cancelled, *result.trials[2:])
    )
    assert len(search.fit(X, y).cv_results_["params"]) == 1


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"param_distributions": {"D": [1, 2]}}, ValueError, "Invalid parameter 'D' for estimator SVC"),
        ({"param_distributions": {"C": (2.0, 1.0)}}, ledger.UsageError, "param_distributions C: low 2.0 is not below"),
        ({"param_distributions": {}}, ledger.UsageError, "param_distributions has no dimension"),
        ({"n_trials": 0}, ledger.UsageError, r"\[study\] trials: 0 must be greater than or equal to 1"),
        ({"n_trials": "9"}, ValueError, "The 'n_trials' parameter of LedgerSearchCV must be an instance of"),
        ({"optimizer": {"kapa": 1}}, ledger.UsageError, "unknown key"),
        ({"scoring": ["accuracy", "f1"]}, ValueError, "the parameter refit must be set to a scorer key"),
        ({"scoring": both_scores}, ValueError, "the parameter refit must be set to a scorer key"),
        ({"scoring": "nothing"}, ValueError, "The 'scoring' parameter of LedgerSearchCV"),
        ({"cv": 1}, ValueError, "The .cv. parameter of LedgerSearchCV must be an int in the range"),
        ({"random_state": 2**31}, ledger.UsageError, r"\[study\] seed: 2147483648 must be less than or equal to"),
    ],
)
def test_a_wrong_argument_is_refused(settings: dict[str, Any], error: type[Exception], message: str) -> None:
    search = LedgerSearchCV(SVC(), **{"param_distributions": SVM_SPACE, "n_trials": 2, **settings})
    with pytest.raises(error, match=message):
        search.fit(X, y)


def test_a_search_inside_a_worker_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INSIDE, "1")
    with pytest.raises(ledger.LedgerError, match="a LedgerSearchCV cannot run inside a worker"):
        LedgerSearchCV(SVC(), SVM_SPACE).fit(X, y)


def test_a_search_can_be_cloned_copied_and_pickled() -> None:
    search = LedgerSearchCV(SVC(), SVM_SPACE, n_trials=2, batch_size=3).fit(X, y)
    assert clone(search).get_params()["batch_size"] == 3
    assert not hasattr(clone(search), "cv_results_")
    for copied in (pickle.loads(pickle.dumps(search)), copy.deepcopy(search)):
        np.testing.assert_array_equal(copied.predict(X), search.predict(X))
        assert copied.study_name_ == search.study_name_
    assert search.set_params(estimator__gamma=0.1, n_trials=3).estimator.gamma == 0.1
    assert repr(LedgerSearchCV(SVC(), {"C": [1.0]}, n_trials=5)) == (
        "LedgerSearchCV(estimator=SVC(), n_trials=5, param_distributions={'C': [1.0]})"
    )


def test_a_search_can_be_a_step_and_can_be_validated_itself() -> None:
    search = LedgerSearchCV(SVC(), SVM_SPACE, n_trials=2, cv=2)
    assert make_pipeline(StandardScaler(), search).fit(X, y).score(X, y) > 0.5
    assert len(cross_val_score(search, X, y, cv=3)) == 3
    grid = GridSearchCV(make_pipeline(StandardScaler(), search), {"ledgersearchcv__random_state": [1, 2]}, cv=2)
    assert grid.fit(X, y).best_params_["ledgersearchcv__random_state"] in (1, 2)


def test_a_pipeline_of_a_frame_with_columns_of_two_kinds() -> None:
    frame = pd.DataFrame({"size": [1.0, None, 3.0] * 12, "colour": ["red", "blue", None] * 12})
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["size"]),
            ("texts", OneHotEncoder(handle_unknown="ignore"), ["colour"]),
        ]
    )
    pipeline = Pipeline([("columns", columns), ("model", LogisticRegression())])
    space = {"columns__numbers__simpleimputer__strategy": ["mean", "median"], "model__C": loguniform(1e-2, 1e2)}
    search = LedgerSearchCV(pipeline, space, n_trials=4, cv=3).fit(frame, frame["colour"].isna())
    assert search.best_score_ == 1.0
    assert [*search.feature_names_in_] == ["size", "colour"]


def test_metadata_reach_the_fit_the_scorer_and_the_splits() -> None:
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = make_scorer(accuracy_score).set_score_request(sample_weight=True)
        model = LogisticRegression().set_fit_request(sample_weight=True)
        settings: dict[str, Any] = {"cv": GroupKFold(3), "scoring": scorer}
        search = LedgerSearchCV(model, {"C": (0.01, 1.0)}, n_trials=2, **settings)
        assert repr(get_routing_for_object(search)) == repr(
            get_routing_for_object(GridSearchCV(model, {"C": [1.0]}, **settings))
        ).replace("GridSearchCV", "LedgerSearchCV")
        search.fit(X, y, sample_weight=WEIGHTS, groups=GROUPS)
        wanted = GridSearchCV(model, {"C": [params["C"] for params in search.cv_results_["params"]]}, **settings)
        wanted.fit(X, y, sample_weight=WEIGHTS, groups=GROUPS)
        np.testing.assert_array_equal(search.cv_results_["mean_test_score"], wanted.cv_results_["mean_test_score"])
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError):
            LedgerSearchCV(SVC(), SVM_SPACE, n_trials=2).fit(X, y, sample_weight=WEIGHTS)


class BackendObserver(BaseEstimator):  # type: ignore[misc]
    """Records joblib's backend during its fit."""

    def __init__(self, parameter: int = 0) -> None:
        self.parameter = parameter

    def fit(self, X: Any, y: Any = None) -> "BackendObserver":
        self.backend_ = type(joblib.parallel.get_active_backend()[0]).__name__
        return self

    def score(self, X: Any, y: Any = None) -> float:
        return 1.0


def test_the_refit_uses_the_joblib_configuration_of_the_user() -> None:
    search = LedgerSearchCV(BackendObserver(), {"parameter": [1, 2]}, n_trials=2)
    assert search.fit(X).best_estimator_.backend_ == "LokyBackend"
    with joblib.parallel_config(backend="threading"):
        assert search.fit(X).best_estimator_.backend_ == "ThreadingBackend"
        with pytest.raises(ValueError, match="Invalid parameter"):
            LedgerSearchCV(BackendObserver(), {"other": [1, 2]}, n_trials=2).fit(X)
        assert type(joblib.parallel.get_active_backend()[0]).__name__ == "ThreadingBackend"


def test_equal_searches_are_one_study_and_others_are_not(studies: InProcessStudies) -> None:
    def name(estimator: Any = None, space: Any = None, data: Any = X, target: Any = y, **settings: Any) -> str:
        search = LedgerSearchCV(estimator or SVC(), space or SVM_SPACE, **{"n_trials": 2, "cv": 3, **settings})
        return str(search.fit(data, target).study_name_)

    first = name()
    assert first.startswith("SVC-42-")
    assert name() == name(data=np.asfortranarray(X), space={**SVM_SPACE}) == name(workers=2) == first
    assert name(cv=StratifiedKFold(3)) == first
    others = {
        name(SVC(gamma=1.0)),
        name(space={"C": (0.01, 100.0), "kernel": ["rbf"]}),
        name(data=X + 1),
        name(data=X.astype(np.float32)),
        name(target=1 - y),
        name(cv=4),
        name(cv=KFold(3, shuffle=True, random_state=0)),
        name(scoring="f1"),
        name(scoring=make_scorer(f1_score)),
        name(n_trials=3),
        name(batch_size=1),
        name(random_state=1),
        name(error_score=0.0),
        name(return_train_score=True),
        name(limits={"trial_timeout": 60.0}),
    }
    assert len({first, *others}) == 16
    assert len(studies.results) == 16


def test_a_given_name_is_kept_and_names_the_data(studies: InProcessStudies) -> None:
    functions = set()
    for data in (X, X, X + 1):
        studies.results.clear()
        search = LedgerSearchCV(SVC(), SVM_SPACE, n_trials=2, study_name="mine").fit(data, y)
        assert search.study_name_ == "mine"
        functions.add(studies.results["mine"].spec["objective"]["function"])
    assert len(functions) == 2


def test_an_estimator_without_a_random_state_has_equal_scores_again(studies: InProcessStudies) -> None:
    search = LedgerSearchCV(DummyClassifier(strategy="uniform"), {"constant": [0, 1, 2]}, n_trials=3, cv=5)
    scores = []
    for seed in (1, 2):
        np.random.seed(seed)
        studies.results.clear()
        scores.append(search.fit(X, y).cv_results_["mean_test_score"])
    np.testing.assert_array_equal(*scores)
    assert len({*scores[0]}) > 1


def test_a_generator_gives_each_fit_another_seed() -> None:
    search = LedgerSearchCV(SVC(), SVM_SPACE, n_trials=2, random_state=np.random.RandomState(0))
    names = [search.fit(X, y).study_name_ for _ in range(2)]
    assert names[0] != names[1]


class FolderObserver(BaseEstimator):  # type: ignore[misc]
    """Reads the files that the search has written for its workers."""

    def fit(self, X: Any, y: Any = None) -> "FolderObserver":
        self.files_ = [file.read_bytes() for file in Path(tempfile.gettempdir()).glob("ledger-*/*")]
        return self

    def score(self, X: Any, y: Any = None) -> float:
        return float(len(self.files_) == 1 and not any(b"secret" in content for content in self.files_))


def test_workers_get_one_file_and_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    pipeline = Pipeline([("scale", None), ("observe", FolderObserver())])
    search = LedgerSearchCV(
        pipeline, {"scale": [None]}, n_trials=1, database="postgresql://me:secret@db.example/ledger"
    )
    assert search.fit(X).best_score_ == 1.0
    assert [*tmp_path.iterdir()] == []
