"""Tests that stand for skopt's tests of ask and tell, for GPs and both forests; a table says which for which.

The names are those of `skopt/tests/test_optimizer.py` and `skopt/tests/test_parallel_cl.py` of scikit-optimize 0.10.
"""

import numpy as np
import pytest
import skopt
import skopt.benchmarks
import skopt.learning
from scipy.optimize import OptimizeResult
from scipy.spatial.distance import pdist
from sklearn.multioutput import MultiOutputRegressor
from skopt.space import Categorical, Integer, Real

from ledger.optimizer import Optimizer
from tests.unit.estimators import small

UPSTREAM = {
    "test_optimizer.py": {
        "test_multiple_asks": "test_asking_again_changes_nothing",
        "test_model_queue_size": "test_no_more_models_are_kept_than_asked_for",
        "test_invalid_tell_arguments": "test_one_point_takes_one_value",
        "test_invalid_tell_arguments_list": "test_values_have_to_be_numbers",
        "test_bounds_checking_1D": "test_a_point_out_of_bounds_is_refused",
        "test_bounds_checking_2D": "test_a_point_out_of_bounds_is_refused",
        "test_bounds_checking_2D_multiple_points": "test_a_point_out_of_bounds_is_refused",
        "test_dimension_checking_1D": "test_a_point_of_other_dimensions_is_refused",
        "test_dimension_checking_2D": "test_a_point_of_other_dimensions_is_refused",
        "test_dimension_checking_2D_multiple_points": "test_a_point_of_other_dimensions_is_refused",
        "test_returns_result_object": "test_tell_returns_the_result",
        "test_acq_optimizer": "test_forests_have_no_gradients",
        "test_acq_optimizer_with_time_api": "test_losses_come_with_times",
        "test_optimizer_copy": "test_a_copy_knows_the_same",
        "test_exhaust_initial_calls": "test_a_model_is_fitted_after_the_initial_points",
        "test_optimizer_base_estimator_string_invalid": "test_an_unknown_estimator_is_refused",
        "test_optimizer_base_estimator_string_smoke": "test_estimators_are_known_by_name",
        "test_optimizer_base_estimator_string_smoke_njobs": "test_estimators_are_known_by_name",
        "test_defaults_are_equivalent": "test_defaults_are_those_of_skopt",
        "test_dimensions_names": "test_names_of_dimensions_are_kept",
        "test_categorical_only": "test_a_space_of_choices_alone",
        "test_categorical_only2": "test_a_space_of_choices_alone_and_another_kernel",
    },
    "test_parallel_cl.py": {
        "test_constant_liar_runs": "test_batches_of_every_strategy",
        "test_all_points_different": "test_points_of_a_batch_differ",
        "test_same_set_of_points_ask": "test_a_batch_asked_again_is_the_same",
        "test_reproducible_runs": "test_runs_are_reproducible",
    },
}

estimators = pytest.mark.parametrize("estimator", ["GP", "RF", "ET"])
forests = pytest.mark.parametrize("estimator", ["RF", "ET"])
strategies = pytest.mark.parametrize("strategy", ["cl_min", "cl_mean", "cl_max", "believer"])


# Candidates enough for what is tested, at a twentieth of the time.
FEW = {"acq_optimizer_kwargs": {"n_points": 500}}


def line(estimator, **settings):
    return Optimizer([(-2.0, 2.0)], small(estimator), **{"n_initial_points": 1, "random_state": 1, **FEW, **settings})


def plane(estimator, **settings):
    dimensions = [Real(-5.0, 10.0), Real(0.0, 15.0)]
    return Optimizer(dimensions, small(estimator), **{"n_initial_points": 4, "random_state": 1, **FEW, **settings})


def branin(points):
    return [float(skopt.benchmarks.branin(point)) for point in points]


@pytest.mark.parametrize("file", UPSTREAM)
def test_every_name_of_the_table_is_a_test(file):
    for upstream, ours in UPSTREAM[file].items():
        assert callable(globals()[ours]), upstream
    used = {name for names in UPSTREAM.values() for name in names.values()}
    assert used | {"test_every_name_of_the_table_is_a_test"} == {one for one in globals() if one.startswith("test_")}


@estimators
def test_asking_again_changes_nothing(estimator):
    optimizer = line(estimator)
    optimizer.run(skopt.benchmarks.bench1, n_iter=3)
    for _ in range(2):
        assert len(optimizer.models) == len(optimizer.Xi) == 3
        assert optimizer.ask() == optimizer.ask()
    optimizer.update_next()
    assert optimizer.ask() == optimizer.ask()


@estimators
def test_no_more_models_are_kept_than_asked_for(estimator):
    optimizer = line(estimator, model_queue_size=2)
    optimizer.run(skopt.benchmarks.bench1, n_iter=4)
    assert len(optimizer.models) == 2
    assert len(optimizer.Xi) == 4
    with pytest.raises(TypeError, match="model_queue_size"):
        line(estimator, model_queue_size="2")


@estimators
def test_one_point_takes_one_value(estimator):
    with pytest.raises(ValueError, match="should return a scalar"):
        line(estimator).tell([1.0], [1.0, 1.0])


@estimators
def test_values_have_to_be_numbers(estimator):
    optimizer = line(estimator)
    with pytest.raises(ValueError, match="list of scalars"):
        optimizer.tell([[1.0], [2.0]], [1.0, None])
    assert optimizer.Xi == optimizer.yi == []


@estimators
@pytest.mark.parametrize(
    ("point", "value"),
    [
        ([2.5], 2.0),
        ([-2.5], 2.0),
        ([2.5, 6.5], 2.0),
        ([-2.5, -2.5], 2.0),
        ([2.5, 2.5], 2.0),
        ([[2.5, 2.5], [1.0, 3.0]], [2.0, 3.0]),
        ([[1.0, 3.0], [-2.5, 2.5]], [2.0, 3.0]),
    ],
)
def test_a_point_out_of_bounds_is_refused(estimator, point, value):
    dimensions = [(-2.0, 2.0), (2.0, 6.0)] if np.shape(point)[-1] == 2 else [(-2.0, 2.0)]
    optimizer = Optimizer(dimensions, estimator)
    with pytest.raises(ValueError, match="within the bounds"):
        optimizer.tell(point, value)
    assert optimizer.Xi == []


@estimators
@pytest.mark.parametrize(
    ("dimensions", "point", "value", "message"),
    [
        (1, [-1, -1], 2.0, "Dimensions of point"),
        (2, [-1], 2.0, "Dimensions of point"),
        (2, [-1, -1, -1], 2.0, "Dimensions of point"),
        (2, [[-1], [-1, 0], [-1, 1]], 2.0, "dimensions as the space"),
        (2, [[-1, -1, -1], [-1, 0], [-1, 1]], 2.0, "dimensions as the space"),
    ],
)
def test_a_point_of_other_dimensions_is_refused(estimator, dimensions, point, value, message):
    with pytest.raises(ValueError, match=message):
        Optimizer([(-2, 2)] * dimensions, estimator).tell(point, value)


@estimators
def test_tell_returns_the_result(estimator):
    result = line(estimator).tell([1.5], 2.0)
    assert isinstance(result, OptimizeResult)
    assert result.x_iters == [[1.5]]
    assert result.fun == result.func_vals.min() == 2.0
    assert len(result.models) == 1


@forests
def test_forests_have_no_gradients(estimator):
    with pytest.raises(ValueError, match="should run with acq_optimizer='sampling'"):
        line(estimator, acq_optimizer="lbfgs")


@estimators
@pytest.mark.parametrize("acq_func", ["EIps", "PIps"])
def test_losses_come_with_times(estimator, acq_func):
    optimizer = Optimizer([(-2.0, 2.0)], estimator, acq_func=acq_func, n_initial_points=2, random_state=1)
    first = optimizer.ask()
    optimizer.tell(first, (skopt.benchmarks.bench1(first), 1.0))
    second = optimizer.ask()
    result = optimizer.tell(second, (skopt.benchmarks.bench1(second), 2.0))
    assert first != second
    assert len(result.models) == 1
    assert result.func_vals.shape == result.log_time.shape == (2,)
    assert optimizer.ask() not in (first, second)
    with pytest.raises(TypeError, match="func_val, t"):
        optimizer.tell(second, skopt.benchmarks.bench1(second))


@estimators
@pytest.mark.parametrize("acq_func", ["EI", "EIps", "gp_hedge"])
def test_a_copy_knows_the_same(estimator, acq_func):
    optimizer = line(estimator, acq_func=acq_func)
    objective = skopt.benchmarks.bench1_with_time if acq_func == "EIps" else skopt.benchmarks.bench1
    optimizer.run(objective, n_iter=3)
    copy = optimizer.copy()
    estimator = copy.base_estimator_
    assert isinstance(estimator, MultiOutputRegressor) == (acq_func == "EIps")
    assert not isinstance(getattr(estimator, "estimator", None), MultiOutputRegressor)
    assert copy.Xi == optimizer.Xi
    np.testing.assert_array_equal(copy.yi, optimizer.yi)
    assert optimizer.copy(random_state=5).ask(2) == optimizer.copy(random_state=5).ask(2)


@pytest.mark.parametrize("estimator", ["GP", "RF", "ET", "gp", "rf", "et"])
def test_a_model_is_fitted_after_the_initial_points(estimator):
    optimizer = line(estimator, n_initial_points=2)
    first, second = optimizer.ask(), optimizer.ask()
    assert first != second
    assert len(optimizer.tell(second, 3.0).models) == 0
    third = optimizer.ask()
    assert third != second
    assert len(optimizer.tell(third, 4.0).models) == 1
    fourth = optimizer.ask()
    assert fourth != third
    assert optimizer.ask() == fourth
    assert len(optimizer.tell(fourth, 1.0).models) == 2


def test_an_unknown_estimator_is_refused():
    with pytest.raises(ValueError, match="'RF', 'ET', 'GP', 'GBRT' or 'DUMMY'"):
        line("rtr")
    # those of skopt that do not run with the installed scikit-learn
    for estimator in ("GBRT", "gbrt", "dummy", None, skopt.learning.GradientBoostingQuantileRegressor()):
        with pytest.raises(ValueError, match="does not run with this scikit-learn: use GP, RF or ET"):
            line(estimator)


@pytest.mark.parametrize("estimator", ["GP", "RF", "ET", "gp", "rf", "et"])
@pytest.mark.parametrize("n_jobs", [1, -1])
def test_estimators_are_known_by_name(estimator, n_jobs):
    optimizer = Optimizer([(-2.0, 2.0)], estimator, n_initial_points=2, random_state=1, acq_func="EI", n_jobs=n_jobs)
    result = optimizer.run(lambda x: x[0] ** 2, n_iter=3)
    assert len(result.x_iters) == 3


@estimators
def test_defaults_are_those_of_skopt(estimator):
    dimensions = [(-5.0, 10.0), (0.0, 15.0)]
    ours, theirs = (
        Optimizer(dimensions, estimator, random_state=1),
        skopt.Optimizer(dimensions, estimator, random_state=1),
    )
    for name in ("acq_func", "acq_optimizer", "n_initial_points_", "max_model_queue_size", "n_restarts_optimizer"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.space == theirs.space
    # the initial points are the same ones
    for _ in range(10):
        point = theirs.ask()
        assert ours.ask() == point
        theirs.tell(point, branin([point])[0], fit=False)
        result = ours.tell(point, branin([point])[0])
    expected = theirs.get_result()
    for one in (result, ours.get_result()):
        assert one.x == expected.x
        assert one.x_iters == expected.x_iters
        assert set(expected) <= set(one)
    kernel = getattr(theirs.base_estimator_, "kernel", None)
    assert str(getattr(ours.base_estimator_, "kernel", None)) == str(kernel)


@estimators
def test_names_of_dimensions_are_kept(estimator):
    dimensions = [
        Real(0, 1, name="real"),
        Categorical(["a", "b", "c"], name="cat", transform="label"),
        Integer(0, 1, name="int"),
    ]
    result = Optimizer(dimensions, estimator, n_initial_points=2).tell([(0.5, "a", 1)], [3])
    assert [dimension.name for dimension in result.space.dimensions] == ["real", "cat", "int"]


@estimators
@pytest.mark.parametrize("kind", [int, str])
def test_a_space_of_choices_alone(estimator, kind):
    choices = [kind(one) for one in range(2, 12)]
    dimensions = [Categorical(choices, transform="onehot"), Categorical(choices, transform="onehot")]
    optimizer = Optimizer(dimensions, small(estimator), random_state=1)
    for number in range(15):
        result = optimizer.tell(optimizer.ask(), 12 * number)
    assert len(result.x_iters) == 15
    batch = optimizer.ask(n_points=4)
    told = {tuple(map(str, point)) for point in result.x_iters + batch}
    assert len(told) == 19


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "estimator",
    [
        skopt.learning.GaussianProcessRegressor(alpha=1e-7),
        skopt.learning.RandomForestRegressor(random_state=1),
        skopt.learning.ExtraTreesRegressor(random_state=1),
    ],
)
def test_a_space_of_choices_alone_and_another_kernel(estimator):
    dimensions = [Categorical([1, 2, 3], transform="onehot"), Categorical([4, 5, 6], transform="onehot")]
    search = "sampling" if hasattr(estimator, "criterion") else "lbfgs"
    few = FEW["acq_optimizer_kwargs"]
    optimizer = Optimizer(
        dimensions, estimator, n_initial_points=5, random_state=1, acq_optimizer=search, acq_optimizer_kwargs=few
    )
    for _ in range(2):
        batch = optimizer.ask(n_points=4)
        assert len(batch) == 4
        optimizer.tell(batch, [float(np.linalg.norm(point)) for point in batch])
    assert len(optimizer.ask(n_points=4)) == 4


@estimators
@strategies
@pytest.mark.parametrize("acq_func", ["EI", "EIps"])
def test_batches_of_every_strategy(estimator, strategy, acq_func):
    optimizer = plane(estimator, acq_func=acq_func)
    for arguments in ({"n_points": 2, "strategy": "cl_maen"}, {"n_points": "0"}, {"n_points": 0}):
        with pytest.raises(ValueError, match="should be int > 0|one of"):
            optimizer.ask(**arguments)
    # with the first batch, and one that is random only in its beginning
    for size in (3, 4, 4):
        batch = optimizer.ask(n_points=size, strategy=strategy)
        assert len(batch) == size
        values = branin(batch)
        optimizer.tell(batch, [(value, 1.1) for value in values] if acq_func == "EIps" else values)


@estimators
@strategies
def test_points_of_a_batch_differ(estimator, strategy):
    optimizer = plane(estimator)
    for _ in range(4):
        batch = optimizer.ask(4, strategy)
        optimizer.tell(batch, branin(batch))
        assert (pdist(batch) > 1e-3).all()


@estimators
@strategies
def test_a_batch_asked_again_is_the_same(estimator, strategy):
    optimizer = plane(estimator)
    for _ in range(3):
        batch = optimizer.ask(4, strategy)
        assert optimizer.ask(4, strategy) == batch
        optimizer.tell(batch, branin(batch))


@estimators
@strategies
def test_runs_are_reproducible(estimator, strategy):
    first, second = plane(estimator), plane(estimator)
    for _ in range(3):
        batch = first.ask(4, strategy)
        assert second.ask(4, strategy) == batch
        for optimizer in (first, second):
            optimizer.tell(batch, branin(batch))
