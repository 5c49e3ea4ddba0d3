"""While the database is away: what passes, how long to wait, when to give up."""

import socket
import threading
import time

import click
import psycopg
import pytest
from psycopg import errors

from ledger.cli.options import settings_options
from ledger.database import retry
from ledger.database.connection import Unreachable, connect
from ledger.database.retry import LONGEST_PAUSE, Patience, persist
from ledger.errors import LedgerError


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

    monkeypatch.setattr(time, "monotonic", lambda: Clock.now)
    return Clock


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("server closed the connection unexpectedly"),
        errors.AdminShutdown("terminating connection due to administrator command"),
        errors.TooManyConnections("sorry"),
        errors.QueryCanceled("canceling statement due to statement timeout"),
        errors.ReadOnlySqlTransaction("cannot execute UPDATE in a read-only transaction"),
        errors.IdleInTransactionSessionTimeout("terminating connection"),
        errors.DiskFull("no space left"),
        Unreachable("too many clients", not_now=True),
    ],
)
def test_what_passes_is_waited_for(error):
    assert Patience(60).passes(error)


@pytest.mark.parametrize(
    "error",
    [
        errors.InsufficientPrivilege("permission denied"),
        errors.UndefinedFunction("no such function"),
        errors.CheckViolation("loss_is_finite"),
        errors.DatabaseDropped("gone"),
        LedgerError("study s has a manager already"),
        ValueError("a bug"),
    ],
)
def test_what_does_not_pass_is_told_at_once(error):
    assert not Patience(60).passes(error)


def test_a_server_that_was_never_reached_may_be_misspelt_and_one_that_was_comes_back():
    refused = Unreachable("Connection refused", not_now=False)
    patience = Patience(60)
    assert not patience.passes(refused)
    patience.worked()
    assert patience.passes(refused)
    other = Patience(60)
    other.failed(psycopg.OperationalError("server closed the connection unexpectedly"))
    assert other.passes(refused)


def test_a_server_that_hangs_up_is_there_and_one_that_refuses_may_be_misspelt():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        hangs_up = threading.Thread(target=lambda: server.accept()[0].close())
        hangs_up.start()
        with pytest.raises(Unreachable, match="it will take connections again") as caught:
            connect(f"host=127.0.0.1 port={port} sslmode=disable gssencmode=disable")
        hangs_up.join()
    assert Patience(60).passes(caught.value)
    with pytest.raises(Unreachable, match="Connection refused; check --database-url") as refused:
        connect(f"host=127.0.0.1 port={port}")
    assert not Patience(60).passes(refused.value)


def test_pauses_grow_with_jitter_up_to_a_limit_and_begin_anew_after_success(clock):
    patience = Patience(1e9)
    pauses = [patience.failed(psycopg.OperationalError("x")) for _ in range(20)]
    bounds = [min(0.1 * 2**index, LONGEST_PAUSE) for index in range(20)]
    assert all(bound / 2 <= pause <= bound for pause, bound in zip(pauses, bounds, strict=True))
    assert len(set(pauses)) == 20
    patience.worked()
    assert patience.failed(psycopg.OperationalError("x")) <= 0.1


def test_giving_up_ends_in_one_line_that_says_why(clock):
    patience = Patience(60)
    patience.failed(psycopg.OperationalError("connection is lost\nmore of it"))
    clock.now = 59.9
    assert patience.failed(psycopg.OperationalError("Connection refused")) <= 0.1 + 1e-9
    clock.now = 60.0
    with pytest.raises(LedgerError, match=r"gave up after 60 s .*--give-up-after.*: Connection refused;") as caught:
        patience.failed(psycopg.OperationalError("Connection refused"))
    assert "\n" not in str(caught.value)


def test_a_reason_is_logged_when_it_is_new(monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(retry, "say", lambda _logger, _event, message, **_fields: said.append(message))
    patience = Patience(60)
    for reason in ("refused", "refused", "starting up", "starting up"):
        patience.failed(psycopg.OperationalError(reason))
    patience.worked()
    patience.worked()
    assert said[:2] == ["refused; trying again", "starting up; trying again"]
    assert [message.split(",")[0] for message in said[2:]] == ["the database answers again"]


def test_a_task_is_done_again_from_its_beginning_until_it_works():
    answers = iter([errors.TooManyConnections("sorry"), Unreachable("refused", not_now=False), "done"])

    def task():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    pauses: list[float] = []
    assert persist(task, Patience(60), pauses.append) == "done"
    assert len(pauses) == 2


def test_failures_far_apart_are_no_long_outage(clock):
    patience = Patience(3600)
    patience.failed(psycopg.OperationalError("x"))
    clock.now = 7200.0
    assert patience.failed(psycopg.OperationalError("x")) > 0, "it tries again"


def test_a_command_that_starts_over_says_that_it_may_have_been_done_already(monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    answers = iter([psycopg.OperationalError("lost"), LedgerError("trial 1 was retried as trial 2")])

    @click.command()
    @settings_options
    def command(settings):
        raise next(answers)

    with pytest.raises(LedgerError, match="as trial 2; the connection was lost meanwhile, so this command may have"):
        command.main([], standalone_mode=False)
