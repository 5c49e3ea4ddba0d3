"""Retries while the database is unavailable: transient errors, pauses, and the limit."""

import logging
import socket
import threading
import time

import click
import psycopg
import pytest
from psycopg import errors

from ledger.cli.options import settings_options
from ledger.database.connection import ServerUnreachable, connect
from ledger.database.retry import LONGEST_PAUSE, OutageTooLong, RetryPolicy, call_with_retries
from ledger.errors import LedgerError


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

    monkeypatch.setattr(time, "monotonic", lambda: Clock.now)
    return Clock


@pytest.fixture
def messages():
    """The messages logged about the database; also where a test before this one has set the log up."""
    logged: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: logged.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("ledger.database")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield logged
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(handler)


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
        ServerUnreachable("too many clients", not_now=True),
    ],
)
def test_an_outage_is_transient(error):
    assert RetryPolicy(60).is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        errors.InsufficientPrivilege("permission denied"),
        errors.UndefinedFunction("no such function"),
        errors.CheckViolation("loss_is_finite"),
        errors.DatabaseDropped("gone"),
        LedgerError("study s has a manager"),
        ValueError("a bug"),
    ],
)
def test_a_wrong_statement_is_not_transient(error):
    assert not RetryPolicy(60).is_transient(error)


def test_an_unreachable_server_is_transient_once_it_was_reached():
    refused = ServerUnreachable("Connection refused", not_now=False)
    policy = RetryPolicy(60)
    assert not policy.is_transient(refused)
    policy.succeeded()
    assert policy.is_transient(refused)
    other = RetryPolicy(60)
    other.failed(psycopg.OperationalError("server closed the connection unexpectedly"))
    assert other.is_transient(refused)


def test_a_closed_connection_is_transient_and_a_refused_one_is_not():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        hangs_up = threading.Thread(target=lambda: server.accept()[0].close())
        hangs_up.start()
        with pytest.raises(ServerUnreachable, match="it will accept connections again") as caught:
            connect(f"host=127.0.0.1 port={port} sslmode=disable gssencmode=disable")
        hangs_up.join()
    assert RetryPolicy(60).is_transient(caught.value)
    with pytest.raises(ServerUnreachable, match="Connection refused; check --database-url") as refused:
        connect(f"host=127.0.0.1 port={port}")
    assert not RetryPolicy(60).is_transient(refused.value)


def test_pauses_grow_up_to_a_limit_and_start_again_after_success(clock):
    policy = RetryPolicy(1e9)
    pauses = [policy.failed(psycopg.OperationalError("x")) for _ in range(20)]
    bounds = [min(0.1 * 2**index, LONGEST_PAUSE) for index in range(20)]
    assert all(bound / 2 <= pause <= bound for pause, bound in zip(pauses, bounds, strict=True))
    assert len(set(pauses)) == 20
    policy.succeeded()
    assert policy.failed(psycopg.OperationalError("x")) <= 0.1


def test_too_long_an_outage_is_reported_in_one_line_with_its_reason(clock):
    policy = RetryPolicy(60)
    policy.failed(psycopg.OperationalError("connection is lost\nmore of it"))
    clock.now = 59.9
    assert policy.failed(psycopg.OperationalError("Connection refused")) <= 0.1 + 1e-9
    clock.now = 60.0
    with pytest.raises(
        OutageTooLong, match=r"gave up after .* for 60 s .*--give-up-after.*: Connection refused;"
    ) as caught:
        policy.failed(psycopg.OperationalError("Connection refused"))
    assert "\n" not in str(caught.value)


def test_a_reason_is_logged_when_it_is_new(messages):
    policy = RetryPolicy(60)
    for reason in ("refused", "refused", "starting up", "starting up"):
        policy.failed(psycopg.OperationalError(reason))
    policy.succeeded()
    policy.succeeded()
    assert messages[:2] == ["refused; trying again", "starting up; trying again"]
    assert [message.split(",")[0] for message in messages[2:]] == ["the database answers again"]


def test_a_full_disk_is_logged_once_although_the_files_differ(clock, messages):
    policy = RetryPolicy(1e9)
    for number in range(100):
        clock.now = 2.0 * number
        policy.failed(errors.DiskFull(f'could not extend file "base/5/{number}": No space left on device'))
        if number % 3:
            policy.succeeded()
    assert [message.split(",")[0] for message in messages] == [
        'could not extend file "base/5/0": No space left on device; the database\'s disk is full: make room on it;'
        " trying again",
        "the database answers again",
    ]
    policy.failed(psycopg.OperationalError("Connection refused"))
    assert messages[2:] == ["Connection refused; trying again"]
    clock.now = 300.0
    policy.failed(errors.DiskFull("no space left"))
    assert messages[3].endswith("make room on it; trying again")
    policy.failed(ServerUnreachable("no space left; the database's disk is full: make room on it", not_now=True))
    assert len(messages) == 4


def test_a_task_is_repeated_from_its_beginning_until_it_succeeds():
    answers = iter([errors.TooManyConnections("sorry"), ServerUnreachable("refused", not_now=False), "done"])

    def task():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    pauses: list[float] = []
    assert call_with_retries(task, RetryPolicy(60), pauses.append) == "done"
    assert len(pauses) == 2


def test_failures_far_apart_are_not_one_outage(clock):
    policy = RetryPolicy(3600)
    policy.failed(psycopg.OperationalError("x"))
    clock.now = 7200.0
    assert policy.failed(psycopg.OperationalError("x")) < 1


def test_a_repeated_command_says_that_it_may_have_succeeded_before(monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    answers = iter([psycopg.OperationalError("lost"), LedgerError("trial 1 was retried as trial 2")])

    @click.command()
    @settings_options
    def command(settings):
        raise next(answers)

    with pytest.raises(LedgerError, match="as trial 2; the command lost the connection .*, so the ledger may already"):
        command.main([], standalone_mode=False)
