"""The input of a proposal as arrays: the same numbers as from the parameters themselves."""

import math
import random
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ledger.errors import UsageError
from ledger.proposals import EncodedInput, ProposalInput, TrialTable, proposal_input, propose, whole_training
from ledger.proposals.encoding import PointEncoder, encoded
from ledger.study.choices import as_json
from tests.unit.proposed import CATEGORIES, GRIDS, INTEGERS, MIXED, make

CONSTANTS = {"a": 3, "k": "x"}
SPACES = {"mixed": MIXED, "grids": GRIDS, "categories": CATEGORIES, "integers": INTEGERS, "constants": CONSTANTS}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_columns_of_numbers_are_encoded_like_the_parameters(space):
    encoder = PointEncoder(make(space).space)
    points = [*make(space).space.extreme_points(), *encoder.converter.random(500, 3)]
    columns = [
        np.array([_number(dimension.to_json(), point[dimension.name]) for point in points])
        for dimension in (*encoder.dimensions, *encoder.constants)
    ]
    rows, are_points = encoder.encode_columns(columns)
    assert rows.shape == (len(points), len(encoder.dimensions))
    assert rows.tobytes() == encoder.encode(points).tobytes()
    assert are_points.all()


def _number(dimension: dict[str, Any], value: Any) -> float:
    """Return the number of a value that the ledger's database returns."""
    choices = [repr(choice) for choice in dimension.get("choices", ())]
    return float(choices.index(repr(as_json(value))) if choices else value)


@pytest.mark.parametrize(
    ("name", "wrong"), [("C", 1e-4), ("C", math.nan), ("degree", 7.0), ("degree", 1.5), ("fixed", math.nan)]
)
def test_a_number_outside_the_space_is_no_point(name, wrong):
    encoder = PointEncoder(make({**MIXED, "fixed": "constant"}).space)
    columns = {"C": [1.0, 1.0], "degree": [2.0, 2.0], "kernel": [0.0, 0.0], "leaves": [8.0, 8.0], "fixed": [0.0, 0.0]}
    columns[name][1] = wrong
    given = [np.array(columns[dimension.name]) for dimension in (*encoder.dimensions, *encoder.constants)]
    assert encoder.encode_columns(given)[1].tolist() == [True, False]


def history(count: int) -> list[Any]:
    """Return trials in all states, with retries and several rounds."""
    source = random.Random(7)
    points = PointEncoder(make(MIXED).space).converter.random(count, 1)
    trials: list[Any] = []
    iteration = 0
    for number, params in enumerate(points):
        iteration += source.random() < 0.3
        state = source.choice(["complete", "complete", "complete", "pruned", "failed", "cancelled", "running"])
        retried = source.randrange(number) if number and source.random() < 0.2 else None
        trials.append(
            SimpleNamespace(
                number=number,
                iteration=iteration,
                round=source.choice([0, 0, 1]),
                params=params if retried is None else trials[retried].params,
                state=state,
                loss=source.random() if state == "complete" else None,
                pruned_loss=source.random() if state == "pruned" and number % 2 else None,
                seconds=source.random() if state == "complete" else None,
                retry_of=retried,
            )
        )
    return trials


def arrays(given: EncodedInput) -> list[Any]:
    points = [given.table[indices].tolist() for indices in (given.observed, given.excluded, given.in_flight)]
    numbers = [None if each is None else each.tolist() for each in (given.losses, given.shares)]
    return [*points, repr(numbers), repr(None if given.seconds is None else given.seconds.tolist())]


@pytest.mark.parametrize("mode", ["batch", "steady"])
@pytest.mark.parametrize("acq_func", ["EI", "EIps"])
def test_a_table_returns_the_same_input_as_the_trials(mode, acq_func):
    study, trials = make(MIXED, acq_func=acq_func, whole=9), history(60)
    last = trials[-1].iteration
    losses = {number: {1: 0.1 * number, 3: 0.2} for number in range(0, 60, 3)}
    seen = [5, 3, 40, 3, 9, 12, 1] if mode == "steady" else None
    rungs = [None, 1, None, 3, None, 1, None] if mode == "steady" else None
    whole = whole_training(study)
    given = proposal_input(trials, last, 1, None, seen, losses, rungs, whole)
    expected = encoded(PointEncoder(study.space), given)
    if acq_func == "EI":
        # The arrays of the manager have the times only where the optimizer uses the times.
        expected = replace(expected, seconds=None)
    at_once, bit_by_bit = TrialTable(study), TrialTable(study)
    at_once.put(trials)
    for trial in trials:
        # A manager first sees the open trial, and later the ended trial.
        bit_by_bit.put([SimpleNamespace(**{**vars(trial), "state": "running", "loss": None, "seconds": None})])
    bit_by_bit.put(trials[30:])
    bit_by_bit.put(trials[:30])
    for table in (at_once, bit_by_bit):
        assert arrays(table.given(last, 1, None, seen, losses, rungs)) == arrays(expected)
    assert len(expected.observed) > 3
    assert len(expected.excluded) > 0
    assert (len(expected.in_flight) > 0) == (mode == "steady")
    assert np.isnan(expected.losses).any()
    assert (expected.shares is None) == (acq_func == "EIps")


@pytest.mark.parametrize("acq_func", ["EI", "EIps"])
def test_an_encoded_input_gives_the_same_proposal(acq_func, monkeypatch):
    monkeypatch.setattr("ledger.optimizer.gaussian_process.MODELLED", 16)
    study, trials = make(MIXED, acq_func=acq_func, whole=9), history(80)
    table = TrialTable(study)
    table.put(trials)
    losses = {number: {1: 0.1 * number, 3: 0.2} for number in range(0, 80, 3)}
    given: ProposalInput = proposal_input(trials, 20, 0, None, range(40), losses, whole=whole_training(study))
    plain = propose(study, 20, 0, 3, given)
    of_table = propose(study, 20, 0, 3, table.given(20, 0, None, range(40), losses))
    assert plain.surrogate is not None
    assert plain.surrogate["known"] == 16
    assert (plain.points, plain.surrogate) == (of_table.points, of_table.surrogate)


def test_a_table_refuses_a_trial_outside_the_space():
    (trial,) = history(1)
    trial.params = {**trial.params, "C": -1.0}
    table = TrialTable(make(MIXED))
    table.put([trial])
    assert not len(table.given(0, 0, None).observed), "the proposal does not use the trial"
    with pytest.raises(UsageError, match="parameter 'C'"):
        table.given(1, 0, None)
