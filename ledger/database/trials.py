"""Functions that read, enqueue, retry, cancel and import trials.

Each function runs one transaction on the given connection. If a function yields pages, the function runs one
transaction for each page.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from psycopg import sql
from psycopg.errors import InvalidParameterValue, ObjectNotInPrerequisiteState
from sqlalchemy import ARRAY, Connection, DateTime, Integer, any_, bindparam, literal, select, text, tuple_
from sqlalchemy.exc import DBAPIError

from ledger.database import managing, views
from ledger.database.connection import cursor, from_json_texts, to_json
from ledger.database.rows import OPEN_STATES, AttemptRow, StudyRow, TrialRow, export_columns
from ledger.database.selecting import answer, begin_snapshot, fetch, fetch_one, last_number, query, rows_of
from ledger.errors import LedgerError

# A page has at most `PAGE` rows. One statement reads the metrics of at most `METRICS_PAGE` trials.
PAGE, METRICS_PAGE = 1000, 10_000
# When a worker calls an SQL function, the function locks the worker's trial for only a few milliseconds. If a lock on a
# trial's row lasts for longer than CANCEL_SECONDS, the usual reason is a session that has left a transaction open.
CANCEL_SECONDS = 1.0
CANCEL_POLL = 0.02
# A result of PostgreSQL has at most 1,664 columns.
_COLUMNS = 1_600
# A format for the SQL function `to_char`. With this format, `to_char` returns a time in the same format as
# `datetime.isoformat`. The time zone of each session is UTC.
_ISO_FORMAT = 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'

_trials, _attempts = views.trials, views.attempts


@dataclass(frozen=True)
class ExternalTrial:
    """A trial that a user evaluated outside this ledger.

    `pruned_step` is the last step of a pruned trial, and None for a complete trial. The loss of a complete trial is
    finite. The loss of a pruned trial is the loss at its last step, which may be NaN or an infinity. The ledger records
    no metrics of a pruned trial.
    """

    params: Mapping[str, Any]
    loss: float
    metrics: Mapping[str, Any]
    pruned_step: int | None = None


def all_of(connection: Connection, study_id: int, *, iteration: int | None = None) -> list[TrialRow]:
    """Return all trials of a study, or all trials of one iteration, ordered by number."""
    if iteration is None:
        return list(chain.from_iterable(pages(connection, study_id)))
    of_iteration = rows_of(TrialRow).where(_trials.c.study_id == study_id, _trials.c.iteration == iteration)
    with connection.begin():
        return fetch(connection, TrialRow, of_iteration.order_by(_trials.c.number))


def of_numbers(connection: Connection, study_id: int, numbers: Sequence[int]) -> list[TrialRow]:
    """Return the trials of a study that have one of the given numbers, ordered by number."""
    if not numbers:
        return []
    # PostgreSQL allows 65,535 parameters in a statement, so the numbers are one parameter.
    is_one = _trials.c.number == any_(literal(list(numbers), ARRAY(Integer)))
    with connection.begin():
        chosen = rows_of(TrialRow).where(_trials.c.study_id == study_id, is_one)
        return fetch(connection, TrialRow, chosen.order_by(_trials.c.number))


def ended_from(connection: Connection, study_id: int, first: int) -> list[TrialRow]:
    """Return the ended trials of a study, ordered by number. Omit the trials with a number below `first`."""
    chosen = [_trials.c.study_id == study_id, _trials.c.number >= first]
    chosen.append(_trials.c.state.not_in(OPEN_STATES))
    with connection.begin():
        return fetch(connection, TrialRow, rows_of(TrialRow).where(*chosen).order_by(_trials.c.number))


def pages(
    connection: Connection,
    study_id: int,
    size: int = PAGE,
    *,
    after: int = -1,
    state: str | None = None,
    limit: int | None = None,
) -> Iterator[list[TrialRow]]:
    """Yield the trials of a study in pages, ordered by number.

    The function reads each page in a separate transaction, so that no snapshot stays open between two pages.

    Parameters
    ----------
    size : int
        Number of trials in a page. The last page may have fewer trials.
    after : int
        The function yields only trials whose number is greater than `after`.
    state : str or None
        State of the trials; None for trials in all states.
    limit : int or None
        Maximum number of trials; None for no limit.
    """
    chosen = rows_of(TrialRow).where(_trials.c.study_id == study_id).order_by(_trials.c.number)
    if state is not None:
        # If the state were a parameter of the query, a generic plan could not use a partial index of the trials with
        # this state.
        chosen = chosen.where(_trials.c.state == bindparam("state", state, literal_execute=True))
    left = limit
    while left is None or left > 0:
        wanted = size if left is None else min(size, left)
        with connection.begin():
            page = fetch(connection, TrialRow, chosen.where(_trials.c.number > after).limit(wanted))
        if page:
            yield page
            after = page[-1].number
        if len(page) < wanted:
            return
        left = None if left is None else left - len(page)


def ended_pages(connection: Connection, study_id: int, size: int = METRICS_PAGE) -> Iterator[Sequence[Any]]:
    """Yield pages of the ended trials, ordered by number. A row has the number, iteration, source, state, loss and
    value of a trial.

    The function reads each page in a separate transaction.
    """
    names = ("number", "iteration", "source", "state", "loss", "value")
    ended = select(*(_trials.c[name] for name in names)).where(
        _trials.c.study_id == study_id, _trials.c.finished_at.is_not(None)
    )
    after = -1
    while True:
        with connection.begin():
            page = connection.execute(
                ended.where(_trials.c.number > after).order_by(_trials.c.number).limit(size)
            ).all()
        if page:
            yield page
            after = page[-1].number
        if len(page) < size:
            return


def recorded_pages(connection: Connection, study_id: int, size: int = PAGE) -> Iterator[Sequence[Sequence[Any]]]:
    """Yield pages with the exported columns of all trials of a study, ordered by number.

    A row contains the columns that ``export_columns(TrialRow)`` returns, in the same order. The function does not read
    a `TrialRow`. For a `TrialRow`, the database would have to compute the column `seconds` from the attempts. The
    function reads each page in a separate transaction.
    """
    names = export_columns(TrialRow)
    documents = [names.index("params"), names.index("metrics")]
    chosen = sql.SQL("select {} from ledger.trials where study_id = %s and trial > %s order by trial limit %s").format(
        sql.SQL(", ").join(
            sql.SQL("{}::text" if place in documents else "{}").format(sql.Identifier(_trials.c[name].name))
            for place, name in enumerate(names)
        )
    )
    number = names.index("number")
    last = -1
    while True:
        with connection.begin():
            page = [list(row) for row in cursor(connection).execute(chosen, (study_id, last, size))]
        if page:
            for place in documents:
                for row, value in zip(page, from_json_texts([row[place] for row in page]), strict=True):
                    row[place] = value
            yield page
            last = page[-1][number]
        if len(page) < size:
            return


def cell_pages(
    connection: Connection,
    study_id: int,
    params: Mapping[str, Sequence[tuple[Any, str]]],
    metrics: Sequence[str],
    size: int = PAGE,
) -> Iterator[Sequence[Sequence[str | None]]]:
    """Yield a table of trials in pages, with one row for each trial. The rows are ordered by the number of the trial.

    The database converts each value to a text. A conversion in Python would take three times as long. The table has the
    columns that ``export_columns(TrialRow)`` returns. Instead of the column `params`, the table has one column for each
    parameter. Instead of the column `metrics`, the table has one column for each metric. The function reads each page
    in a separate transaction.

    Parameters
    ----------
    params : mapping of str to sequence of tuple
        The key is the name of a parameter. The value is a sequence of pairs. Each pair contains a choice of the
        parameter and the text of the choice.
    metrics : sequence of str
        The names of the metrics.

    Yields
    ------
    sequence of sequence of str or None
        The rows of one page. Each row contains the cells of one trial. A cell without a value is None.
    """
    cells: list[sql.Composable] = []
    for name in export_columns(TrialRow):
        column = sql.Identifier(_trials.c[name].name)
        if name == "params":
            cells += [_cell_of_choice(column, param, texts) for param, texts in params.items()]
        elif name == "metrics":
            cells += [sql.SQL("{} ->> {}").format(column, sql.Literal(metric)) for metric in metrics]
        elif isinstance(_trials.c[name].type, DateTime):
            cells.append(sql.SQL("to_char({}, {})").format(column, sql.Literal(_ISO_FORMAT)))
        else:
            cells.append(sql.SQL("{}::text").format(column))
    groups = [sql.SQL(", ").join(cells[first : first + _COLUMNS]) for first in range(0, len(cells), _COLUMNS)]
    number, last = export_columns(TrialRow).index("number"), -1
    while True:
        # In the clause "order by", the name of the view must precede the column name `trial`. Without the name of the
        # view, the clause would sort the numbers of the trials as texts.
        page = sql.SQL("from ledger.trials where study_id = {} and trial > {} order by trials.trial limit {}").format(
            study_id, last, size
        )
        with connection.begin():
            begin_snapshot(connection)
            # The program executes the statement without separate parameters. Therefore psycopg does not interpret a %
            # in the name of a metric.
            parts = [
                cursor(connection).execute(sql.SQL("select {} {}").format(group, page)).fetchall() for group in groups
            ]
        rows = parts[0] if len(parts) == 1 else [list(chain.from_iterable(each)) for each in zip(*parts, strict=True)]
        if rows:
            yield rows
            last = int(rows[-1][number])
        if len(rows) < size:
            return


def _cell_of_choice(column: sql.Composable, name: str, texts: Sequence[tuple[Any, str]]) -> sql.Composable:
    """Return the SQL expression that converts the value of a parameter to a text. If the value is not one of the
    choices, PostgreSQL converts the value to a text.
    """
    usual = sql.SQL("{} ->> {}").format(column, sql.Literal(name))
    if not texts:
        return usual
    cases = [
        sql.SQL("when {}::jsonb then {}").format(sql.Literal(to_json(choice)), sql.Literal(shown))
        for choice, shown in texts
    ]
    return sql.SQL("case {} -> {} {} else {} end").format(column, sql.Literal(name), sql.SQL(" ").join(cases), usual)


def attempt_pages(connection: Connection, study_id: int, size: int = PAGE) -> Iterator[list[AttemptRow]]:
    """Yield all attempts of a study in pages, ordered by the number of the trial and the number of the attempt.

    The function reads each page in a separate transaction.
    """
    last = (-1, 0)
    while True:
        with connection.begin():
            page = fetch(
                connection,
                AttemptRow,
                rows_of(AttemptRow)
                .where(_attempts.c.study_id == study_id, tuple_(_attempts.c.trial, _attempts.c.number) > last)
                .order_by(_attempts.c.trial, _attempts.c.number)
                .limit(size),
            )
        if not page:
            return
        yield page
        last = (page[-1].trial, page[-1].number)


def get(connection: Connection, study: StudyRow, number: int) -> TrialRow:
    """Return one trial.

    Raises
    ------
    LedgerError
        The study has no trial with the given number.
    """
    with connection.begin():
        row = fetch_one(
            connection,
            TrialRow,
            rows_of(TrialRow).where(_trials.c.study_id == study.id, _trials.c.number == number),
        )
        if row is None:
            last = last_number(connection, _trials, study.id)
            has = "no trials yet" if last is None else f"trials 0 to {last}"
            raise LedgerError(f"there is no trial {number}: study {study.name} has {has}")
    return row


def attempts(connection: Connection, study_id: int, trial: int) -> list[AttemptRow]:
    """Return the attempts of one trial, ordered by number."""
    with connection.begin():
        return fetch(
            connection,
            AttemptRow,
            rows_of(AttemptRow)
            .where(_attempts.c.study_id == study_id, _attempts.c.trial == trial)
            .order_by(_attempts.c.number),
        )


def outputs(connection: Connection, study_id: int, trial: int) -> dict[int, str]:
    """Return the stored outputs of one trial's attempts. Each key of the dictionary is the number of an attempt.

    An AttemptRow does not contain the output, because the outputs of all attempts of a study may be large.
    """
    with connection.begin():
        rows = connection.execute(
            select(_attempts.c.number, _attempts.c.output)
            .where(_attempts.c.study_id == study_id, _attempts.c.trial == trial, _attempts.c.output.is_not(None))
            .order_by(_attempts.c.number)
        )
        return dict(rows.all())


def best(connection: Connection, study_id: int) -> TrialRow | None:
    """Return the complete trial with the lowest loss, or None if no trial is complete.

    If several trials have the lowest loss, return the trial with the lowest number. The best trial may be an imported
    trial.
    """
    with connection.begin():
        return fetch_one(
            connection,
            TrialRow,
            rows_of(TrialRow)
            # The query contains the state as a literal. If the state were a parameter, a generic plan could not use the
            # index of complete trials.
            .where(_trials.c.study_id == study_id, text("state = 'complete'"))
            .order_by(_trials.c.loss, _trials.c.number)
            .limit(1),
        )


def last_failed(connection: Connection, study_id: int) -> TrialRow | None:
    """Return the failed trial with the highest number, or None if no trial has failed."""
    with connection.begin():
        return fetch_one(
            connection,
            TrialRow,
            rows_of(TrialRow)
            # The query contains the state as a literal. If the state were a parameter, a generic plan could not use the
            # index of failed trials.
            .where(_trials.c.study_id == study_id, text("state = 'failed'"))
            .order_by(_trials.c.number.desc())
            .limit(1),
        )


def metric_names(connection: Connection, study_id: int) -> Sequence[str]:
    """Return the sorted names of the metrics of all trials."""
    return [name for name, _ in metric_kinds(connection, study_id)]


def metric_kinds(connection: Connection, study_id: int) -> list[tuple[str, list[str]]]:
    """Return a list with a pair for each metric, ordered by name. A pair contains the name of the metric and the JSON
    types of the metric's values.

    The JSON types do not include the type null. The function reads the metrics in pages of `METRICS_PAGE` trials. The
    function reads each page in a separate transaction.
    """
    kinds: dict[str, set[str]] = {}
    after = -1
    while True:
        parameters = {"study": study_id, "after": after, "size": METRICS_PAGE}
        with connection.begin():
            rows = connection.execute(query("metric_kinds"), parameters).all()
        for name, kind, last in rows:
            after = last
            if name is not None:
                kinds.setdefault(name, set()).add(kind)
        if not rows:
            return [(name, sorted(kinds[name] - {"null"})) for name in sorted(kinds)]


def retry(connection: Connection, study_id: int, numbers: Sequence[int]) -> list[int]:
    """Retry all given trials, and return the numbers of the new trials.

    If the ledger refuses the retry of one trial, the function retries no trial.

    Raises
    ------
    LedgerError
        One of the given trials cannot be retried. The error message contains the reason for the refusal.
    """
    call = text("select ledger.retry(:study, :trial)")
    with _refusals(), connection.begin():
        return [int(connection.scalar(call, {"study": study_id, "trial": number}) or 0) for number in numbers]


def enqueue(connection: Connection, study_id: int, points: Sequence[Mapping[str, Any]]) -> list[int]:
    """Add a trial for each point, and return the numbers of the new trials.

    If the ledger refuses one of the points, the function adds no trial. Workers claim enqueued trials before proposed
    trials.

    Parameters
    ----------
    points : sequence of mapping
        Points of the study's search space, as returned by `Space.normalise`.

    Raises
    ------
    LedgerError
        The study was cancelled, or already has a trial with one of the given points.
    """
    call = text("select ledger.enqueue(:study, cast(:params as jsonb))")
    with _refusals(), connection.begin():
        return [int(connection.scalar(call, {"study": study_id, "params": to_json(params)}) or 0) for params in points]


def import_finished(
    connection: Connection, study_id: int, trials: Sequence[ExternalTrial], mean_loss: float | None
) -> int:
    """Import all given trials.

    If the ledger refuses one of the given trials, the function imports no trial. Return the number of the first
    imported trial.

    Parameters
    ----------
    trials : sequence of ExternalTrial
        The trials to import. The sequence must contain at least one trial. Two trials must not have the same
        point.
    mean_loss : float or None
        Mean loss of the complete trials, or None if all given trials are pruned.

    Raises
    ------
    LedgerError
        The study was cancelled, or already has a trial with one of the given points.
    """
    rows = [{**asdict(trial), "loss": trial.loss if math.isfinite(trial.loss) else None} for trial in trials]
    call = text("select ledger.import_trials(:study, cast(:trials as jsonb), :mean_loss)")
    with _refusals():
        return int(answer(connection, call, study=study_id, trials=to_json(rows), mean_loss=mean_loss) or 0)


def cancel(connection: Connection, study_id: int, numbers: Sequence[int], reason: str) -> list[int]:
    """Cancel all given trials.

    If one of the given trials has already ended, the function cancels no trial. Return the numbers of the given trials
    that the function could not cancel immediately.

    If another session has locked the row of a trial, the function records that the trial must be cancelled. The ledger
    cancels the trial when the trial's worker next calls the ledger, or when a manager finds that the row is unlocked.

    Raises
    ------
    LedgerError
        One of the given trials has ended.
    """
    call = text("select ledger.cancel_trials(:study, :trial, :reason)")
    with _refusals(), connection.begin():
        for number in numbers:
            connection.execute(call, {"study": study_id, "trial": number, "reason": reason})
    return [number for number in end_cancelled(connection, study_id) if number in numbers]


def end_cancelled(connection: Connection, study_id: int) -> list[int]:
    """Wait until a study's cancelled trials have ended, but wait at most CANCEL_SECONDS seconds.

    Return the numbers of all trials of the study that are still open.
    """
    end = time.monotonic() + CANCEL_SECONDS
    while managing.end_cancelled(connection, study_id) and time.monotonic() < end:
        time.sleep(CANCEL_POLL)
    is_open = (_trials.c.study_id == study_id, text("state in ('pending', 'running', 'paused')"))
    with connection.begin():
        return list(connection.scalars(select(_trials.c.number).where(*is_open).order_by(_trials.c.number)))


@contextmanager
def _refusals() -> Iterator[None]:
    """If an SQL function refuses a call in the `with` block, raise a LedgerError with the function's error message."""
    try:
        yield
    except DBAPIError as error:
        if isinstance(error.orig, ObjectNotInPrerequisiteState | InvalidParameterValue):
            raise LedgerError(str(error.orig.diag.message_primary)) from None
        raise
