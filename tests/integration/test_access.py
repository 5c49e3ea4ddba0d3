"""`ledger access`: each service has a login of its own, and no login can prevent the sessions of another one."""

import base64
import hashlib
import hmac
import io
import json
import re
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from unittest import mock

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ledger.database import connection as connections
from ledger.database import protocol
from ledger.database.connection import ServerUnreachable, connect, engine
from ledger.database.login_kinds import KINDS, LIMITS
from ledger.errors import UsageError
from ledger.resources import folder
from tests.databases import new_database, upgrade
from tests.fuzz import run
from tests.integration.ledgers import make_study, take
from tests.roles import LOGINS, PASSWORD, make_roles

Access = Callable[..., tuple[int, str, str]]


def run_with_input(words: list[str], environment: dict[str, str], text: str) -> tuple[int, str, str]:
    """Run the program with standard input; the answers to a hidden prompt are its lines, too."""
    with (
        mock.patch.object(sys, "stdin", io.StringIO(text)),
        mock.patch("click.termui.hidden_prompt_func", side_effect=text.splitlines()),
    ):
        return run(words, environment)


@pytest.fixture
def ledger(url: str) -> str:
    """Return the URL of a superuser of a ledger with the four roles."""
    make_roles(url)
    upgrade(url)
    return url


@pytest.fixture
def access(ledger: str, tmp_path, monkeypatch) -> Iterator[Access]:
    """Yield a function that runs `ledger access`, and drop the logins that it added."""
    monkeypatch.chdir(tmp_path)
    added: list[str] = []

    def access(*arguments: str, text: str = "", database: str = ledger) -> tuple[int, str, str]:
        if arguments[0] == "add":
            added.append(arguments[1])
        return run_with_input(["access", *arguments], {"DATABASE_URL": database}, text)

    yield access
    with psycopg.connect(ledger, autocommit=True) as superuser:
        # a refused name is that of no role, or of one that must stay
        for name in (name for name in added if name.startswith("worker-")):
            superuser.execute(sql.SQL("drop role if exists {}").format(sql.Identifier(name)))


@pytest.fixture
def name() -> str:
    """Return a name that no other test uses, because roles belong to the whole server."""
    return f"worker-{uuid.uuid4().hex[:8]}"


def as_login(url: str, login: str) -> str:
    """Return the URL for a login, with a password that is set now: the server of a container asks for a password."""
    with psycopg.connect(url, autocommit=True) as superuser:
        superuser.pgconn.change_password(login.encode(), PASSWORD.encode())
    return make_conninfo(url, user=login, password=PASSWORD)


def verifies(stored: str, password: str) -> bool:
    """Whether a SCRAM verifier, as PostgreSQL stores it, is that of the password."""
    _, iterations_and_salt, keys = stored.split("$")
    iterations, salt = iterations_and_salt.split(":")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(iterations))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return base64.b64decode(keys.split(":")[0]) == hashlib.sha256(client_key).digest()


def stored(url: str, name: str) -> str:
    with psycopg.connect(url) as superuser:
        ((verifier,),) = superuser.execute("select rolpassword from pg_authid where rolname = %s", (name,)).fetchall()
    return str(verifier)


def test_a_login_of_its_own_has_the_rights_and_limits_of_its_role(ledger, access, name):
    code, out, error = access("add", name, "--as", "worker")
    assert (code, out.splitlines()[0]) == (0, f"login {name} is created with the rights of ledger_worker")
    password = out.splitlines()[1].removeprefix("password ")
    assert "no command shows the password again" in error
    assert verifies(stored(ledger, name), password)
    with engine(ledger).connect() as db:
        make_study(db)
    with psycopg.connect(make_conninfo(ledger, user=name, password=password), autocommit=True) as worker:
        assert protocol.complete(worker, take(worker), 0.5, {}, 1.0) == "recorded"
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            worker.execute("select from ledger.trials")
        shown = "select current_setting('idle_in_transaction_session_timeout'), current_setting('lock_timeout')"
        assert worker.execute(shown).fetchone() == ("20s", "5s")


@pytest.mark.parametrize(
    ("option", "text"),
    [("--password-stdin", "correct horse\n"), ("--ask-password", "correct horse\ncorrect horse\n")],
)
def test_a_given_password_is_stored_and_not_shown(ledger, access, name, option, text):
    code, out, error = access("add", name, "--as", "reader", option, text=text)
    assert (code, out) == (0, f"login {name} is created with the rights of ledger_reader\n"), error
    assert "correct horse" not in out + error
    assert verifies(stored(ledger, name), "correct horse")


def test_a_login_has_its_limits_in_each_ledger_of_the_server(ledger, server, access):
    with new_database(server) as second:
        make_roles(second)
        upgrade(second)
        for kind in KINDS:
            name = f"worker-{uuid.uuid4().hex[:8]}"
            assert access("add", name, "--as", kind)[0] == 0
            for url in (ledger, second):
                with psycopg.connect(as_login(url, name)) as session:
                    # transaction_timeout exists since PostgreSQL 17
                    known = "select name, current_setting(name) from pg_settings where name = any (%s)"
                    shown: dict[str, str] = dict(session.execute(known, (list(LIMITS[kind]),)).fetchall())
                    assert shown == {limit: LIMITS[kind][limit] for limit in shown}
                    assert {"idle_in_transaction_session_timeout", "lock_timeout"} <= set(shown)
                    acts_as = "ledger_owner" if kind == "owner" else name
                    assert session.execute("select current_user").fetchone() == (acts_as,)


def test_what_an_owners_login_creates_belongs_to_ledger_owner(ledger, access, name):
    assert access("add", name, "--as", "owner")[0] == 0
    with psycopg.connect(as_login(ledger, name), autocommit=True) as owner:
        owner.execute("create table ledger.notes ()")
        asked = "select pg_get_userbyid(relowner) from pg_class where oid = 'ledger.notes'::regclass"
        assert owner.execute(asked).fetchone() == ("ledger_owner",)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("Worker", "cannot be the name of a login: use"),
        ('w"; drop role ledger_owner', "cannot be the name of a login: use"),
        ("a" * 64, "cannot be the name of a login: use"),
        ("pg_worker", "because this name is reserved"),
        ("public", "because this name is reserved"),
        ("ledger_worker", "because this name is reserved"),
    ],
)
def test_a_name_that_is_no_login_is_refused_before_anything_is_written(access, wrong, said):
    for arguments in (["add", wrong, "--as", "worker"], ["remove", wrong]):
        code, out, error = access(*arguments)
        assert (code, out, error.count("\n")) == (2, "", 1)
        assert said in error


@pytest.mark.parametrize("text", ["", "short\n", "with a tab\t\n"])
def test_a_password_that_is_not_usable_is_refused(access, name, text):
    code, out, error = access("add", name, "--as", "worker", "--password-stdin", text=text)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert "8 or more printable characters" in error


def test_a_login_is_added_once_and_named_in_the_list(access, name):
    assert access("add", name, "--as", "manager")[0] == 0
    code, _, error = access("add", name, "--as", "manager")
    assert (code, error.count("\n")) == (1, 1)
    said = f"the login {name} exists already with the rights of ledger_manager, and is valid for every ledger of this"
    assert f"{said} server: choose another name, or remove this login by `ledger access remove {name}`" in error
    (listed,) = [login for login in json.loads(access("list", "--json")[1]) if login["name"] == name]
    assert listed == {"name": name, "kind": "manager", "sessions": 0, "settings": [], "is_removable": True}
    assert [line.split() for line in access("list")[1].splitlines() if name in line] == [[name, "manager", "0", "-"]]


@pytest.mark.parametrize("kind", ["manager", "worker", "reader"])
def test_no_login_takes_over_the_role_that_it_is_a_member_of(ledger, access, name, kind):
    role = f"ledger_{kind}"
    access("add", name, "--as", kind)
    with psycopg.connect(as_login(ledger, name), autocommit=True) as session:
        if session.info.server_version >= 160000:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(f"set role {role}")
        with suppress(psycopg.errors.InsufficientPrivilege):
            # before PostgreSQL 16, a member can act as the role, but this changes no session of another login
            session.execute(f"set role {role}")
            session.execute(f"alter role {role} password 'backdoor99'")
            session.execute(f"alter role {role} set local_preload_libraries = 'missing'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute(f"alter role {role} login")
    code, _, error = access("remove", name)
    assert code == 0, error
    with psycopg.connect(ledger, autocommit=True) as superuser:
        # a server that asks for a password must find it to be right
        superuser.execute(f"alter role {role} password 'backdoor99'")
    with pytest.raises(ServerUnreachable, match=f'role "{role}" is not permitted to log in; .*`ledger access add`'):
        connect(make_conninfo(ledger, user=role, password="backdoor99"))
    with psycopg.connect(ledger, autocommit=True) as superuser:
        superuser.execute(f"alter role {role} password null")
    with psycopg.connect(make_roles(ledger)(role)) as other:
        assert other.execute("select session_user").fetchone() == (LOGINS[role],)


def test_a_login_ends_no_session_of_another_login_of_the_same_role(ledger, access, name):
    access("add", name, "--as", "worker")
    with (
        psycopg.connect(as_login(ledger, name), autocommit=True) as session,
        psycopg.connect(make_roles(ledger)("ledger_worker"), autocommit=True) as other,
    ):
        for end in ("pg_terminate_backend", "pg_cancel_backend"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(f"select {end}(%s)", (other.info.backend_pid,))
        assert other.execute("select 1").fetchone() == (1,)


def test_a_new_login_gets_no_setting_of_its_role(ledger, access, name):
    database = sql.Identifier(str(conninfo_to_dict(ledger)["dbname"]))
    with psycopg.connect(ledger, autocommit=True) as superuser:
        for setting in ("idle_session_timeout = '1ms'", "lock_timeout = '1ms'"):
            statement = "alter role ledger_worker in database {} set " + setting
            superuser.execute(sql.SQL(statement).format(database))
        access("add", name, "--as", "worker")
        with psycopg.connect(as_login(ledger, name)) as worker:
            shown = "select current_setting('idle_session_timeout'), current_setting('lock_timeout')"
            assert worker.execute(shown).fetchone() == ("0", "5s")
        superuser.execute(sql.SQL("alter role ledger_worker in database {} reset all").format(database))


def warned(url: str) -> list[str]:
    """Return the warnings of `ledger db check`."""
    code, out, error = run(["db", "check", "--json"], {"DATABASE_URL": url})
    assert code == 0, error
    return list(json.loads(out)["warnings"])


def older(superuser: psycopg.Connection[Any]) -> None:
    """Give the role of workers what it had in older versions, and what its members could give it."""
    superuser.execute("alter role ledger_worker login password 'backdoor99'")
    superuser.execute("alter role ledger_worker set local_preload_libraries = 'missing'")
    superuser.execute("alter role ledger_worker in database theirs set idle_session_timeout = '1ms'")
    superuser.execute("grant ledger_worker to older")


def test_db_check_names_each_right_that_stops_others_and_its_repair(tmp_path, monkeypatch, own_server):
    """On a separate server, because the test repairs roles and databases of the whole server."""
    monkeypatch.chdir(tmp_path)
    with psycopg.connect(own_server.url, autocommit=True) as superuser:
        superuser.execute("create database ledger")
        superuser.execute("create database theirs")
        superuser.execute("create role older login")
    url = make_conninfo(own_server.url, dbname="theirs")
    upgrade(url)
    assert warned(url) == [], "without the roles, only the administrator can use the ledger"
    of = make_roles(url)
    (elsewhere,) = warned(url)
    assert elsewhere.startswith("every login of the ledger can connect to ledger, postgres, template1, and can")
    with psycopg.connect(url, autocommit=True) as superuser:
        for statement in re.findall(r"`(revoke [^`]+)`", elsewhere):
            superuser.execute(statement)
        assert warned(url) == []
        for database in ("ledger", "postgres", "template1"):
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                psycopg.connect(make_conninfo(of("ledger_worker"), dbname=database))

        superuser.execute("grant execute on function lo_create(oid), pg_advisory_lock(bigint) to public")
        (functions,) = warned(url)
        assert functions == (
            "every role can call 2 functions of PostgreSQL that can fill the server's lock table or disk (lo_create,"
            " pg_advisory_lock): run `ledger db psql -f sql/roles.sql` as a superuser"
        )
        older(superuser)
        (fault, _) = warned(url)
        assert fault.startswith(
            "role ledger_worker can log in and has a password and has settings of its own, and each member of"
            " the role can change the password and the settings of the role: create a login for each service by `ledger"
            " access add`, and then run"
        )
        superuser.execute(re.findall(r"`(alter role [^`]+)`", fault)[0])
        assert warned(url) == [functions]

        older(superuser)
        superuser.execute((folder("sql") / "roles.sql").read_text())
        assert warned(url) == []
        if superuser.info.server_version >= 160000:
            asked = "select bool_or(set_option) from pg_auth_members where roleid = 'ledger_worker'::regrole"
            assert superuser.execute(asked).fetchone() == (False,)


def test_a_login_has_at_most_its_number_of_connections(ledger, access, name):
    asked = "select rolconnlimit from pg_roles where rolname = %s"
    with psycopg.connect(ledger, autocommit=True) as superuser:
        for kind, limit in (("manager", -1), ("worker", -1), ("reader", 20)):
            access("add", f"{name}-{kind}", "--as", kind)
            assert superuser.execute(asked, (f"{name}-{kind}",)).fetchone() == (limit,)
    assert access("add", name, "--as", "worker", "--connection-limit", "1")[0] == 0
    with (
        psycopg.connect(as_login(ledger, name)),
        pytest.raises(ServerUnreachable, match="too many connections for role") as refused,
    ):
        connect(make_conninfo(ledger, user=name, password=PASSWORD))
    assert refused.value.not_now


def test_a_removed_login_has_no_session_any_more(ledger, access, name):
    access("add", name, "--as", "worker")
    with psycopg.connect(as_login(ledger, name), autocommit=True) as worker:
        code, out, _ = access("remove", name)
        assert (code, out) == (0, f"login {name} is removed; ended sessions of the login: 1\n")
        with pytest.raises(psycopg.OperationalError):
            worker.execute("select")
    code, _, error = access("remove", name)
    assert (code, error.count("\n")) == (1, 1)
    assert f"there is no login '{name}' of the ledger" in error


def test_only_a_login_that_the_command_added_is_removed(ledger, access, name):
    with psycopg.connect(ledger, autocommit=True) as superuser:
        superuser.execute(sql.SQL("create role {} login in role ledger_reader").format(sql.Identifier(name)))
        code, _, error = access("add", name, "--as", "worker")
        assert (code, error.count("\n")) == (1, 1)
        assert f"the login {name} exists already with the rights of ledger_reader" in error
        assert "choose another name, or drop the role in psql with `drop role`" in error
        code, _, error = access("remove", name)
        assert code == 1
        assert f"the role {name} was not removed, because `ledger access add` did not make this role" in error
        superuser.execute(sql.SQL("revoke ledger_reader from {}").format(sql.Identifier(name)))
        error = access("add", name, "--as", "worker")[2]
        assert (
            f"the role {name} exists already, but is not a login of the ledger: choose another name, or drop" in error
        )
        superuser.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


def test_a_login_that_owns_objects_is_locked_out_and_named(ledger, access, name):
    access("add", name, "--as", "reader")
    with psycopg.connect(ledger, autocommit=True) as superuser:
        role = sql.Identifier(name)
        superuser.execute(sql.SQL("create schema theirs authorization {}").format(role))
        code, _, error = access("remove", name)
        assert (code, error.count("\n")) == (1, 1)
        assert f"the login {name} was disabled but not dropped, because it owns objects" in error
        superuser.execute(sql.SQL("drop owned by {}").format(role))
    assert access("remove", name)[:2] == (0, f"login {name} is removed\n")


def test_a_ledger_without_the_four_roles_gets_no_login(tmp_path, monkeypatch, own_server):
    monkeypatch.chdir(tmp_path)
    code, _, error = run(["access", "add", "w", "--as", "worker"], {"DATABASE_URL": own_server.url})
    assert (code, error.count("\n")) == (1, 1)
    assert "create the four roles of the ledger by `ledger db psql -f sql/roles.sql`" in error


def test_a_role_without_the_right_is_told_which_right_is_missing(ledger, access, name):
    of = make_roles(ledger)
    for role in ("ledger_owner", "ledger_worker"):
        code, _, error = access("add", name, "--as", "worker", database=of(role))
        assert (code, error.count("\n")) == (1, 1)
        assert f"role {LOGINS[role]} has no right to create or drop logins (permission denied" in error
        assert "needs CREATEROLE, and on PostgreSQL 16 or newer also ADMIN OPTION on ledger_worker" in error


def test_the_role_that_made_the_roles_adds_and_removes_logins(tmp_path, monkeypatch, own_server):
    """A role with CREATEROLE that is no superuser; and the server's log has no password."""
    monkeypatch.chdir(tmp_path)
    with psycopg.connect(own_server.url, autocommit=True) as superuser:
        superuser.execute("create role admin login createrole")
        superuser.pgconn.change_password(b"admin", PASSWORD.encode())
        superuser.execute("create database theirs owner admin")
        superuser.execute("alter system set log_statement = 'all'")
        superuser.execute("select pg_reload_conf()")
    theirs = make_conninfo(own_server.url, dbname="theirs", user="admin", password=PASSWORD)
    of = make_roles(theirs)
    upgrade(of("ledger_owner"))
    database = {"DATABASE_URL": theirs}
    for kind in ("owner", "manager", "worker", "reader"):
        words = ["access", "add", f"a-{kind}", "--as", kind, "--password-stdin"]
        said = run_with_input(words, database, "correct horse")
        assert said[:2] == (0, f"login a-{kind} is created with the rights of ledger_{kind}\n"), said
    as_worker = make_conninfo(theirs, user="a-worker", password="correct horse")
    with psycopg.connect(as_worker, autocommit=True) as worker:
        assert protocol.claim(worker, None, [uuid.uuid4()], "w") == []
        assert run(["access", "remove", "a-worker"], database)[:2] == (
            0,
            "login a-worker is removed; ended sessions of the login: 1\n",
        )
    listed = json.loads(run(["access", "list", "--json"], database)[1])
    removable = {login["name"]: login["is_removable"] for login in listed}
    of_make_roles = {name: True for role, name in LOGINS.items() if name != role}
    assert removable == {"a-manager": True, "a-owner": True, "a-reader": True, "admin": False} | of_make_roles
    log = own_server.log.read_text(errors="replace")
    assert "create role" in log, "the server has logged the statements"
    assert "correct horse" not in log


def own_settings(url: str, name: str, *settings: str) -> None:
    """Change settings of a login as the login itself."""
    with psycopg.connect(as_login(url, name), autocommit=True) as session:
        for setting in settings:
            session.execute(sql.SQL("alter role {} set " + setting).format(sql.Identifier(name)))


SABOTAGE = (
    "default_transaction_read_only = on",
    "default_transaction_isolation = serializable",
    "search_path = pg_temp",
    "extra_float_digits = -15",
    "intervalstyle = iso_8601",
    "lock_timeout = '1ms'",
    "idle_in_transaction_session_timeout = '1ms'",
    "statement_timeout = '1h'",
)


def test_a_session_sets_what_it_depends_on(ledger, access, name):
    access("add", name, "--as", "worker")
    own_settings(ledger, name, *SABOTAGE)
    with engine(ledger).connect() as db:
        make_study(db)
    own = as_login(ledger, name)
    with connect(own, writes=True) as worker:
        names = [setting.split()[0] for setting in SABOTAGE]
        shown: dict[str, Any] = {each: worker.execute(f"show {each}").fetchone() for each in names}
        assert {each: value for each, (value,) in shown.items()} == {
            "default_transaction_read_only": "off",
            "default_transaction_isolation": "read committed",
            "search_path": "pg_catalog",
            "extra_float_digits": "1",
            "intervalstyle": "postgres",
            "lock_timeout": "5s",
            "idle_in_transaction_session_timeout": "20s",
            "statement_timeout": "10s",
        }
        assert protocol.complete(worker, take(worker), 0.1, {}, 1.0) == "recorded"
    (listed,) = [login for login in json.loads(access("list", "--json")[1]) if login["name"] == name]
    assert "default_transaction_read_only=on" in listed["settings"], "the list shows the cause to an administrator"


def test_a_login_whose_own_timeout_is_too_short_for_a_session_connects(ledger, access, name, monkeypatch):
    access("add", name, "--as", "worker")
    own_settings(ledger, name, "statement_timeout = '50ms'")
    # the first statement of a session takes longer than the timeout
    slow = "select pg_sleep(0.2), set_config(key, value, false) from unnest(%s::text[], %s::text[]) as one(key, value)"
    monkeypatch.setattr(connections, "_SET", slow)
    with connect(as_login(ledger, name), writes=True) as worker:
        assert worker.execute("show statement_timeout").fetchone() == ("10s",)


def test_the_settings_of_one_login_change_no_session_of_another_one(ledger, access, name):
    other = f"{name}-b"
    for each in (name, other):
        access("add", each, "--as", "worker")
    own_settings(ledger, name, *SABOTAGE, "local_preload_libraries = 'missing'")
    with psycopg.connect(as_login(ledger, other)) as session:
        assert session.execute("show default_transaction_read_only").fetchone() == ("off",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute(sql.SQL("alter role {} password 'mine too'").format(sql.Identifier(name)))
    said = "a setting of the role or database refers to a missing library: an administrator can remove the settings"
    with pytest.raises(ServerUnreachable, match=said) as refused:
        connect(as_login(ledger, name))
    assert not refused.value.not_now


def test_a_database_that_an_administrator_made_read_only_stays_so(ledger):
    database = str(conninfo_to_dict(ledger)["dbname"])
    with psycopg.connect(ledger, autocommit=True) as superuser:
        superuser.execute(
            sql.SQL("alter database {} set default_transaction_read_only = on").format(sql.Identifier(database))
        )
    with pytest.raises(
        ServerUnreachable, match="default_transaction_read_only is on in the settings of the server"
    ) as said:
        connect(ledger, writes=True)
    assert said.value.not_now
    with connect(ledger) as reading:
        assert reading.execute("show transaction_read_only").fetchone() == ("on",)


def test_a_wrong_url_is_a_usage_error(access):
    with pytest.raises(UsageError):
        connect("postgresql://[", writes=True)
    assert access("list", database="postgresql://[")[0] == 2
