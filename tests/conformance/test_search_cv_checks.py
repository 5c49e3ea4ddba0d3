"""scikit-learn's checks of estimators, which `LedgerSearchCV` passes as `RandomizedSearchCV` does."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sklearn.base import is_regressor
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from ledger.sklearn import LedgerSearchCV
from tests.unit.in_process_study import InProcessStudies

# Two of the four estimators with which scikit-learn checks `RandomizedSearchCV`.
SEARCHED: list[tuple[Any, dict[str, Any]]] = [
    (Ridge(), {"alpha": [0.1, 1.0]}),
    (Pipeline([("pca", PCA()), ("logisticregression", LogisticRegression())]), {"logisticregression__C": [0.1, 1.0]}),
]
SETTINGS: dict[str, Any] = {"cv": 2, "error_score": "raise", "random_state": 0}
# A check that fails for each search of a regressor, according to scikit-learn's own list.
FAILS_FOR_REGRESSORS = {"check_supervised_y_2d": "DataConversionWarning not caught"}


def of_ledger(estimator: Any, space: dict[str, Any]) -> LedgerSearchCV:
    return LedgerSearchCV(estimator, space, n_trials=2, **SETTINGS)


def of_sklearn(estimator: Any, space: dict[str, Any]) -> RandomizedSearchCV:
    return RandomizedSearchCV(estimator, space, n_iter=2, **SETTINGS)


def checks(search: Any) -> list[tuple[str, dict[str, Any]]]:
    """The names and arguments of scikit-learn's checks of a search."""
    found = []
    for _, check in estimator_checks_generator(search, legacy=True):
        assert isinstance(check, partial)
        found.append((check.func.__name__, check.keywords))
    return found


@pytest.fixture(autouse=True)
def studies(monkeypatch: pytest.MonkeyPatch) -> InProcessStudies:
    return InProcessStudies(monkeypatch)


@pytest.mark.parametrize(("estimator", "space"), SEARCHED, ids=["regressor", "classifier"])
def test_sklearn_checks_as_much_as_of_its_own_search(estimator: Any, space: dict[str, Any]) -> None:
    assert checks(of_ledger(estimator, space)) == checks(of_sklearn(estimator, space))


def expected(search: Any) -> dict[str, str]:
    return FAILS_FOR_REGRESSORS if is_regressor(search) else {}


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([of_ledger(*searched) for searched in SEARCHED], legacy=True, expected_failed_checks=expected)
def test_a_search_passes_the_checks_of_sklearn(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([of_sklearn(*searched) for searched in SEARCHED], legacy=True, expected_failed_checks=expected)
def test_sklearns_own_search_passes_these_checks(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)
