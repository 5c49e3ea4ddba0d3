"""The timeline of a report, which shows the attempts of each worker, and the outcome of each attempt."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import plotly.graph_objects as go

from ledger.database.rows import AttemptRow
from ledger.report import labels
from ledger.report.content import ReportContent
from ledger.report.section import CaptionedFigure, ReportSection
from ledger.report.theme import OUTCOMES

# Largest number of workers that get a row in the timeline.
ROWS = 100
# If a study has at most `BARS` attempts, each attempt has its own bar. If a study has more than `BARS` attempts, a
# worker's consecutive attempts with the same outcome share a bar. In a shared bar, the gap between two consecutive
# attempts is at most `LARGEST_GAP` times the length of the timeline.
BARS, LARGEST_GAP = 2_000, 1 / 2_000


def timeline(content: ReportContent) -> ReportSection:
    """Return a plot with a row for each worker, and a bar for each attempt.

    A bar extends from the claim of the attempt to the end of the attempt.
    """
    title = "Workers"
    attempts = [attempt for attempt in content.ledger.attempts if attempt.claimed_at is not None]
    if not attempts:
        return ReportSection("timeline", title, "No worker has claimed a trial yet.")
    by_worker: dict[str, list[AttemptRow]] = {}
    for attempt in attempts:
        by_worker.setdefault(attempt.worker, []).append(attempt)
    busiest = sorted(by_worker, key=lambda name: -len(by_worker[name]))[:ROWS]
    rows = sorted(busiest, key=lambda name: min(attempt.claimed_at for attempt in by_worker[name]), reverse=True)
    now = content.ledger.at
    start = min(attempt.claimed_at for attempt in attempts)
    seconds = (max(attempt.ended_at or now for attempt in attempts) - start).total_seconds() or 1.0
    gap = seconds * LARGEST_GAP if len(attempts) > BARS else -1.0
    height = max(18, min(34, 900 // len(rows))) * len(rows)
    figure = go.Figure(
        _bars([by_worker[name] for name in rows], now, gap),
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
    counts = Counter(_outcome(attempt) for attempt in attempts)
    caption = (
        f"{labels.plural(len(attempts), 'attempt', 'attempts')} of"
        f" {labels.plural(len(by_worker), 'worker', 'workers')}:"
        f" {', '.join(f'{counts[outcome]} {outcome}' for outcome in OUTCOMES if counts[outcome])}. Each bar shows"
        " one attempt from its claim to its end. Each row shows one worker."
    )
    if gap > 0:
        caption += (
            " Consecutive attempts of a worker share a bar if they have the same outcome and a small gap between them."
        )
    if len(by_worker) > ROWS:
        caption += f" The plot shows the {ROWS} workers with the most attempts."
    return ReportSection("timeline", title, caption, [CaptionedFigure(figure, caption)], (900, 140 + height))


def _bars(rows: Sequence[Sequence[AttemptRow]], now: datetime, gap: float) -> list[go.Bar]:
    """Return one Plotly trace for each outcome. Each trace contains the bars of all attempts with one outcome."""
    by_outcome: dict[str, list[dict[str, Any]]] = {outcome: [] for outcome in OUTCOMES}
    for row, attempts in enumerate(rows):
        for run in _runs(attempts, now, gap):
            start = run[0].claimed_at
            # If the database's clock was set back, the recorded end time of an attempt can be earlier than the recorded
            # time of the claim.
            seconds = max(0.0, *(((attempt.ended_at or now) - start).total_seconds() for attempt in run))
            bar = {"row": row, "start": start, "seconds": seconds, "text": _hover_text(run, seconds)}
            by_outcome[_outcome(run[0])].append(bar)
    is_crowded = sum(map(len, by_outcome.values())) > 300
    return [
        go.Bar(
            y=[bar["row"] for bar in bars],
            base=[bar["start"].isoformat() for bar in bars],
            x=[1_000 * bar["seconds"] for bar in bars],
            orientation="h",
            width=0.72,
            name=outcome,
            # A bar can be narrower than a pixel. An outline in the bar's own colour keeps a narrow bar visible.
            marker={
                "color": OUTCOMES[outcome],
                "line": {"width": 1, "color": OUTCOMES[outcome] if is_crowded else "rgba(0,0,0,0.45)"},
            },
            customdata=[bar["text"] for bar in bars],
            hovertemplate="%{customdata}<extra></extra>",
        )
        for outcome, bars in by_outcome.items()
        if bars
    ]


def _runs(attempts: Sequence[AttemptRow], now: datetime, gap: float) -> list[list[AttemptRow]]:
    """Group the consecutive attempts of one worker that have the same outcome and are at most `gap` seconds apart."""
    runs: list[list[AttemptRow]] = []
    for attempt in sorted(attempts, key=lambda attempt: (attempt.claimed_at, attempt.trial)):
        last = runs[-1] if runs else []
        if (
            last
            and last[-1].outcome == attempt.outcome
            and (attempt.claimed_at - (last[-1].ended_at or now)).total_seconds() <= gap
        ):
            last.append(attempt)
        else:
            runs.append([attempt])
    return runs


def _hover_text(run: Sequence[AttemptRow], seconds: float) -> str:
    first = run[0]
    worker, outcome = labels.escaped(first.worker, 60), _outcome(first)
    if len(run) > 1:
        trials = [attempt.trial for attempt in run]
        return f"{worker}<br>{len(run)} attempts, {outcome}<br>trials {min(trials)} to {max(trials)}, {seconds:.3g} s"
    error = f"<br>{labels.escaped(first.error, 80)}" if first.error else ""
    return f"{worker}<br>trial {first.trial}, attempt {first.number}: {outcome}<br>{seconds:.3g} s{error}"


def _outcome(attempt: AttemptRow) -> str:
    return attempt.outcome or "running"
