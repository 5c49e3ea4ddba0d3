"""The live view of a running study: no failure of the view ends the study."""

import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

import pytest

from ledger import logs
from ledger.database import protocol, studies
from ledger.database.rows import StudyRow
from ledger.logs import log_event
from ledger.terminal import live
from ledger.terminal.live import LiveView, pause
from tests.integration.ledgers import make_study, take
from tests.system.programs import wait_until


class FakeTerminal(io.StringIO):
    """A terminal in memory. A broken one refuses every write."""

    broken = False

    def isatty(self) -> bool:
        return True

    def write(self, said: str) -> int:
        if self.broken:
            raise OSError("the terminal is gone")
        return super().write(said)


@pytest.fixture
def screen(monkeypatch) -> FakeTerminal:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(live, "INTERVAL", 0.02)
    return FakeTerminal()


@contextmanager
def viewing(screen: FakeTerminal, url: str, row: StudyRow) -> Iterator[tuple[LiveView, io.StringIO]]:
    """A live view, and the standard error that it does not draw on."""
    stderr = io.StringIO()
    with redirect_stderr(stderr):
        logs.set_up("text", "info")
        with LiveView(url, row.id, 10, screen) as view:
            yield view, stderr
        assert sys.stderr is stderr


def shows(stream: io.StringIO, said: str) -> None:
    wait_until(lambda: said in stream.getvalue())


def drawn_last(screen: FakeTerminal) -> str:
    return screen.getvalue().rpartition("since its start")[2]


def test_log_lines_appear_above_the_view(screen, url, db, connection):
    row = make_study(db)
    manager = logging.getLogger("ledger.manager")
    with viewing(screen, url, row) as (view, stderr):
        shows(screen, "4 pending")
        protocol.complete(connection, take(connection), 0.125, {}, 1.0)
        wait_until(lambda: "0.875" in drawn_last(screen))
        os.write(view.output, b"said by a worker\n")
        log_event(logging.getLogger("ledger.worker"), "event", "said by this process")
        log_event(manager, "proposed", "what the view shows")
        log_event(manager, "lost", "what it does not", level=logging.WARNING)
        for said in ("said by a worker", "said by this process", "what it does not"):
            shows(screen, said)
    assert "what the view shows" not in screen.getvalue()
    log_event(manager, "proposed", "and afterwards")
    assert stderr.getvalue().count("\n") == 1
    assert "and afterwards" in stderr.getvalue()


def test_a_view_that_cannot_be_drawn_ends_and_log_lines_continue(screen, url, db):
    with viewing(screen, url, make_study(db)) as (view, stderr):
        shows(screen, "4 pending")
        screen.broken = True
        shows(stderr, "the live view ended, but the study continues: OSError: the terminal is gone")
        log_event(logging.getLogger("ledger.manager"), "proposed", "the manager's lines")
        os.write(view.output, b"the workers' lines\n")
        for said in ("the manager's lines", "the workers' lines"):
            shows(stderr, said)
    assert stderr.getvalue().count("the live view ended") == 1


def test_a_terminal_that_refuses_the_first_write_ends_the_view_alone(screen, url, db):
    screen.broken = True
    with viewing(screen, url, make_study(db)) as (_, stderr):
        assert "the live view ended" in stderr.getvalue()


def test_the_whole_output_of_workers_is_copied(screen, url, db):
    with viewing(screen, url, make_study(db)) as (view, stderr):
        with open(view.output, "w", closefd=False) as output:
            for number in range(30_000):
                output.write(f"<{number}>\n")
            output.write("without an end")
        shows(screen, "<29999>")
    assert [f"<{number}>" in screen.getvalue() for number in (0, 12_345, 29_999)] == [True] * 3
    assert "without an end" in screen.getvalue() + stderr.getvalue()


def test_the_view_reports_an_outage_of_the_database_and_recovers(screen, url, db, connection):
    with viewing(screen, url, make_study(db)) as (_, stderr):
        shows(screen, "4 pending")
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'ledger view' and datname = current_database()"
        )
        shows(screen, "because the database does not answer: terminating connection")
        take(connection)
        wait_until(lambda: "1 running" in drawn_last(screen))
        assert "does not answer" not in drawn_last(screen)
    assert stderr.getvalue() == ""


def test_deleting_the_study_ends_its_view(screen, url, db):
    row = make_study(db)
    with viewing(screen, url, row) as (view, stderr):
        shows(screen, "4 pending")
        studies.delete(db, row)
        wait_until(view._ended.is_set)
    assert stderr.getvalue() == ""


def test_a_slow_reading_is_repeated_less_often():
    assert pause(0.0) == pause(0.01) == live.INTERVAL
    assert pause(2.0) == pytest.approx(40.0)
