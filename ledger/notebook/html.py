"""HTML that displays a running search or the results of a study in a notebook.

The functions escape each text from the ledger, because an objective or another user may have written the text. The HTML
uses the colours of the notebook, so the text is readable on a light and on a dark background.
"""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ledger.database.status import Improvement, StudyStatus, WorkerStatus
from ledger.terminal.line import counts, direction, duration, saved_steps, score, unsuccessful_attempts
from ledger.text import one_line

_STATES = {
    "running": "#0b7285",
    "complete": "#2b8a3e",
    "failed": "#c92a2a",
    "paused": "#b35c00",
    "cancelled": "#b35c00",
}
# Width, height and margin of the plot of the best value, in pixels.
_WIDTH, _HEIGHT, _MARGIN = 320, 64, 4
# Maximum number of workers in the display.
_WORKERS = 12
_LONGEST = 200


def running_search(
    status: StudyStatus, best_params: Mapping[str, Any] | None, output: Sequence[str], note: str = ""
) -> str:
    """Return the HTML that displays a running search.

    Parameters
    ----------
    status : StudyStatus
    best_params : mapping or None
        The parameters of the best trial.
    output : sequence of str
        The last lines of the workers' output. The display shows the lines only after the user clicks the heading of the
        lines.
    note : str
        An additional line in the display, such as a warning that the status is old.
    """
    rows = [("trials", _bar(status)), ("", escape(counts(status)))]
    if status.reason:
        rows.insert(0, ("reason", escape(one_line(status.reason, 500))))
    if status.state == "running":
        rows.append(("time left", escape(_time_left(status))))
    if status.best is not None:
        about = f"{direction(status)}, trial {status.best['trial']}{score(status)}"
        rows.append(("best value", f"<b>{_number(status.best['value'])}</b> <small>{escape(about)}</small>"))
        if best_params is not None:
            rows.append(("parameters", _params(best_params)))
        rows.append(("convergence", convergence(status.improvements, status.last_complete or 0)))
    if saved := saved_steps(status):
        rows.append(("saved", escape(saved)))
    if attempts := unsuccessful_attempts(status):
        failures = "".join(f"<br><small>{escape(_failure(each))}</small>" for each in status.latest_failures)
        rows.append(("failures", f'<span style="color:{_STATES["failed"]}">{escape(attempts)}</span>{failures}'))
    if not status.has_ended and status.workers:
        rows.append(("workers", _workers(status.workers)))
    parts = [_title(status.name, status.state, f"{duration(status.elapsed_seconds)} since its start"), table(rows)]
    if note:
        parts.append(f'<div style="color:{_STATES["paused"]}">{escape(one_line(note))}</div>')
    if output:
        lines = escape("\n".join(one_line(line, 1000) for line in output))
        parts.append(
            f"<details><summary>output of the workers (last {len(output)} lines)</summary>"
            f'<pre style="max-height:20em;overflow:auto">{lines}</pre></details>'
        )
    return _block(parts)


def study_result(
    name: str,
    state: str,
    reason: str | None,
    facts: Sequence[tuple[str, str]],
    improvements: Sequence[Improvement],
    last: int,
    best_params: Mapping[str, Any] | None,
    trials: str,
) -> str:
    """Return the HTML that displays the results of a study.

    Parameters
    ----------
    facts : sequence of (str, str)
        Facts about the study. Each fact is a pair of a name and a value, as plain text.
    improvements : sequence of Improvement
    last : int
        Number of the last complete trial.
    best_params : mapping or None
        The parameters of the best trial.
    trials : str
        The HTML table of the best trials.
    """
    rows = [(key, escape(value)) for key, value in facts]
    if reason:
        rows.insert(0, ("reason", escape(one_line(reason, 500))))
    if best_params is not None:
        rows.append(("parameters", _params(best_params)))
    if improvements:
        rows.append(("convergence", convergence(improvements, last)))
    return _block([_title(name, state, ""), table(rows), trials])


def table(rows: Sequence[tuple[str, str]]) -> str:
    """Return an HTML table with a column of names and a column of HTML values."""
    cells = "".join(
        f'<tr style="background:none"><td style="text-align:left;opacity:.7;vertical-align:top">{escape(name)}</td>'
        f'<td style="text-align:left">{value}</td></tr>'
        for name, value in rows
        if value
    )
    return f'<table style="margin:.3em 0">{cells}</table>'


def listing(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return an HTML table with a header. Each number that is not an integer has six significant digits."""
    head = "".join(f'<th style="text-align:left">{escape(one_line(name, 60))}</th>' for name in header)
    body = "".join(
        "<tr>" + "".join(f'<td style="text-align:left">{_cell(value)}</td>' for value in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def convergence(improvements: Sequence[Improvement], last: int) -> str:
    """Return an SVG image. A line in the image shows the best value after each trial, up to trial `last`."""
    if not improvements:
        return ""
    values = [each.value for each in improvements]
    lowest, highest = min(values), max(values)
    across, up = _WIDTH - 2 * _MARGIN, _HEIGHT - 2 * _MARGIN

    def x(trial: int) -> float:
        return _MARGIN + across * (trial / max(1, last))

    def y(value: float) -> float:
        # The function halves the values before the subtraction, because the difference of two values may be too large
        # for a float. The variable `length` may be 0, because half of the smallest float rounds to 0.
        length = highest / 2 - lowest / 2
        share = (value / 2 - lowest / 2) / length if length else 0.5
        return _MARGIN + up * (1 - share)

    points = [(x(improvements[0].trial), y(values[0]))]
    for each in improvements[1:]:
        points += [(x(each.trial), points[-1][1]), (x(each.trial), y(each.value))]
    points.append((x(last), points[-1][1]))
    line = " ".join(f"{left:.1f},{top:.1f}" for left, top in points)
    label = f"best value from {values[0]:.6g} to {values[-1]:.6g}"
    return (
        f'<svg role="img" aria-label="{escape(label)}" width="{_WIDTH}" height="{_HEIGHT}"'
        f' viewBox="0 0 {_WIDTH} {_HEIGHT}"><title>{escape(label)}</title>'
        f'<polyline fill="none" stroke="#1c7ed6" stroke-width="2" points="{line}"/></svg>'
        f"<br><small>{escape(label)}</small>"
    )


def _title(name: str, state: str, after: str) -> str:
    colour = _STATES.get(state, "inherit")
    return (
        f'<div><b>{escape(one_line(name))}</b> <span style="color:{colour}">{escape(one_line(state))}</span>'
        f" <small>{escape(after)}</small></div>"
    )


def _block(parts: Sequence[str]) -> str:
    return f'<div style="line-height:1.4;overflow-x:auto">{"".join(parts)}</div>'


def _bar(status: StudyStatus) -> str:
    return (
        f'<progress value="{status.ended}" max="{status.budget}" style="width:16em;vertical-align:middle"></progress>'
        f" {status.ended} of {status.budget}"
    )


def _time_left(status: StudyStatus) -> str:
    if not status.managed:
        return "no manager runs: run the study again to continue it"
    if status.remaining_seconds is None:
        return "unknown until a trial has ended"
    return f"about {duration(status.remaining_seconds)}"


def _workers(workers: Sequence[WorkerStatus]) -> str:
    lines = []
    for worker in workers[:_WORKERS]:
        if not worker.alive:
            doing = f"silent for {duration(worker.seen_seconds)}"
        elif worker.trial is None:
            doing = "idle"
        else:
            at = "" if worker.step is None else f" at step {worker.step}"
            doing = f"trial {worker.trial}{at} for {duration(worker.seconds or 0.0)}"
        lines.append(f"{one_line(worker.name)}: {doing}, {worker.complete} completed")
    if len(workers) > _WORKERS:
        lines.append(f"and {len(workers) - _WORKERS} more")
    text = "<br>".join(escape(line) for line in lines)
    training = sum(worker.trial is not None for worker in workers)
    return f"<details><summary>{len(workers)} (training: {training})</summary><small>{text}</small></details>"


def _failure(failure: Any) -> str:
    error = f": {one_line(failure.error, _LONGEST)}" if failure.error else ""
    return f"trial {failure.trial} attempt {failure.attempt} {failure.outcome}{error}"


def _params(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{escape(one_line(name, 60))} = <b>{_cell(value)}</b>" for name, value in params.items())


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return _number(value)
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return escape(one_line(text, _LONGEST))


def _number(value: float) -> str:
    return f"{value:.6g}"
