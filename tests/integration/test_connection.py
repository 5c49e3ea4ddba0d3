"""Sessions of the ledger: timeouts on both sides, and no session that is idle in a transaction."""

import psycopg
import pytest

from ledger.database.connection import connect, driver, engine

SETTINGS = "select name, setting from pg_settings where name = any(%s)"


def settings(connection, *names):
    return dict(connection.execute(SETTINGS, [list(names)]).fetchall())


def test_statements_and_idle_transactions_have_a_timeout(url):
    with connect(url) as plain, engine(url, statement_seconds=2.5).connect() as administrators:
        below = driver(administrators)
        for connection, statement in ((plain, "10000"), (below, "2500")):
            found = settings(connection, "statement_timeout", "idle_in_transaction_session_timeout")
            assert found == {"statement_timeout": statement, "idle_in_transaction_session_timeout": "20000"}
        with pytest.raises(psycopg.errors.QueryCanceled):
            below.execute("select pg_sleep(60)")


def test_the_urls_own_timeout_is_respected(url):
    with connect(f"{url} options='-c statement_timeout=77s'") as connection:
        assert settings(connection, "statement_timeout") == {"statement_timeout": "77000"}
        assert connection.answer_seconds == 77 * 1.5
    with connect(f"{url} options='-c statement_timeout=0'") as connection:
        assert connection.answer_seconds is None


def test_dead_peers_are_noticed_at_both_ends(url):
    with connect(url) as connection:
        asked = {option.keyword.decode(): option.val for option in connection.pgconn.info}
        assert (asked["keepalives_idle"], asked["tcp_user_timeout"]) == (b"10", b"20000")
        if not str(connection.info.host).startswith("/"):
            found = settings(connection, "tcp_keepalives_idle", "tcp_user_timeout")
            assert found == {"tcp_keepalives_idle": "10", "tcp_user_timeout": "20000"}
