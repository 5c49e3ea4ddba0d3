"""The input of a proposal as arrays of numbers.

A manager keeps the numbers of the trials in memory, and not the parameters.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ledger.errors import UsageError
from ledger.proposals.observations import ProposalInput, whole_training
from ledger.proposals.skopt_space import SpaceConverter
from ledger.proposals.trial_records import NONE, Indices, Records, TrialLike, record_type, records_of, used_trials
from ledger.study.dimensions import Categorical, Real
from ledger.study.space import Space
from ledger.study.spec import StudySpec

Array = NDArray[np.float64]

# If a table of trials is full, its size grows by 1/`GROWTH`.
GROWTH = 8


class PointEncoder:
    """An object that converts points of a search space into rows of numbers. A row has a number for each dimension with
    more than one value: the value of the skopt dimension.

    Parameters
    ----------
    space : Space

    Attributes
    ----------
    converter : SpaceConverter
        The converter between the points of the study and the points of skopt.
    dimensions, constants : list of Dimension
        The dimensions with more than one value, and the dimensions with only one value.

    Examples
    --------
    >>> space = Space.from_toml(
    ...     {
    ...         "C": {"type": "real", "low": 0.25, "high": 4.0, "prior": "log-uniform"},
    ...         "kernel": {"type": "categorical", "choices": ["rbf", "linear"]},
    ...     }
    ... )
    >>> encoder = PointEncoder(space)
    >>> encoder.encode([{"C": 1, "kernel": "linear"}])
    array([[0.5, 1. ]])
    >>> encoder.encode_columns([np.array([1.0]), np.array([1.0])])
    (array([[0.5, 1. ]]), array([ True]))
    """

    def __init__(self, space: Space) -> None:
        self._space, self.converter = space, SpaceConverter(space)
        self.dimensions = [dimension for dimension in space.dimensions if dimension.size() != 1]
        self.constants = [dimension for dimension in space.dimensions if dimension.size() == 1]

    def encode(self, points: Sequence[Mapping[str, Any]]) -> Array:
        """Return an array of shape (points, dimensions) with the rows of points.

        Raises
        ------
        UsageError
            A point is not in the search space.
        """
        rows = [self.converter.point(self._space.normalise(params)) for params in points]
        return np.array(rows, dtype=float).reshape(len(points), len(self.dimensions))

    def skopt_points(self, rows: Array) -> list[list[Any]]:
        """Return the points of skopt that belong to rows of numbers."""
        is_real = [isinstance(dimension, Real) and not dimension.is_ordinal for dimension in self.dimensions]
        return [
            [value if real else int(value) for value, real in zip(row, is_real, strict=True)] for row in rows.tolist()
        ]

    def encode_columns(self, columns: Sequence[Array]) -> tuple[Array, NDArray[np.bool_]]:
        """Return the same rows as `encode`, for points whose values are in one array for each dimension. This method is
        much faster for many points.

        Parameters
        ----------
        columns : sequence of array
            A column for each dimension of `dimensions` and then of `constants`. A column contains the parameter's
            numbers. For a categorical dimension, the column contains the indices of the choices. NaN stands for another
            value.

        Returns
        -------
        tuple of array
            The rows, and for each row whether all its values are values of their dimensions.
        """
        encoded = [
            dimension.to_skopt_column(numbers)
            for dimension, numbers in zip(self.converter.varying, columns[: len(self.dimensions)], strict=True)
        ]
        rows = np.column_stack(encoded) if encoded else np.empty((len(columns[0]), 0))
        are_points = np.asarray(~np.isnan(rows).any(axis=1))
        for constant, numbers in zip(self.constants, columns[len(self.dimensions) :], strict=True):
            are_points &= numbers == (0 if isinstance(constant, Categorical) else constant.value(0))
        return rows, are_points


@dataclass(frozen=True)
class EncodedInput:
    """The input of a proposal as arrays. `ProposalInput` describes the attributes of the same names.

    Attributes
    ----------
    trials : int
        The number of observed trials.
    table : array of shape (trials, dimensions)
        Encoded points. A study can have very many trials, so the input refers to the points of the study's table.
    observed, excluded, in_flight : array of int
        The indices of the points in `table`.
    losses : array of shape (observations,)
        The losses of the observations, or NaN instead of None.
    shares : array of shape (observations,) or None
        The shares of a whole training after which the losses were observed. None if all shares are 1.
    seconds : array of shape (observations,) or None
        The training times of the observations, or NaN instead of None. The array is None if the optimizer does not use
        the times.
    surrogate : mapping or None
    """

    trials: int
    table: Array
    observed: Indices
    excluded: Indices
    in_flight: Indices
    losses: Array
    shares: Array | None
    seconds: Array | None
    surrogate: Mapping[str, Any] | None

    @property
    def columns(self) -> Iterator[Array]:
        """The numbers of the observations, in one array for each dimension, and the shares if they are known.

        If no trial is complete, a failed trial gets the highest share of the other trials. Otherwise, the worst loss
        would be the lowest loss of a whole training.
        """
        yield from (self.table[self.observed, place] for place in range(self.table.shape[1]))
        if self.shares is not None:
            known = self.shares[~np.isnan(self.losses)]
            yield np.minimum(self.shares, known.max()) if len(known) else self.shares

    def with_shares(self) -> "EncodedInput":
        """Return the same input, with shares that are not None."""
        return self if self.shares is not None else replace(self, shares=np.ones(len(self.losses)))

    def of_whole_trainings(self) -> "EncodedInput":
        """Return the input without the losses that were observed before the end of a training."""
        if self.shares is None:
            return self
        are_whole = self.shares == 1
        seconds = None if self.seconds is None else self.seconds[are_whole]
        observed, losses = self.observed[are_whole], self.losses[are_whole]
        return replace(self, observed=observed, losses=losses, shares=None, seconds=seconds)


def encoded(encoder: PointEncoder, given: ProposalInput) -> EncodedInput:
    """Encode the input of a proposal.

    Raises
    ------
    UsageError
        A trial in `given` has parameters outside the search space.
    """
    observed = [each.params for each in given.observations]
    table = encoder.encode([*observed, *given.excluded, *given.in_flight])
    places = np.arange(len(table))
    excluded = len(observed) + len(given.excluded)
    shares = np.array([each.share for each in given.observations])
    return EncodedInput(
        len(observed) if given.trials is None else given.trials,
        table,
        places[: len(observed)],
        places[len(observed) : excluded],
        places[excluded:],
        np.array([math.nan if each.loss is None else each.loss for each in given.observations]),
        shares if (shares < 1).any() else None,
        np.array([math.nan if each.seconds is None else each.seconds for each in given.observations]),
        given.surrogate,
    )


class TrialTable:
    """All trials of a study, ordered by number, with encoded points. The point of a trial is encoded only once.

    Parameters
    ----------
    study : StudySpec

    Attributes
    ----------
    encoder : PointEncoder
    kind : numpy.dtype
        The type of the records.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from ledger.study.file import assemble
    >>> trial = SimpleNamespace(
    ...     number=0, iteration=0, round=0, params={"C": 1.0, "gamma": 0.5}, state="complete", loss=0.25,
    ...     pruned_loss=None, seconds=3.5, retry_of=None,
    ... )
    >>> table = TrialTable(assemble({"model": "svm", "seed": 7}))
    >>> table.put([trial])
    >>> len(table), table.given(iteration=1, round=0, surrogate=None).losses
    (1, array([0.25]))
    """

    def __init__(self, study: StudySpec) -> None:
        self.encoder = PointEncoder(study.space)
        self.kind = record_type(len(self.encoder.dimensions), timed=study.optimizer.uses_times)
        self._buffer = np.zeros(0, self.kind)
        self._size = 0
        self._faults: dict[int, UsageError] = {}
        self._whole = whole_training(study)

    def __len__(self) -> int:
        return self._size

    @property
    def records(self) -> Records:
        """The records of all trials."""
        return self._buffer[: self._size]

    def reserve(self, size: int) -> None:
        """Prepare the table for `size` trials, so that the table does not have to copy its records as it grows."""
        if size > len(self._buffer):
            larger = np.zeros(size + size // GROWTH, self.kind)
            larger[: self._size] = self.records
            self._buffer = larger

    def put(self, trials: Sequence[TrialLike]) -> None:
        """Add new trials, and replace the records of known trials. The new trials must be in the order of their
        numbers.
        """
        if not trials:
            return
        records = records_of(trials, self.kind)
        try:
            records["point"] = self.encoder.encode([trial.params for trial in trials])
        except UsageError:
            for record, trial in zip(records, trials, strict=True):
                try:
                    (record["point"],) = self.encoder.encode([trial.params])
                except UsageError as error:
                    self._faults[trial.number] = error
        numbers = np.array([trial.number for trial in trials])
        self._resize(max(self._size, int(numbers.max()) + 1))
        self._buffer[numbers] = records

    def extend(self, records: Records) -> None:
        """Add the records of new trials."""
        first = self._size
        self._resize(first + len(records))
        self._buffer[first : self._size] = records

    def given(
        self,
        iteration: int,
        round: int,
        surrogate: Mapping[str, Any] | None,
        seen: Sequence[int] | Indices | None = None,
        rung_losses: Mapping[int, Mapping[int, float]] | None = None,
        seen_rungs: Sequence[int | None] | Indices | None = None,
    ) -> EncodedInput:
        """Return the encoded result of `proposal_input`, whose docstring describes the parameters.

        Raises
        ------
        UsageError
            The parameters of a trial that the proposal uses are outside the search space.
        """
        records = self.records
        used = used_trials(records, None, iteration, round, seen, rung_losses or {}, seen_rungs, self._whole)
        if self._faults:
            for number in np.concatenate([used.observed, used.excluded, used.in_flight]).tolist():
                if number in self._faults:
                    raise self._faults[number]
        seconds = None
        if "seconds" in (self.kind.names or ()):
            seconds = np.where(used.rungs == NONE, records["seconds"][used.observed], math.nan)
        return EncodedInput(
            used.count,
            records["point"],
            used.observed,
            used.excluded,
            used.in_flight,
            used.losses,
            used.shares,
            seconds,
            surrogate,
        )

    def _resize(self, size: int) -> None:
        self.reserve(size)
        self._size = size
