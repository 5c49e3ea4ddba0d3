"""The promises of the optimizer beyond skopt's: few fits, no duplicates, any losses, equal points everywhere."""

import copy
import pickle

import numpy as np
import pytest
import skopt
import skopt.learning
from skopt.space import Categorical, Integer, Real

from ledger.optimizer import Optimizer, gaussian_process
from ledger.optimizer.batch import APART
from ledger.optimizer.columns import Fidelity, TransformedSpace, are_among
from ledger.optimizer.forest import ForestPredictions, faster_forest
from ledger.optimizer.gaussian_process import GaussianProcessRegressor
from ledger.optimizer.posterior import Posterior
from tests.unit.estimators import small
from tests.unit.told import keys, loss, mixed, told

estimators = pytest.mark.parametrize("estimator", ["GP", "RF", "ET"])
ACQUISITIONS = ["EI", "PI", "LCB", "gp_hedge", "EIps", "PIps", "MES"]


@pytest.fixture
def fits(monkeypatch):
    """Count the fits of every model."""
    counted = []
    models = (GaussianProcessRegressor, skopt.learning.RandomForestRegressor, skopt.learning.ExtraTreesRegressor)
    for model in models:
        fit = model.fit

        def count(self, X, y, *rest, fit=fit):
            counted.append(len(X))
            return fit(self, X, y, *rest)

        monkeypatch.setattr(model, "fit", count)
    return counted


@estimators
def test_a_tell_costs_one_fit_and_a_lie_none(estimator, fits, monkeypatch):
    extended = []
    extend = Posterior.extended

    def spy(self, *of):
        extended.append(len(self.points))
        return extend(self, *of)

    monkeypatch.setattr(Posterior, "extended", spy)
    optimizer = told(estimator)
    assert fits == [12]
    batch = optimizer.ask(8, "cl_min")
    # extra trees need to be grown again
    lies = list(range(13, 20)) if estimator == "ET" else []
    assert fits == [12, *lies]
    # the last point needs no lie
    assert extended == (list(range(12, 19)) if estimator == "GP" else [])
    optimizer.tell(batch, [loss(one) for one in batch])
    optimizer.ask()
    assert fits == [12, *lies, 20]


@estimators
def test_a_batch_across_the_initial_points_takes_one_fit(estimator, fits):
    optimizer = Optimizer(mixed(), small(estimator), n_initial_points=5, random_state=1)
    batch = optimizer.ask(8)
    assert fits == ([5, 6, 7] if estimator == "ET" else [5])
    assert len(set(keys(batch))) == 8
    assert optimizer.Xi == []


def test_the_fit_of_a_kernel_begins_from_the_kernel_before():
    optimizer = told(size=40, batches=3, model_queue_size=None)
    # of 40, 44, 48 and 52 points; 45.25 is a power of sqrt(2), so with 48 a fit begins from every start again
    cold, warm, again, last = (model.evaluations_ for model in optimizer.models)
    assert max(warm, last) <= 2 * gaussian_process.WARM_STEPS < min(cold, again)


def test_the_fit_of_a_new_optimizer_begins_from_a_given_kernel():
    optimizer = told(size=40, batches=1, model_queue_size=None)
    before, after = optimizer.models
    fresh = Optimizer(mixed(), "GP", n_initial_points=1, acq_func="EI", random_state=1)
    fresh.start_from([float(value) for value in before.theta_], 40)
    fresh.tell(optimizer.Xi, optimizer.yi)
    np.testing.assert_allclose(fresh.models[-1].theta_, after.theta_)
    assert fresh.models[-1].evaluations_ == after.evaluations_


@estimators
@pytest.mark.parametrize("acq_func", ACQUISITIONS)
def test_no_point_is_proposed_twice(estimator, acq_func):
    optimizer = told(estimator, batches=2, acq_func=acq_func, acq_optimizer_kwargs={"n_points": 200})
    single = optimizer.ask()
    assert len(set(keys([*optimizer.Xi, single]))) == len(optimizer.Xi) + 1
    for point in optimizer.Xi:
        assert point in optimizer.space


@estimators
@pytest.mark.parametrize(
    "dimensions",
    [
        pytest.param(lambda: [Categorical(list("abc")), Categorical(list("xyzw"))], id="choices"),
        pytest.param(lambda: [Integer(1, 3), Integer(-2, 1)], id="integers"),
        pytest.param(lambda: [Integer(1, 3), Categorical(["x", "y"]), Integer(0, 1)], id="both"),
    ],
)
def test_each_point_of_a_finite_space_is_proposed_before_a_repetition(estimator, dimensions):
    def value(point):
        return float(sum(len(str(one)) + hash_of(one) for one in point))

    def hash_of(one):
        return sum(map(ord, str(one))) / 100

    optimizer = told(estimator, size=2, batches=2, dimensions=dimensions, objective=value)
    optimizer.tell(batch := optimizer.ask(2), [value(one) for one in batch])
    assert len(set(keys(optimizer.Xi))) == 12
    with pytest.warns(UserWarning, match="no untried point was found"):
        again = optimizer.ask(2)
    assert len(again) == 2


def test_a_single_choice_needs_no_search():
    def dimensions():
        return [Categorical(["only"]), Real(0.0, 1.0)]

    optimizer = told(size=4, batches=2, dimensions=dimensions, objective=lambda point: point[1])
    assert len(set(keys(optimizer.Xi))) == 12


@estimators
def test_a_constraint_holds(estimator):
    def dimensions():
        return [Real(0.0, 1.0), Integer(0, 9)]

    def allowed(point):
        return point[0] * 9 <= point[1]

    value = {"objective": lambda point: -point[0], "space_constraint": allowed}
    optimizer = told(estimator, size=5, batches=3, dimensions=dimensions, **value)
    assert all(allowed(point) for point in optimizer.Xi)


def test_duplicates_are_proposed_where_that_is_asked():
    optimizer = told(
        size=2, dimensions=lambda: [Categorical(["a", "b"])], objective=lambda p: 0.0, avoid_duplicates=False
    )
    assert len(optimizer.ask(4)) == 4
    assert not optimizer.copy().avoid_duplicates


def test_a_point_is_scored_where_it_is_evaluated(monkeypatch):
    optimizer = told(batches=3)
    scored = []
    predict = Posterior.predict

    def spy(self, rows):
        scored.append(rows.copy())
        return predict(self, rows)

    monkeypatch.setattr(Posterior, "predict", spy)
    batch = optimizer.ask(4)
    rows = np.vstack(scored)
    columns = TransformedSpace(optimizer.space)
    # every row that was scored is that of a point, and comes back from it
    for row in rows[:: max(len(rows) // 100, 1)]:
        np.testing.assert_allclose(columns.transform([columns.point(row)])[0], row, atol=1e-9)
    assert are_among(columns.transform(batch[:1]), np.vstack([rows, optimizer._candidates(*history(optimizer))])).all()


@pytest.mark.parametrize("acq_func", ["EI", "PI", "LCB", "MES"])
def test_an_optimizer_with_a_fidelity_proposes_whole_trainings(acq_func):
    optimizer = Optimizer([(0.0, 1.0), Fidelity()], "GP", n_initial_points=2, acq_func=acq_func, random_state=1)
    assert [point[-1] for point in optimizer.ask(2)] == [1.0, 1.0]
    shares = [0.25, 0.25, 0.25, 0.25, 1.0, 1.0, 1.0]
    places = [0.0, 0.2, 0.6, 1.0, 0.1, 0.5, 0.9]
    optimizer.tell([*map(list, zip(places, shares, strict=True))], [0.1, 0.0, 0.1, 0.2, 0.9, 0.5, 0.7])
    batch = optimizer.ask(3)
    assert [point[-1] for point in batch] == [1.0] * 3
    assert optimizer._lie("cl_min") == 0.5, "an early loss is no loss to improve on"
    assert not any(abs(point[0] - place) <= APART for point in batch for place in places)


def history(optimizer):
    return optimizer.rows(), np.array(optimizer.yi), np.random.RandomState(0)


def test_points_of_a_batch_keep_their_distance():
    optimizer = told(dimensions=lambda: [Real(0.0, 1.0)] * 2, objective=lambda p: (p[0] - 0.3) ** 2, batches=5)
    rows = optimizer._columns.transform(optimizer.ask(8))
    for index in range(1, 8):
        assert np.abs(rows[:index] - rows[index]).max(axis=1).min() >= 1e-3 - 1e-9


def test_a_believer_assumes_the_predicted_loss_of_a_chosen_point():
    optimizer = told(dimensions=lambda: [Real(0.0, 1.0)] * 2, objective=lambda p: (p[0] - 0.3) ** 2, batches=2)
    batch = optimizer._batch(optimizer.rows(), np.random.RandomState(0))
    (row,) = optimizer._columns.transform(optimizer.ask(1))
    others = optimizer._columns.draw(50, np.random.RandomState(1))
    before, expected = batch.means(others), batch.means(row[None, :])[0]
    batch.add(row, None)
    np.testing.assert_allclose(batch.means(others), before, atol=1e-6)
    predicted = optimizer.models[-1].posterior_.extended(row, expected)
    (posterior,) = batch._posteriors
    np.testing.assert_allclose(posterior.predict(others), predicted.predict(others))


def test_a_believer_improves_on_the_losses_that_it_assumes():
    line = Optimizer([(0.0, 1.0)], "GP", n_initial_points=1, acq_func="EI", random_state=1)
    line.tell([[x] for x in (0.0, 0.1, 0.2, 0.3, 0.4, 0.9, 1.0)], [1.0, 0.8, 0.6, 0.4, 0.2, 0.3, 0.5])
    rows, random = line.rows(), np.random.RandomState(0)
    lied, believed = line._batch(rows, random), line._batch(rows, np.random.RandomState(0))
    best = line._columns.transform(line.ask(1, "believer"))
    assert believed.means(best)[0] < 0.2
    near = best + 0.01
    before = believed._at("EI", near)
    believed.add(best[0], None)
    lied.add(best[0], believed.means(best))
    assert believed._at("EI", near) < lied._at("EI", near) < before


@estimators
@pytest.mark.parametrize(
    "scale",
    [
        pytest.param(lambda value, huge: value * huge, id="huge"),
        pytest.param(lambda value, huge: value / 1e300, id="tiny"),
        pytest.param(lambda value, huge: 7.0, id="equal"),
        pytest.param(lambda value, huge: value if value < 3 else 1e12, id="one far out"),
    ],
)
@pytest.mark.parametrize("acq_func", ["EI", "gp_hedge"])
def test_losses_of_any_size_are_searched(estimator, scale, acq_func):
    huge = 1e300 if estimator == "GP" else 1e150
    optimizer = told(estimator, batches=2, objective=lambda point: scale(loss(point), huge), acq_func=acq_func)
    assert len(set(keys(optimizer.Xi))) == 20


def test_points_may_be_told_twice():
    optimizer = told()
    optimizer.tell(optimizer.Xi[:6], [value + 0.1 for value in optimizer.yi[:6]])
    batch = optimizer.ask(4)
    assert len(set(keys(batch + optimizer.Xi))) == 4 + 12


@estimators
def test_one_point_is_enough(estimator):
    optimizer = told(estimator, size=1)
    assert len(set(keys(optimizer.ask(4) + optimizer.Xi))) == 5


@estimators
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), np.float64("nan")])
def test_a_value_that_is_not_finite_is_refused_and_not_recorded(estimator, value):
    optimizer = told(estimator)
    with pytest.raises(ValueError, match="finite"):
        optimizer.tell(optimizer.ask(2), [1.0, value])
    assert len(optimizer.Xi) == len(optimizer.yi) == 12
    optimizer.ask(2)


def test_a_warning_says_that_a_gp_uses_a_sample_of_the_points(monkeypatch):
    monkeypatch.setattr(gaussian_process, "FITTED_TO", 50)
    monkeypatch.setattr(gaussian_process, "MODELLED", 100)
    optimizer = Optimizer([Real(0.0, 1.0)] * 2, "GP", n_initial_points=1, acq_func="EI", random_state=1)
    points = np.random.RandomState(0).rand(300, 2).tolist()
    with pytest.warns(UserWarning, match="only 100 of 300 points: the best points"):
        optimizer.tell(points, [(a - 0.3) ** 2 + (b - 0.6) ** 2 for a, b in points])
    assert len(optimizer.models[-1].subset_) == 100
    assert np.abs(np.array(optimizer.ask(4)[0]) - [0.3, 0.6]).max() < 0.2


@estimators
@pytest.mark.parametrize("acq_func", ["EI", "gp_hedge", "EIps"])
def test_an_optimizer_can_be_pickled_and_copied(estimator, acq_func):
    optimizer = told(estimator, batches=1, acq_func=acq_func, acq_optimizer_kwargs={"n_points": 200})
    twins = [pickle.loads(pickle.dumps(optimizer)), copy.deepcopy(optimizer)]
    batch = keys(optimizer.ask(3))
    assert [keys(twin.ask(3)) for twin in twins] == [batch, batch]


def test_the_result_can_be_kept(tmp_path):
    result = told(batches=1).get_result()
    skopt.dump(result, tmp_path / "result.pkl", store_objective=False)
    loaded = skopt.load(tmp_path / "result.pkl")
    assert loaded.x == result.x
    row = result.space.transform([result.x])
    np.testing.assert_array_equal(loaded.models[-1].predict(row), result.models[-1].predict(row))


def test_gains_of_gp_hedge_change_once_after_an_ask():
    optimizer = told(acq_func="gp_hedge")
    optimizer.ask()
    before = optimizer.gains_.copy()
    optimizer.tell(optimizer.ask(), 1.0)
    after = optimizer.gains_.copy()
    assert (after != before).all()
    # nothing was asked since
    optimizer.tell([0.5, 3, "a", 7], 2.0)
    np.testing.assert_array_equal(optimizer.gains_, after)


@pytest.mark.parametrize("kind", ["RandomForestRegressor", "ExtraTreesRegressor"])
@pytest.mark.parametrize("settings", [{}, {"max_depth": 3, "max_features": 0.5}, {"bootstrap": True}])
def test_a_fast_forest_equals_that_of_skopt(kind, settings):
    random = np.random.RandomState(0)
    points, values, others = random.rand(40, 4), random.rand(40), random.rand(30, 4)
    upstream = getattr(skopt.learning, kind)(n_estimators=8, min_samples_leaf=3, random_state=5, **settings)
    forest = faster_forest(upstream)
    assert type(forest) is not type(upstream)
    for _ in range(2):
        fitted = [model.fit(points, values).predict(others, return_std=True) for model in (forest, upstream)]
        np.testing.assert_array_equal(*fitted)
        assert [tree.get_params() for tree in forest] == [tree.get_params() for tree in upstream]
        # A second fit uses the changed parameters.
        forest, upstream = (model.set_params(min_samples_leaf=5, random_state=6) for model in (forest, upstream))


def test_a_forest_learns_a_lie_without_being_grown_again():
    random = np.random.RandomState(0)
    points, values = random.rand(60, 3), random.rand(60)
    settings = {"n_estimators": 20, "min_samples_leaf": 3, "bootstrap": False, "random_state": 1}
    forest = skopt.learning.RandomForestRegressor(**settings).fit(points, values)
    others = random.rand(30, 3)
    predictions = ForestPredictions(forest, others)
    for mine, expected in zip(predictions.predict(), forest.predict(others, return_std=True), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-6, atol=1e-7)
    predictions.add(others[0], -3.0)
    mean, deviation = predictions.predict()
    # by hand: every tree's leaf has one more value
    means, variances = [], []
    for tree in (one.tree_ for one in forest.estimators_):
        leaf = tree.apply(others[:1].astype(np.float32))[0]
        inside = np.append(values[tree.apply(points.astype(np.float32)) == leaf], -3.0)
        means.append(inside.mean())
        variances.append(inside.var())
    assert mean[0] == pytest.approx(np.mean(means))
    assert deviation[0] == pytest.approx(np.sqrt(np.mean(variances) + np.var(means)))
    assert predictions.mean_at(others[:1])[0] == pytest.approx(mean[0])


@pytest.mark.parametrize("estimator", ["GP", "ET"])
def test_tell_rows_leads_to_the_same_points_as_tell(estimator):
    plain = told(estimator)
    fresh, of_rows = (Optimizer(mixed(), small(estimator), n_initial_points=12, random_state=1) for _ in range(2))
    fresh.tell(plain.Xi, plain.yi)
    of_rows.tell_rows(plain.rows(), plain.observed())
    assert of_rows.ask(3) == fresh.ask(3)
    more = fresh.ask(3)
    fresh.tell(more, [loss(point) for point in more])
    of_rows.tell(more, [loss(point) for point in more])
    assert np.array_equal(of_rows.rows(), fresh.rows())
    assert of_rows.ask(2) == fresh.ask(2)
    assert of_rows.copy(random_state=5).ask(2) == fresh.copy(random_state=5).ask(2)
    with pytest.raises(ValueError, match="without observations"):
        of_rows.tell_rows(plain.rows(), plain.observed())
