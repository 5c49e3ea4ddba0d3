"""The digest of a search: equal in every process, and another one after a change of data or code."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.metrics import get_scorer, make_scorer, mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ledger.errors import UsageError
from ledger.objectives.fingerprint import CodePart
from ledger.objectives.objective_code import code_of_pickled
from ledger.sklearn.digest import digest
from ledger.sklearn.distributions import read_distributions
from ledger.sklearn.fit_file import SharedContent
from ledger.sklearn.objective import CandidateFits, make_objective


def test_code_of_a_changed_module_has_another_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_base.py").write_text("class Base:\n    pass\n")
    (tmp_path / "own_model.py").write_text("import own_base\nclass Model(own_base.Base):\n    pass\n")
    model = importlib.import_module("own_model").Model
    first = digest(model())
    assert digest(model()) == first
    for file in ("own_base.py", "own_model.py"):
        with (tmp_path / file).open("a") as text:
            text.write("    changed = True\n")
        first, before = digest(model()), first
        assert first != before


def frame(**changes: Any) -> pd.DataFrame:
    columns = {"number": [1.0, 2.0], "text": ["a", "b"], "kind": pd.Categorical(["x", "y"]), "flag": [True, False]}
    return pd.DataFrame({**columns, **changes}, index=[3, 4])


X = np.arange(12.0).reshape(4, 3)
EQUAL: list[tuple[Any, Any]] = [
    (X, np.asfortranarray(X.copy())),
    (X[:, ::2], X[:, ::2].copy()),
    (np.array(["a", None], dtype=object), np.array(["a", None], dtype=object)),
    (frame(), frame()),
    (SVC(C=2.0), SVC(C=2.0)),
    (get_scorer("f1"), get_scorer("f1")),
    (["aa", "aa"], ["aa", "a" * 2]),
    ({"x", "y"}, {"y", "x"}),
    (np.log, np.log),
    ([1].append, [1].append),
]
DIFFERENT: list[tuple[Any, Any]] = [
    (X, X.T),
    (X, X.astype(np.float32)),
    (X, X.tolist()),
    (np.zeros(2), np.zeros(3)),
    (np.array(3.0), np.array(4.0)),
    (np.array(["a", None], dtype=object), np.array(["a", "b"], dtype=object)),
    (np.array(["2026-01-01"], dtype="M8[D]"), np.array(["2026-01-02"], dtype="M8[D]")),
    (frame(), frame(number=[1.0, 3.0])),
    (frame(), frame(text=["a", "c"])),
    (frame(), frame(kind=pd.Categorical(["x", "x"]))),
    (frame(), frame().rename(columns={"text": "words"})),
    (frame(), frame().reset_index(drop=True)),
    (SVC(C=2.0), SVC(C=3.0)),
    (make_pipeline(StandardScaler(), SVC()), make_pipeline(StandardScaler(with_mean=False), SVC())),
    (get_scorer("f1"), get_scorer("f1_macro")),
    (make_scorer(mean_squared_error), make_scorer(mean_squared_error, greater_is_better=False)),
    (1, True),
    (1, 1.0),
    ("1", 1),
    (["ab", "c"], ["a", "bc"]),
    ([1, [2]], [[1], 2]),
    (np.log, np.exp),
    (len, print),
    ([1].append, [2].append),
    (np.random.RandomState(1), np.random.RandomState(2)),
    (SVC, StandardScaler),
]


@pytest.mark.parametrize(("first", "second"), EQUAL, ids=lambda value: type(value).__name__)
def test_equal_values_have_equal_digests(first: Any, second: Any) -> None:
    assert digest(first) == digest(second)


@pytest.mark.parametrize(("first", "second"), DIFFERENT, ids=lambda value: type(value).__name__)
def test_different_values_have_different_digests(first: Any, second: Any) -> None:
    assert digest(first) != digest(second)


def test_a_use_of_a_sparse_matrix_does_not_change_its_digest() -> None:
    first, second = (scipy.sparse.random_array((6, 4), density=0.5, rng=1, format="csr") for _ in range(2))
    first.has_sorted_indices  # noqa: B018
    first.sum_duplicates()
    assert digest(first) == digest(second)
    assert digest(first) != digest(first * 2)
    assert digest(first) != digest(first.tocsc())


def test_a_value_that_contains_itself_has_a_digest() -> None:
    first: list[Any] = [1]
    second: list[Any] = [2]
    for value in (first, second):
        value.append(value)
    assert digest(first) != digest(second)


def test_an_object_that_cannot_be_pickled_is_refused_in_one_line() -> None:
    with pytest.raises(
        UsageError, match=r"^an object of type generator in the search cannot be pickled \(TypeError: .*"
    ):
        digest({"rows": (row for row in X)})


def test_the_recorded_code_of_a_search_is_its_digest_alone(tmp_path: Path) -> None:
    shared = SharedContent(CandidateFits([], read_distributions({"C": [1, 2]}), None), tmp_path / "fits")
    code = code_of_pickled(make_objective("SVC_1", digest(SVC()), shared), "SVC_1")
    assert code.parts == (CodePart("search", "SVC_1", code=digest(SVC())),)
    assert (code.sources, code.texts) == ({}, {})
