"""More workers than the server's connection limit complete all trials, and no worker crashes."""

import threading
import uuid

import psycopg

from ledger.database import migration, protocol, trials
from ledger.database.connection import engine
from ledger.database.retry import RetryPolicy
from ledger.database.session import ReconnectingSession
from tests.integration.ledgers import claim_one, make_study
from tests.system.programs import wait_until
from tests.system.servers import Server

WORKERS, TRIALS = 200, 600
REFUSED = "raise max_connections, start fewer workers"


def test_200_workers_of_a_server_with_100_connections_do_all_the_work(tmp_path, caplog):
    caplog.set_level("WARNING", "ledger")
    with Server(tmp_path, max_connections=100) as server:
        with engine(server.url).connect() as connection:
            migration.upgrade(connection)
            db = connection
            study = make_study(db, trials=TRIALS)
            done: list[int] = []
            errors: list[BaseException] = []
            all_done, contended = threading.Event(), threading.Event()

            def work(number: int) -> None:
                session = ReconnectingSession(
                    server.url, f"ledger worker {number}", 10.0, RetryPolicy(120), protocol.listen, all_done.wait
                )
                try:
                    session.call(keep_connection)
                    contended.wait()
                    while held := session.call(claim_one, "s", uuid.uuid4(), f"w{number}"):
                        assert session.call(protocol.complete, held, 0.5, {}, 0.0) == "recorded"
                        done.append(held.trial)
                        if len(done) == TRIALS:
                            # workers that wait for a connection can stop waiting
                            all_done.set()
                    # a worker with a connection keeps it, like an idle worker
                    all_done.wait()
                except BaseException as error:
                    errors.append(error)
                finally:
                    session.close()

            threads = [threading.Thread(target=work, args=(number,)) for number in range(WORKERS)]
            for thread in threads:
                thread.start()
            try:
                # no worker begins to work before the server has refused another worker
                wait_until(lambda: any(REFUSED in record.getMessage() for record in caplog.records), 100)
            finally:
                contended.set()
                for thread in threads:
                    thread.join()
            assert errors == []
            assert sorted(done) == list(range(TRIALS))
            assert not any(trial.is_open for trial in trials.all_of(db, study.id))
        with psycopg.connect(server.url) as plain:
            attempts = plain.execute(
                "select count(*), count(distinct trial), count(*) filter (where outcome = 'complete')"
                " from ledger.attempt"
            ).fetchone()
        assert attempts == (TRIALS,) * 3
    assert all("\n" not in record.getMessage() for record in caplog.records)


def keep_connection(_connection: object) -> None:
    """Call nothing: the session keeps the connection."""
