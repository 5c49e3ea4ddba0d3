"""Columns of the table `iteration` that contain counts of trials. Each count includes the trials of the iteration. Each
count also includes the trials of all iterations whose losses the optimizer received before the losses of this
iteration.

A query for a list of studies reads only one row of the table for each study. Therefore the query is fast even if a
study has many ended trials. The SQL function `ledger.mark_told` (sql/functions/) writes the counts. The command `ledger
verify` checks the counts.
"""

from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, text
from sqlalchemy.dialects.postgresql import ARRAY

_COUNTS = {
    "total_proposed": "proposed trials, without the trials of replaced rounds,",
    "total_complete": "complete trials",
    "total_pruned": "pruned trials",
    "total_failed": "failed trials",
    "total_cancelled": "cancelled trials",
}
_SUMS = {
    "total_attempts": "claims of trials",
    "total_failures": "failed attempts",
    "total_crashes": "crashed attempts",
    "total_lost": "lost attempts",
}
_OF = "in this iteration and in the iterations that were marked as told earlier"
_UNTIL = "null while this iteration is not marked as told"


def columns() -> list[Column[Any]]:
    """Return new columns for the table `iteration`."""
    return [
        Column(
            "first_trial",
            Integer,
            nullable=False,
            comment="Number of the iteration's first trial. The trials of an iteration have consecutive numbers.",
        ),
        Column(
            "told",
            Integer,
            comment="Position of the iteration in the order in which the optimizer received the losses, from 1; null "
            "until the optimizer receives the losses.",
        ),
        *(Column(name, Integer, comment=f"Number of {what} {_OF}; {_UNTIL}.") for name, what in _COUNTS.items()),
        *(Column(name, BigInteger, comment=f"Number of {what} {_OF}; {_UNTIL}.") for name, what in _SUMS.items()),
        Column(
            "last_complete",
            Integer,
            comment=f"Highest number of a complete trial {_OF}; {_UNTIL}, or if no trial is complete.",
        ),
        Column(
            "improvements",
            ARRAY(Integer),
            comment=f"Numbers of the iteration's improving trials; {_UNTIL}, or if no trial improved. When the "
            "iteration was marked as told, an improving trial was better than all trials with a lower number.",
        ),
    ]


def indexes() -> list[Index]:
    """Return new indexes for the columns that `columns` returns.

    Each index is partial, and the first column of each index is the study's id. If an index contained all rows,
    PostgreSQL could choose this index instead of the primary key when PostgreSQL expects few rows. A query that uses
    such an index would read all iterations of the study.
    """
    return [
        Index("iteration_told", "study_id", "told", unique=True, postgresql_where=text("told is not null")),
        Index("iteration_untold", "study_id", "number", postgresql_where=text("told is null")),
        Index("iteration_improvements", "study_id", "number", postgresql_where=text("improvements is not null")),
    ]


def constraints() -> list[CheckConstraint]:
    """Return new constraints for the columns that `columns` returns."""
    return [
        CheckConstraint(
            f"told >= 1 and least({', '.join(_COUNTS)}) >= 0 and least({', '.join(_SUMS)}) >= 0",
            name="totals_are_natural",
        ),
        CheckConstraint(
            f"num_nulls(told_at, told, {', '.join((*_COUNTS, *_SUMS))}) in (0, {2 + len(_COUNTS) + len(_SUMS)})"
            " and (told is not null or num_nonnulls(last_complete, improvements) = 0)",
            name="totals_when_told",
        ),
    ]
