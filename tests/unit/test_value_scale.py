"""The loss follows from the value that an objective returned, and the value from the loss."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.objectives import ValueScale, value_scale
from ledger.objectives.metrics import USABLE, loss

numbers = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize("scale", [ValueScale(), ValueScale("maximize")])
@given(value=numbers)
def test_the_value_of_an_own_objective_is_recovered_exactly(scale, value):
    assert scale.value(scale.loss(value)) == value


@given(
    metric=st.sampled_from(sorted(frozenset().union(*USABLE.values()))),
    trained=st.sampled_from(
        [{"model": "svm"}, {"estimator": "own:Model"}, {"steps": [["a", "own:A"], ["b", "own:B"]]}]
    ),
    score=st.floats(-10, 1),
)
def test_the_value_of_a_model_is_its_score(trained, metric, score):
    scale = value_scale({**trained, "dataset": "iris", "metric": metric})
    assert scale.direction == "maximize"
    assert scale.loss(score) == loss(metric, score)
    assert scale.value(loss(metric, score), score) == score
    assert math.isclose(scale.value(loss(metric, score)), score, abs_tol=1e-15)


@pytest.mark.parametrize("score", [None, 0.5, True, "0.75", [0.75], math.nan])
def test_a_number_from_which_the_loss_does_not_follow_is_ignored(score):
    assert ValueScale("maximize", 1.0).value(0.25, score) == 0.75


@given(first=numbers, second=numbers)
def test_a_better_value_has_a_lower_loss(first, second):
    scale = ValueScale("maximize")
    assert (first > second) == (scale.loss(first) < scale.loss(second))
