"""A user's function: loading it, calling it, and the errors where that fails."""

import sys

import pytest
from threadpoolctl import threadpool_info

from ledger.errors import LedgerError, UsageError
from ledger.objectives import Context, InvalidResultError, ObjectiveResult, check_reference
from ledger.objectives.loading import load

CONTEXT = Context(study="a-study", trial=3, attempt=2, seed=99, study_seed=7)
PACKAGE = "own_objectives"

SOURCE = """
import functools
import operator
from subprocess import Popen, run
from threadpoolctl import threadpool_info

number = 0.5

def plain(params): return params["x"]
def suggested(params): return params.get("suggest_x", params["x"])
def second(params, context): return {"loss": params["x"], "trial": context.trial}
def other_name(params, ctx): return ctx.seed
def optional(params, context=None): return context.attempt
def keyword(params, *, context): return {"loss": 0, "study": context.study}
def keyword_after_others(params, folds=5, context=None): return folds + context.study_seed
def positional_only(params, context, /): return context.trial
def keyword_optional(params, *, folds=5): return folds
def rest(params, *args, **kwargs): return len(args) + len(kwargs)
class Fixed:
    def __init__(self, params): self.params = params
    def suggest_float(self, name, low, high): return self.params[name]
def makes_a_trial(trial):
    trial = Fixed(trial)
    return trial.suggest_float("x", 0, 1)
def of_trial(trial): return trial.suggest_float("x", 0, 1)
adapted = functools.wraps(of_trial)(lambda params: of_trial(Fixed(params)))
def of_optuna(trial): return max(1, trial.suggest_float("x", 0, 1))
def no_parameters(): return 1
def three(params, context, more): return 1
def needs_keyword(params, *, folds): return 1
def fails(params): raise ValueError("from the objective")
def not_finite(params): return float("nan")
def changes(params): return params.pop("x")
def echo(params): return {"loss": 0, "params": params, "types": [type(value).__name__ for value in params.values()]}
def threads(params): return {"loss": 0, "threads": [pool["num_threads"] for pool in threadpool_info()]}

class WithoutSignature(dict): pass

class Instance:
    def __call__(self, params): return 4
    def method(self, params, context): return context.trial
    def of_optuna(self, trial, start=0.0): return self.low(start, trial.suggest_int("x", 0, 1))
instance = Instance()
method = instance.method
method_of_optuna = instance.of_optuna
partial = functools.partial(second, context=None)
cached = functools.lru_cache(second)
wrapped = functools.wraps(second)(lambda *args: second(*args))

class Foreign(dict): pass
process = Popen(["true"])
process.wait()
foreign = {
    "partial_run": functools.partial(run, shell=True),
    "partial_twice": functools.partial(functools.partial(run), check=True),
    "cached_run": functools.lru_cache(run),
    "wrapped_run": functools.wraps(run)(lambda *args: run(*args)),
    "static_run": staticmethod(run),
    "wait": process.wait,
    "wait_wrapper": process.__init__.__call__,
    "getter": operator.itemgetter("x"),
    "update": Foreign().update,
    "length": len,
    "kind": Popen,
}
globals().update(foreign)
circle = functools.wraps(run)(lambda params: 1)
circle.__wrapped__ = functools.partial(circle)
"""


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    folder = tmp_path / PACKAGE
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "train.py").write_text(SOURCE)
    (folder / "broken.py").write_text("import a_module_that_is_not_there")
    (folder / "invalid.py").write_text("def f(:")
    (folder / "leaves.py").write_text("raise SystemExit('left\\nat import')")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def evaluate(name, params=None, **options):
    objective = load({"function": f"{PACKAGE}.train:{name}"}, [PACKAGE], **options)
    return objective({"x": 0.25} if params is None else params, CONTEXT)


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("plain", ObjectiveResult(0.25, {})),
        ("suggested", ObjectiveResult(0.25, {})),
        ("makes_a_trial", ObjectiveResult(0.25, {})),
        ("adapted", ObjectiveResult(0.25, {})),
        ("second", ObjectiveResult(0.25, {"trial": 3})),
        ("other_name", ObjectiveResult(99.0, {})),
        ("optional", ObjectiveResult(2.0, {})),
        ("keyword", ObjectiveResult(0.0, {"study": "a-study"})),
        ("keyword_after_others", ObjectiveResult(12.0, {})),
        ("positional_only", ObjectiveResult(3.0, {})),
        ("keyword_optional", ObjectiveResult(5.0, {})),
        ("rest", ObjectiveResult(0.0, {})),
        ("instance", ObjectiveResult(4.0, {})),
        ("method", ObjectiveResult(3.0, {})),
        ("partial", ObjectiveResult(0.25, {"trial": 3})),
        ("wrapped", ObjectiveResult(0.25, {"trial": 3})),
    ],
)
def test_a_function_gets_the_context_if_it_takes_one(name, result):
    assert evaluate(name) == result


def test_a_callable_without_a_signature_gets_the_parameters_alone():
    assert evaluate("WithoutSignature", {"loss": 0.5, "x": 1}) == ObjectiveResult(0.5, {"x": 1})


@pytest.mark.parametrize("allowed", [[PACKAGE], [f"{PACKAGE}.train"], ("another", PACKAGE), {PACKAGE}])
def test_a_function_of_an_allowed_package_or_module_is_loaded(allowed):
    assert load({"function": f"{PACKAGE}.train:plain"}, allowed)({"x": 1}, CONTEXT).loss == 1


@pytest.mark.parametrize(
    "allowed", [[], ["own"], ["own_objectives_too"], [f"{PACKAGE}.tr"], [f"{PACKAGE}.train.more"], [""], ["."]]
)
def test_a_function_that_is_not_allowed_is_refused_before_its_import(allowed):
    with pytest.raises(LedgerError) as caught:
        load({"function": f"{PACKAGE}.train:plain"}, allowed)
    assert str(caught.value) == (
        f"objective '{PACKAGE}.train:plain' is defined in '{PACKAGE}.train', and this worker has no permission to run"
        f" code of this module; permit the module with --allow {PACKAGE}"
    )
    assert f"{PACKAGE}.train" not in sys.modules


def test_permission_for_a_package_excludes_its_imports():
    with pytest.raises(LedgerError, match=r"train:run' is defined in 'subprocess', and .* --allow subprocess$"):
        load({"function": f"{PACKAGE}.train:run"}, [PACKAGE])


FOREIGN = {
    "subprocess": "partial_run partial_twice cached_run wrapped_run static_run wait kind circle",
    "operator": "getter",
    "builtins": "wait_wrapper update length",
}


@pytest.mark.parametrize(
    ("name", "module"), [(name, module) for module, names in FOREIGN.items() for name in names.split()]
)
def test_what_runs_is_defined_in_an_allowed_module(name, module):
    with pytest.raises(LedgerError) as caught:
        load({"function": f"{PACKAGE}.train:{name}"}, [PACKAGE])
    assert (
        f"train:{name}' is defined in '{module}', and this worker has no permission to run code of this module"
        in str(caught.value)
    )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["__init__", "__class__", "__getattribute__", "__dir__", "__reduce__"])
def test_what_every_module_has_is_no_objective(name):
    with pytest.raises(LedgerError, match=f"train' has no '{name}'; define the function in this module$"):
        load({"function": f"{PACKAGE}.train:{name}"}, [PACKAGE])


def test_the_current_folder_is_searched_last_and_only_for_what_is_allowed(tmp_path, monkeypatch):
    folder = tmp_path / "current"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path])
    for module in ("own_module", "own_helper", "train", "statistics"):
        (folder / f"{module}.py").write_text(
            "try:\n    import own_helper\nexcept ImportError:\n    pass\ndef own(params): return 0.5\n"
        )
    for module in ("own_helper", "own_module"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    found = load({"function": f"{PACKAGE}.train:plain"}, [PACKAGE], folder=str(folder))
    assert found({"x": 0.25}, CONTEXT).loss == 0.25
    assert str(folder) not in sys.path, "another folder has the package"
    with pytest.raises(LedgerError, match="no permission to run code of this module"):
        load({"function": "own_module:own"}, [PACKAGE], folder=str(folder))
    with pytest.raises(
        LedgerError, match="rename the module in the current folder, .* another module with the same name .*statistics"
    ):
        load({"function": "statistics:own"}, ["statistics"], folder=str(folder))
    assert str(folder) not in sys.path
    assert load({"function": "own_module:own"}, ["own_module"], folder=str(folder))({}, CONTEXT).loss == 0.5
    assert sys.path[-1] == str(folder)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (
            "nowhere_to_be_found:f",
            "module 'nowhere_to_be_found' cannot be imported (ModuleNotFoundError: No module nam",
        ),
        (f"{PACKAGE}.missing:f", f"module '{PACKAGE}.missing' cannot be imported (ModuleNotFoundError: "),
        (f"{PACKAGE}.broken:f", f"module '{PACKAGE}.broken' cannot be imported (ModuleNotFoundError: No module named"),
        (f"{PACKAGE}.invalid:f", f"module '{PACKAGE}.invalid' cannot be imported (SyntaxError: "),
        (f"{PACKAGE}.leaves:f", f"module '{PACKAGE}.leaves' cannot be imported (SystemExit: left at import); install"),
        (f"{PACKAGE}.train:absent", f"module '{PACKAGE}.train' has no 'absent'; define the function in this module"),
    ],
)
def test_a_failed_import_is_reported_in_one_line(reference, message):
    with pytest.raises(LedgerError) as caught:
        load({"function": reference}, [PACKAGE, "nowhere_to_be_found"])
    assert str(caught.value).startswith(f"objective '{reference}': {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("number", "is of type float; a function is needed"),
        ("no_parameters", r"must take a dict of parameters, and may also take a context \(too many positional"),
        (
            "three",
            r"must take a dict of parameters, and may also take a context \(missing a required argument: 'more'",
        ),
        ("needs_keyword", r"must take a dict of parameters, and may also take a context \(missing a required"),
        ("of_optuna", r"calls trial.suggest_float, but gets a dict of parameters instead of an Optuna trial: read"),
        ("method_of_optuna", r"calls trial.suggest_int, but gets a dict of parameters"),
    ],
)
def test_a_function_with_a_wrong_signature_is_refused_when_loaded(name, message):
    with pytest.raises(LedgerError, match=message) as caught:
        load({"function": f"{PACKAGE}.train:{name}"}, [PACKAGE])
    assert "\n" not in str(caught.value)


REFERENCES = [
    "",
    ":",
    "f",
    "module.f",
    "module:",
    ":f",
    "module:f:g",
    "a..b:f",
    ".a:f",
    "a:b.c",
    "a-b:f",
    "a :f",
    "1a:f",
]


@pytest.mark.parametrize("reference", REFERENCES)
def test_a_reference_of_another_form_is_a_usage_error(reference):
    with pytest.raises(UsageError, match=r"must have the form package\.module:function(; did you mean 'module:f'\?)?$"):
        check_reference(reference)
    with pytest.raises(LedgerError):
        load({"function": reference}, [""])


@pytest.mark.parametrize(
    ("reference", "end"),
    [
        ("loss.py", "function"),
        ("train.loss", "function; did you mean 'train:loss'?"),
        ("train.py:loss", "function; did you mean 'train:loss'?"),
        ("./train.py:loss", "function; did you mean 'train:loss'?"),
        ("models/train.py:loss", "function; did you mean 'models.train:loss'?"),
        ("models/train:loss", "function; did you mean 'models.train:loss'?"),
        ("/home/me/train.py:loss", "function"),
    ],
)
def test_the_error_about_another_form_suggests_the_right_reference(reference, end):
    with pytest.raises(UsageError) as refused:
        check_reference(reference)
    assert str(refused.value) == f"objective function {reference!r} must have the form package.module:{end}"


@pytest.mark.parametrize("reference", ["module:f", "package.module:function", "nowhere.at.all:f_1"])
def test_a_reference_is_checked_without_importing_it(reference):
    before = set(sys.modules)
    check_reference(reference)
    assert set(sys.modules) == before


def test_exceptions_pass_through_and_returned_values_are_checked():
    with pytest.raises(ValueError, match="from the objective"):
        evaluate("fails")
    with pytest.raises(InvalidResultError, match="returned nan"):
        evaluate("not_finite")


def test_a_function_can_change_its_copy_of_the_parameters():
    params = {"x": 0.5}
    assert evaluate("changes", params).loss == 0.5
    assert params == {"x": 0.5}


def test_numbers_beyond_64_bits_arrive_as_floats():
    params = {"a": 3, "b": 10**16, "c": 10**300, "d": -(10**300), "e": "rbf", "f": True, "g": None, "h": 2**63 - 1}
    metrics = evaluate("echo", params).metrics
    assert metrics["params"] == {**params, "c": 1e300, "d": -1e300}
    assert metrics["types"] == ["int", "int", "float", "float", "str", "bool", "NoneType", "int"]


@pytest.mark.parametrize("options", [{}, {"threads": 1}, {"threads": 2}])
def test_the_thread_limit_holds_while_an_objective_runs_and_not_after(options):
    import sklearn.svm  # noqa: F401  (loads BLAS and OpenMP)

    before = [pool["num_threads"] for pool in threadpool_info()]
    assert set(evaluate("threads", **options).metrics["threads"]) == {options.get("threads", 1)}
    assert [pool["num_threads"] for pool in threadpool_info()] == before
