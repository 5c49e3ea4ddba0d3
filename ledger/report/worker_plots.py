"""The timeline of a report. The timeline shows the attempts of each worker, and the outcome of each attempt."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

import plotly.graph_objects as go

from ledger.database.overview import WORKERS, AttemptGroup
from ledger.report import labels
from ledger.report.content import ReportContent
from ledger.report.section import CaptionedFigure, ReportSection
from ledger.report.theme import OUTCOMES

# If a study has very many attempts, one bar can show several attempts. All attempts of a bar are consecutive attempts
# of one worker, and have the same outcome. Two attempts have separate bars if the gap between the two attempts is
# longer than `LARGEST_GAP` times the length of the timeline.
LARGEST_GAP = 1 / 2_000


@dataclass(frozen=True)
class _TimelineBar:
    """A bar in the timeline plot of a report. The bar shows a group of attempts, in the row of one worker."""

    row: int
    start: datetime
    seconds: float
    group: AttemptGroup

    @property
    def end(self) -> datetime:
        return self.start + timedelta(seconds=self.seconds)


def timeline(content: ReportContent) -> ReportSection:
    """Return a plot with a row for each worker, and a bar for each attempt.

    A bar extends from the claim of the attempt to the end of the attempt.
    """
    title = "Workers"
    shown = content.ledger.timeline
    if not shown.groups:
        return ReportSection("timeline", title, "No worker has claimed a trial yet.")
    by_worker: dict[str, list[AttemptGroup]] = {}
    for group in shown.groups:
        by_worker.setdefault(group.worker, []).append(group)
    rows = sorted(by_worker, key=lambda name: min(group.began_at for group in by_worker[name]), reverse=True)
    start = min(group.began_at for group in shown.groups)
    seconds = (max(group.ended_at for group in shown.groups) - start).total_seconds() or 1.0
    gap = -1.0 if shown.slots is None else seconds * LARGEST_GAP
    height = max(18, min(34, 900 // len(rows))) * len(rows)
    bars = [bar for row, name in enumerate(rows) for bar in _bars(row, by_worker[name], gap)]
    figure = go.Figure(
        _traces(bars, is_summed=shown.slots is not None),
        {
            "barmode": "overlay",
            "showlegend": True,
            "height": 110 + height,
            "xaxis": {"type": "date", "title": {"text": "time (UTC)"}},
            "yaxis": {
                "tickvals": list(range(len(rows))),
                "ticktext": [labels.escaped(name, 18) for name in rows],
                "range": [-0.6, len(rows) - 0.4],
                "showgrid": False,
            },
        },
    )
    outcomes = ", ".join(f"{count:,} {outcome}" for outcome in OUTCOMES if (count := shown.outcomes.get(outcome, 0)))
    caption = (
        f"{labels.plural(sum(shown.outcomes.values()), 'attempt', 'attempts')} of"
        f" {labels.plural(shown.workers, 'worker', 'workers')}: {outcomes}. Each bar shows one attempt from its claim"
        " to its end. Each row shows one worker."
    )
    if shown.slots is not None:
        caption += (
            f" The plot divides the time into {labels.plural(shown.slots, 'part', 'parts')}. In each part, a worker's"
            " attempts with the same outcome share a bar. Bars with a small gap between them become one bar."
        )
    if shown.workers > len(rows):
        caption += f" The plot shows the {WORKERS} workers with the most attempts."
    return ReportSection("timeline", title, caption, [CaptionedFigure(figure, caption)], (900, 140 + height))


def _bars(row: int, groups: Sequence[AttemptGroup], gap: float) -> list[_TimelineBar]:
    """Return the bars of one worker, in the order of their start times."""
    bars: list[_TimelineBar] = []
    for _, several in groupby(sorted(groups, key=lambda group: group.slot), key=lambda group: group.slot):
        bars += _bars_of_slot(row, sorted(several, key=lambda group: list(OUTCOMES).index(group.outcome)))
    merged: list[_TimelineBar] = []
    for bar in sorted(bars, key=lambda bar: (bar.start, bar.group.first_trial)):
        last = merged[-1] if merged else None
        if (
            last is not None
            and last.group.outcome == bar.group.outcome
            and (bar.start - last.end).total_seconds() <= gap
        ):
            seconds = max(last.seconds, (bar.end - last.start).total_seconds())
            merged[-1] = _TimelineBar(row, last.start, seconds, last.group.with_more(bar.group))
        else:
            merged.append(bar)
    return merged


def _bars_of_slot(row: int, groups: Sequence[AttemptGroup]) -> list[_TimelineBar]:
    """Return a bar for each outcome of the attempts in one part of the timeline.

    If the attempts have several outcomes, the bars are adjacent. The length of each bar is the total time of all
    attempts with one outcome. A worker can claim several trials together, so the sum of the attempts' times can exceed
    the length of this part of the timeline. If the bars together would be longer than the part of the timeline, the
    function shortens all bars by the same factor.
    """
    start = min(group.began_at for group in groups)
    length = max(0.0, (max(group.ended_at for group in groups) - start).total_seconds())
    total = sum(group.busy.total_seconds() for group in groups)
    scale = min(1.0, length / total) if total > 0 else 1.0
    bars: list[_TimelineBar] = []
    for group in groups:
        bars.append(_TimelineBar(row, bars[-1].end if bars else start, group.busy.total_seconds() * scale, group))
    return bars


def _traces(bars: Sequence[_TimelineBar], *, is_summed: bool) -> list[go.Bar]:
    """Return one Plotly trace for each outcome. Each trace contains the bars of all attempts with one outcome."""
    by_outcome = {outcome: [bar for bar in bars if bar.group.outcome == outcome] for outcome in OUTCOMES}
    is_crowded = len(bars) > 300
    # A bar can be narrower than a pixel. An outline in the bar's own colour keeps a narrow bar visible. If the timeline
    # is divided into parts, one part can contain adjacent bars of several outcomes. A wide outline would make a short
    # bar look too long.
    outline = 0.5 if is_summed else 1
    return [
        go.Bar(
            y=[bar.row for bar in of_outcome],
            base=[bar.start.isoformat() for bar in of_outcome],
            x=[1_000 * bar.seconds for bar in of_outcome],
            orientation="h",
            width=0.72,
            name=outcome,
            marker={
                "color": OUTCOMES[outcome],
                "line": {"width": outline, "color": OUTCOMES[outcome] if is_crowded else "rgba(0,0,0,0.45)"},
            },
            customdata=[_hover_text(bar) for bar in of_outcome],
            hovertemplate="%{customdata}<extra></extra>",
        )
        for outcome, of_outcome in by_outcome.items()
        if of_outcome
    ]


def _hover_text(bar: _TimelineBar) -> str:
    group = bar.group
    worker = labels.escaped(group.worker, 60)
    if group.attempts > 1:
        trials = f"trials {group.first_trial} to {group.last_trial}"
        return f"{worker}<br>{group.attempts:,} attempts, {group.outcome}<br>{trials}, {bar.seconds:.3g} s"
    error = f"<br>{labels.escaped(group.error, 80)}" if group.error else ""
    attempt = "" if group.number is None else f", attempt {group.number}"
    return f"{worker}<br>trial {group.first_trial}{attempt}: {group.outcome}<br>{bar.seconds:.3g} s{error}"
