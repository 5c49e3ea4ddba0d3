"""The faults of the proxy, which the tests of outages depend on."""

import threading
import time

import psycopg
import pytest

from tests.system.programs import PATIENCE, wait_until
from tests.system.proxy import Proxy
from tests.system.servers import Server


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("server")) as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("create table done (what text)")
        yield server


@pytest.fixture
def proxy(postgres):
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("truncate done")
    with Proxy(postgres.port) as proxy:
        yield proxy


@pytest.fixture
def connect(proxy, postgres):
    opened = []

    def connect(role="test", **parameters):
        connection = psycopg.connect(proxy.url(postgres.url), application_name=role, autocommit=True, **parameters)
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def in_background():
    """Start a function in a thread. Returns a function that waits for its result or exception."""
    threads = []

    def start(function, *arguments):
        result = []

        def run():
            try:
                result.append(function(*arguments))
            except psycopg.Error as error:
                result.append(error)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return result

    yield start
    for thread in threads:
        thread.join()


def done(postgres):
    with psycopg.connect(postgres.url) as connection:
        return [what for (what,) in connection.execute("select what from done")]


def write(connection, what):
    return connection.execute("insert into done values (%s) returning what", [what]).fetchone()


def test_it_forwards_and_knows_its_clients_and_their_statements(proxy, connect, postgres, in_background):
    one, other = connect("one"), connect("other")
    assert sorted(link.role for link in proxy.links) == ["one", "other"]
    assert proxy.in_flight == []
    for _ in range(8):  # psycopg prepares frequent statements
        assert one.execute("select 1 as x, %s", ["y" * 200_000]).fetchone() == (1, "y" * 200_000)
    assert one.execute("select 7", prepare=False).fetchone() == (7,)
    with one.pipeline():
        cursors = [one.execute("select %s::int", [number]) for number in range(5)]
    assert [cursor.fetchone() for cursor in cursors] == [(number,) for number in range(5)]
    assert proxy.in_flight == []
    result = in_background(other.execute, "select pg_sleep(1000) /* long */")
    (link,) = wait_until(lambda: proxy.in_flight)
    assert link.role == "other"
    assert "long" in link.statement
    with psycopg.connect(postgres.url) as connection:
        # a server forgets a cancellation that comes before its statement
        wait_until(
            lambda: connection.execute("select from pg_stat_activity where wait_event = 'PgSleep'").rowcount == 1
        )
    other.cancel_safe()
    wait_until(lambda: result)
    assert proxy.in_flight == []
    one.close()
    wait_until(lambda: [link.role for link in proxy.links] == ["other"])


def test_a_cut_connection_is_lost_and_another_is_not(proxy, connect, postgres):
    one, other = connect("one"), connect("other")
    (link,) = proxy.cut(lambda link: link.role == "one")
    assert link.role == "one"
    with pytest.raises(psycopg.OperationalError):
        write(one, "lost")
    assert write(other, "kept") == ("kept",)
    assert done(postgres) == ["kept"]
    with psycopg.connect(postgres.url) as connection:
        wait_until(
            lambda: connection.execute("select from pg_stat_activity where application_name = 'one'").rowcount == 0
        )


def test_a_delayed_connection_answers_later(proxy, connect):
    connection = connect()
    proxy.delay(0.05)
    started = time.monotonic()
    assert connection.execute("select 1").fetchone() == (1,)
    assert time.monotonic() - started >= 0.1
    proxy.resume()


@pytest.mark.parametrize(("to_server", "to_client"), [(True, True), (True, False), (False, True)])
def test_a_stalled_connection_stays_open_and_goes_on_where_it_was(
    proxy, connect, postgres, in_background, to_server, to_client
):
    connection = connect()
    proxy.stall(to_server=to_server, to_client=to_client)
    result = in_background(write, connection, "late")
    wait_until(lambda: proxy.in_flight)
    if not to_server:
        wait_until(lambda: done(postgres) == ["late"])
    assert not result
    if to_server:
        assert done(postgres) == []
    proxy.resume()
    wait_until(lambda: result)
    assert result == [("late",)]
    assert done(postgres) == ["late"]


def test_new_connections_to_a_stalled_proxy_hang(proxy, connect, in_background):
    proxy.stall()
    with pytest.raises(psycopg.errors.ConnectionTimeout):
        connect(connect_timeout=2)
    result = in_background(lambda: connect("patient").execute("select 1").fetchone())
    wait_until(lambda: len(proxy.links) == 2)
    assert not result
    proxy.resume()
    wait_until(lambda: result)
    assert result == [(1,)]


def test_a_silent_network_acknowledges_nothing(proxy, connect, postgres, in_background):
    connection = connect("one", tcp_user_timeout=2000)
    other = connect("other")
    proxy.silence()
    result = in_background(write, connection, "lost")
    wait_until(lambda: [link.role for link in proxy.in_flight] == ["one"])
    wait_until(lambda: result)
    assert isinstance(result[0], psycopg.OperationalError)
    assert "timed out" in str(result[0])
    with pytest.raises(psycopg.errors.ConnectionTimeout):
        connect(connect_timeout=2)
    assert done(postgres) == []
    proxy.resume()
    assert write(other, "kept") == ("kept",)
    # the proxy notices after the silence that the client has gone
    wait_until(lambda: [link.role for link in proxy.links if link.role] == ["other"])


def test_a_refusing_proxy_keeps_what_is_open(proxy, connect):
    connection = connect()
    proxy.refuse()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        connect()
    assert connection.execute("select 1").fetchone() == (1,)
    proxy.resume()
    assert connect().execute("select 1").fetchone() == (1,)


def test_a_lost_acknowledgement_is_of_a_statement_that_was_done(proxy, connect, postgres):
    connection, other = connect("one"), connect("other")
    trap = proxy.lose_answer(lambda link: "insert" in link.statement)
    assert other.execute("select 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError):
        write(connection, "done")
    assert trap.sprung.is_set()
    assert trap.link.role == "one"
    assert done(postgres) == ["done"]
    assert write(other, "next") == ("next",)


@pytest.mark.parametrize("prepared", [False, True])
def test_a_late_statement_is_done_after_its_client_was_disconnected(proxy, connect, postgres, prepared):
    connection, other = connect("one"), connect("other")
    for _ in range(8 if prepared else 0):
        write(connection, "before")
    trap = proxy.deliver_late(1.0, lambda link: link.role == "one" and "insert" in link.statement)
    with pytest.raises(psycopg.OperationalError):
        write(connection, "late")
    assert trap.sprung.is_set()
    assert write(other, "repeated") == ("repeated",)
    assert "late" not in done(postgres)
    assert [link.role for link in proxy.links] == ["other"]
    proxy.silence(lambda link: link.role == "one")
    proxy.resume()
    wait_until(lambda: "late" in done(postgres))
    assert write(other, "next") == ("next",)


@pytest.mark.parametrize("answer", [False, True])
@pytest.mark.parametrize("prepared", [False, True])
def test_a_trap_stops_a_statement_before_or_after_it_is_done(proxy, connect, postgres, in_background, answer, prepared):
    connection = connect()
    for _ in range(8 if prepared else 0):
        write(connection, "before")
    trap = proxy.trap(lambda link: "insert" in link.statement, answer=answer)
    result = in_background(write, connection, "trapped")
    assert trap.sprung.wait(PATIENCE)
    assert proxy.in_flight == [trap.link]
    assert not result
    assert ("trapped" in done(postgres)) == answer
    proxy.cut(lambda link: link is trap.link)
    wait_until(lambda: result)
    assert isinstance(result[0], psycopg.OperationalError)
    wait_until(lambda: not proxy.links)
    assert ("trapped" in done(postgres)) == answer


def test_a_released_trap_lets_the_statement_go_on(proxy, connect, in_background):
    connection = connect()
    trap = proxy.trap(lambda link: True, answer=True)
    result = in_background(lambda: connection.execute("select 5").fetchone())
    assert trap.sprung.wait(PATIENCE)
    assert not result
    proxy.release(trap)
    wait_until(lambda: result)
    assert result == [(5,)]


def test_clients_of_a_server_that_is_away_are_turned_away(proxy, connect, postgres):
    connection = connect()
    postgres.kill()
    with pytest.raises(psycopg.OperationalError):
        connection.execute("select 1")
    with pytest.raises(psycopg.OperationalError):
        connect()
    postgres.start()
    assert connect().execute("select 1").fetchone() == (1,)
