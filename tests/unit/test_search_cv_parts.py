"""The parts of `LedgerSearchCV`: its search spaces, the file of the workers, and the metrics of its trials."""

import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import skopt.space
from sklearn.svm import SVC

from ledger.errors import UsageError
from ledger.sklearn.distributions import read_distributions
from ledger.sklearn.fit_file import SharedContent
from ledger.sklearn.scores import failed_fits, from_metrics, mean_score, to_metrics


class Unnamed:
    """An object whose text contains its address."""


@pytest.mark.parametrize(
    ("given", "described"),
    [
        ((0.0, 1.0), "real, 0 to 1, uniform"),
        ((1, 9), "integer, 1 to 9, uniform"),
        ((1e-3, 1.0, "log-uniform"), "real, 0.001 to 1, log-uniform"),
        ({"type": "integer", "low": 1, "high": 3}, "integer, 1 to 3, uniform"),
        (scipy.stats.uniform(2, 3), "real, 2 to 5, uniform"),
        (scipy.stats.uniform(loc=-1.0), "real, -1 to 0, uniform"),
        (scipy.stats.loguniform(1e-2, 1e2), "real, 0.01 to 100, log-uniform"),
        (scipy.stats.reciprocal(1, 10), "real, 1 to 10, log-uniform"),
        (scipy.stats.randint(2, 6), "integer, 2 to 5, uniform"),
        (skopt.space.Real(0.1, 10, prior="log-uniform"), "real, 0.1 to 10, log-uniform"),
        (skopt.space.Integer(1, 8), "integer, 1 to 8, uniform"),
        (skopt.space.Categorical(["a", 1, None]), '"a", 1, "None"'),
        (["a", 2, 0.5, True], '"a", 2, 0.5, true'),
        (range(2, 5), "2, 3, 4"),
        (np.array([1, 2]), "1, 2"),
        (np.logspace(0, 2, 3), "1.0, 10.0, 100.0"),
        ([np.float64(0.5), np.True_], "0.5, true"),
        ([None, 3], '"None", 3'),
        (["None", None], '"None", "None (2)"'),
        ([(50,), (50, 50)], '"(50,)", "(50, 50)"'),
        ([math.inf, 1e300], '"inf", "1e+300"'),
        ([SVC(C=2.0), SVC], '"SVC(C=2.0)", "SVC"'),
        ([len, np.tanh], '"len", "<ufunc \'tanh\'>"'),
        ([Unnamed()], '"<tests.unit.test_search_cv_parts.Unnamed object>"'),
    ],
)  # fmt: skip
def test_a_dimension_is_written_as_in_the_ledger_scipy_or_skopt(given: Any, described: str) -> None:
    found = read_distributions({"name": given})
    assert str(found.space.dimensions[0]) == described
    assert found.first_point().keys() == {"name"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([{"C": [1]}], r"param_distributions \[.*\] is not a dict; write a dict that maps the name"),
        ({"C": scipy.stats.norm()}, "param_distributions C: the distribution norm of scipy.stats has no bounded range"),
        ({"C": ("rbf", "linear")}, "param_distributions C: low .* is not a number"),
        ({"C": []}, "param_distributions C: choices"),
        ({"C": [1, 1]}, "param_distributions C: choices 1 and 1 are equal"),
        ({"C": list}, "param_distributions C: .* is not a"),
        ({3: [1]}, "param_distributions 3: a dimension needs a name"),
    ],
)
def test_a_wrong_space_is_refused_in_one_line(given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        read_distributions(given)
    assert "\n" not in str(refused.value)


def test_labels_become_the_objects_again() -> None:
    model, words = SVC(), ("a", "b")
    found = read_distributions({"model": [model, "passthrough", None], "ngrams": [words, 1], "C": (0.0, 1.0)})
    given = {"model": "SVC()", "ngrams": "('a', 'b')", "C": 0.5}
    decoded = found.decode(given)
    assert decoded["model"] is model
    assert decoded == {"model": model, "ngrams": words, "C": 0.5}
    assert found.decode({**given, "model": "passthrough", "ngrams": 1}) == {
        "model": "passthrough",
        "ngrams": 1,
        "C": 0.5,
    }


def test_processes_share_the_data_of_a_file(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).normal(size=(200, 50))
    value = {
        "X": numbers,
        "again": numbers,
        "empty": np.zeros(0),
        "fortran": np.asfortranarray(numbers),
        "text": "x" * 9,
    }
    shared = SharedContent(value, tmp_path / "fits")
    pickled = pickle.dumps(shared)
    assert len(pickled) < 1_000
    read = pickle.loads(pickled).value
    assert read.keys() == value.keys()
    for name in ("X", "empty", "fortran"):
        np.testing.assert_array_equal(read[name], value[name])
    assert read["again"] is read["X"]
    assert read["text"] == value["text"]
    # The arrays are a part of the mapped file, so they need no memory of the process, and cannot change.
    assert not read["X"].flags.owndata
    assert not read["X"].flags.writeable
    assert read["X"].flags.aligned
    # The file contains the array once.
    assert (tmp_path / "fits").stat().st_size < 2.5 * numbers.nbytes
    (tmp_path / "fits").unlink()
    assert read["X"].sum() == numbers.sum()


def test_what_cannot_be_pickled_for_workers_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^the search cannot be pickled for the workers \(TypeError: .*\): move"):
        SharedContent({"rows": (row for row in range(3))}, tmp_path / "fits")


FIT = {"fit_error": None, "fit_time": 0.5, "score_time": 0.25}


@pytest.mark.parametrize(
    "results",
    [
        [{**FIT, "test_scores": 0.5}, {**FIT, "test_scores": 0.75}],
        [{**FIT, "test_scores": 0.5, "train_scores": 1.0}],
        [{**FIT, "test_scores": {"f1": 0.5, "test_f1": 0.25, "a b/c": -1e300}, "train_scores": {"f1": 1.0}}],
        [{**FIT, "test_scores": {"a": math.inf}}, {**FIT, "test_scores": {"a": -math.inf}}],
        [{**FIT, "test_scores": 0.0, "fit_error": "Traceback\nValueError: no"}, {**FIT, "test_scores": {"f1": 0.1}}],
    ],
)
def test_results_come_back_from_the_metrics_of_a_trial(results: list[dict[str, Any]]) -> None:
    metrics = json.loads(json.dumps(to_metrics(results, 1_000), allow_nan=False))
    assert from_metrics(metrics, len(results)) == results


def test_a_score_that_is_not_a_number_comes_back() -> None:
    metrics = to_metrics([{**FIT, "test_scores": math.nan}], 1_000)
    assert metrics["split0_test_score"] is None
    assert math.isnan(from_metrics(metrics, 1)[0]["test_scores"])


def test_metrics_have_the_means_of_all_splits() -> None:
    results = [{**FIT, "test_scores": {"a": 0.5, "b": 1.0}}, {**FIT, "test_scores": {"a": 1.0, "b": 0.0}}]
    metrics = to_metrics(results, 1_000)
    assert (metrics["mean_test_a"], metrics["std_test_a"], metrics["mean_fit_time"]) == (0.75, 0.25, 0.5)
    assert (mean_score(results, "b"), mean_score(results, "c"), mean_score(results, None)) == (0.5, 0.75, 0.75)


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"accuracy": 0.5},
        {"split0_fit_time": 1.0, "split0_score_time": 1.0},
        {"split0_fit_time": [], "split0_score_time": 1.0, "split0_test_score": 0.5},
        {"split0_fit_time": 1.0, "split0_score_time": 1.0, "split0_test_score": "high"},
    ],
)
def test_metrics_of_another_objective_are_no_results(metrics: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="metrics|number|float"):
        from_metrics(metrics, 1)


def test_the_traceback_of_a_failed_fit_keeps_its_end() -> None:
    metrics = to_metrics([{**FIT, "test_scores": 0.0, "fit_error": "x" * 100 + "ValueError: no"}], 20)
    assert metrics["split0_fit_error"] == "xxxxxxValueError: no"


def test_a_failed_trial_has_the_error_score_for_each_scorer() -> None:
    (result,) = failed_fits("killed", 1, 0.0, ["a", "b"], has_train_scores=True)
    assert result["test_scores"] == result["train_scores"] == {"a": 0.0, "b": 0.0}
    assert result["fit_error"] == "killed"
