"""The value that an objective returned becomes a result, or an error that describes it."""

import itertools
import json
import math
from collections import OrderedDict
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.errors import LedgerError
from ledger.objectives import InvalidResultError, ObjectiveResult, ValueScale
from ledger.objectives.result import to_result


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no")


CIRCULAR: dict[str, object] = {"loss": 0.5}
CIRCULAR["itself"] = CIRCULAR


@pytest.mark.parametrize(
    "value", [0.25, np.float16(0.25), np.float32(0.25), np.float64(0.25), np.longdouble(0.25), Fraction(1, 4)]
)
def test_a_real_number_is_a_loss_alone_or_in_a_dict(value):
    for result in (to_result(value), to_result({"loss": value}), to_result(OrderedDict(loss=value))):
        assert result == ObjectiveResult(0.25, {})
        assert type(result.loss) is float


def test_a_maximised_value_is_recorded_as_its_negative():
    scale = ValueScale("maximize")
    for returned in (2.5, {"value": 2.5}, {"value": np.float32(2.5)}):
        assert to_result(returned, scale) == ObjectiveResult(-2.5, {})
    assert math.copysign(1, to_result(0.0, scale).loss) == 1.0, "no negative zero"
    assert to_result({"value": 2.5, "auc": 0.5}, scale).metrics == {"auc": 0.5}
    assert to_result({"value": 2.5, "auc": 0.5}) == ObjectiveResult(2.5, {"auc": 0.5})


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ({"loss": 1}, "the objective returned a dict without 'value': {'loss': 1}; the study maximises, so return"),
        ({}, "the objective returned a dict without 'value': {}; the study maximises"),
        (None, "the objective returned None (NoneType); return a finite number or a dict with 'value'"),
        ({"value": math.nan}, "the objective returned nan as 'value'; return a finite number"),
        (
            {"value": 1, "loss": 2},
            "the objective returned a dict with both 'value' and 'loss': {'value': 1, 'loss': 2};",
        ),
    ],
)
def test_a_result_without_a_value_to_maximise_is_refused(returned, message):
    with pytest.raises(InvalidResultError) as caught:
        to_result(returned, ValueScale("maximize"))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("value", [3, -3, 0, np.int8(3), np.uint64(3), 10**16])
def test_an_integer_is_a_loss(value):
    result = to_result(value)
    assert result.loss == value
    assert type(result.loss) is float


def test_the_other_values_of_a_dict_are_metrics_in_plain_json():
    returned = {
        "loss": 0.5,
        "accuracy": np.float32(0.5),
        "rows": np.int64(114),
        "converged": np.True_,
        "curve": (1, 2.5, None),
        "more": {"name": "é\\u0000", "deep": [[1]]},
    }
    result = to_result(returned)
    assert result.metrics == {
        "accuracy": 0.5,
        "rows": 114,
        "converged": True,
        "curve": [1, 2.5, None],
        "more": {"name": "é\\u0000", "deep": [[1]]},
    }
    assert [type(result.metrics[name]) for name in ("accuracy", "rows", "converged")] == [float, int, bool]
    assert returned["loss"] == 0.5


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (math.nan, "the objective returned nan; return a finite number"),
        (math.inf, "the objective returned inf; return a finite number"),
        (-math.inf, "the objective returned -inf; return a finite number"),
        (np.float64("nan"), "the objective returned np.float64(nan); return a finite number"),
        ({"loss": math.nan, "accuracy": 1}, "the objective returned nan as 'loss'; return a finite number"),
        (None, "the objective returned None (NoneType); return a finite number or a dict with 'loss'"),
        ("0.5", "the objective returned '0.5' (str); return a finite number or a dict with 'loss'"),
        (True, "the objective returned True (bool); return a finite number or a dict with 'loss'"),
        ({"loss": True}, "the objective returned True as 'loss' (bool); return a finite number"),
        ({"loss": None}, "the objective returned None as 'loss' (NoneType); return a finite number"),
        (np.array([0.5]), "the objective returned array([0.5]) (numpy.ndarray); return a finite number or a dict with"),
        (1j, "the objective returned 1j (complex); return a finite number or a dict with 'loss'"),
        (Decimal("0.5"), "the objective returned Decimal('0.5') (decimal.Decimal); return a finite number or a dict"),
        ([0.5], "the objective returned [0.5] (list); return a finite number or a dict with 'loss'"),
        ({}, "the objective returned a dict without 'loss' or 'value': {}"),
        (
            {"loss": 1, "value": 1},
            "the objective returned a dict with both 'value' and 'loss': {'loss': 1, 'value': 1}",
        ),
        ({"accuracy": 0.5}, "the objective returned a dict without 'loss' or 'value': {'accuracy': 0.5}"),
        (10**400, "the objective returned 1000"),
        (10**5000, "the objective returned a value of type int; return a finite number"),
        (Unprintable(), "the objective returned a value of type tests.unit.test_objectives_result.Unprintable ("),
        ("a\nb\ud800" * 500, "the objective returned 'a\\nb\\ud800a"),
        ({"loss": 1, 2: 3}, "the objective returned a metric named 2; the name must be a string"),
        (
            {"loss": 1, "auc": math.nan},
            "the objective returned a metric 'auc' that is not valid JSON: nan (Out of range",
        ),
        (
            {"loss": 1, "auc": np.float32("inf")},
            "the objective returned a metric 'auc' that is not valid JSON: np.float",
        ),
        (
            {"loss": 1, "model": object},
            "the objective returned a metric 'model' that is not valid JSON: <class 'object'>",
        ),
        (
            {"loss": 1, "rows": np.zeros(2)},
            "the objective returned a metric 'rows' that is not valid JSON: array([0., 0",
        ),
        ({"loss": 1, "id": b"x"}, "the objective returned a metric 'id' that is not valid JSON: b'x' (bytes is not a "),
        (
            {"loss": 1, "id": {(1, 2): 3}},
            "the objective returned a metric 'id' that is not valid JSON: {(1, 2): 3} (keys",
        ),
        (
            {"loss": 1, "id": "\0"},
            "the objective returned a metric 'id' that is not valid JSON: '\\x00' (a NUL character",
        ),
        (
            {"loss": 1, "id": "\\\0"},
            "the objective returned a metric 'id' that is not valid JSON: '\\\\\\x00' (a NUL",
        ),
        ({"loss": 1, "\0": 1}, "the objective returned a metric '\\x00' that is not valid JSON: 1 (a NUL character"),
        ({"loss": 1, "id": "\ud800"}, "the objective returned a metric 'id' that is not valid JSON: '\\ud800' ("),
        (CIRCULAR, "the objective returned a metric 'itself' that is not valid JSON: {'loss': 0.5, 'itself': {...}} ("),
    ],
    ids=itertools.count(),  # pytest cannot show every value
)
def test_an_invalid_result_is_described_in_one_line(returned, message):
    with pytest.raises(InvalidResultError) as caught:
        to_result(returned)
    text = str(caught.value)
    assert text.startswith(message)
    assert "\n" not in text
    assert len(text) < 700
    assert isinstance(caught.value, LedgerError)


numbers = st.one_of(
    st.floats(),
    st.integers(),
    st.fractions(),
    st.decimals(),
    st.complex_numbers(),
    st.floats(width=32).map(np.float32),
    st.floats().map(np.float64),
    st.floats().map(np.longdouble),
    st.integers(0, 2**63).map(np.uint64),
    st.booleans(),
    st.booleans().map(np.bool_),
)
leaves = numbers | st.none() | st.text(st.characters()) | st.binary() | st.datetimes() | st.builds(Unprintable)
anything = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner),
        st.tuples(inner, inner),
        st.dictionaries(st.text(st.characters()) | st.integers() | st.none() | st.binary(), inner),
        st.lists(inner).map(iter),
    ),
    max_leaves=8,
)
with_loss = st.builds(
    lambda loss, rest: {**rest, "loss": loss}, numbers, st.dictionaries(st.text(st.characters()), anything)
)


@given(anything | with_loss | st.fixed_dictionaries({"loss": st.floats(), "metric": leaves}))
@example(10**400)
@example({"loss": 1, "metric": 10**5000})
@example({"loss": 1, "metric": np.longdouble(1)})
@example({"loss": Fraction(10**400)})
def test_every_returned_value_is_a_result_or_an_objective_error(returned):
    try:
        result = to_result(returned)
    except InvalidResultError as error:
        text = str(error)
        assert "\n" not in text
        text.encode()
        return
    assert type(result.loss) is float
    assert math.isfinite(result.loss)
    text = json.dumps(result.metrics, allow_nan=False)
    assert json.loads(text) == result.metrics
    json.dumps(result.metrics, ensure_ascii=False).encode()
    assert "\0" not in str(json.loads(text))
