"""The hyper-parameters of each built-in model.

This module lists the valid names of hyper-parameters, because XGBoost and LightGBM accept unknown names without an
error. With the lists of this module, a manager can check the names without importing XGBoost or LightGBM. Tests compare
the lists of this module with the hyper-parameters of the libraries.
"""

from collections.abc import Iterable

from ledger.errors import UsageError
from ledger.objectives.tasks import CLASSIFICATION, REGRESSION
from ledger.text import nearest, words

MODELS: tuple[str, ...] = ("svm", "xgb", "lgbm")
# For each task, a mapping from each model to the name of the model's estimator class.
ESTIMATORS: dict[str, dict[str, str]] = {
    CLASSIFICATION: {"svm": "SVC", "xgb": "XGBClassifier", "lgbm": "LGBMClassifier"},
    REGRESSION: {"svm": "SVR", "xgb": "XGBRegressor", "lgbm": "LGBMRegressor"},
}


# Hyper-parameters that an estimator accepts through `**kwargs`, but that the method `get_params` does not list.
NATIVE: dict[str, frozenset[str]] = {
    "svm": words(""),
    "xgb": words(
        # The names `feature_selector` and `top_k` belong to the booster `gblinear`. All other names in `NATIVE["xgb"]`
        # belong to the booster `dart`.
        "rate_drop skip_drop one_drop sample_type normalize_type feature_selector top_k"
    ),
    "lgbm": words(
        "boost_from_average cat_l2 cat_smooth data_sample_strategy drop_rate extra_trees feature_fraction_bynode "
        "linear_lambda linear_tree max_bin max_delta_step max_drop min_data_in_bin other_rate path_smooth "
        "scale_pos_weight skip_drop top_rate uniform_drop xgboost_dart_mode"
    ),
}

# The hyper-parameters that a study can search. If a hyper-parameter exists for only one task, `ONLY` also contains the
# hyper-parameter.
NAMES: dict[str, frozenset[str]] = {
    "svm": words(
        "C break_ties cache_size class_weight coef0 decision_function_shape degree epsilon gamma kernel max_iter "
        "probability shrinking tol"
    ),
    "xgb": NATIVE["xgb"]
    | words(
        "base_score booster colsample_bylevel colsample_bynode colsample_bytree enable_categorical eval_metric "
        "feature_types feature_weights gamma grow_policy importance_type interaction_constraints learning_rate max_bin "
        "max_cat_threshold max_cat_to_onehot max_delta_step max_depth max_leaves min_child_weight missing "
        "monotone_constraints multi_strategy n_estimators num_parallel_tree objective reg_alpha reg_lambda "
        "sampling_method scale_pos_weight subsample tree_method validate_parameters"
    ),
    "lgbm": NATIVE["lgbm"]
    | words(
        "boosting_type class_weight colsample_bytree importance_type learning_rate max_depth min_child_samples "
        "min_child_weight min_split_gain n_estimators num_leaves objective reg_alpha reg_lambda subsample "
        "subsample_for_bin subsample_freq"
    ),
}

# For each task, the hyper-parameters that exist only in the estimator for this task.
ONLY: dict[str, dict[str, frozenset[str]]] = {
    CLASSIFICATION: {
        "svm": words("break_ties class_weight decision_function_shape probability"),
        "xgb": words(""),
        "lgbm": words("class_weight"),
    },
    REGRESSION: {"svm": words("epsilon"), "xgb": words(""), "lgbm": words("")},
}

_SEED = "the trial's own seed"
_THREADS = "the worker's threads"
_SILENT = "silent"
_NO_STOPPING = "early stopping is off, because a trial has no validation rows"
_FIXED = "the value is fixed, because each attempt of a trial must have the same loss"

# Hyper-parameters that the ledger itself sets. Each name is mapped to a text for error messages. The text describes the
# value that the ledger sets.
RESERVED: dict[str, dict[str, str]] = {
    "svm": {"random_state": _SEED, "verbose": _SILENT},
    "xgb": {
        "random_state": _SEED,
        "n_jobs": _THREADS,
        "verbosity": _SILENT,
        "device": "cpu",
        "callbacks": "none",
        "early_stopping_rounds": _NO_STOPPING,
        "updater": _FIXED,
    },
    "lgbm": {
        "random_state": _SEED,
        "bagging_seed": _SEED,
        "feature_fraction_seed": _SEED,
        "drop_seed": _SEED,
        "extra_seed": _SEED,
        "data_random_seed": _SEED,
        "objective_seed": _SEED,
        "n_jobs": _THREADS,
        "verbosity": _SILENT,
        "device_type": "cpu",
        "early_stopping_round": _NO_STOPPING,
        "deterministic": _FIXED,
        "force_row_wise": _FIXED,
        "force_col_wise": _FIXED,
    },
}


def _aliases(table: dict[str, str]) -> dict[str, str]:
    return {alias: name for name, aliases in table.items() for alias in aliases.split()}


# For each model, a mapping from each alias of a hyper-parameter to the hyper-parameter's main name. If a search space
# contained both the alias and the main name of a hyper-parameter, one of the two dimensions would have no effect.
ALIASES: dict[str, dict[str, str]] = {
    "svm": {},
    "xgb": _aliases(
        {
            "gamma": "min_split_loss",
            "learning_rate": "eta",
            "n_jobs": "nthread",
            "random_state": "seed",
            "reg_alpha": "alpha",
            "reg_lambda": "lambda",
        }
    ),
    "lgbm": _aliases(
        {
            "bagging_seed": "bagging_fraction_seed",
            "boosting_type": "boosting boost",
            "colsample_bytree": "feature_fraction sub_feature",
            "data_random_seed": "data_seed",
            "device_type": "device",
            "drop_rate": "rate_drop",
            "early_stopping_round": "early_stopping early_stopping_rounds n_iter_no_change",
            "extra_trees": "extra_tree",
            "feature_fraction_bynode": "colsample_bynode sub_feature_bynode",
            "learning_rate": "eta shrinkage_rate",
            "linear_tree": "linear_trees",
            "max_bin": "max_bins",
            "max_delta_step": "max_leaf_output max_tree_output",
            "min_child_samples": "min_data_in_leaf min_data min_samples_leaf min_data_per_leaf",
            "min_child_weight": "min_sum_hessian_in_leaf min_hessian min_sum_hessian min_sum_hessian_per_leaf",
            "min_split_gain": "min_gain_to_split",
            "n_estimators": "num_iterations num_iteration n_iter nrounds max_iter num_tree num_trees num_round "
            "num_rounds num_boost_round",
            "n_jobs": "num_threads num_thread nthread nthreads",
            "num_leaves": "num_leaf max_leaf max_leaves max_leaf_nodes",
            "objective": "objective_type app application loss",
            "random_state": "seed random_seed",
            "reg_alpha": "lambda_l1 l1_regularization",
            "reg_lambda": "lambda_l2 lambda l2_regularization",
            "subsample": "bagging_fraction bagging sub_row",
            "subsample_for_bin": "bin_construct_sample_cnt",
            "subsample_freq": "bagging_freq",
            "verbosity": "verbose",
        }
    ),
}


def names(model: str, task: str) -> frozenset[str]:
    """Return the hyper-parameters of `model` that a study with the given task can search.

    Examples
    --------
    >>> "epsilon" in names("svm", "regression"), "epsilon" in names("svm", "classification")
    (True, False)
    """
    return NAMES[model].difference(*(only[model] for other, only in ONLY.items() if other != task))


def check(model: str, wanted: Iterable[str], task: str = CLASSIFICATION) -> None:
    """Check that a study can set the hyper-parameters `wanted` of `model`.

    Raises
    ------
    UsageError
        The model or a name is unknown, or a name is an alias. The function also raises UsageError if `wanted` contains
        a hyper-parameter that only the ledger may set. The message is one line about the first invalid name. The
        message suggests the nearest known name for an unknown name, and the main name for an alias.
    """
    if model not in NAMES:
        raise UsageError(f"unknown model {model!r}{nearest(model, MODELS)}")
    where, known = f"{ESTIMATORS[task][model]} (model {model})", names(model, task)
    for name in wanted:
        if name in known:
            continue
        canonical = ALIASES[model].get(name, name)
        if canonical in RESERVED[model]:
            raise UsageError(
                f"the ledger itself sets {name!r} of {where} ({RESERVED[model][canonical]}); remove this parameter"
                " from the space"
            )
        if canonical != name:
            raise UsageError(f"{name!r} is an alias of {canonical!r} in {where}; use {canonical!r}")
        raise UsageError(f"{where} has no hyper-parameter {name!r}{nearest(name, sorted(known))}")
