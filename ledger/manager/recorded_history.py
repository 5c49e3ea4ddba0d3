"""The history of a study as a new manager reads it: columns of numbers instead of rows.

An ended trial needs 8 bytes for each parameter, and about 30 other bytes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from ledger.database import histories
from ledger.database import trials as recorded_trials
from ledger.database.histories import NumberedDimension
from ledger.database.rows import SOURCES, TRIAL_STATES
from ledger.proposals import TrialTable

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

_ELEMENT = np.dtype([("length", f"V{histories.LENGTH}"), ("value", ">f8")])


@dataclass(frozen=True)
class TrialStates:
    """The state and the source of each trial, as indices of `TRIAL_STATES` and `SOURCES`."""

    states: NDArray[np.int8]
    sources: NDArray[np.int8]

    def are(self, *states: str) -> NDArray[np.bool_]:
        """For each trial, return whether the trial has one of the states."""
        return np.isin(self.states, [TRIAL_STATES.index(state) for state in states])

    def are_from(self, source: str) -> NDArray[np.bool_]:
        """For each trial, return whether the trial has the source."""
        return np.asarray(self.sources == SOURCES.index(source))


def read_trials(connection: Connection, study_id: int, table: TrialTable) -> TrialStates:
    """Read all trials of a study into an empty table."""
    dimensions = [
        NumberedDimension(dimension["name"], dimension.get("choices"))
        for dimension in (each.to_json() for each in (*table.encoder.dimensions, *table.encoder.constants))
    ]
    timed = "seconds" in (table.kind.names or ())
    states, sources, are_points = [], [], []
    table.reserve(histories.trial_count(connection, study_id))
    for packed in histories.trial_columns(connection, study_id, dimensions, timed=timed):
        page = {name: _column(each) for name, each in packed.items()}
        records = np.zeros(len(page["loss"]), table.kind)
        for name in ("iteration", "round", "retry_of", "loss", *(["seconds"] if timed else [])):
            records[name] = page[name]
        state = page["state"].astype(np.int8)
        records["is_pruned"] = state == TRIAL_STATES.index("pruned")
        records["is_cancelled"] = state == TRIAL_STATES.index("cancelled")
        columns = [page[str(place)] for place in range(len(dimensions))]
        records["point"], of_page = table.encoder.encode_columns(columns)
        table.extend(records)
        are_points.append(of_page)
        states.append(state)
        sources.append(page["source"].astype(np.int8))
    # A column cannot represent a value outside the search space. Such trials are read as complete rows, and `put` keeps
    # the error.
    unknown = np.flatnonzero(~np.concatenate([np.empty(0, bool), *are_points]))
    table.put(recorded_trials.of_numbers(connection, study_id, unknown.tolist()))
    none = np.empty(0, np.int8)
    return TrialStates(np.concatenate([none, *states]), np.concatenate([none, *sources]))


def read_iterations(connection: Connection, study_id: int) -> tuple[Indices, NDArray[np.bool_]]:
    """Return the round of each iteration, and whether the optimizer has received the results of each iteration."""
    pages = _joined(histories.iteration_columns(connection, study_id), ("round", "told"))
    return pages["round"].astype(np.int64), pages["told"] == 1


class SeenTrials:
    """The trials that the iterations of a study in steady mode record as seen, in the order of the records.

    Attributes
    ----------
    numbers, rungs : array of int
        The number of each trial, and the rung at which the trial waited, or -1 if the trial had ended.
    """

    def __init__(self) -> None:
        self._buffer = np.zeros((2, 0), dtype=np.int64)
        self._size = 0

    @property
    def numbers(self) -> Indices:
        return self._buffer[0, : self._size]

    @property
    def rungs(self) -> Indices:
        return self._buffer[1, : self._size]

    def read(self, connection: Connection, study_id: int, iterations: int) -> None:
        """Read the records of the first iterations of a study."""
        pages = _joined(histories.seen_columns(connection, study_id, iterations), ("trial", "rung"))
        self.add(pages["trial"].astype(np.int64), pages["rung"].astype(np.int64))

    def add(self, numbers: Sequence[int] | Indices, rungs: Indices) -> None:
        size = self._size + len(numbers)
        if size > self._buffer.shape[1]:
            larger = np.zeros((2, size + size // 8), dtype=np.int64)
            larger[:, : self._size] = self._buffer[:, : self._size]
            self._buffer = larger
        self._buffer[0, self._size : size] = numbers
        self._buffer[1, self._size : size] = rungs
        self._size = size


def _column(packed: bytes) -> Array:
    return np.frombuffer(packed, _ELEMENT, offset=histories.HEADER)["value"].astype(float)


def _joined(pages: Iterable[Mapping[str, bytes]], names: Sequence[str]) -> dict[str, Array]:
    columns: dict[str, list[Array]] = {name: [np.empty(0)] for name in names}
    for page in pages:
        for name in names:
            columns[name].append(_column(page[name]))
    return {name: np.concatenate(parts) for name, parts in columns.items()}
