"""The names of skopt beyond its documentation that the optimizer uses, so that a new skopt that lacks one is seen."""

import ast
import inspect
from pathlib import Path

import pytest
import skopt
import skopt.learning
from skopt.learning.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

import ledger.optimizer.gaussian_process
import ledger.optimizer.optimizer

# Private methods that `Optimizer` overrides or calls.
OPTIMIZER_METHODS = ("_ask", "_tell")
# Attributes that `Optimizer` reads or writes, and that skopt does not document.
OPTIMIZER_ATTRIBUTES = (
    "_initial_point_generator",
    "_initial_samples",
    "_n_initial_points",
    "acq_func",
    "acq_func_kwargs",
    "acq_optimizer",
    "acq_optimizer_kwargs",
    "avoid_duplicates",
    "base_estimator_",
    "cache_",
    "cand_acq_funcs_",
    "eta",
    "max_model_queue_size",
    "n_initial_points_",
    "n_points",
    "n_restarts_optimizer",
    "rng",
)
# The same, once there is a model; the first with gp_hedge alone.
OPTIMIZER_FITTED = ("gains_", "_next_x", "next_xs_")
DOCUMENTED = {"Xi", "models", "space", "yi"}
# Attributes of a fitted regressor, which a fit of ours writes because methods of skopt read them.
REGRESSOR_FITTED = (
    "K_inv_",
    "L_",
    "X_train_",
    "_y_train_mean",
    "_y_train_std",
    "alpha_",
    "kernel_",
    "log_marginal_likelihood_value_",
    "n_features_in_",
    "noise_",
    "y_train_",
    "y_train_mean_",
    "y_train_std_",
)


@pytest.fixture(scope="module")
def optimizer():
    optimizer = skopt.Optimizer([(0.0, 1.0)], "GP", n_initial_points=1, random_state=1)
    optimizer.tell([[0.1], [0.6], [0.9]], [0.3, 0.1, 0.2])
    return optimizer


@pytest.fixture(scope="module")
def regressor():
    kernel = ConstantKernel(1.0) * Matern(0.3, nu=2.5) + WhiteKernel(0.1)
    model = skopt.learning.GaussianProcessRegressor(kernel, optimizer=None, normalize_y=True, noise="gaussian")
    return model.fit([[0.1], [0.6], [0.9]], [0.3, 0.1, 0.2])


@pytest.mark.parametrize("name", OPTIMIZER_METHODS)
def test_skopts_optimizer_has_the_method(name):
    assert inspect.isfunction(getattr(skopt.Optimizer, name, None))


@pytest.mark.parametrize("name", [*OPTIMIZER_ATTRIBUTES, *OPTIMIZER_FITTED])
def test_skopts_optimizer_has_the_attribute(name, optimizer):
    assert name in vars(optimizer)


@pytest.mark.parametrize("name", REGRESSOR_FITTED)
def test_skopts_regressor_has_the_attribute(name, regressor):
    assert name in vars(regressor)


def test_the_lists_are_complete(optimizer, regressor):
    used = attributes_of(ledger.optimizer.optimizer, "Optimizer")
    private = {name for name in vars(skopt.Optimizer) if name.startswith("_") and not name.startswith("__")}
    listed = {*OPTIMIZER_METHODS, *OPTIMIZER_ATTRIBUTES, *OPTIMIZER_FITTED}
    assert used & {*vars(optimizer), *private} - DOCUMENTED == listed
    used = attributes_of(ledger.optimizer.gaussian_process, "GaussianProcessRegressor")
    assert used & vars(regressor).keys() - regressor.get_params().keys() == {*REGRESSOR_FITTED}


def attributes_of(module, name):
    """The attributes that the code of a class reads or writes."""
    tree = ast.parse(Path(module.__file__).read_text())
    (body,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    return {node.attr for node in ast.walk(body) if isinstance(node, ast.Attribute)}
