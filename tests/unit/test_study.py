"""The specification of a study: reading, refusals in one line, hash and differences."""

import json
from datetime import date
from math import nan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import LedgerError, UsageError
from ledger.objectives import ValueScale
from ledger.study.criteria import StoppingCriteria
from ledger.study.early_stopping import EarlyStopping
from ledger.study.file import assemble, workers
from ledger.study.objective import Objective
from ledger.study.space import Space
from ledger.study.spec import (
    ACQ_FUNCS,
    BASE_ESTIMATORS,
    DerivedSettings,
    OptimizerSettings,
    StudySpec,
    TrialLimits,
    differences,
    initial_points,
)
from tests.unit.test_space import jsonb

OPTIONS = ("model", "iterations", "batch_size", "seed", "name", "base_estimator", "acq_func")
FILE = """
[study]
name = "mine"
seed = 7
iterations = 5
batch_size = 4
workers = 3
[space]
gamma = { type = "real", low = 1e-4, high = 1, prior = "log-uniform" }
C = { type = "real", low = 1e-3, high = 1e3, prior = "log-uniform" }
[optimizer]
base_estimator = "rf"
acq_func = "LCB"
kappa = 2
[objective]
model = "svm"
dataset = "wine"
[limits]
max_failures = 2
lease = 60
trial_timeout = 300
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def writes(text: str) -> Path:
        file = Path("study.toml")
        file.write_text(text)
        return file

    return writes


def test_the_default_is_three_iterations_of_two_trials_of_the_svm() -> None:
    study = assemble(dict.fromkeys(OPTIONS))
    assert (study.budget, study.batch_size, study.seed) == (6, 2, 42)
    assert study.objective == Objective(model="svm", dataset="breast_cancer")
    assert study.space.names == ("C", "gamma")
    assert study.optimizer == OptimizerSettings(base_estimator="GP", acq_func="EI")
    assert study.limits == TrialLimits(
        max_failures=1, max_crashes=3, max_lost=20, lease=30.0, heartbeat=10.0, trial_timeout=None
    )
    assert study.name == f"svm-42-{study.spec_hash[:6]}"


def test_the_file_beats_the_defaults_and_an_option_beats_the_file(write: Any) -> None:
    file = write(FILE)
    study = assemble({}, file)
    assert (study.name, study.seed, study.budget, study.batch_size) == ("mine", 7, 20, 4)
    assert study.space.names == ("gamma", "C")
    assert study.optimizer == OptimizerSettings(base_estimator="RF", acq_func="LCB", kappa=2.0)
    assert study.objective.dataset == "wine"
    assert study.limits == TrialLimits(max_failures=2, lease=60.0, trial_timeout=300.0)
    assert workers(file) == 3
    options = {"iterations": 6, "batch_size": 3, "seed": 1, "name": "yours", "base_estimator": "et", "acq_func": "pi"}
    study = assemble(options, file)
    assert (study.name, study.seed, study.budget, study.batch_size) == ("yours", 1, 18, 3)
    assert study.optimizer == OptimizerSettings(base_estimator="ET", acq_func="PI", kappa=2.0)


@pytest.mark.parametrize(
    ("file", "options", "budget"),
    [
        ("iterations = 5", {}, 10),
        ("trials = 5", {}, 5),
        ("iterations = 5\nbatch_size = 4", {}, 20),
        ("iterations = 5", {"trials": 7}, 7),
        ("trials = 7", {"iterations": 5}, 10),
        ("trials = 7", {"batch_size": 4}, 7),
        ("", {"trials": 1_000_000}, 1_000_000),
        ("", {"iterations": 250_000, "batch_size": 4}, 1_000_000),
        ("", {"iterations": 100, "batch_size": 10_000}, 1_000_000),
    ],
)
def test_the_budget_is_a_number_of_trials(write: Any, file: str, options: dict[str, Any], budget: int) -> None:
    assert assemble(options, write(f"[study]\n{file}")).budget == budget


@pytest.mark.parametrize(
    ("file", "options", "message"),
    [
        (
            "iterations = 5\ntrials = 10",
            {},
            "study.toml: [study]: iterations and trials exclude each other; remove one of them",
        ),
        ("", {"iterations": 5, "trials": 10}, "iterations and trials exclude each other; remove one of them"),
        ("trials = 0", {}, "study.toml: [study] trials: 0 must be greater than or equal to 1"),
        ("", {"trials": 1_000_001}, "--trials or LEDGER_TRIALS: 1000001 must be less than or equal to 1000000"),
        ("batch_size = 10_001", {}, "study.toml: [study] batch_size: 10001 must be less than or equal to 10000"),
        (
            "batch_size = 3",
            {"iterations": 333_334},
            "333334 iterations of 3 trials are 1000002 trials; a study has at most",
        ),
    ],
)
def test_a_wrong_budget_is_refused_in_one_line(write: Any, file: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        assemble(options, write(f"[study]\n{file}"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_mode_is_part_of_the_specification() -> None:
    batch, steady = assemble({"mode": "batch"}), assemble({"mode": "steady"})
    assert batch == assemble({})
    assert batch.name == "svm-42-341b3e"
    assert batch.spec()["mode"] == "batch"
    assert steady.spec()["mode"] == "steady"
    assert StudySpec.from_spec("s", 3, jsonb(steady.spec())).mode == "steady"
    assert differences(batch, steady) == ["mode: the study has batch, but steady is requested"]


def test_without_a_file_no_number_of_workers_is_asked_for(write: Any) -> None:
    assert workers(None) is None
    assert workers(write("[study]\nseed = 1")) is None


@pytest.mark.parametrize("model", ["svm", "xgb", "lgbm"])
def test_each_model_has_a_space_by_default(model: str) -> None:
    study = assemble({"model": model})
    assert study.objective.model == model
    assert study.name.startswith(f"{model}-42-")
    assert study.space.size() is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "--batch-size or NUM_HYPERPARAM_SETS: 0 must be greater than or equal to 1"),
        ({"iterations": -1}, "--iterations or NUM_ITERATIONS: -1 must be greater than or equal to 1"),
        ({"iterations": True}, "--iterations or NUM_ITERATIONS: true must be a valid integer"),
        ({"seed": 2**31}, "--seed or SEED: 2147483648 must be less than or equal to 2147483647"),
        ({"seed": -1}, "--seed or SEED: -1 must be greater than or equal to 0"),
        ({"mode": "stedy"}, '--mode or LEDGER_MODE: unknown "stedy"; choose batch, steady'),
        ({"model": "smv"}, '--model or MODEL_CHOICE: unknown "smv"; choose svm, xgb, lgbm'),
        ({"name": "a b"}, '--name or LEDGER_STUDY: name "a b" must consist of 1 to 100 letters'),
        ({"name": ""}, '--name or LEDGER_STUDY: name "" must consist of'),
        ({"name": "-a"}, "and must begin with a letter or digit"),
        ({"name": "a" * 101}, "must consist of 1 to 100"),
        ({"name": "a\n"}, 'name "a\\n" must consist of'),
        ({"acq_func": "UCB"}, '--acq-func or LEDGER_ACQ_FUNC: unknown "UCB"; choose EI, LCB, PI, MES, EIps, PIps'),
        ({"acq_func": "gp_hedge"}, "the ledger does not record the gains that gp_hedge needs; choose EI, "),
        ({"acq_func": "PVRS"}, "fails if the space is discrete"),
        ({"base_estimator": "SVR"}, 'unknown "SVR"; choose GP, RF, ET'),
        ({"base_estimator": "gbrt"}, "raises an error with the current scikit-learn; choose GP, RF, ET"),
        ({"base_estimator": "dummy"}, "it fits no model; choose GP, RF, ET"),
    ],
)
def test_a_wrong_option_is_refused_in_one_line_with_its_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        assemble(options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = = 2", "study.toml: line 1, column 5: Invalid value"),
        ("[study]\nname = 'x", "study.toml: line 2, column 10: "),
        ("[study]\nseed = 1\nseed = 2", "study.toml: line 3, column 9: "),
        ("[study]\nseed = " + "9" * 5000, "study.toml: Exceeds the limit (4300 digits)"),
        ("a = " + "[" * 10_000, "study.toml: maximum recursion depth exceeded"),
        ("study = 3", "study.toml: study is 3, not a table"),
        ("[stduy]", "study.toml: unknown table [stduy]; did you mean 'study'?"),
        ("[study]\nbatch_siz = 3", "study.toml: [study] unknown key \"batch_siz\"; did you mean 'batch_size'?"),
        ("[limits]\nmax_fail = 3", "did you mean 'max_failures'?"),
        ("[study]\nbatch_size = '3'", 'study.toml: [study] batch_size: "3" must be a valid integer'),
        ("[study]\nbatch_size = 3.0", "study.toml: [study] batch_size: 3.0 must be a valid integer"),
        ("[study]\nbatch_size = true", "study.toml: [study] batch_size: true must be a valid integer"),
        ("[study]\nworkers = 0", "study.toml: [study] workers: 0 must be greater than or equal to 1"),
        ("[study]\nname = 3", "study.toml: [study] name: 3 must be a valid string"),
        (
            "[optimizer]\nacq_func = 'gp_hedge'",
            'study.toml: [optimizer] acq_func: "gp_hedge" cannot be used: the ledger does not record',
        ),
        ("[optimizer]\nkappa = -1", "study.toml: [optimizer] kappa: -1 must be greater than or equal to 0"),
        ("[optimizer]\nxi = inf", "study.toml: [optimizer] xi: Infinity must be a finite number"),
        ("[optimizer]\nxi = true", "study.toml: [optimizer] xi: true must be a valid number"),
        ("[objective]\nmodel = 'cat'", 'study.toml: [objective] model: unknown "cat"; choose svm, xgb, lgbm'),
        ("[objective]\ndataset = 'mnist'", 'study.toml: [objective] dataset: unknown "mnist"; choose breast'),
        ("[objective]\nfunction = 'f'", "study.toml: [objective] function: "),
        ("[objective]\nfunction = 3", "study.toml: [objective] function: 3 must be a valid string"),
        ("[objective]\nfunction = 'a:f'\nmodel = 'svm'", "study.toml: [objective]: function and model exclude"),
        ("[objective]\nfunction = 'a:f'\ndataset = 'iris'", "study.toml: [objective]: function and dataset exclude"),
        (
            "[objective]\nfunction = 'a:f'",
            "study.toml: [space] is missing: your own objective has no default space",
        ),
        ("[limits]\nlease = 5", "study.toml: [limits]: heartbeat 10.0 is not shorter than lease 5.0"),
        ("[limits]\nlease = nan", "study.toml: [limits] lease: NaN must be"),
        ("[limits]\ntrial_timeout = 0", "study.toml: [limits] trial_timeout: 0 must be greater than or equal to 0.01"),
        ("[limits]\nmax_failures = 0", "study.toml: [limits] max_failures: 0 must be greater than or equal to 1"),
        ("[space]", "study.toml: [space] has no dimension"),
        ("[space]\nC = {type='real', low=10.0, high=1}", "study.toml: [space] C: low 10.0 is not below high 1.0"),
        ("[space]\nD = {type='real', low=1, high=2}", "study.toml: [space] SVC (model svm) has no hyper-parameter 'D'"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_with_the_place(write: Any, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        assemble({}, write(text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml: No such file or directory; give the path of a study file$"):
        assemble({}, tmp_path / "none.toml")
    with pytest.raises(UsageError, match="Is a directory"):
        assemble({}, tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"# \xe9")
    with pytest.raises(UsageError, match=r"latin\.toml: not UTF-8 at byte 2"):
        assemble({}, tmp_path / "latin.toml")


def test_the_space_of_the_file_is_checked_against_the_model_of_the_option(write: Any) -> None:
    file = write(FILE.replace('dataset = "wine"', ""))
    with pytest.raises(
        UsageError, match=r"\[space\] XGBClassifier.* 'C'.*\(the model is from --model or MODEL_CHOICE\)"
    ):
        assemble({"model": "xgb"}, file)
    assert assemble({"model": "svm"}, file).objective.model == "svm"


def test_a_model_of_the_option_replaces_the_function_of_the_file(write: Any) -> None:
    space = "[space]\nC = {type='real', low=1, high=2}\n"
    file = write(f"{space}[objective]\nfunction = 'own.code:loss'")
    assert assemble({}, file).objective == Objective(function="own.code:loss")
    assert assemble({}, file).spec()["objective"] == {"function": "own.code:loss"}
    assert assemble({"model": "svm"}, file).objective == Objective(model="svm")


@pytest.mark.parametrize(("function", "label"), [("own.code:loss", "loss"), ("m:_f", "f"), ("m:größe", "gr--e")])
def test_a_study_of_a_function_is_named_after_it(write: Any, function: str, label: str) -> None:
    study = assemble({}, write(f"[space]\nx = {{type='real', low=1, high=2}}\n[objective]\nfunction = '{function}'"))
    assert study.name == f"{label}-42-{study.spec_hash[:6]}"
    assert assemble({"name": study.name, "model": "svm"}).name == study.name


@pytest.mark.parametrize(
    ("iterations", "batch_size", "expected"),
    [(3, 2, 2), (5, 4, 8), (20, 8, 16), (1, 7, 7), (1, 1, 1), (2, 1, 2), (100, 1, 10), (10, 64, 64), (9, 1, 3)],
)
def test_the_initial_points_follow_from_the_budget(iterations: int, batch_size: int, expected: int) -> None:
    assert initial_points(iterations * batch_size, batch_size) == expected
    settings = {"iterations": iterations, "batch_size": batch_size}
    assert assemble(settings).resolved.initial_points == expected
    steady = assemble({**settings, "mode": "steady"}).resolved
    assert steady.initial_points == initial_points(iterations * batch_size, 1)


@given(st.integers(1, 5_000), st.integers(1, 500))
def test_initial_points_are_whole_batches_within_the_budget(budget: int, batch_size: int) -> None:
    initial = initial_points(budget, batch_size)
    assert initial % batch_size == 0 or initial == budget
    assert min(2, budget) <= initial <= min(budget, 10 + batch_size - 1)


studies = st.builds(
    lambda budget, batch_size, seed, estimator, acq_func, kappa, bounds, choices, lease, timeout: StudySpec(
        name="s",
        seed=seed,
        budget=budget,
        batch_size=batch_size,
        objective=Objective(model="svm"),
        space=Space.from_toml(
            {
                "C": {"type": "real", "low": bounds, "high": bounds + abs(bounds) + 1},
                "kernel": {"type": "categorical", "choices": choices},
            }
        ),
        optimizer=OptimizerSettings(base_estimator=estimator, acq_func=acq_func, kappa=kappa),
        limits=TrialLimits(lease=lease, trial_timeout=timeout),
        resolved=DerivedSettings(initial_points=initial_points(budget, batch_size)),
    ),
    st.integers(1, 100),
    st.integers(1, 100),
    st.integers(0, 2**31 - 1),
    st.sampled_from(BASE_ESTIMATORS),
    st.sampled_from(ACQ_FUNCS),
    st.none() | st.floats(0, 1e300),
    st.floats(-1e300, 1e300),
    st.lists(st.sampled_from(["a", "b", 1, 2.0, True, 0.5]), min_size=1, unique=True),
    st.floats(10.5, 80_000),
    st.none() | st.floats(0.01, 1e7),
)


@given(studies)
def test_a_spec_gives_the_study_back_also_after_jsonb(study: StudySpec) -> None:
    again = StudySpec.from_spec("s", study.budget, jsonb(study.spec()))
    assert again == study
    assert again.spec_hash == study.spec_hash
    assert json.dumps(again.spec(), sort_keys=True) == json.dumps(study.spec(), sort_keys=True)


@settings(max_examples=200)
@given(studies, studies)
def test_hashes_differ_exactly_where_differences_are_found(one: StudySpec, other: StudySpec) -> None:
    same_budget = other.model_copy(update={"budget": one.budget})
    assert bool(differences(one, same_budget)) == (one.spec_hash != same_budget.spec_hash)
    assert differences(one, one) == []


def test_the_name_the_budget_and_resolved_settings_are_not_hashed() -> None:
    study = assemble({})
    other = assemble({"name": "other", "iterations": 50})
    assert other.resolved != study.resolved
    assert other.spec_hash == study.spec_hash
    assert "budget" not in study.spec()
    assert "name" not in study.spec()


def test_an_integer_and_an_equal_float_in_a_file_are_one_study(write: Any) -> None:
    text = "[limits]\nlease = {}\n[space]\nC = {{type='real', low={}, high=2}}"
    assert (
        assemble({}, write(text.format(60, 1))).spec_hash == assemble({}, write(text.format("60.0", "1.0"))).spec_hash
    )


@pytest.mark.parametrize(
    "spec",
    [
        *({}, {"objective": 3}, {"extra": 1}),
        *({"resolved": {"proposer": "other"}}, {"resolved": {"proposer_version": 2}}),
    ],
)
def test_a_spec_of_another_version_is_refused_in_one_line(spec: dict[str, Any]) -> None:
    whole = assemble({}).spec()
    changed = {**whole, **spec} if spec else {}
    if "resolved" in spec:
        changed["resolved"] = {**whole["resolved"], **spec["resolved"]}
    with pytest.raises(
        LedgerError, match=r"^study s: this version of the ledger cannot read the study's spec \(.*version"
    ):
        StudySpec.from_spec("s", 3, changed)


def test_differences_name_the_place_and_both_values(write: Any) -> None:
    recorded = assemble({}, write(FILE))
    changed = FILE.replace("1e3,", "1e4,").replace('"LCB"', '"EI"').replace("kappa = 2", "").replace("lease = 60", "")
    asked = assemble({"batch_size": 5, "trials": 19}, write(changed))
    assert differences(recorded, asked) == [
        "trials: the study has 20, but 19 is requested (the budget of a study cannot be reduced)",
        "batch_size: the study has 4, but 5 is requested",
        "space.C.high: the study has 1000.0, but 10000.0 is requested",
        "optimizer.acq_func: the study has LCB, but EI is requested",
        "optimizer.kappa: the study has 2.0, but null is requested",
        "limits.lease: the study has 60.0, but 30.0 is requested",
    ]


def test_a_larger_budget_is_no_difference_and_a_smaller_one_is() -> None:
    small, large = assemble({"iterations": 3}), assemble({"iterations": 30})
    assert differences(small, large) == []
    assert differences(large, small) == [
        "trials: the study has 60, but 6 is requested (the budget of a study cannot be reduced)"
    ]


def test_what_was_resolved_is_not_compared() -> None:
    small, large = assemble({"trials": 8}), assemble({"trials": 80})
    assert small.resolved != large.resolved
    assert differences(small, large) == []


def test_choices_are_taken_in_upper_and_lower_case(write: Any) -> None:
    study = assemble({"mode": "STEADY", "acq_func": "eips"}, write("[objective]\nmodel = 'XGB'\ndataset = 'Iris'"))
    assert (study.mode, study.optimizer.acq_func) == ("steady", "EIps")
    assert study.objective == Objective(model="xgb", dataset="iris")


def test_another_order_or_another_dimension_is_a_difference(write: Any) -> None:
    c, gamma = "C = {type='real', low=1, high=2}\n", "gamma = {type='real', low=1, high=2}\n"
    both, turned = assemble({}, write(f"[space]\n{c}{gamma}")), assemble({}, write(f"[space]\n{gamma}{c}"))
    assert differences(both, turned) == ["space: the study has C, gamma, but gamma, C is requested"]
    assert both.spec_hash != turned.spec_hash
    one = assemble({}, write(f"[space]\n{c}"))
    assert "space.gamma.type: the study has real, but nothing is requested" in differences(both, one)


def test_the_default_metric_is_the_same_study_named_or_not():
    before = {"model": "svm", "dataset": "breast_cancer"}
    assert assemble({}).asked()["objective"] == before
    assert assemble({"metric": "accuracy"}).spec_hash == assemble({}).spec_hash
    asked = assemble({"metric": "roc_auc", "cv": 5})
    assert asked.asked()["objective"] == {**before, "metric": "roc_auc", "cv": 5}
    assert StudySpec.from_spec("s", 3, asked.spec()).asked() == asked.asked()


def test_a_dataset_of_an_option_replaces_the_data_of_the_file(tmp_path):
    (tmp_path / "a.csv").write_text("a,y\n" + "1,no\n2,yes\n" * 10)
    (tmp_path / "study.toml").write_text('[objective]\ndata = "a.csv"\ntarget_column = "y"\n')
    study = assemble({}, tmp_path / "study.toml")
    data = study.objective.data
    assert data is not None
    assert data.content == (tmp_path / "a.csv").read_bytes()
    assert study.asked()["objective"] == {
        "model": "svm",
        "data": {"name": "a.csv", "sha256": data.sha256, "target_column": "y", "format": "csv", "rows": data.rows},
    }
    again = StudySpec.from_spec(study.name, 3, study.spec())
    assert again.objective.data is not None
    assert again.objective.data.content is None
    assert again.spec_hash == study.spec_hash
    assert assemble({"dataset": "iris"}, tmp_path / "study.toml").objective.dataset == "iris"


SPACE = {"max_depth": {"type": "integer", "low": 1, "high": 8}}
FOREST = "sklearn.ensemble:RandomForestRegressor"
SCALED = {"scale": "sklearn.preprocessing:StandardScaler", "svr": "sklearn.svm:SVR"}


def of_objective(objective: dict[str, Any], space: Any = SPACE, **options: Any) -> StudySpec:
    return assemble(options, tables={"objective": objective, "space": space})


def test_a_regression_records_its_task_and_metric() -> None:
    diabetes = assemble({"dataset": "diabetes"})
    assert diabetes.asked()["objective"] == {
        "model": "svm",
        "dataset": "diabetes",
        "task": "regression",
        "metric": "r2",
    }
    assert diabetes.space.names == ("C", "gamma", "epsilon")
    for same in ({"metric": "r2"}, {"task": "regression"}, {"task": "Regression", "metric": "r2"}):
        assert assemble({"dataset": "diabetes", **same}).spec_hash == diabetes.spec_hash
    assert assemble({"task": "classification"}).spec_hash == assemble({}).spec_hash


def test_an_estimator_and_a_pipeline_are_part_of_the_specification() -> None:
    params = {"n_estimators": 50, "max_features": None, "criterion": "absolute_error", "ccp_alpha": 1e22}
    forest = of_objective({"estimator": FOREST, "dataset": "diabetes", "params": params})
    assert forest.name.startswith("RandomForestRegressor-42-")
    assert forest.objective.label == "RandomForestRegressor"
    assert forest.asked()["objective"]["params"]["max_features"] is None
    steps = of_objective(
        {"steps": SCALED, "dataset": "diabetes", "cv": 5, "repeats": 3}, {"svr__C": SPACE["max_depth"]}
    )
    assert steps.asked()["objective"]["steps"] == [list(step) for step in SCALED.items()]
    assert steps.name.startswith("SVR-42-")
    for study in (forest, steps):
        again = StudySpec.from_spec(study.name, study.budget, jsonb(study.spec()))
        assert again == study
        assert again.spec_hash == study.spec_hash
        assert differences(again, study) == []
    turned = {"steps": dict(reversed(SCALED.items())), "dataset": "diabetes", "cv": 5, "repeats": 3}
    assert of_objective(turned, {"svr__C": SPACE["max_depth"]}).spec_hash != steps.spec_hash


def test_an_estimator_of_an_option_replaces_the_model_of_the_file(write: Any) -> None:
    file = write(
        "[space]\nmax_depth = {type='integer', low=1, high=8}\n"
        "[objective]\nmodel = 'xgb'\ndataset = 'diabetes'\n[objective.params]\nn_estimators = 5\n"
    )
    assert assemble({}, file).objective.params == {"n_estimators": 5}
    replaced = assemble({"estimator": FOREST}, file).objective
    assert (replaced.model, replaced.estimator, replaced.params) == (None, FOREST, None)
    assert assemble({"model": "lgbm"}, file).objective.model == "lgbm"


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (
            {"estimator": FOREST, "model": "svm"},
            "[objective]: model and estimator exclude each other; remove one of them",
        ),
        (
            {"estimator": FOREST, "steps": SCALED},
            "[objective]: estimator and steps exclude each other; remove one of them",
        ),
        ({"function": "a:f", "estimator": FOREST}, "[objective]: function and estimator exclude each other"),
        ({"function": "a:f", "params": {"a": 1}}, "[objective]: function and params exclude each other"),
        ({"command": ["./a"], "estimator": FOREST}, "[objective]: command and estimator exclude each other"),
        ({"command": ["./a"], "repeats": 2}, "[objective]: command and repeats exclude each other"),
        ({"estimator": FOREST, "params_as": "file"}, "[objective] params_as: params_as needs a command; add a command"),
        ({"estimator": "sklearn.svm"}, "estimator: estimator 'sklearn.svm' must have the form package.module:Class"),
        ({"estimator": "sklearn.svm.SVC"}, "the form package.module:Class; did you mean 'sklearn.svm:SVC'?"),
        (
            {"steps": {"svr": "sklearn.svm:SVR"}},
            'steps: a pipeline needs at least two steps, but "steps" has 1; for a single step, use',
        ),
        (
            {"steps": {"a__b": FOREST, "c": FOREST}},
            'the name "a__b" of a step must consist of letters, digits and single',
        ),
        ({"steps": {"memory": FOREST, "c": FOREST}}, 'the name "memory" of a step must consist of letters'),
        ({"steps": {"a": "SVR", "c": FOREST}}, "estimator 'SVR' must have the form package.module:Class"),
        ({"steps": {"a": 5, "c": FOREST}}, "[objective] steps: "),
        ({"estimator": FOREST, "dataset": "diabetes", "params": {"max_depth": 3}}, "[space] max_depth: the table [obj"),
        (
            {"model": "xgb", "params": {"max_dept": 3}},
            "[objective] params: XGBClassifier (model xgb) has no hyper-para",
        ),
        (
            {"model": "xgb", "params": {"max_depth": nan}},
            '[objective] params: the value of "max_depth" is not a JSON value',
        ),
        ({"model": "xgb", "params": {"a": date(2024, 1, 1)}}, 'the value of "a" is not a JSON value'),
        ({"task": "regressionn"}, '[objective] task: unknown "regressionn"; choose classification, regression'),
        ({"task": "regression"}, "[objective] task: the dataset breast_cancer is for a classification; choose the dat"),
        (
            {"dataset": "diabetes", "task": "classification"},
            "the dataset diabetes is for a regression; choose the data",
        ),
        ({"dataset": "diabetes", "metric": "accuracy"}, '[objective] metric: "accuracy" scores a classification, but'),
        ({"repeats": 3}, '[objective]: the setting "repeats" needs a number of folds; add the setting "cv"'),
        ({"repeats": 1, "cv": 3}, "[objective] repeats: 1 must be greater than or equal to 2"),
        ({"class_weights": "heavy"}, "[objective] class_weights: "),
        ({"class_weights": {}}, '[objective] class_weights: {} must be "balanced", or a table with a positive number'),
        ({"class_weights": {"0": -1.0}}, '[objective] class_weights: {"0": -1.0} must be "balanced", or a table with'),
        ({"class_weights": {"0": nan}}, '[objective] class_weights: {"0": NaN} must be "balanced", or a table with'),
        ({"class_weights": {"2": 1.0}}, '[objective] class_weights: the target has no class "2"; there are 0, 1'),
        ({"dataset": "diabetes", "class_weights": "balanced"}, "class_weights is for a classification, but the task"),
        ({"group_column": "a"}, "[objective] group_column: a group column needs a data file; add --data"),
        ({"holdout": "b.csv"}, "[objective] holdout: a holdout needs a data file; add --data"),
    ],
)
def test_an_objective_that_contradicts_itself_is_refused_in_one_line(objective: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        of_objective(objective)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_estimator_needs_a_search_space() -> None:
    with pytest.raises(
        UsageError, match=r"\[space\] is missing: the estimator SVR has no default space; add the table"
    ):
        assemble({"estimator": "sklearn.svm:SVR", "dataset": "diabetes"})


@pytest.fixture
def flats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    lines = [f"{row},{row % 5 + 0.5},{row // 4},{row},{row % 2 + 1}" for row in range(40)]
    for name, chosen in (("flats.csv", lines), ("later.csv", lines[:10])):
        Path(name).write_text("\n".join(["area,price,owner,day,share", *chosen]) + "\n")
    return {"data": "flats.csv", "target_column": "price"}


def test_a_data_file_records_the_roles_of_its_columns(flats: dict[str, Any]) -> None:
    grouped = assemble({**flats, "group_column": "owner", "weight_column": "share", "cv": 3, "repeats": 2})
    data = grouped.asked()["objective"]["data"]
    assert (data["group_column"], data["weight_column"], data["rows"]) == ("owner", "share", 40)
    assert "time_column" not in data
    assert grouped.objective.task == "regression"
    assert grouped.objective.needs_check
    held_out = assemble({**flats, "holdout": "later.csv", "time_column": None})
    holdout = held_out.asked()["objective"]["data"]["holdout"]
    assert (holdout["name"], holdout["rows"], holdout["format"]) == ("later.csv", 10, "csv")
    assert held_out.objective.data is not None
    assert [file.content for file in held_out.objective.data.files] == [
        Path(name).read_bytes() for name in ("flats.csv", "later.csv")
    ]
    for study in (grouped, held_out):
        again = StudySpec.from_spec("s", study.budget, jsonb(study.spec()))
        assert again.spec_hash == study.spec_hash
    assert not assemble(flats).objective.needs_check


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"group_column": "owner", "time_column": "day"},
            "group_column and time_column exclude each other; remove one",
        ),
        (
            {"holdout": "later.csv", "cv": 3},
            "holdout and cv exclude each other, because the hold-out file replaces the split; remove one",
        ),
        ({"holdout": "later.csv", "group_column": "owner"}, "holdout and group_column exclude each other"),
        (
            {"holdout": "flats.csv"},
            "the hold-out file has the same content as the data file; use a file with other rows",
        ),
        ({"holdout": "none.csv"}, "--holdout or LEDGER_HOLDOUT: none.csv: No such file or directory; give the path of"),
        ({"time_column": "day", "cv": 3, "repeats": 2}, "repeats and time_column exclude each other, because a split"),
        (
            {"group_column": "owner", "cv": 11},
            'column "owner": 10 groups are too few for 11 folds, because each fold needs',
        ),
        ({"task": "classification"}, 'line 2, column "price": 0.5 is not a whole number, but a class must be text or'),
        ({"metric": "f1"}, '--metric or LEDGER_METRIC: "f1" scores a classification, but the task is regression; use'),
        ({"weight_column": "share", "metric": "neg_max_error"}, 'scikit-learn does not compute "neg_max_error" with'),
        ({"group_column": "price"}, 'the column "price" is the target and the group column; name two different'),
        ({"estimator": "svm"}, "--estimator or LEDGER_ESTIMATOR: estimator 'svm' must have the form package.module"),
    ],
)
def test_wrong_options_of_a_data_file_are_refused(flats: dict[str, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        assemble({**flats, **options})
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


OWN: dict[str, dict[str, Any]] = {
    "objective": {"function": "my.code:profit"},
    "space": {"x": {"type": "real", "low": 0, "high": 1}},
}


def test_the_direction_of_an_own_objective_is_part_of_the_study():
    minimised, maximised = assemble({}, tables=OWN), assemble({"direction": "MAXIMIZE"}, tables=OWN)
    assert maximised.asked()["objective"] == {"function": "my.code:profit", "direction": "maximize"}
    assert assemble({"direction": "minimize"}, tables=OWN).spec_hash == minimised.spec_hash != maximised.spec_hash
    assert StudySpec.from_spec("s", 3, maximised.spec()).objective.scale == ValueScale("maximize")
    assert differences(minimised, maximised) == [
        "objective.direction: the study has nothing, but maximize is requested"
    ]


def test_the_score_of_a_model_is_maximised_with_or_without_the_setting():
    study = assemble({"direction": "maximize"})
    assert study.spec_hash == assemble({}).spec_hash
    assert study.objective.scale == ValueScale("maximize", 1.0)
    with pytest.raises(UsageError, match="the score of a model is always maximised; leave direction out"):
        assemble({"direction": "minimize"})


def test_the_score_of_an_estimator_is_maximised() -> None:
    for metric, loss_of_zero in (("r2", 1.0), ("neg_mean_absolute_error", 0.0)):
        table = {"estimator": FOREST, "dataset": "diabetes", "metric": metric}
        assert of_objective(table).objective.scale == ValueScale("maximize", loss_of_zero)
        assert of_objective({**table, "direction": "maximize"}).spec_hash == of_objective(table).spec_hash
        with pytest.raises(UsageError, match="the score of a model is always maximised; leave direction out"):
            of_objective({**table, "direction": "minimize"})


def test_a_model_of_an_option_replaces_the_function_with_its_direction():
    file = {"objective": {"function": "my.code:loss", "direction": "minimize"}}
    assert assemble({"model": "svm"}, tables=file).objective == Objective(model="svm")


def test_criteria_of_a_file_do_not_make_another_study(write: Any) -> None:
    study = assemble({"patience": 3}, write("[study]\niterations = 3\ntarget = 1\ntimeout = 60.0\npatience = 9\n"))
    assert study.criteria == StoppingCriteria(1.0, 3, 60.0)
    assert study.spec() == assemble({}).spec()
    assert study.spec_hash == assemble({}).spec_hash
    assert differences(assemble({}), study) == []


@pytest.mark.parametrize(
    ("settings", "budget"),
    [
        ({"timeout": 60.0}, 1_000_000),
        ({"patience": 9}, 1_000_000),
        ({"timeout": 60.0, "iterations": 3}, 6),
        ({"patience": 9, "trials": 5}, 5),
        ({"target": 1.0}, 6),
    ],
)
def test_a_timeout_or_a_patience_alone_is_the_only_limit(settings: dict[str, Any], budget: int) -> None:
    assert assemble(settings).budget == budget


def test_a_changed_data_file_is_one_difference(tmp_path: Path) -> None:
    studies = []
    for rows in (10, 11):
        (tmp_path / "a.csv").write_text("a,y\n" + "1,no\n2,yes\n" * rows)
        studies.append(assemble({"data": str(tmp_path / "a.csv"), "target_column": "y"}))
    (line,) = differences(*studies)
    assert line.startswith("data file `a.csv` (20 rows with SHA-256 ")
    assert ", now 22 rows with SHA-256 " in line


def test_the_source_of_a_function_is_kept_unless_the_study_says_no() -> None:
    space = {"x": {"type": "real", "low": 0, "high": 1}}

    def made(**more: Any) -> StudySpec:
        return assemble({}, tables={"objective": {"function": "a:b", **more}, "space": space})

    assert made(record_source=True).spec_hash == made().spec_hash
    assert made().spec()["objective"] == {"function": "a:b"}
    assert made(record_source=False).spec()["objective"] == {"function": "a:b", "record_source": False}
    assert differences(made(), made(record_source=False)) == [
        "objective.record_source: the study has nothing, but false is requested"
    ]
    with pytest.raises(
        UsageError, match="record_source is a setting for your own code, but the study trains an estimator of a library"
    ):
        assemble({}, tables={"objective": {"model": "svm", "record_source": False}})


@pytest.mark.parametrize(
    ("value", "kept"), [("best", 1), ("BEST", 1), ("all", None), (None, None), ("3", 3), ("1000000", 1_000_000)]
)
def test_a_study_keeps_the_artifacts_of_a_number_of_trials(value, kept):
    given = int(value) if value and value.isdigit() else value
    assert assemble({"keep_artifacts": given}).limits.keep_artifacts == kept


def test_a_study_that_keeps_all_artifacts_has_the_same_hash_as_before():
    study, best = assemble({"keep_artifacts": "all"}), assemble({"keep_artifacts": "best"})
    assert study.spec_hash == assemble({}).spec_hash
    assert "keep_artifacts" not in study.spec()["limits"]
    assert best.spec_hash != study.spec_hash
    assert StudySpec.from_spec(best.name, best.budget, best.spec()) == best


def test_a_study_that_keeps_its_best_model_keeps_one_trials_artifacts():
    best, none = assemble({"keep_models": "BEST"}), assemble({"keep_models": "none"})
    assert none.spec_hash == assemble({}).spec_hash
    assert "keep_models" not in none.spec()["objective"]
    assert best.spec()["objective"]["keep_models"] == "best"
    assert best.spec_hash != none.spec_hash
    assert StudySpec.from_spec(best.name, best.budget, best.spec()) == best
    assert (best.artifact_keepers, none.artifact_keepers) == (1, None)
    assert assemble({"keep_artifacts": 3}).artifact_keepers == 3
    assert assemble({"keep_models": "best", "keep_artifacts": "best"}).artifact_keepers == 1
    with pytest.raises(UsageError, match="^--keep-artifacts or LEDGER_KEEP_ARTIFACTS: 3 trials cannot keep a model"):
        assemble({"keep_models": "best", "keep_artifacts": 3})


def test_only_an_estimator_has_a_model_to_keep(write: Any) -> None:
    file = write(
        "[objective]\nfunction = 'a:b'\nkeep_models = 'best'\n[space]\nx = { type = 'real', low = 0, high = 1 }"
    )
    with pytest.raises(UsageError, match="keep_models needs a model or an estimator.*context.save_artifact$"):
        assemble({}, file)
    for value in ("all", "", 1, True):
        with pytest.raises(UsageError, match="^--keep-models or LEDGER_KEEP_MODELS: "):
            assemble({"keep_models": value})
    file = write("[objective]\nkeep_models = 'best'\n[space]\nx = { type = 'real', low = 0, high = 1 }")
    assert assemble({"command": ["train", "{x}"]}, file).objective.keep_models is None


@pytest.mark.parametrize("value", ["worst", "", 0, -1, 1_000_001, 1.5, True])
def test_a_wrong_number_of_kept_trials_is_refused(value):
    with pytest.raises(UsageError, match="--keep-artifacts or LEDGER_KEEP_ARTIFACTS: ") as refused:
        assemble({"keep_artifacts": value})
    assert "\n" not in str(refused.value)


def test_a_rule_that_stops_trials_early_is_part_of_the_study(write: Any) -> None:
    text = "[stopping]\nrule = 'Halving'\nmax_resource = 27\n"
    study = assemble({}, write(text))
    assert study.stopping == EarlyStopping(rule="halving", resource="rows", min_resource=3, max_resource=27)
    assert StudySpec.from_spec(study.name, study.budget, json.loads(json.dumps(study.spec()))) == study
    without = assemble({}, write("[stopping]\nrule = 'none'\nmax_resource = 27\n"))
    assert without.spec_hash == assemble({}).spec_hash != study.spec_hash
    own = "[objective]\nfunction = 'm:f'\n[space]\nx = { type = 'real', low = 0.0, high = 1.0 }\n"
    with pytest.raises(UsageError, match=r"\[stopping\]: max_resource is missing; rule median needs"):
        assemble({}, write(f"{own}[stopping]\nrule = 'median'"))
