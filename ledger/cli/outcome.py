"""Functions that print the outcome of a study, and a warning about locked trials."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click
from sqlalchemy import Connection

from ledger.cli import annotation
from ledger.database import annotations, reads, studies, trials
from ledger.database.rows import COUNTED_STATES, StudyRow
from ledger.text import one_line
from ledger.text import show as show_value


def show(connection: Connection, row: StudyRow) -> None:
    """Print the progress and the best trial of a study."""
    from ledger.study.python_values import ordered_params

    progress = reads.progress(connection, row.name)[0]
    states = {state: getattr(progress, state) for state in COUNTED_STATES}
    counts = ", ".join(f"{count} {state}" for state, count in states.items() if count)
    others = sum(states.values()) - progress.proposed
    lines = {
        "study": row.name,
        "state": row.state + (f": {one_line(row.reason, 1_000)}" if row.reason else ""),
        "budget": f"{progress.ended} of {row.budget} trials" + (f", and {others} outside the budget" if others else ""),
        **_criteria(row),
        "iterations": f"{progress.iterations_told} told",
        "trials": counts or "none yet",
    }
    objective = row.spec["objective"]
    if task := objective.get("task"):
        lines["task"] = one_line(str(task))
    if data := objective.get("data"):
        lines["data"] = _data(data)
        if isinstance(data, Mapping) and (holdout := data.get("holdout")):
            lines["hold-out"] = _data(holdout)
    best = trials.best(connection, row.id)
    if best is not None:
        lines["best"] = f"trial {best.number} of iteration {best.iteration}" + (
            f", {best.source}" if best.source != "proposed" else ""
        )
        lines["parameters"] = json.dumps(ordered_params(best.params, row.spec["space"]))
        is_score = progress.best_score is not None and progress.best_score == best.value
        about = [one_line(progress.metric)] if progress.metric is not None and is_score else []
        lines["value"] = f"{best.value!r} ({', '.join([*about, progress.direction])})"
        if progress.metric is not None and progress.best_score is not None:
            spread = _spread(objective, best.metrics or {})
            if spread:
                lines["deviation"] = spread
            if not is_score:
                lines[one_line(progress.metric)] = repr(progress.best_score)
    lines |= annotation.lines_of(annotations.of_study(connection, row.id))
    if row.archived_at is not None:
        lines["archived"] = f"{row.archived_at:%Y-%m-%d %H:%M} UTC"
    width = max(11, *map(len, lines))
    for name, value in lines.items():
        click.echo(f"{name:<{width}} {value}")


def show_best(connection: Connection, study: str) -> None:
    """If the study has a complete trial, print the study's best trial as one line on standard error."""
    from ledger.study.python_values import ordered_params

    row = studies.get(connection, study)
    best = trials.best(connection, row.id)
    if best is not None:
        params = one_line(json.dumps(ordered_params(best.params, row.spec["space"])), 1_000)
        click.echo(f"best so far: value {best.value:.6g}, trial {best.number}: {params}", err=True)


def _criteria(row: StudyRow) -> dict[str, str]:
    """Return the stopping criteria of a study as a dict that maps the name of each criterion to a text."""
    criteria = {
        "target": None if row.target is None else repr(row.target),
        "patience": None if row.patience is None else f"{row.patience} trials",
        "timeout": None if row.timeout_seconds is None else f"{row.timeout_seconds:g} s",
    }
    return {name: text for name, text in criteria.items() if text is not None}


def warn_of_locked(name: str, later: Sequence[int]) -> None:
    """Warn that the cancellation of the trials in `later` has not taken effect yet.

    The ledger could not cancel the trials, because another database session has locked the trials' rows.
    """
    if later:
        which = f"trial {later[0]}" if len(later) == 1 else f"{len(later)} trials (the first is trial {later[0]})"
        click.echo(
            f"ledger: the cancellation of {which} of study {name} is recorded. Another session has locked the trial's"
            " row, so the cancellation takes effect when the trial's worker next calls the database: `ledger db check`"
            " names the session that holds the lock",
            err=True,
        )


def _data(data: Any) -> str:
    """Return a text that describes the dataset of a study.

    The description may be malformed, if an earlier version of the program has recorded the study.
    """
    if not isinstance(data, Mapping):
        return show_value(data)
    name, sha256 = (one_line(str(data.get(key)), 100) for key in ("name", "sha256"))
    rows = data.get("rows")
    number = f"{rows:,}" if isinstance(rows, int) else show_value(rows)
    roles = [
        f"{'target' if key == 'target_column' else key.replace('_', ' ')} {one_line(str(data[key]), 100)}"
        for key in ("target_column", "group_column", "time_column", "weight_column")
        if key in data
    ]
    return ", ".join([name, f"{number} rows", *roles, f"SHA-256 {sha256}"])


def _spread(objective: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    folds, spread = objective.get("cv"), metrics.get(f"{objective.get('metric', 'accuracy')}_std")
    return f"{spread:.3g} over {show_value(folds)} folds" if folds and isinstance(spread, float) else ""
