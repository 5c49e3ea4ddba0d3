"""Draws a study's status for a console of a given size."""

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ledger.database.status import StudyStatus, WorkerStatus
from ledger.terminal.line import counts, direction, duration, saved_steps, score, unsuccessful_attempts
from ledger.terminal.sparkline import sparkline
from ledger.text import one_line

_COLOURS = {"running": "cyan", "complete": "green", "failed": "red", "paused": "yellow", "cancelled": "yellow"}
# Largest width of the progress bar and largest width of the sparkline, in characters.
_BAR, _SPARKLINE = 40, 60
_LABEL = 11
# If the console is narrower than `_NARROW` characters, the table of workers has no column "since (UTC)".
_NARROW = 70


class StatusPanel:
    """A panel that shows the status of a study. A console of the library `rich` can draw the panel.

    Parameters
    ----------
    status : StudyStatus
    rows : int, optional
        Largest number of workers to draw. In the panel, the workers with a trial precede the workers without a trial.
        The default is the number of workers that fit into the height of the console.
    note : str
        An additional line, for example a note that the status is old.
    """

    def __init__(self, status: StudyStatus, rows: int | None = None, note: str = "") -> None:
        self._status, self._rows, self._note = status, rows, note

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        head = [self._title(), self._facts(options)]
        if self._note:
            head.append(_cut(Text(self._note, "yellow")))
        rows = self._rows
        if rows is None:
            above = len(console.render_lines(Group(*head, *self._failures()), options, pad=False))
            # Four lines of the console are not available for workers. The four lines are the empty line above the table
            # of workers, the table's header, the number of omitted workers, and the line of the cursor.
            rows = max(1, options.max_height - above - 4)
        yield Group(*head, *self._workers(rows, options), *self._failures())

    def _title(self) -> RenderableType:
        status = self._status
        title = Text(no_wrap=True, overflow="ellipsis")
        title.append(one_line(status.name), "bold")
        title.append(f"  {status.state}", _COLOURS.get(status.state, ""))
        if status.mode != "batch":
            title.append(f", {one_line(status.mode)}")
        title.append(f"  {duration(status.elapsed_seconds)} since its start", "dim")
        return title

    def _facts(self, options: ConsoleOptions) -> RenderableType:
        status = self._status
        width = max(1, min(_BAR, options.max_width - _LABEL - 24))
        facts = Table.grid(padding=(0, 1))
        facts.add_column(style="dim", no_wrap=True, min_width=_LABEL)
        facts.add_column(overflow="fold")
        if status.reason:
            facts.add_row("reason", Text(one_line(status.reason, 500)))
        bar = ProgressBar(total=status.budget, completed=status.ended, width=width, complete_style="cyan")
        row = Table.grid(padding=(0, 1))
        row.add_row(bar, f"{status.ended} of {status.budget}")
        facts.add_row("trials", row)
        facts.add_row("iterations", f"{status.iterations_told} told")
        if states := counts(status):
            facts.add_row("", Text(states, "dim"))
        if status.state == "paused":
            facts.add_row("note", Text(f"paused: `ledger resume {status.name}` continues the study", "yellow"))
        elif status.state == "running" and not status.managed:
            note = "no manager runs: run the same command or script again to continue the study"
            facts.add_row("note", Text(note, "yellow"))
        elif status.state == "running":
            facts.add_row("time left", _time_left(status))
        if status.best is not None:
            best = Text.assemble(
                (f"{status.best['value']:.6g}", "bold green"),
                f"  {direction(status)}, trial {status.best['trial']} of iteration {status.best['iteration']}",
                score(status),
            )
            facts.add_row("best value", best)
        if status.last_complete is not None and len(status.improvements) > 0:
            first = f" from {status.improvements[0].value:.6g}"
            cells = min(_SPARKLINE, options.max_width - _LABEL - 1 - len(first))
            values = [(improvement.trial, improvement.value) for improvement in status.improvements]
            line = sparkline(values, status.last_complete, cells, ascii_only=options.ascii_only)
            facts.add_row("convergence", _cut(Text.assemble((line, "green"), (first, "dim"))))
        if saved := saved_steps(status):
            facts.add_row("saved", saved)
        if attempts := unsuccessful_attempts(status):
            facts.add_row("failures", Text(attempts, "red"))
        return facts

    def _workers(self, rows: int, options: ConsoleOptions) -> Sequence[RenderableType]:
        status = self._status
        # Without a manager, a new worker may find no trial.
        if status.has_ended or not (status.workers or status.managed):
            return []
        if not status.workers:
            return [
                Text(),
                _cut(Text(f"no worker runs yet: `ledger worker --study {status.name}` starts a worker", "yellow")),
            ]
        # In the table, the workers with a trial precede the workers without a trial. The first row of the table shows
        # the worker whose current trial has run for the longest time.
        ordered = sorted(
            status.workers, key=lambda worker: (worker.trial is None, -(worker.seconds or 0.0), worker.name)
        )
        is_narrow = options.max_width < _NARROW
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        table.add_column("worker", no_wrap=True, overflow="ellipsis", ratio=None)
        table.add_column("trains", no_wrap=True)
        table.add_column("for", no_wrap=True, justify="right")
        if not is_narrow:
            table.add_column("since (UTC)", no_wrap=True)
        table.add_column("done" if is_narrow else "completed", no_wrap=True, justify="right")
        for worker in ordered[:rows]:
            cells = [
                Text(one_line(worker.name)),
                _trains(worker),
                Text("" if worker.seconds is None else duration(worker.seconds)),
            ]
            if not is_narrow:
                cells.append(Text("" if worker.since is None else f"{worker.since:%H:%M:%S}"))
            table.add_row(*cells, Text(str(worker.complete)))
        if len(ordered) <= rows:
            return [Text(), table]
        omitted = ordered[rows:]
        training = sum(worker.trial is not None for worker in omitted)
        return [Text(), table, _cut(Text(f"and {len(omitted)} more workers (training: {training})", "dim"))]

    def _failures(self) -> Sequence[RenderableType]:
        failures = self._status.latest_failures
        return [
            *([Text()] if failures else []),
            *(
                _cut(
                    Text.assemble(
                        (f"trial {failure.trial} attempt {failure.attempt} ", "red"),
                        f"{failure.outcome} {duration(failure.seconds_ago)} ago",
                        f": {one_line(failure.error)}" if failure.error else "",
                    )
                )
                for failure in failures
            ),
        ]


def _time_left(status: StudyStatus) -> Text:
    if status.remaining_seconds is None:
        return Text("unknown until a trial has ended", "dim")
    return Text(f"about {duration(status.remaining_seconds)}, at {_rate(status.trials_a_second or 0.0)}")


def _rate(trials_a_second: float) -> str:
    for unit, seconds in (("a second", 1), ("a minute", 60)):
        if trials_a_second * seconds >= 1:
            return f"{trials_a_second * seconds:.3g} trials {unit}"
    return f"{trials_a_second * 3600:.3g} trials an hour"


def _trains(worker: WorkerStatus) -> Text:
    if not worker.alive:
        doing = "" if worker.trial is None else f", trial {worker.trial}"
        return Text(f"silent for {duration(worker.seen_seconds)}{doing}", "red")
    if worker.trial is None:
        return Text("idle", "dim")
    return Text(f"trial {worker.trial}" + ("" if worker.step is None else f", step {worker.step}"))


def _cut(line: Text) -> Text:
    """Do not wrap the line. A narrow console cuts off the end of the line."""
    line.no_wrap, line.overflow = True, "ellipsis"
    return line
