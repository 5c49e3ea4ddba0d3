"""The built-in models: a trial has the same loss everywhere, on rows that depend on the study's seed."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from ledger.errors import LedgerError, UsageError
from ledger.objectives import DATASETS, DEFAULT_SPACES, MODELS, Context, check, datasets, lgbm, xgb
from ledger.objectives.loading import load

CONTEXT = Context(study="a-study", trial=0, attempt=1, seed=99, study_seed=7)
SMALL = {
    "svm": {"C": 3.0, "gamma": 0.02},
    "xgb": {"n_estimators": 8, "max_depth": 3, "subsample": 0.5, "colsample_bytree": 0.5},
    "lgbm": {"n_estimators": 8, "num_leaves": 7, "subsample": 0.5, "colsample_bytree": 0.5},
}

# The losses of every model on every dataset, with two trials each.
LOSSES = """
def losses(small, datasets):
    from ledger.objectives import Context
    from ledger.objectives.loading import load
    found = {}
    for model, params in small.items():
        for dataset in datasets:
            objective = load({"model": model, "dataset": dataset}, [])
            for trial in range(2):
                context = Context("s", trial, attempt=1, seed=1000 + trial, study_seed=7)
                found[f"{model} {dataset} {trial}"] = objective(params, context).loss.hex()
    return found
"""


def in_a_fresh_process(code, *arguments, **environment):
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def evaluate(model, params, context=CONTEXT, dataset="breast_cancer", **options):
    return load({"model": model, "dataset": dataset}, [], **options)(params, context)


def test_the_loss_is_bit_equal_in_every_process_and_thread_count():
    here: dict[str, Any] = {}
    exec(LOSSES, here)
    first = here["losses"](SMALL, DATASETS)
    there = f"{LOSSES}\nimport json, sys\nprint(json.dumps(losses(*json.loads(sys.argv[1]))))"
    second = json.loads(in_a_fresh_process(there, json.dumps([SMALL, DATASETS]), OMP_NUM_THREADS="4"))
    assert first == second
    assert len(first) == len(MODELS) * len(DATASETS) * 2
    assert len(set(first.values())) > 10, "the losses must differ, or the comparison shows nothing"


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dataset", DATASETS)
def test_every_model_learns_every_dataset_and_reports_metrics(model, dataset):
    result = evaluate(model, SMALL[model], dataset=dataset)
    assert 0 <= result.loss < 0.5, "a model that has learned is right more often than not"
    assert result.metrics.keys() == {"accuracy", "fit_seconds"}
    assert result.loss == 1 - result.metrics["accuracy"]
    assert 1 - result.loss == result.metrics["accuracy"]
    assert result.metrics["fit_seconds"] > 0
    assert all(type(value) is float for value in (result.loss, *result.metrics.values()))


@pytest.mark.parametrize("model", MODELS)
def test_the_default_dataset_is_breast_cancer(model):
    assert DATASETS[0] == "breast_cancer"
    assert load({"model": model}, [])(SMALL[model], CONTEXT).loss == evaluate(model, SMALL[model]).loss


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_split_is_a_stratified_fifth_that_depends_on_the_seed(dataset):
    rows = datasets.split(dataset, 7)
    datasets.split.cache_clear()
    again, other = datasets.split(dataset, 7), datasets.split(dataset, 8)
    assert all(np.array_equal(first, second) for first, second in zip(rows, again, strict=True))
    assert not np.array_equal(rows[1], other[1])
    x_train, x_test, y_train, y_test = rows
    assert len(x_train) == len(y_train)
    assert len(y_test) == len(x_test) == np.ceil(0.2 * (len(y_train) + len(y_test)))
    assert np.allclose(np.bincount(y_train) / len(y_train), np.bincount(y_test) / len(y_test), atol=0.02)


def test_all_trials_of_a_study_share_rows_that_are_read_only(monkeypatch):
    bundled = Mock(side_effect=datasets.LOADERS["iris"])
    monkeypatch.setitem(datasets.LOADERS, "iris", bundled)
    datasets.split.cache_clear()
    for trial in range(3):
        evaluate("svm", SMALL["svm"], replace(CONTEXT, trial=trial, seed=trial), dataset="iris")
    bundled.assert_called_once()
    for array in datasets.split("iris", CONTEXT.study_seed):
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
        x_train, _, y_train, _ = datasets.split("digits", 7)
        trained = lgbm.estimator({"n_estimators": 3, **params}, seed=1, threads=1).fit(x_train, y_train)
        return trained.predict_proba(x_train).tobytes()

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
    ],
)
def test_an_unknown_objective_is_refused_with_the_known_ones(objective):
    with pytest.raises(LedgerError) as caught:
        load(objective, ["a"])
    text = str(caught.value)
    assert text.startswith(
        f"this version of the ledger has no objective {objective!r}; use a function, a command, or one of"
        " the models svm, "
    )
    assert "breast_cancer, iris, wine, digits" in text
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
    random = np.random.default_rng(0)

    def draw(dimension):
        low, high = dimension["low"], dimension["high"]
        if dimension.get("prior") == "log-uniform":
            value = float(np.exp(random.uniform(np.log(low), np.log(high))))
        else:
            value = random.uniform(low, high)
        return round(value) if dimension["type"] == "integer" else value

    for study_seed in (7, 42):
        context = replace(CONTEXT, study_seed=study_seed)
        trials = [{name: draw(dimension) for name, dimension in space.items()} for _ in range(12)]
        assert any(1 - evaluate(model, params, context).loss >= 0.95 for params in trials)
