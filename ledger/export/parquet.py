"""Export of a study as a parquet file. The file has one row for each trial, and each column has a type.

The function `write_parquet` reads and writes the trials in pages of `GROUP` trials.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection

from ledger import __version__
from ledger.database import trials
from ledger.database.rows import StudyRow, TrialRow
from ledger.errors import LedgerError
from ledger.study.dimensions import Dimension
from ledger.study.space import Space

# Number of trials in one row group of the parquet file.
GROUP = 10_000
_MOMENT = pa.timestamp("us", tz="UTC")
# The columns that each parquet file has, with the name and the type of each column. The columns of a parquet file have
# a fixed order: the columns of `_FIRST`, the columns of the parameters, the columns of the metrics, and the columns of
# `_LAST`.
_FIRST = {
    "number": pa.int64(),
    "iteration": pa.int64(),
    "round": pa.int64(),
    "source": pa.string(),
    "retry_of": pa.int64(),
    "state": pa.string(),
    "value": pa.float64(),
    "loss": pa.float64(),
}
_LAST = {
    "seconds": pa.float64(),
    "attempts": pa.int64(),
    "failures": pa.int64(),
    "crashes": pa.int64(),
    "lost": pa.int64(),
    "worker": pa.string(),
    "claimed_at": _MOMENT,
    "finished_at": _MOMENT,
    "error": pa.string(),
    "pruned_step": pa.int64(),
    "pruned_loss": pa.float64(),
}


def write_parquet(connection: Connection, study: StudyRow, output: BinaryIO) -> None:
    """Write one row for each trial of the study.

    Like an exported csv file, the parquet file has columns ``params_NAME`` and ``metrics_NAME``.

    The type of a parameter's column is float64, int64, bool or string. The type of the column depends on the values of
    the parameter. If the choices of a parameter are integers and floats, the parameter's column is float64. If the
    choices have several types, and at least one choice is not a number, the parameter's column contains each value as
    JSON. If any choice is a list or an object, the parameter's column contains each value as JSON. If the value of the
    parameter is null, the column contains a missing value. If all values of a metric are numbers, the metric's column
    is float64. If all values of a metric are booleans, the metric's column is bool. If all values of a metric are
    strings, the metric's column is string. If the values of a metric have different types, or if a value is an array or
    an object, the metric's column contains each value as JSON. The metadata of the file's schema contain the key
    `trial_ledger`. The value of `trial_ledger` is a JSON object. The object contains the version of trial-ledger, and
    the study's name, state, budget, spec and package versions.

    Raises
    ------
    LedgerError
        A worker recorded a metric during the export, and the metric's value does not fit the type of the metric's
        column.
    """
    space = Space.from_json(study.spec["space"])
    columns = [_ParquetColumn(name, type_) for name, type_ in _FIRST.items()]
    columns += [
        _ParquetColumn(dimension.name, *_of_dimension(dimension), source="params") for dimension in space.dimensions
    ]
    columns += [
        _ParquetColumn(name, *_of_metric(kinds), source="metrics")
        for name, kinds in trials.metric_kinds(connection, study.id)
    ]
    columns += [_ParquetColumn(name, type_) for name, type_ in _LAST.items()]
    facts = {name: getattr(study, name) for name in ("name", "state", "budget", "spec", "versions")}
    schema = pa.schema(
        [(column.title, column.type) for column in columns],
        metadata={"trial_ledger": json.dumps({"version": __version__, **facts})},
    )
    with pq.ParquetWriter(output, schema, compression="zstd") as writer:
        for page in trials.pages(connection, study.id, GROUP):
            writer.write_table(pa.Table.from_arrays([column.array(page) for column in columns], schema=schema))


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class _ParquetColumn:
    """A column of the parquet file to which the ledger exports a study.

    If `source` is None, the column contains the values of a field of `TrialRow`, and `name` is the name of the field.
    If `source` is "params", the column contains the values of the parameter `name`. If `source` is "metrics", the
    column contains the values of the metric `name`.
    """

    name: str
    type: pa.DataType
    convert: Callable[[Any], Any] = _same
    source: str | None = None

    @property
    def title(self) -> str:
        return f"{self.source}_{self.name}" if self.source else self.name

    def array(self, page: Sequence[TrialRow]) -> pa.Array:
        if self.source is None:
            values = [getattr(trial, self.name) for trial in page]
        else:
            values = [(getattr(trial, self.source) or {}).get(self.name) for trial in page]
        try:
            return pa.array([None if value is None else self.convert(value) for value in values], self.type)
        except (TypeError, ValueError, pa.ArrowException):
            raise LedgerError(
                f"the type of the values of column {self.title} changed during the export: start the export again; no"
                " partial file remains"
            ) from None


def _of_dimension(dimension: Dimension) -> tuple[pa.DataType, Callable[[Any], Any]]:
    types = dimension.value_types() - {type(None)}
    if types == {int, float}:
        types = frozenset({float})
    # PostgreSQL's type jsonb returns some floats, such as 1e16, as integers. Therefore the function `_float` converts
    # an integer back to a float.
    columns: dict[type, tuple[pa.DataType, Callable[[Any], Any]]] = {
        float: (pa.float64(), _float),
        int: (pa.int64(), int),
        bool: (pa.bool_(), _same),
        str: (pa.string(), _same),
    }
    as_json = (pa.string(), json.dumps)
    return columns.get(next(iter(types)), as_json) if len(types) == 1 else as_json


def _of_metric(kinds: Sequence[str]) -> tuple[pa.DataType, Callable[[Any], Any]]:
    known = {"number": (pa.float64(), _float), "boolean": (pa.bool_(), _same), "string": (pa.string(), _same)}
    return known.get(kinds[0], (pa.string(), json.dumps)) if len(kinds) == 1 else (pa.string(), json.dumps)


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    try:
        return float(value)
    except OverflowError:  # The integer is larger than the largest float.
        return math.copysign(math.inf, value)
