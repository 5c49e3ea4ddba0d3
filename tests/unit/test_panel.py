"""The drawn status of a study depends only on the status and the console."""

import io
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from ledger.database.status import FailedAttempt, Improvement, StudyStatus, WorkerStatus
from ledger.notebook.html import running_search
from ledger.terminal.line import line
from ledger.terminal.panel import StatusPanel
from ledger.terminal.sparkline import ASCII_BARS, BARS, sparkline

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def worker(name: str, trial: int | None = None, seconds: float = 0.0, *, alive: bool = True) -> WorkerStatus:
    since = None if trial is None else NOW - timedelta(seconds=seconds)
    return WorkerStatus(name, "host", alive, trial, since, None if trial is None else seconds, 61.0, 3)


def status(**changed: Any) -> StudyStatus:
    facts: dict[str, Any] = {
        "name": "svm-1",
        "state": "running",
        "reason": None,
        "mode": "batch",
        "direction": "minimize",
        "target": None,
        "patience": None,
        "timeout_seconds": None,
        "now": NOW,
        "created_at": NOW - timedelta(seconds=75),
        "finished_at": None,
        "elapsed_seconds": 75.0,
        "iterations_told": 2,
        "ended": 9,
        "budget": 20,
        "complete": 8,
        "running": 2,
        "paused": 0,
        "pending": 1,
        "failed": 1,
        "pruned": 0,
        "cancelled": 0,
        "failures": 4,
        "crashes": 0,
        "lost": 1,
        "managed": True,
        "trials_a_second": 0.1,
        "remaining_seconds": 110.0,
        "best": {"trial": 5, "iteration": 1, "value": 0.0125, "loss": 0.0125, "metric": "roc_auc", "score": 0.9875},
        "improvements": [Improvement(trial, loss, loss) for trial, loss in ((0, 0.5), (2, 0.1), (5, 0.0125))],
        "last_complete": 8,
        "workers": [worker("idle"), worker("trains", 9, 5.5), worker("longest", 10, 65.0)],
        "latest_failures": [FailedAttempt(3, 2, "trains", "failed", NOW, 30.0, "ValueError: [bold]no[/bold]")],
    }
    return StudyStatus(**{**facts, **changed})


def drawn(shown: Any, width: int = 100, height: int = 40, **options: Any) -> list[str]:
    console = Console(file=io.StringIO(), record=True, width=width, height=height, markup=False, emoji=False, **options)
    console.print(shown)
    return [row.rstrip() for row in console.export_text().splitlines()]


def test_the_panel_shows_progress_best_value_workers_and_failures():
    rows = drawn(StatusPanel(status()))
    assert rows[0] == "svm-1  running  0:01:15 since its start"
    assert rows[1].startswith("trials      ━")
    assert rows[1].endswith("9 of 20")
    assert rows[2] == "iterations  2 told"
    assert rows[3:9] == [
        "            8 complete, 2 running, 1 pending, 1 failed",
        "time left   about 0:01:50, at 6 trials a minute",
        "best value  0.0125  minimize, trial 5 of iteration 1, roc_auc 0.9875",
        "convergence ██▅▅▅▁▁▁▁ from 0.5",
        "failures    4 failed attempts and 1 lost",
        "",
    ]
    assert [row.split() for row in rows[9:13]] == [
        ["worker", "trains", "for", "since", "(UTC)", "completed"],
        ["longest", "trial", "10", "0:01:05", "11:58:55", "3"],
        ["trains", "trial", "9", "0:00:05", "11:59:54", "3"],
        ["idle", "idle", "3"],
    ]
    assert rows[13:] == ["", "trial 3 attempt 2 failed 0:00:30 ago: ValueError: [bold]no[/bold]"]


def test_a_study_with_a_rule_shows_steps_and_what_the_rule_has_saved():
    trains = replace(worker("trains", 9, 5.5), step=27)
    shown = status(pruned=3, saved_steps=1234, saved_seconds=725.5, workers=[trains])
    rows = drawn(StatusPanel(shown))
    saved = "1,234 steps avoided by early stopping (about 0:12:05 of training)"
    assert f"saved       {saved}" in rows
    assert any(row.split()[:5] == ["trains", "trial", "9,", "step", "27"] for row in rows)
    assert f", {saved}, 4 failed attempts" in line(shown)
    page = running_search(shown, None, [])
    assert saved in page
    assert "3 pruned" in page
    assert "trial 9 at step 27 for 0:00:05" in page


def test_paused_trials_are_counted_apart_from_pending_ones():
    shown = status(paused=3)
    counted = "8 complete, 2 running, 3 paused, 1 pending, 1 failed"
    assert any(counted in row for row in drawn(StatusPanel(shown)))
    assert counted in line(shown)
    assert counted in running_search(shown, None, [])


def test_a_study_without_a_rule_shows_no_saved_steps():
    shown = status()
    assert "saved" not in "\n".join([*drawn(StatusPanel(shown)), line(shown), running_search(shown, None, [])])
    assert line(status(saved_steps=0, saved_seconds=0.0)) == line(shown)


@pytest.mark.parametrize("seconds", [None, 0.9])
def test_an_unknown_or_short_time_is_not_shown_as_saved(seconds):
    shown = line(status(saved_steps=1, saved_seconds=seconds))
    assert ", 1 step avoided by early stopping, 4 failed attempts" in shown


def test_a_maximised_score_is_shown_with_the_name_of_its_metric():
    best = {"trial": 5, "iteration": 1, "value": 0.9875, "loss": 0.0125, "metric": "roc_auc", "score": 0.9875}
    improvements = [Improvement(trial, 1 - loss, loss) for trial, loss in ((0, 0.5), (2, 0.1), (5, 0.0125))]
    shown = status(best=best, improvements=improvements, direction="maximize")
    rows = drawn(StatusPanel(shown))
    assert "best value  0.9875  roc_auc, maximize, trial 5 of iteration 1" in rows
    assert "convergence ▁▁▇▇▇████ from 0.5" in rows
    assert "best value 0.9875 (roc_auc, maximize, trial 5)" in line(shown)


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_no_line_is_wider_than_the_console(width):
    shown = status(name="a" * 70, reason="because " * 30, workers=[worker("w" * 80, 1234567, 1e6)])
    rows = drawn(StatusPanel(shown, note="as of 5 s ago"), width)
    assert max(map(cell_len, rows)) <= width
    assert any("0.0125" in row for row in rows)


@pytest.mark.parametrize("height", [12, 20, 40])
def test_the_panel_fits_the_console_and_counts_omitted_workers(height):
    many = [worker(f"w{number:02}", number, float(number)) for number in range(60)]
    rows = drawn(StatusPanel(status(workers=many)), height=height)
    assert len(rows) <= max(height - 1, 15)
    shown = sum(re.match(r"w\d\d", row) is not None for row in rows)
    assert f"and {60 - shown} more workers (training: {60 - shown})" in rows
    assert drawn(StatusPanel(status(workers=many), rows=60)).count("") == 2


def test_the_panel_names_the_command_that_helps():
    unmanaged = "\n".join(drawn(StatusPanel(status(managed=False, workers=[]))))
    assert "no manager runs: run the same command or script again to continue the study" in unmanaged
    assert "ledger worker" not in unmanaged
    assert "ledger resume svm-1" in "\n".join(drawn(StatusPanel(status(state="paused"))))
    assert "ledger worker --study svm-1" in "\n".join(drawn(StatusPanel(status(workers=[]))))
    silent = drawn(StatusPanel(status(workers=[worker("w", 4, 99.0, alive=False)])))
    assert any("silent for 0:01:01, trial 4" in row for row in silent)
    assert "as of" in "\n".join(drawn(StatusPanel(status(), note="as of")))


def test_a_study_without_trials_and_an_ended_one_are_drawn():
    nothing: dict[str, Any] = {"best": None, "last_complete": None}
    nothing |= {"improvements": [], "workers": [], "latest_failures": []}
    zero = dict.fromkeys(
        ("iterations_told", "ended", "complete", "running", "pending", "failed", "failures", "crashes", "lost"), 0
    )
    begun = drawn(StatusPanel(status(**nothing, **zero, trials_a_second=None, remaining_seconds=None)))
    assert "time left   unknown until a trial has ended" in begun
    ended = "\n".join(drawn(StatusPanel(status(state="failed", reason="every trial failed", remaining_seconds=None))))
    assert "reason      every trial failed" in ended
    assert "time left" not in ended
    assert "longest" not in ended, "workers of an ended study are not shown"


def test_text_of_users_is_drawn_as_printable_characters():
    text = "\x1b[2J\x9b31m\u202e"
    shown = status(mode=text, reason=text, workers=[worker(f"w{text}", 1, 2.0)])
    for drawing in ("\n".join(drawn(StatusPanel(shown))), line(shown)):
        assert not {"\x1b", "\x9b", "\u202e"} & set(drawing)


def test_a_console_without_utf_8_or_colours_gets_plain_text():
    file = io.TextIOWrapper(io.BytesIO(), encoding="latin-1", write_through=True)
    Console(file=file, width=80, force_terminal=True, no_color=True).print(StatusPanel(status(), rows=3))
    assert isinstance(file.buffer, io.BytesIO)
    text = file.buffer.getvalue().decode("latin-1")
    assert "convergence" in text
    assert "\x1b[3" not in text.replace("\x1b[39", ""), "no colour"


def test_a_line_changes_only_with_the_study():
    text = line(status())
    assert text == (
        "svm-1 running: 9 of 20 trials, 2 iterations told, 8 complete, 2 running, 1 pending, 1 failed,"
        " best value 0.0125 (minimize, trial 5, roc_auc 0.9875), 4 failed attempts and 1 lost"
    )
    later = {"now": NOW + timedelta(seconds=5), "elapsed_seconds": 80.0, "remaining_seconds": 105.0}
    assert line(status(**later)) == text
    assert line(status(failures=0, lost=1)).endswith("1 lost attempt")
    assert line(status(failures=1, lost=0)).endswith("1 failed attempt")
    assert line(status(failures=0, crashes=2)).endswith("2 crashed attempts and 1 lost")
    assert line(status(failures=1, crashes=2, lost=3)).endswith("1 failed attempt, 2 crashed and 3 lost")


@pytest.mark.parametrize(
    ("improvements", "last", "width", "expected"),
    [
        ([], 5, 10, ""),
        ([(0, 1.0)], 0, 10, "▁"),
        ([(2, 1.0)], 3, 10, "  ▁▁"),
        ([(0, 8.0), (1, 1.0)], 3, 10, "█▁▁▁"),
        ([(0, 1000.0), (1, 10.0), (2, 1.0)], 2, 10, "█▃▁"),
        ([(0, -1.0), (3, -3.0)], 7, 4, "█▁▁▁"),
        ([(0, 1e308), (1, 0.0), (2, -1e308)], 2, 10, "█▅▁"),
        ([(0, 5e-324), (1, 0.0)], 1, 10, "▁▁"),
    ],
)
def test_a_sparkline_falls_with_the_best_loss(improvements, last, width, expected):
    bars = sparkline(improvements, last, width)
    assert bars.replace("▄", "▅") == expected
    in_ascii = sparkline(improvements, last, width, ascii_only=True)
    assert in_ascii == bars.translate(str.maketrans(BARS, ASCII_BARS))
