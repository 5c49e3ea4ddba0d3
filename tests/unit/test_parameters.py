"""The table of hyper-parameters agrees with the libraries, and unknown names are refused."""

import json

import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from lightgbm.basic import _ConfigAliases
from sklearn.datasets import load_iris
from sklearn.svm import SVC, SVR
from xgboost import XGBClassifier, XGBRegressor

from ledger.errors import UsageError
from ledger.objectives import parameters
from ledger.objectives.parameters import ALIASES, ESTIMATORS, MODELS, NAMES, NATIVE, ONLY, RESERVED, check, names
from ledger.objectives.tasks import CLASSIFICATION, REGRESSION, TASKS

CLASSES = {
    CLASSIFICATION: {"svm": SVC, "xgb": XGBClassifier, "lgbm": LGBMClassifier},
    REGRESSION: {"svm": SVR, "xgb": XGBRegressor, "lgbm": LGBMRegressor},
}
LGBM_ALIASES = {name: set(aliases) for name, aliases in _ConfigAliases._get_all_param_aliases().items()}


def xgboost_settings(**params):
    """Return every setting of a booster that was trained with `params`, by name."""
    features, classes = load_iris(return_X_y=True)
    booster = XGBClassifier(**params, n_estimators=1).fit(features, classes).get_booster()
    settings = {}

    def collect(node):
        for name, value in node.items():
            if isinstance(value, dict):
                collect(value)
            else:
                settings[name] = value

    collect(json.loads(booster.save_config()))
    return settings


@pytest.mark.parametrize("table", [*ESTIMATORS.values(), *ONLY.values(), NATIVE, NAMES, RESERVED, ALIASES])
def test_every_table_contains_every_model(table):
    assert tuple(table) == MODELS


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("model", MODELS)
def test_the_table_has_exactly_the_parameters_of_the_estimator(model, task):
    estimator = CLASSES[task][model]
    assert estimator.__name__ == ESTIMATORS[task][model]
    # the regressor of LightGBM lists this parameter of the classifier, and ignores it
    actual = set(estimator().get_params()) - ({"class_weight"} if task == REGRESSION else set())
    searched = names(model, task) - NATIVE[model]
    assert sorted(actual - searched - RESERVED[model].keys()) == [], "the library has these, the table does not"
    assert sorted(searched - actual) == [], "the table has these, the library does not"
    assert sorted(NATIVE[model] & actual) == [], "these are listed by get_params() now"


@pytest.mark.parametrize("model", MODELS)
def test_no_name_is_both_searchable_and_reserved_or_an_alias(model):
    assert not NAMES[model] & RESERVED[model].keys()
    assert not ALIASES[model].keys() & (NAMES[model] | RESERVED[model].keys())
    assert set(ALIASES[model].values()) <= NAMES[model] | RESERVED[model].keys()


def test_lightgbm_knows_every_native_and_reserved_name():
    native = NATIVE["lgbm"] | RESERVED["lgbm"].keys() - set(LGBMClassifier().get_params())
    assert sorted(native - LGBM_ALIASES.keys() - {"verbosity"}) == []
    assert "verbosity" in LGBM_ALIASES


def test_the_aliases_of_lightgbm_are_those_of_the_library():
    ours = NAMES["lgbm"] | RESERVED["lgbm"].keys()
    dumped: dict[str, str] = {}
    for aliases in LGBM_ALIASES.values():
        for canonical in aliases & ours:
            dumped |= dict.fromkeys(aliases - {canonical}, canonical)
    assert ALIASES["lgbm"] == dumped


def test_xgboost_knows_every_native_name():
    dart = xgboost_settings(booster="dart")
    linear = xgboost_settings(booster="gblinear", updater="coord_descent")
    assert sorted(NATIVE["xgb"] - dart.keys() - linear.keys()) == []
    assert "updater" in dart


@pytest.mark.parametrize(("alias", "name"), sorted(ALIASES["xgb"].items()))
def test_an_alias_of_xgboost_sets_the_canonical_parameter(alias, name):
    value = 3 if name in ("n_jobs", "random_state") else 0.25
    assert float(xgboost_settings(**{alias: value})[name]) == value
    assert float(xgboost_settings()[name]) != value


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("model", MODELS)
def test_every_name_of_the_estimator_is_accepted(model, task):
    def is_refused(name):
        try:
            check(model, [name], task)
        except UsageError:
            return True
        return False

    assert [name for name in sorted(names(model, task)) if is_refused(name)] == []
    assert all(is_refused(name) for other in TASKS if other != task for name in ONLY[other][model])
    assert is_refused("no_such_name")


@pytest.mark.parametrize(
    ("model", "name", "message"),
    [
        ("svm", "c", "SVC (model svm) has no hyper-parameter 'c'; did you mean 'C'?"),
        ("svm", "gama", "SVC (model svm) has no hyper-parameter 'gama'; did you mean 'gamma'?"),
        (
            "xgb",
            "num_leaves",
            "XGBClassifier (model xgb) has no hyper-parameter 'num_leaves'; did you mean 'max_leaves'?",
        ),
        ("lgbm", "output_model", "LGBMClassifier (model lgbm) has no hyper-parameter 'output_model'; "),
        (
            "lgbm",
            "",
            "LGBMClassifier (model lgbm) has no hyper-parameter ''; there are boost_from_average, boosting_type, ",
        ),
        ("lgbm", "two\nlines", "LGBMClassifier (model lgbm) has no hyper-parameter 'two\\nlines'; there are "),
        ("xgb", "eta", "'eta' is an alias of 'learning_rate' in XGBClassifier (model xgb); use 'learning_rate'"),
        (
            "lgbm",
            "lambda_l1",
            "'lambda_l1' is an alias of 'reg_alpha' in LGBMClassifier (model lgbm); use 'reg_alpha'",
        ),
        ("lgbm", "bagging_fraction", "'bagging_fraction' is an alias of 'subsample' in "),
        (
            "svm",
            "random_state",
            "the ledger itself sets 'random_state' of SVC (model svm) (the trial's own seed); remove this",
        ),
        (
            "xgb",
            "nthread",
            "the ledger itself sets 'nthread' of XGBClassifier (model xgb) (the worker's threads); remove this",
        ),
        (
            "lgbm",
            "verbose",
            "the ledger itself sets 'verbose' of LGBMClassifier (model lgbm) (silent); remove this parameter from",
        ),
        ("nn", "C", "unknown model 'nn'; there are svm, xgb, lgbm"),
        ("lgmb", "C", "unknown model 'lgmb'; did you mean 'lgbm'?"),
    ],
)
def test_an_unknown_name_is_refused_in_one_line_with_the_way_out(model, name, message):
    with pytest.raises(UsageError) as caught:
        check(model, [*(["max_iter"] if model == "svm" else []), name])
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", MODELS)
def test_every_reserved_name_and_alias_is_refused(model):
    for name in [*RESERVED[model], *ALIASES[model]]:
        with pytest.raises(UsageError):
            check(model, [name])


def test_the_package_exports_the_models_and_the_check():
    import ledger.objectives as package

    assert package.MODELS is parameters.MODELS
    assert package.check is parameters.check
