"""TLS options in the URL: a server without the right certificate is refused."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import trustme
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ledger.database import migration, revision
from ledger.database.connection import connect, engine
from ledger.errors import LedgerError
from tests.integration.test_privileges import said
from tests.roles import LOGINS, PASSWORD, make_roles
from tests.system.programs import wait_until

# the embedded server has no TLS
pytestmark = pytest.mark.container

Files = dict[str, str]

# network connections need TLS and SCRAM
RULES = "local all all trust\nhostssl all all all scram-sha-256\nhostnossl all all all reject\n"


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Files]:
    """Create the authority that signs the server's certificate, and another one."""
    folder = tmp_path_factory.mktemp("authorities")
    authority = trustme.CA()
    files = {"right": folder / "right.pem", "wrong": folder / "wrong.pem", "none": folder / "none.pem"}
    authority.cert_pem.write_to_path(str(files["right"]))
    trustme.CA().cert_pem.write_to_path(str(files["wrong"]))
    return authority, {name: str(file) for name, file in files.items()}


@pytest.fixture(scope="module")
def superuser() -> Iterator[psycopg.Connection[Any]]:
    """Yield a superuser's session on a separate server, opened before the server requires TLS."""
    from testcontainers.community.postgres import PostgresContainer
    from testcontainers.core.config import testcontainers_config

    testcontainers_config.ryuk_disabled = True
    with (
        PostgresContainer("postgres:17", driver=None) as container,
        psycopg.connect(container.get_connection_url(), autocommit=True, client_encoding="UTF8") as superuser,
    ):
        yield superuser


@pytest.fixture(scope="module")
def of(superuser: psycopg.Connection[Any], authorities: tuple[trustme.CA, Files]) -> Callable[..., str]:
    """Return a function from a role and options to a URL, for a server that requires TLS."""
    info = superuser.info
    issued = authorities[0].issue_cert("ledger.example", info.host)
    files = {
        "server.crt": b"".join(part.bytes() for part in issued.cert_chain_pems).decode(),
        "server.key": issued.private_key_pem.bytes().decode(),
        "pg_hba.conf": RULES,
    }
    server = make_conninfo(host=info.host, port=info.port, dbname=info.dbname, user=info.user, password=info.password)
    of_role = make_roles(server)
    for name, content in files.items():
        # into the data folder, readable only for the server's user
        lines = sql.Literal(content.splitlines())
        program = sql.Literal(f"umask 077; cat >{name}")
        superuser.execute(sql.SQL("copy (select unnest({}::text[])) to program {}").format(lines, program))
    set_tls(superuser, "on")
    wait_until(lambda: tls_in_use(make_conninfo(server, sslmode="require")))
    return lambda role="ledger_owner", **options: make_conninfo(of_role(role), **options)


def tls_in_use(url: str) -> bool:
    with psycopg.connect(url) as connection:
        return bool(connection.pgconn.ssl_in_use)


def set_tls(superuser: psycopg.Connection[Any], value: str) -> None:
    superuser.execute(sql.SQL("alter system set ssl = {}").format(sql.Literal(value)))
    superuser.execute("select pg_reload_conf()")


@pytest.mark.parametrize("name", [None, "ledger.example"])
def test_a_server_with_a_trusted_certificate_is_used_with_tls_and_scram(of, superuser, authorities, name):
    url = of(sslmode="verify-full", sslrootcert=authorities[1]["right"], require_auth="scram-sha-256")
    if name:
        url = make_conninfo(url, host=name, hostaddr=superuser.info.hostaddr)
    with connect(url) as connection:
        assert connection.pgconn.ssl_in_use
        assert connection.pgconn.used_password


def test_passwords_are_kept_as_scram_hashes(of, superuser):
    asked = "select rolpassword from pg_authid where rolname = any (%s)"
    kept = superuser.execute(asked, (list(LOGINS.values()),)).fetchall()
    assert len(kept) == 4
    assert all(password.startswith("SCRAM-SHA-256$") for (password,) in kept)


def test_every_program_connects_by_tls(of, authorities):
    options = {"sslmode": "verify-full", "sslrootcert": authorities[1]["right"]}
    assert "revision" in said(of(**options), "db", "upgrade")
    for role in ("ledger_manager", "ledger_worker", "ledger_reader"):
        assert "is healthy" in said(of(role, **options), "db", "check")
    with engine(of("ledger_reader", **options)).connect() as connection:
        assert migration.current(connection) == revision.head()


@pytest.mark.parametrize(
    ("authority", "options", "reason"),
    [
        ("wrong", {}, "certificate verify failed"),
        ("none", {}, "root certificate file"),
        ("right", {"host": "other.example"}, 'does not match host name "other.example"'),
        ("right", {"sslmode": "disable"}, "no encryption"),
        ("right", {"password": "guessed"}, "password authentication failed"),
    ],
    ids=["wrong authority", "no authority", "wrong name", "no TLS", "wrong password"],
)
def test_a_wrong_server_or_login_is_refused_without_showing_the_password(
    of, superuser, authorities, authority, options, reason
):
    options = {"hostaddr": superuser.info.hostaddr, **options}
    url = of(**{"sslmode": "verify-full", "sslrootcert": authorities[1][authority], **options})
    with pytest.raises(LedgerError) as caught:
        connect(url)
    message = str(caught.value)
    assert message.startswith("cannot connect to database ")
    assert reason in message
    assert "\n" not in message
    assert PASSWORD not in message
    assert "guessed" not in message


def test_a_server_without_tls_is_refused_where_tls_is_asked_for(of, superuser, authorities):
    url = of(sslmode="verify-full", sslrootcert=authorities[1]["right"])

    def refusal() -> str | None:
        try:
            connect(url).close()
        except LedgerError as error:
            return str(error)
        return None

    set_tls(superuser, "off")
    try:
        message = wait_until(refusal)
    finally:
        set_tls(superuser, "on")
    wait_until(lambda: refusal() is None)
    assert "server does not support SSL, but SSL was required" in message
    assert "\n" not in message
    assert PASSWORD not in message
