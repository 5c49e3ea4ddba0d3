"""The properties of the test server that other tests depend on."""

import psycopg
import pytest

from tests.system.programs import alive
from tests.system.servers import VERSIONS, Server


@pytest.fixture(scope="module", params=VERSIONS)
def postgres(tmp_path_factory, request):
    with Server(tmp_path_factory.mktemp("server"), version=request.param, max_connections=17) as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("create table kept (how text)")
        yield server


@pytest.mark.parametrize("mode", ["smart", "fast", "immediate", "kill"])
def test_commits_survive_every_kind_of_restart(postgres, mode):
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("insert into kept values (%s)", [mode])
    log = postgres.log.stat().st_size
    postgres.restart(mode)
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("select count(*) from kept where how = %s", [mode]).fetchone() == (1,)
        assert connection.execute("show max_connections").fetchone() == ("17",)
        assert connection.execute("show fsync").fetchone() == ("on",)
    recovered = "automatic recovery in progress" in postgres.log.read_text()[log:]
    assert recovered == (mode in ("immediate", "kill"))


@pytest.mark.parametrize("mode", ["fast", "immediate", "kill"])
def test_a_client_loses_its_connection_by_a_restart(postgres, mode):
    with psycopg.connect(postgres.url) as connection:
        postgres.restart(mode)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select")


def test_settings_hold_from_the_next_start(postgres):
    postgres.settings["default_transaction_read_only"] = "on"
    postgres.restart()
    with psycopg.connect(postgres.url) as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("insert into kept values ('never')")
    del postgres.settings["default_transaction_read_only"]
    postgres.restart()


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_is_left_of_a_server_that_was_killed(tmp_path, version):
    with Server(tmp_path, version=version) as server:
        processes = server.processes
        assert len(processes) > 3
        server.kill()
        assert not any(alive(pid) for pid in processes)
        assert not server.is_running
    assert not server.is_running
    assert not server.data.exists()
