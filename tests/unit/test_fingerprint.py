"""The code of an objective: what changes its hash, and what does not."""

import itertools
import linecache
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.svm import SVC

from ledger.objectives.fingerprint import ObjectiveCode, changes, code_of, recordable_code_of, syntax
from ledger.objectives.fingerprint.provenance import git_state
from ledger.objectives.fingerprint.record import MOST_PARTS, CodePart, bounded
from ledger.objectives.fingerprint.values import UnwatchedValueError, ValueHasher

_cells = itertools.count()
FILES = {
    "objective": """
import helpers
from helpers import half
SCALE = 0
UNUSED = 1

def helper(x):
    return x + SCALE

def loss(params):
    # comment
    return helper(params["x"]) + half(params["x"]) + helpers.LIMIT
""",
    "helpers": """
LIMIT = 10
OTHER = 5

def half(x):
    return x / 2
""",
}


@pytest.fixture
def code(tmp_path, monkeypatch):
    """Return a function that writes modules into a new folder, and returns the code of objective:loss."""
    folders = itertools.count()

    def made(name="loss", **files):
        folder = tmp_path / str(next(folders))
        folder.mkdir()
        for module, text in (FILES | files).items():
            (folder / f"{module}.py").write_text(text)
            sys.modules.pop(module, None)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(folder))
            module = __import__("objective")
            found = code_of(getattr(module, name), name, "objective", is_importable=True)
        for module in FILES | files:
            sys.modules.pop(module, None)
        return found

    return made


def edited(code, place="objective", **replaced):
    """Return the changes after an edit of a file. Each keyword is a name for a pair of texts, old and new."""
    text = FILES[place]
    for old, new in replaced.values():
        assert old in text
        text = text.replace(old, new)
    return changes(code().parts, code(**{place: text}).parts)


def test_an_equal_module_in_another_folder_has_the_same_code(code):
    assert code().sha256 == code().sha256
    assert changes(code().parts, code().parts) == []


@pytest.mark.parametrize(
    ("place", "old", "new", "said"),
    [
        ("objective", "SCALE = 0", "SCALE = 100", ["module value `SCALE` (0, now 100)"]),
        ("objective", "return x + SCALE", "return x * SCALE", ["function `helper`"]),
        ("objective", 'helper(params["x"]) +', 'helper(params["x"]) -', ["function `loss`"]),
        ("objective", "UNUSED = 1", "UNUSED = 2", ["file `objective.py`"]),
        ("helpers", "LIMIT = 10", "LIMIT = 11", ["module value `helpers.LIMIT` (10, now 11)"]),
        ("helpers", "x / 2", "x / 3", ["function `helpers.half`"]),
        ("helpers", "OTHER = 5", "OTHER = 6", []),
        ("objective", "# comment", "# another\n\n    # comment", []),
        ("objective", "SCALE = 0\n", "SCALE   =   0  # zero\n\n\n", []),
        ("objective", "\ndef loss", "\nif __name__ == '__main__':\n    print('run')\n\ndef loss", []),
    ],
)
def test_a_change_is_named_if_it_can_change_the_loss(code, place, old, new, said):
    assert edited(code, place, edit=(old, new)) == said


def test_the_space_of_the_decorator_is_no_code(code):
    decorated = "import ledger\n@ledger.objective(space={'x': (0.0, 1.0)})\ndef loss(params):\n    return params['x']\n"
    before = code(objective=decorated)
    assert changes(before.parts, code(objective=decorated.replace("1.0", "2.0")).parts) == []
    another = "import functools\n@functools.lru_cache(maxsize=5)\ndef loss(params):\n    return 1\n"
    more = another.replace("5", "6")
    assert changes(code(objective=another).parts, code(objective=more).parts) == ["function `loss`"]


def test_a_value_that_a_module_computes_may_differ_on_another_machine(code, monkeypatch):
    text = "import os\nCORES = int(os.environ['CORES'])\ndef loss(params):\n    return CORES\n"
    monkeypatch.setenv("CORES", "2")
    two = code(objective=text)
    monkeypatch.setenv("CORES", "4")
    four = code(objective=text)
    assert changes(two.parts, four.parts) == ["module value `CORES` (2, now 4)"]
    assert changes(two.parts, four.parts, values=False) == []
    literal = code(objective=text.replace("int(os.environ['CORES'])", "4"))
    assert changes(two.parts, literal.parts, values=False) == ["module value `CORES` (2, now 4)"]


def test_a_path_in_the_folder_of_the_code_is_the_same_everywhere(code):
    text = "import pathlib\nDATA = pathlib.Path(__file__).parent / 'a.csv'\nNAME = str(DATA)\n"
    text += "def loss(params):\n    return len(str(DATA)) + len(NAME)\n"
    assert changes(code(objective=text).parts, code(objective=text).parts) == []


def test_modules_that_a_function_imports_are_watched(code):
    for statement in ("import helpers", "from helpers import half as helpers"):
        text = f"def loss(params):\n    {statement}\n    return helpers\n"
        now = code(objective=text, helpers=FILES["helpers"].replace("x / 2", "x / 3"))
        assert changes(code(objective=text).parts, now.parts) == ["file `helpers.py`"]


CLASSES = """
import dataclasses
@dataclasses.dataclass
class Options:
    size: int = 3
class Base:
    def fit(self, x):
        return x
class Model(Base):
    depth = 2
    @property
    def double(self):
        return 2 * self.depth
    def __call__(self, params):
        return self.fit(params["x"]) * self.double
OPTIONS = Options(size=4)
loss = Model()
def other(params):
    return OPTIONS.size + Model().double
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("return x\n", "return -x\n", ["class `Base`"]),
        ("depth = 2", "depth = 3", ["class `Model`"]),
        ("return 2 * self", "return 3 * self", ["class `Model`"]),
    ],
)
def test_classes_and_their_bases_are_watched(code, old, new, said):
    for name in ("loss", "other"):
        before, now = (code(name, objective=text) for text in (CLASSES, CLASSES.replace(old, new)))
        assert changes(before.parts, now.parts) == said


def test_an_instance_is_watched_by_its_attributes(code):
    before, now = (code("other", objective=text) for text in (CLASSES, CLASSES.replace("size=4", "size=5")))
    assert changes(before.parts, now.parts) == ["module value `OPTIONS`"]


def test_code_without_a_hash_is_named_as_not_watched(code):
    text = "import threading\nLOCK = threading.Lock()\ndef loss(params):\n    return LOCK\n"
    (lock,) = [part for part in code(objective=text).parts if part.name == "LOCK"]
    assert lock.unwatched == "lock"
    assert lock.value is None
    # the statement that defines the value is still compared
    now = code(objective=text.replace("threading.Lock()", "threading.RLock()"))
    assert changes(code(objective=text).parts, now.parts) == ["module value `LOCK`"]


def cell(text, name="loss", module="__main__", *, has_source=True) -> ObjectiveCode:
    """Return the code of a function that a cell of a notebook defines."""
    number = next(_cells)
    file = f"<cell {number}>" if has_source else "<string>"
    text = textwrap.dedent(text)
    if has_source:
        linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
    variables: dict[str, Any] = {"__name__": module}
    exec(compile(text, file, "exec"), variables)
    return code_of(variables[name], name, module, is_importable=False)


NOTEBOOK = """
scale = 0
def make(x):
    def helper(value):
        return value + scale
    def loss(params, weight=1.0, *, extra=None):
        return helper(params["x"]) * x * weight
    return loss
loss = make(3)
"""


@pytest.mark.parametrize("has_source", [True, False])
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("scale = 0", "scale = 100", ["module value `scale` (0, now 100)"]),
        ("make(3)", "make(4)", ["closure value `x` (3, now 4)"]),
        ("weight=1.0", "weight=2.0", ["function `loss`", "default value `weight` (1.0, now 2.0)"]),
        ("value + scale", "value - scale", ["function `make.helper`"]),
        ("* x * weight", "+ 7", ["function `loss`"]),
        ("scale = 0", "\n\n# a comment\nscale = 0", []),
    ],
)
def test_a_change_of_a_notebooks_function_is_named(old, new, said, has_source):
    before, now = (cell(text, has_source=has_source) for text in (NOTEBOOK, NOTEBOOK.replace(old, new)))
    if not has_source:
        # the bytecode of a function does not contain its default values
        said = [each for each in said if said == ["function `loss`"] or "weight" not in old or "default" in each]
    assert changes(before.parts, now.parts) == said


def test_wrappers_partials_methods_and_lambdas_are_watched():
    text = """
        import functools
        def retry(times):
            def decorate(function):
                @functools.wraps(function)
                def wrapper(params):
                    return [function(params) for _ in range(times)][-1]
                return wrapper
            return decorate
        @retry(2)
        def wrapped(params):
            return params["x"]
        def of(params, scale):
            return scale
        partial = functools.partial(of, scale=3)
        class Model:
            def __init__(self):
                self.size = 5
            def loss(self, params):
                return self.size
        method = Model().loss
        first, second = (lambda params: 1), (lambda params: 2)
    """
    for name, old, new, said in (
        ("wrapped", "@retry(2)", "@retry(3)", ["function `wrapped`", "closure value `retry.decorate.wrapper.times`"]),
        ("wrapped", 'return params["x"]', "return 0", ["function"]),
        ("partial", "scale=3", "scale=4", ["argument `scale` (3, now 4)"]),
        ("method", "self.size = 5", "self.size = 6", ["attributes"]),
        ("second", "params: 2", "params: 3", ["function `second`"]),
        ("first", "params: 2", "params: 3", []),
    ):
        found = changes(cell(text, name).parts, cell(text.replace(old, new), name).parts)
        assert bool(found) == bool(said), (name, found)
        assert all(any(one.startswith(each.split(" `")[0]) for one in found) for each in said), (name, found)


def test_a_function_of_a_notebook_may_use_another_function_of_a_package():
    text = (
        "from math import sqrt as root\nfrom statistics import mean as average\ndef loss(params):\n    return {}(4)\n"
    )
    used = [text.format(name) for name in ("root", "average")]
    assert changes(cell(used[1]).parts, cell(used[1].replace("mean as", "median as")).parts) == [
        "module value `average`"
    ]
    assert changes(cell(used[0]).parts, cell(used[0]).parts) == []


def test_recursive_functions_and_values_end():
    text = """
        def loss(params):
            return other(params) + len(LIST)
        def other(params):
            return loss(params)
        LIST = [1]
        LIST.append(LIST)
    """
    (endless,) = [part for part in cell(text).parts if part.unwatched]
    assert endless.name == "LIST"


def hashed(value: object) -> str:
    return ValueHasher(lambda code: code.__qualname__, lambda kind: False, None).digest(value)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=4)
        | st.frozensets(st.integers() | st.text(), max_size=4)
    ),
    max_leaves=10,
)


def _typed(value: Any) -> Any:
    """Return a text that is equal for equal values of the same types."""
    if isinstance(value, dict):
        return "dict", sorted((repr(_typed(key)), repr(_typed(item))) for key, item in value.items())
    if isinstance(value, list | tuple | frozenset):
        items = [repr(_typed(item)) for item in value]
        return type(value).__name__, sorted(items) if isinstance(value, frozenset) else items
    return type(value).__name__, repr(value)


@given(values, values)
def test_two_values_have_the_same_hash_if_they_are_equal(one, other):
    assert (hashed(one) == hashed(other)) == (_typed(one) == _typed(other))


def test_values_with_the_same_text_have_different_hashes():
    found = [1, 1.0, True, "1", b"1", None, "None", [1], (1,), {1}, [], (), {}, set(), [[]], ["1"], [[1], 2], [1, [2]]]
    found += [10**5000, float("inf"), -0.0, 0.0, 1j, range(3), slice(1), Path("a"), "a", {"a": 1}, {"a": [1]}]
    found += [np.zeros(3), np.zeros((3, 1)), np.zeros(3, "int64"), np.float64(1), np.array(["a", None])]
    found += [pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]}), pd.Series([1]), pd.DataFrame({"a": [2]})]
    found += [SVC(), SVC(C=2.0), partial(print, 1), partial(print, 2), print, len, np.dtype("int8"), np.add]
    hashes = [hashed(value) for value in found]
    assert len(set(hashes)) == len(hashes)
    assert [hashed(value) for value in found] == hashes


def test_a_value_of_an_unknown_type_has_no_hash():
    with Path(os.devnull).open() as file:
        for value in (object(), [object()], np.random.default_rng(1), file):
            with pytest.raises(UnwatchedValueError):
                hashed(value)


def test_the_code_is_the_same_in_every_process(tmp_path):
    for name, text in FILES.items():
        (tmp_path / f"{name}.py").write_text(text + "\nTAGS = {'a', 'b', 'c'}\n")
    (tmp_path / "objective.py").write_text((tmp_path / "objective.py").read_text().replace("SCALE\n", "len(TAGS)\n"))
    program = (
        "import objective; from ledger.objectives.fingerprint import code_of;"
        "print(code_of(objective.loss, 'loss', 'objective', is_importable=True).sha256)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{tmp_path}"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1


def test_the_commit_the_state_and_the_versions_are_recorded(tmp_path, monkeypatch):
    def git(*arguments):
        names = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *names, *arguments], cwd=tmp_path, check=True, capture_output=True)

    def recorded():
        sys.modules.pop("objective_in_git", None)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(tmp_path))
            module = __import__("objective_in_git")
        return recordable_code_of(module.loss, "loss", "objective_in_git", is_importable=True)

    file = tmp_path / "objective_in_git.py"
    file.write_text("def loss(params):\n    import numpy\n    return numpy.float64(1)\n")
    assert (recorded().git_commit, recorded().git_clean) == (None, None)
    git("init")
    git("commit", "--allow-empty", "-m", "first")
    first = recorded()
    assert (len(first.git_commit or ""), first.git_clean) == (40, False)
    git("add", ".")
    git("commit", "-m", "second")
    assert recorded().git_clean is True
    assert recorded().git_commit != first.git_commit
    file.write_text(file.read_text() + "# more\n")
    changed = recorded()
    assert changed.git_clean is False
    assert changed.sha256 == first.sha256
    assert changed.versions["numpy"] == np.__version__
    assert set(changed.versions) >= {"python", "numpy"}
    assert changed.texts == {"objective_in_git.py": file.read_text()}
    hidden = changed.without_source()
    assert (hidden.texts, hidden.sources, hidden.sha256) == ({}, changed.sources, changed.sha256)
    assert ObjectiveCode.from_json(changed.to_json()) == changed


def test_the_repository_of_a_code_runs_no_program(tmp_path):
    """The configuration of a repository can name a program for each file that git compares."""

    def git(*arguments):
        names = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *names, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    (tmp_path / ".gitattributes").write_text("* filter=x\n")
    (tmp_path / "a.py").write_text("x = 1\n")
    git("add", ".")
    git("commit", "-m", "first")
    git("config", "filter.x.clean", "sh -c 'touch ran; cat'")
    git("config", "core.fsmonitor", "sh -c 'touch ran'")
    os.utime(tmp_path / "a.py", (0, 0))
    commit, is_clean = git_state(str(tmp_path), ["a.py"])
    assert (len(commit or ""), is_clean) == (40, True)
    assert git_state(str(tmp_path), []) == (commit, None)
    assert git_state(str(tmp_path), ["a.py", "missing.py"]) == (commit, False)
    (tmp_path / "a.py").write_text("x = 2\n")
    assert git_state(str(tmp_path), ["a.py"]) == (commit, False)
    assert not (tmp_path / "ran").exists()


def test_a_module_is_read_and_not_imported(tmp_path, monkeypatch):
    package = tmp_path / "not_imported"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')\n")
    (package / "inner.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = syntax.of_module("not_imported.inner")
    assert found is not None
    assert found.text == "x = 1\n"
    assert syntax.of_module("not_imported.missing") is None
    assert "not_imported" not in sys.modules


def test_the_names_of_parts_are_names_that_postgresql_can_store():
    (kept,) = bounded([CodePart("argument", "a\0b\ud800", unwatched="x" * 400)])
    assert kept.name == "a\\x00b\\ud800"
    assert len(kept.unwatched or "") < 201


def test_a_message_about_changes_contains_no_control_characters():
    before = CodePart("module value", "SCALE", "a", "b", "0")
    now = replace(before, value="c", shown="\x1b]0;x\x07\n1")
    assert changes([before], [now])[0].isprintable()


def test_a_code_with_many_parts_keeps_one_hash_for_the_rest():
    parts = [CodePart("function", f"f{number}" * 100, code=str(number)) for number in range(MOST_PARTS + 50)]
    kept = bounded(parts)
    assert len(kept) == MOST_PARTS
    assert max(len(part.name) for part in kept) <= 300
    other = bounded([*parts[:-1], CodePart("function", parts[-1].name, code="other")])
    assert changes(kept, other) == ["function `51 more`"]


def test_a_message_names_at_most_a_few_changes():
    before = [CodePart("function", f"f{number}", code="a") for number in range(9)]
    now = [CodePart("function", f"f{number}", code="b") for number in range(9)]
    assert changes(before, now)[-1] == "4 more"
    assert changes(before, before[:8]) == ["function `f8` is gone"]
    assert changes(before[:8], before) == ["function `f8` is new"]


def test_a_broken_object_of_the_user_does_not_stop_the_search():
    module = ModuleType("broken_objective")

    class Broken:
        __wrapped__ = property(lambda self: 1 / 0)

        def __call__(self, params):
            return 0

    (part, *_) = code_of(Broken(), "loss", module.__name__, is_importable=False).parts
    assert part.unwatched == "ZeroDivisionError"
