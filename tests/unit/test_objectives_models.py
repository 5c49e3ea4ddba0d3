"""The built-in models: a trial has the same loss everywhere, on rows that depend on the study's seed."""

from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest

from ledger.errors import LedgerError, UsageError
from ledger.objectives import DATASETS, DEFAULT_SPACES, MODELS, Context, check, datasets, default_space, lgbm, svm, xgb
from ledger.objectives.datasets import task_of
from ledger.objectives.loading import load
from ledger.objectives.metrics import DEFAULTS
from ledger.objectives.splits import split
from ledger.objectives.tasks import CLASSIFICATION, REGRESSION

CONTEXT = Context(study="a-study", trial=0, attempt=1, seed=99, study_seed=7)
SMALL = {
    "svm": {"C": 3.0, "gamma": 0.02},
    "xgb": {"n_estimators": 8, "max_depth": 3, "subsample": 0.5, "colsample_bytree": 0.5},
    "lgbm": {"n_estimators": 8, "num_leaves": 7, "subsample": 0.5, "colsample_bytree": 0.5},
}

OF_CLASSES = [dataset for dataset in DATASETS if task_of(dataset) == CLASSIFICATION]


def evaluate(model, params, context=CONTEXT, dataset="breast_cancer", **options):
    task = {} if task_of(dataset) == CLASSIFICATION else {"task": task_of(dataset)}
    return load({"model": model, "dataset": dataset, **task}, [], **options)(params, context)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dataset", DATASETS)
def test_every_model_learns_every_dataset_and_reports_metrics(model, dataset):
    result = evaluate(model, SMALL[model], dataset=dataset)
    metric = DEFAULTS[task_of(dataset)]
    limit = 0.5 if metric == "accuracy" else 0.85
    assert 0 <= result.loss < limit, "a model that has learned is better than one that has not"
    assert result.metrics.keys() == {metric, "fit_seconds"}
    assert result.loss == 1 - result.metrics[metric]
    if metric == "accuracy":
        assert 1 - result.loss == result.metrics[metric]
    assert result.metrics["fit_seconds"] > 0
    assert all(type(value) is float for value in (result.loss, *result.metrics.values()))


@pytest.mark.parametrize("model", MODELS)
def test_the_default_dataset_is_breast_cancer(model):
    assert DATASETS[0] == "breast_cancer"
    assert load({"model": model}, [])(SMALL[model], CONTEXT).loss == evaluate(model, SMALL[model]).loss


@pytest.mark.parametrize("dataset", OF_CLASSES)
def test_the_split_is_a_stratified_fifth_that_depends_on_the_seed(dataset):
    table = datasets.load(dataset)
    rows = split(table, 7)
    split.cache_clear()
    again, other = split(table, 7), split(table, 8)
    for first, second, third in zip(rows, again, other, strict=True):
        assert np.array_equal(first.features, second.features)
        assert np.array_equal(first.targets, second.targets)
        assert not np.array_equal(first.features, third.features)
    train, test = rows
    assert len(train.features) == len(train.targets)
    assert len(test.targets) == len(test.features) == np.ceil(0.2 * (len(train.targets) + len(test.targets)))
    of_train, of_test = (np.bincount(part.targets) / len(part.targets) for part in rows)
    assert np.allclose(of_train, of_test, atol=0.02)


def test_the_default_split_is_that_of_scikit_learn():
    """The losses of recorded studies depend on the rows of the split and on their order."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    features, classes = load_breast_cancer(return_X_y=True)
    expected = train_test_split(features, classes, test_size=0.2, stratify=classes, random_state=42)
    train, test = split(datasets.load("breast_cancer"), 42)
    for array, same in zip((train.features, test.features, train.targets, test.targets), expected, strict=True):
        assert np.array_equal(array, same)


def test_all_trials_of_a_study_share_rows_that_are_read_only(monkeypatch):
    bundled = Mock(side_effect=datasets.LOADERS["iris"])
    monkeypatch.setitem(datasets.LOADERS, "iris", bundled)
    datasets.load.cache_clear()
    for trial in range(3):
        evaluate("svm", SMALL["svm"], replace(CONTEXT, trial=trial, seed=trial), dataset="iris")
    bundled.assert_called_once()
    for part in split(datasets.load("iris"), CONTEXT.study_seed):
        for array in (part.features, part.targets):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0


@pytest.mark.parametrize("model", ["xgb", "lgbm"])
def test_the_loss_depends_on_the_seed_and_not_on_the_attempt(model):
    def losses(attempt):
        trials = [replace(CONTEXT, seed=seed, attempt=attempt) for seed in range(4)]
        return [evaluate(model, SMALL[model], trial, dataset="digits").loss for trial in trials]

    first = losses(attempt=1)
    assert first == losses(attempt=2)
    assert len(set(first)) > 1


@pytest.mark.parametrize(
    ("model", "params"),
    [
        ("svm", {"C": 10**16, "gamma": 1}),
        ("xgb", {"n_estimators": 3, "reg_lambda": 10**16, "subsample": 1, "learning_rate": 1}),
        ("lgbm", {"n_estimators": 3, "reg_lambda": 10**16, "subsample": 1, "learning_rate": 1}),
    ],
)
def test_a_float_that_json_wrote_as_an_integer_is_the_float(model, params):
    as_reals = {name: value if name == "n_estimators" else float(value) for name, value in params.items()}
    assert evaluate(model, params).loss == evaluate(model, as_reals).loss


def test_a_float_beyond_64_bits_is_used_or_refused():
    assert evaluate("svm", {"C": 10**300}).loss == evaluate("svm", {"C": 1e300}).loss
    with pytest.raises(Exception, match="Out of range"):
        evaluate("xgb", {"n_estimators": 3, "reg_lambda": 10**300})


@pytest.mark.parametrize(
    ("model", "params"),
    [
        ("svm", {"kernel": "linear", "class_weight": "balanced", "shrinking": False}),
        ("xgb", {"n_estimators": 3, "booster": "dart", "rate_drop": 0.5, "normalize_type": "forest", "one_drop": True}),
        ("xgb", {"n_estimators": 3, "booster": "gblinear", "feature_selector": "thrifty", "top_k": 3}),
        ("xgb", {"n_estimators": 3, "tree_method": "exact"}),
        ("lgbm", {"n_estimators": 3, "boosting_type": "dart", "extra_trees": True, "max_bin": 15}),
        ("lgbm", {"n_estimators": 3, "boosting_type": "rf", "subsample": 0.5}),
        ("lgbm", {"n_estimators": 3, "data_sample_strategy": "goss", "subsample": 0.5, "top_rate": 0.3}),
        ("lgbm", {"n_estimators": 3, "boosting_type": "goss", "subsample": 0.5}),
        ("lgbm", {"n_estimators": 3, "linear_tree": True, "linear_lambda": 0.1}),
    ],
)
def test_other_hyper_parameters_of_the_estimator_can_be_set(model, params):
    assert evaluate(model, params).loss < 0.5


def test_subsample_of_lightgbm_works_unless_its_frequency_is_zero():
    def digest(**params):
        train, _ = split(datasets.load("digits"), 7)
        trained = lgbm.estimator({"n_estimators": 3, **params}, seed=1, threads=1).fit(train.features, train.targets)
        return trained.predict_proba(train.features).tobytes()

    whole = digest()
    assert digest(subsample=0.5) != whole
    assert digest(subsample=0.5) == digest(subsample=0.5, subsample_freq=1)
    assert digest(subsample=0.5, subsample_freq=0) == whole


@pytest.mark.parametrize("module", [xgb, lgbm])
def test_the_boosters_use_the_given_number_of_threads(module):
    assert [module.estimator({}, seed=1, threads=threads).get_params()["n_jobs"] for threads in (1, 3)] == [1, 3]


def test_a_trial_with_an_unknown_parameter_is_refused():
    with pytest.raises(UsageError, match="has no hyper-parameter 'output_model'"):
        evaluate("lgbm", {"output_model": "somewhere"})
    with pytest.raises(UsageError, match="'n_jobs' of XGBClassifier"):
        evaluate("xgb", {"n_jobs": 64})


def test_exceptions_of_an_estimator_pass_through():
    with pytest.raises(ValueError, match="C"):
        evaluate("svm", {"C": -1.0})


@pytest.mark.parametrize(
    "objective",
    [
        {},
        {"model": "nn"},
        {"model": None},
        {"model": ["svm"]},
        {"dataset": "iris"},
        {"model": "svm", "dataset": "moons"},
        {"model": "svm", "function": "a:b"},
        {"model": "svm", "rows": 5},
        {"model": "svm", "dataset": "iris", "task": "regression"},
        {"model": "svm", "dataset": "diabetes"},
        {"model": "svm", "estimator": "sklearn.svm:SVC"},
        {"estimator": "sklearn.svm:SVC", "steps": [["a", "sklearn.svm:SVC"], ["b", "sklearn.svm:SVC"]]},
        {"estimator": "sklearn.svm"},
        {"estimator": 5},
        {"steps": []},
        {"steps": [["a", "sklearn.svm:SVC"]]},
        {"steps": {"a": "sklearn.svm:SVC"}},
        {"model": "svm", "params": []},
        {"model": "svm", "class_weights": {"0": -1}},
        {"model": "svm", "class_weights": "heavy"},
        {"model": "svm", "repeats": 0},
    ],
)
def test_an_unknown_objective_is_refused_with_the_known_ones(objective):
    with pytest.raises(LedgerError) as caught:
        load(objective, ["a"])
    text = str(caught.value)
    assert text.startswith(
        f"this version of the ledger has no objective {objective!r}; use a function, a command, an estimator, or one of"
        " the models svm, "
    )
    assert "breast_cancer, iris, wine, digits, diabetes" in text
    assert "\n" not in text


@pytest.mark.parametrize("error", [ImportError("no module"), OSError("libgomp.so.1: cannot open shared object file")])
def test_a_missing_library_of_a_model_is_named(monkeypatch, error):
    monkeypatch.setattr("importlib.import_module", Mock(side_effect=error))
    with pytest.raises(LedgerError, match=f"model lgbm does not work on this machine.*: {error}; install"):
        load({"model": "lgbm"}, [])


@pytest.mark.parametrize("model", MODELS)
def test_the_default_space_contains_points_of_high_accuracy(model):
    assert tuple(DEFAULT_SPACES) == MODELS
    space = DEFAULT_SPACES[model]
    check(model, space)
    for study_seed in (7, 42):
        context = replace(CONTEXT, study_seed=study_seed)
        assert any(1 - evaluate(model, params, context).loss >= 0.95 for params in drawn(space))


@pytest.mark.parametrize(("model", "best"), [("svm", 0.4), ("xgb", 0.3), ("lgbm", 0.3)])
def test_the_default_space_of_a_regression_contains_good_points(model, best):
    space = default_space(model, REGRESSION)
    check(model, space, REGRESSION)
    assert any(evaluate(model, params, dataset="diabetes").loss < 1 - best for params in drawn(space))


def test_the_svm_of_a_regression_does_not_depend_on_the_unit_of_the_target():
    table = datasets.load("diabetes")
    params = {"C": 1.0, "epsilon": 0.1}
    small, large = (
        svm.estimator(params, 1, 1, REGRESSION).fit(table.features, table.targets * unit).predict(table.features) / unit
        for unit in (1e-6, 1e6)
    )
    assert np.allclose(small, large, rtol=1e-3)


def drawn(space):
    random = np.random.default_rng(0)

    def draw(dimension):
        low, high = dimension["low"], dimension["high"]
        if dimension.get("prior") == "log-uniform":
            value = float(np.exp(random.uniform(np.log(low), np.log(high))))
        else:
            value = random.uniform(low, high)
        return round(value) if dimension["type"] == "integer" else value

    return [{name: draw(dimension) for name, dimension in space.items()} for _ in range(12)]
