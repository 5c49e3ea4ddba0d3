"""Estimators by name: loaded, checked against their parameters and a search space, and made reproducible."""

import sys

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline
from sklearn.svm import SVR

from ledger.errors import LedgerError, UsageError
from ledger.objectives import Context, load, runs_users_code
from ledger.objectives.estimators import EstimatorBuilder, weights_argument
from ledger.objectives.tasks import CLASSIFICATION, REGRESSION
from ledger.study.conversion import from_any

PACKAGE = "own_estimators"
SOURCE = """
from subprocess import run
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

number = 5

class Majority(ClassifierMixin, BaseEstimator):
    def __init__(self, minimum=0):
        self.minimum = minimum
    def set_params(self, **params):
        if params.get("minimum", 0) > 10:
            raise RuntimeError("too\\nlarge")
        return super().set_params(**params)
    def fit(self, features, classes):
        self.most_ = max(set(classes), key=list(classes).count)
        return self
    def predict(self, features):
        return [self.most_] * len(features)

class Duck:
    def __init__(self, length=1):
        self.length = length
    def get_params(self, deep=True):
        return {"length": self.length}
    def set_params(self, **params):
        self.__dict__ |= params
        return self
    def fit(self, features, targets, sample_weight=None):
        self.mean = targets.mean() * self.length
    def predict(self, features):
        import numpy as np
        return np.full(len(features), self.mean)

class Mean(Duck, BaseEstimator):
    pass

class Quiet:
    def fit(self, features, targets):
        pass

class Needy(Majority):
    def __init__(self, minimum):
        self.minimum = minimum

class Broken(Majority):
    def get_params(self, deep=True):
        raise RuntimeError("no parameters")

def one_vs_rest():
    return OneVsRestClassifier(LogisticRegression(max_iter=1000))

def bagged():
    return BaggingClassifier(RandomForestClassifier())

def the_class():
    return Majority
"""


@pytest.fixture(scope="module", autouse=True)
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("modules")
    (folder / f"{PACKAGE}.py").write_text(SOURCE)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    sys.modules.pop(PACKAGE, None)


def builder(*steps, **fixed):
    named = [("", steps[0])] if len(steps) == 1 else [tuple(step.split("=")) for step in steps]
    return EstimatorBuilder(named, fixed, [PACKAGE])


FOREST = "sklearn.ensemble:RandomForestClassifier"
SCALED = ("scale=sklearn.preprocessing:StandardScaler", "svc=sklearn.svm:SVC")


def test_an_estimator_gets_the_fixed_and_the_searched_parameters():
    forest = builder(FOREST, max_depth=3).build({"n_estimators": 7, "max_features": 0.5}, 11, 2)
    assert type(forest) is RandomForestClassifier
    assert (forest.max_depth, forest.n_estimators, forest.max_features) == (3, 7, 0.5)
    assert (forest.random_state, forest.n_jobs) == (11, 2)


def test_a_pipeline_gets_nested_parameters_in_the_order_of_its_steps():
    made = builder(*SCALED, svc__kernel="linear").build({"svc__C": 5.0, "scale__with_mean": False}, 3, 1)
    assert isinstance(made, Pipeline)
    assert [name for name, _ in made.steps] == ["scale", "svc"]
    assert (made["svc"].C, made["svc"].kernel, made["svc"].random_state) == (5.0, "linear", 3)
    assert made["scale"].with_mean is False


def test_each_part_gets_the_seed_and_only_the_outermost_pool_the_threads():
    made = builder(f"{PACKAGE}:bagged").build({}, 5, 4)
    assert (made.random_state, made.n_jobs) == (5, 4)
    assert (made.estimator.random_state, made.estimator.n_jobs) == (5, 1)


def test_a_function_of_an_allowed_module_returns_an_estimator():
    made = builder(f"{PACKAGE}:one_vs_rest").build({"estimator__C": 0.5}, 1, 3)
    assert (made.estimator.C, made.estimator.random_state, made.n_jobs) == (0.5, 1, 3)


def test_the_linear_booster_of_xgboost_is_reproducible_by_name():
    made = builder("xgboost:XGBRegressor", booster="gblinear").build({}, 1, 2)
    assert made.get_params()["updater"] == "coord_descent"
    assert made.get_params()["n_jobs"] == 2


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("sklearn.svm:SVCC", "module 'sklearn.svm' has no 'SVCC'; name a class of this module; did you mean 'SVC'?"),
        ("sklearn.nowhere:SVC", "module 'sklearn.nowhere' cannot be imported (ModuleNotFoundError: "),
        ("sklearn.datasets:load_iris", "'sklearn.datasets:load_iris' is not an estimator class; name a class such as"),
        ("sklearn.datasets:clear_data_home", "is not an estimator class"),
        ("sklearn.base:clone", "is not an estimator class"),
        ("sklearn:__version__", "is of type str; a class or a function is needed"),
        ("sklearn.svm._classes:np", "is of type module; a class or a function is needed"),
        ("sklearn.pipeline:Pipeline", "cannot be created without arguments (TypeError: "),
        ("sklearn.model_selection:GridSearchCV", "cannot be created without arguments (TypeError: "),
        ("sklearn.preprocessing:StandardScaler", "has no method predict, which an estimator needs"),
        ("subprocess:run", "no permission to run code of this module; permit the module with --allow subprocess"),
        (f"{PACKAGE}:run", "is defined in 'subprocess', and this worker has no permission"),
        (f"{PACKAGE}:number", "is of type int; a class or a function is needed"),
        (f"{PACKAGE}:Duck", "has no scikit-learn tags, which the scorers of scikit-learn need; derive the class from"),
        (f"{PACKAGE}:Quiet", "has no method get_params, which an estimator needs; name a class with the methods"),
        (f"{PACKAGE}:Needy", "cannot be created without arguments (TypeError: "),
        (f"{PACKAGE}:Broken", "get_params raised RuntimeError: no parameters; correct the method"),
        (f"{PACKAGE}:the_class", "has no method fit of an object, which an estimator needs"),
        ("sklearn.svm", "must have the form package.module:Class"),
    ],
)
def test_what_is_no_estimator_is_refused_in_one_line(reference, said):
    with pytest.raises(LedgerError) as refused:
        builder(reference)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_estimator_of_another_package_needs_permission():
    with pytest.raises(LedgerError, match=f"permit the module with --allow {PACKAGE}$"):
        EstimatorBuilder([("", f"{PACKAGE}:Majority")], {}, [])
    assert runs_users_code({"estimator": f"{PACKAGE}:Majority"})
    assert runs_users_code({"steps": [["a", "sklearn.preprocessing:StandardScaler"], ["b", f"{PACKAGE}:Majority"]]})
    assert not runs_users_code({"estimator": FOREST})
    assert not runs_users_code({"estimator": 5})


def test_a_step_that_does_not_transform_is_refused():
    with pytest.raises(
        LedgerError, match="'sklearn.svm:SVC' has no method transform, which a step before the last step"
    ):
        builder("first=sklearn.svm:SVC", "second=sklearn.svm:SVC")


@pytest.mark.parametrize(
    ("steps", "name", "said"),
    [
        ((FOREST,), "max_dept", "RandomForestClassifier has no parameter 'max_dept'; did you mean 'max_depth'?"),
        ((FOREST,), "random_state", "the ledger itself sets 'random_state' of RandomForestClassifier (the trial's own"),
        ((FOREST,), "n_jobs", "the ledger itself sets 'n_jobs' of RandomForestClassifier (the worker's threads)"),
        (SCALED, "C", "the pipeline has no parameter 'C'; did you mean 'svc__C'?"),
        (SCALED, "svc__c", "the pipeline has no parameter 'svc__c'; did you mean 'svc__C'?"),
        (SCALED, "svc__random_state", "the ledger itself sets 'svc__random_state' of the pipeline"),
        (SCALED, "memory", "the ledger itself sets 'memory' of the pipeline (the cache is off"),
        (SCALED, "svc", "'svc' of the pipeline is an estimator, not a value; set its parameters, such as svc__NAME"),
        (SCALED, "steps", "'steps' of the pipeline is an estimator, not a value"),
        (("xgboost:XGBClassifier",), "output_model", "XGBClassifier has no parameter 'output_model'"),
        (("lightgbm:LGBMClassifier",), "output_model", "LGBMClassifier has no parameter 'output_model'"),
    ],
)
def test_a_parameter_outside_of_get_params_is_refused(steps, name, said):
    made = builder(*steps)
    with pytest.raises(UsageError) as of_trial:
        made.build({name: 1}, 0, 1)
    assert str(of_trial.value).startswith(said)
    with pytest.raises(UsageError) as of_space:
        made.check([{name: 1}, {name: 2}], CLASSIFICATION)
    assert str(of_space.value).startswith(f"[space] {said}")
    with pytest.raises(LedgerError) as of_fixed:
        builder(*steps, **{name: 1})
    assert str(of_fixed.value).startswith(f"the fixed parameters (params): {said}")


@pytest.mark.parametrize(
    ("steps", "fixed", "space", "said"),
    [
        ((FOREST,), {}, {"n_estimators": (0, 9)}, "[space] The 'n_estimators' parameter of"),
        ((FOREST,), {}, {"max_features": (0.5, 1.5)}, "[space] The 'max_features' parameter of"),
        (SCALED, {}, {"svc__kernel": ["rbf", "rfb", "linear"]}, "[space] The 'kernel' parameter of"),
        (SCALED, {"svc__degree": -1}, {"svc__C": (1.0, 2.0)}, "[objective] params The 'degree'"),
        (
            (f"{PACKAGE}:Majority",),
            {},
            {"minimum": (1, 50)},
            '[space] Majority refuses the parameters {"minimum": 50}: RuntimeError: too large',
        ),
    ],
)
def test_a_value_that_the_estimator_refuses_is_found_before_the_study(steps, fixed, space, said):
    with pytest.raises(UsageError) as refused:
        builder(*steps, **fixed).check(list(from_any(space).extreme_points()), CLASSIFICATION)
    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("reference", "task", "said"),
    [
        ("sklearn.svm:SVR", CLASSIFICATION, "SVR is a regressor, but the task is classification; use a classifier"),
        ("sklearn.svm:SVC", REGRESSION, "SVC is a classifier, but the task is regression; use a regressor"),
        (
            "sklearn.cluster:KMeans",
            CLASSIFICATION,
            "KMeans is an estimator of the kind clusterer, and cannot predict a target; use a",
        ),
        (
            "sklearn.ensemble:IsolationForest",
            REGRESSION,
            "IsolationForest is an estimator of the kind outlier detector, and cannot predict a target",
        ),
        ("sklearn.svm:SVC", CLASSIFICATION, None),
        ("sklearn.svm:SVR", REGRESSION, None),
        ("xgboost:XGBRegressor", REGRESSION, None),
        ("lightgbm:LGBMClassifier", CLASSIFICATION, None),
        (f"{PACKAGE}:Majority", CLASSIFICATION, None),
        (f"{PACKAGE}:Mean", REGRESSION, None),
        (f"{PACKAGE}:Mean", CLASSIFICATION, None),
        (f"{PACKAGE}:one_vs_rest", CLASSIFICATION, None),
    ],
)
def test_the_kind_of_the_estimator_fits_the_task(reference, task, said):
    made = builder(reference)
    if said is None:
        made.check([], task)
        return
    with pytest.raises(UsageError) as refused:
        made.check([], task)
    assert str(refused.value).startswith(said)


def test_an_estimator_without_a_kind_is_trained():
    objective = {"estimator": f"{PACKAGE}:Mean", "dataset": "diabetes", "task": "regression"}
    evaluate = load(objective, [PACKAGE])
    losses = [evaluate({"length": length}, Context("s", 0, 1, 1, 7)).loss for length in (1, 2)]
    assert losses[0] < losses[1]


def test_the_weights_go_to_the_last_step():
    assert weights_argument(SVR()) == "sample_weight"
    assert weights_argument(builder(*SCALED).build({}, 0, 1)) == "svc__sample_weight"
    assert weights_argument(builder(f"{PACKAGE}:Majority").build({}, 0, 1)) is None
    inner = Pipeline([("outer", Pipeline([("svr", SVR())]))])
    assert weights_argument(inner) == "outer__svr__sample_weight"


def test_predictions_of_another_shape_are_refused_and_not_compared(monkeypatch):
    evaluate = load({"estimator": "sklearn.neighbors:KNeighborsClassifier", "dataset": "iris"}, [])
    from sklearn.neighbors import KNeighborsClassifier

    monkeypatch.setattr(KNeighborsClassifier, "predict", lambda self, features: np.zeros((len(features), 1)))
    with pytest.raises(ValueError, match="must predict one class for each of 30 rows"):
        evaluate({}, Context("s", 0, 1, 1, 7))


@pytest.mark.parametrize(
    ("objective", "points", "said"),
    [
        (
            {"estimator": "sklearn.svm:SVC", "metric": "neg_log_loss"},
            [],
            "the metric neg_log_loss needs the probability of each class, but SVC has no predict_proba; use another",
        ),
        (
            {"estimator": "sklearn.neighbors:KNeighborsClassifier", "class_weights": "balanced"},
            [],
            "the fit method of KNeighborsClassifier has no argument sample_weight; leave weight_column and"
            " class_weights out",
        ),
        ({"model": "svm", "class_weights": "balanced"}, [{"c": 1.0}], "SVC (model svm) has no hyper-parameter 'c'"),
    ],
)
def test_an_objective_that_would_fail_in_each_trial_is_refused(objective, points, said):
    with pytest.raises(UsageError) as refused:
        load(objective, []).check(points, 42)
    assert str(refused.value).startswith(said)


def test_class_weights_change_the_model_and_not_the_score_of_a_row():
    def recall(class_weights):
        objective = {"model": "svm", "metric": "recall", "params": {"C": 0.001, "gamma": 0.01}, **class_weights}
        return load(objective, [])({}, Context("s", 0, 1, 1, 7)).metrics["recall"]

    assert recall({"class_weights": {"0": 100.0}}) < recall({}) == recall({"class_weights": {"0": 1.0}})


def test_class_weights_of_an_unknown_class_are_refused():
    with pytest.raises(LedgerError, match="class_weights: the data have no class '7'; there are 0, 1"):
        load({"model": "svm", "class_weights": {"7": 1.0}}, [])
