"""The callbacks and loops of ledger.integrations, with real trainings.

tests/frameworks trains with Keras and Lightning.
"""

import sys
from contextlib import contextmanager, nullcontext
from importlib import import_module

import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor
from xgboost import XGBClassifier

import ledger
from ledger.integrations import lightgbm as for_lightgbm
from ledger.integrations import xgboost as for_xgboost
from ledger.integrations.sklearn import fit_in_epochs, fit_with_warm_start
from ledger.objectives import ValueScale
from ledger.objectives.reporting import receive_reports

CONTEXT = ledger.Context("s", 0, 1, 7, 42)
X_TRAIN, X_TEST, Y_TRAIN, Y_TEST = train_test_split(*load_breast_cancer(return_X_y=True), random_state=0)


class PruningContext(ledger.Context):
    """A context that asks for the end of the training after the first report."""

    def should_prune(self) -> bool:
        return True


@pytest.fixture(params=[ledger.Context, PruningContext])
def context(request):
    return request.param("s", 0, 1, 7, 42)


@pytest.fixture
def reports(context):
    """Yield the reports of the trial, as a list of steps and losses."""
    received: list[tuple[int, float | None]] = []
    with receive_reports(context, ValueScale(), lambda step, loss, _: received.append((step, loss))):
        yield received


def rounds(context, all_rounds):
    return 1 if isinstance(context, PruningContext) else all_rounds


@contextmanager
def ended_early(context):
    """Expect the exception that ends a trial, if the context asks for the end of the training."""
    with pytest.raises(ledger.TrialPruned) if isinstance(context, PruningContext) else nullcontext():
        yield


def test_xgboost_reports_each_round(context, reports):
    callback = for_xgboost.ReportCallback(context, "validation_0-logloss")
    model = XGBClassifier(n_estimators=6, n_jobs=1, callbacks=[callback])
    with ended_early(context):
        model.fit(X_TRAIN, Y_TRAIN, eval_set=[(X_TEST, Y_TEST)], verbose=False)
        assert reports == list(enumerate(model.evals_result()["validation_0"]["logloss"]))
    assert len(reports) == rounds(context, 6)


def test_xgboost_reports_the_mean_of_a_cross_validation(context, reports):
    with ended_early(context):
        table = xgboost.cv(
            {"objective": "binary:logistic", "nthread": 1},
            xgboost.DMatrix(X_TRAIN, Y_TRAIN),
            num_boost_round=4,
            callbacks=[for_xgboost.ReportCallback(context, "test-logloss")],
        )
        assert [loss for _, loss in reports] == pytest.approx(table["test-logloss-mean"].tolist())
    assert len(reports) == rounds(context, 4)


def test_lightgbm_reports_each_round(context, reports):
    recorded: dict[str, dict[str, list[float]]] = {}
    with ended_early(context):
        train_with_lightgbm(for_lightgbm.ReportCallback(context, "valid_0-l2"), recorded)
    curve = recorded["valid_0"]["l2"]
    assert len(curve) == rounds(context, 6)
    assert reports == list(enumerate(curve))


def train_with_lightgbm(callback, recorded):
    """Train 6 rounds, and record the metrics before the callback, which may end the training."""
    train = lightgbm.Dataset(X_TRAIN, Y_TRAIN)
    valid = lightgbm.Dataset(X_TEST, Y_TEST, reference=train)
    first = lightgbm.record_evaluation(recorded)
    settings = {"objective": "regression", "num_threads": 1, "verbose": -1}
    lightgbm.train(settings, train, 6, valid_sets=[valid], callbacks=[first, callback])


def test_lightgbm_reports_the_mean_of_a_cross_validation(context, reports):
    callback = for_lightgbm.ReportCallback(context, "valid-l2")
    settings = {"objective": "regression", "num_threads": 1, "verbose": -1}
    with ended_early(context):
        found = lightgbm.cv(settings, lightgbm.Dataset(X_TRAIN, Y_TRAIN), 4, stratified=False, callbacks=[callback])
        assert [loss for _, loss in reports] == pytest.approx(found["valid l2-mean"])
    assert len(reports) == rounds(context, 4)


def test_partial_fit_reports_each_epoch(context, reports):
    model = SGDClassifier(random_state=3)
    scores: list[float] = []

    def score(fitted):
        scores.append(fitted.score(X_TEST, Y_TEST))
        return scores[-1]

    with ended_early(context):
        assert fit_in_epochs(model, X_TRAIN, Y_TRAIN, context, epochs=5, score=score) == scores[-1]
    assert reports == list(enumerate(scores))
    assert len(scores) == rounds(context, 5)
    undisturbed = SGDClassifier(random_state=3)
    for _ in scores:
        undisturbed.partial_fit(X_TRAIN, Y_TRAIN, classes=np.unique(Y_TRAIN))
    assert np.array_equal(model.coef_, undisturbed.coef_)


def test_partial_fit_of_a_regressor_gets_no_classes(context, reports):
    model = MLPRegressor(hidden_layer_sizes=(3,), random_state=3)
    with ended_early(context):
        fit_in_epochs(model, X_TRAIN, Y_TRAIN, context, epochs=3, score=lambda fitted: fitted.loss_)
    assert len(reports) == rounds(context, 3)


@pytest.mark.parametrize(
    ("make", "parameter"),
    [
        (lambda **size: RandomForestClassifier(random_state=3, **size), "n_estimators"),
        (lambda **size: GradientBoostingClassifier(random_state=3, subsample=0.5, **size), "n_estimators"),
        (lambda **size: HistGradientBoostingClassifier(random_state=3, early_stopping=False, **size), "max_iter"),
    ],
)
def test_a_warm_start_reports_the_score_of_each_size(make, parameter, context, reports):
    sizes = [2, 5, 9]
    undisturbed = [make(**{parameter: size}).fit(X_TRAIN, Y_TRAIN).predict_proba(X_TEST)[:, 1] for size in sizes]
    model = make()

    def score(fitted):
        return fitted.predict_proba(X_TEST)[:, 1].sum()

    with ended_early(context):
        last = fit_with_warm_start(model, X_TRAIN, Y_TRAIN, context, sizes=sizes, score=score, parameter=parameter)
        assert last == reports[-1][1]
    count = rounds(context, 3)
    assert [step for step, _ in reports] == sizes[:count]
    assert [loss for _, loss in reports] == pytest.approx([each.sum() for each in undisturbed[:count]], rel=1e-9)
    assert np.allclose(model.predict_proba(X_TEST)[:, 1], undisturbed[count - 1])


@pytest.mark.parametrize("sizes", [[], [0, 5], [5, 5], [9, 5]])
def test_sizes_that_do_not_grow_are_refused(sizes):
    with pytest.raises(
        ValueError, match=r"^sizes is .*: write integers of at least 1, each larger than the previous integer$"
    ):
        fit_with_warm_start(RandomForestClassifier(), X_TRAIN, Y_TRAIN, CONTEXT, sizes=sizes, score=lambda fitted: 0.0)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_unknown_metric_is_refused_with_the_known_names():
    with pytest.raises(ValueError, match=r"no metric 'logloss': .* \(validation_0-logloss\)"):
        XGBClassifier(n_estimators=2, n_jobs=1, callbacks=[for_xgboost.ReportCallback(CONTEXT, "logloss")]).fit(
            X_TRAIN, Y_TRAIN, eval_set=[(X_TEST, Y_TEST)], verbose=False
        )
    with pytest.raises(ValueError, match="the training has no metrics, because the training has no evaluation set"):
        XGBClassifier(n_estimators=2, n_jobs=1, callbacks=[for_xgboost.ReportCallback(CONTEXT, "a")]).fit(
            X_TRAIN, Y_TRAIN
        )
    with pytest.raises(ValueError, match=r"no metric 'l2': .* \(valid_0-l2\)"):
        train_with_lightgbm(for_lightgbm.ReportCallback(CONTEXT, "l2"), {})
    with pytest.raises(ValueError, match="epochs is 0: train at least 1 epoch"):
        fit_in_epochs(SGDClassifier(), X_TRAIN, Y_TRAIN, CONTEXT, epochs=0, score=lambda fitted: 0.0)


class WithoutFrameworks:
    """A finder that finds neither Keras nor Lightning, as if they were not installed."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in ("keras", "lightning"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize("package", ["Keras", "Lightning"])
def test_a_framework_that_is_not_installed_is_named(package, monkeypatch):
    module = f"ledger.integrations.{package.lower()}"
    monkeypatch.setattr(sys, "meta_path", [WithoutFrameworks(), *sys.meta_path])
    monkeypatch.delitem(sys.modules, module, raising=False)
    message = rf"^{module} needs {package}, which is not installed: pip install {package.lower()}$"
    with pytest.raises(ModuleNotFoundError, match=message):
        import_module(module)


@pytest.mark.parametrize("package", ["keras", "lightning"])
def test_a_package_that_a_framework_needs_is_named(package, monkeypatch, tmp_path):
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("import a_missing_backend\n")
    monkeypatch.syspath_prepend(tmp_path)
    for module in (package, f"ledger.integrations.{package}"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(ModuleNotFoundError, match="^No module named 'a_missing_backend'$"):
        import_module(f"ledger.integrations.{package}")
