"""Functions that add, list and remove logins.

A login is a database role that can connect to the server. The file sql/roles.sql creates four roles, and a login has
the rights of one role.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors, sql

from ledger.database.login_kinds import CONNECTION_LIMITS, KINDS, LIMITS
from ledger.errors import LedgerError, UsageError

SHORTEST_PASSWORD = 8
# The function `remove` drops a role only if the comment on the role is MARK. Therefore the ledger never drops a role of
# another program.
MARK = "Login of the trial ledger, which `ledger access add` made."
# Since PostgreSQL 16, a grant of a role has the options INHERIT and SET.
_INHERIT_OPTION_SINCE = 160000
# The function `remove` waits until each session has ended, but at most this number of milliseconds for one session.
_ENDS_WITHIN = 5_000
_NAME = re.compile(r"[a-z_][a-z0-9_.-]{0,62}")
_RESERVED = {"public", "none", "current_role", "current_user", "session_user", *KINDS.values()}

# The query _LOGINS returns the logins and their settings. The file sql/roles.sql creates four roles, and a login
# inherits the rights of one role. The function `remove` first disables a login, and then drops the login. If an error
# occurs before `remove` drops the login, _LOGINS still returns the disabled login. Therefore a later call of `remove`
# can drop the login. The query _LOGINS omits superusers. A role does not need the superuser attribute to run
# sql/roles.sql. After a role without the superuser attribute has run sql/roles.sql, the role is a member of the role
# ledger_owner. Therefore the query _LOGINS also returns the role that ran sql/roles.sql.
_LOGINS = """
select login.rolname as name, kind.rolname as role, coalesce(shobj_description(login.oid, 'pg_authid') = %s, false),
  (select count(*)::int from pg_stat_activity where usesysid = login.oid),
  array(
    select entry
    from pg_db_role_setting
    cross join unnest(setconfig) as entry
    where setrole = login.oid and entry not like 'role=%%'
    order by entry)
from pg_auth_members
join pg_roles as kind on kind.oid = pg_auth_members.roleid
join pg_roles as login on login.oid = pg_auth_members.member
where kind.rolname = any (%s) and not login.rolsuper
  and (login.rolcanlogin or shobj_description(login.oid, 'pg_authid') = %s)
  and pg_has_role(login.oid, kind.oid, 'usage')
group by login.oid, login.rolname, kind.rolname
order by login.rolname, kind.rolname"""


@dataclass(frozen=True)
class Login:
    """A database role that can log in to the ledger.

    Attributes
    ----------
    name : str
        Name of the login.
    kind : str
        "owner", "manager", "worker" or "reader".
    is_removable : bool
        Whether the function `add` created the login. The function `remove` drops only a login that `add` created.
    sessions : int
        The number of the login's open sessions.
    settings : sequence of str
        The login's own settings, such as "default_transaction_read_only=on". The function `add` gives the login some
        settings. `settings` does not contain these settings.
    """

    name: str
    kind: str
    is_removable: bool
    sessions: int
    settings: Sequence[str]


def check_name(name: str) -> None:
    """Raise a UsageError if `name` is not a valid name for a login."""
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"{name!r} cannot be the name of a login: use 1 to 63 of the characters a-z, 0-9, dot, underscore and"
            " hyphen, and begin with a letter or an underscore"
        )
    if name in _RESERVED or name.startswith("pg_"):
        raise UsageError(f"{name!r} cannot be the name of a login, because this name is reserved: choose another name")


def check_password(password: str) -> None:
    """Raise a UsageError if `password` is too short or contains an unprintable character."""
    if len(password) < SHORTEST_PASSWORD or not password.isprintable():
        raise UsageError(
            f"the password is too short, or has an unprintable character: choose {SHORTEST_PASSWORD} or more"
            " printable characters"
        )


def add(
    connection: psycopg.Connection[Any], name: str, kind: str, password: str, connection_limit: int | None = None
) -> None:
    """Create a login with the rights of one role from sql/roles.sql and with the time limits in `LIMITS`.

    The login gets its own settings, because another login with the same role may have changed the role's settings. The
    settings are valid in all databases of the server, because a login exists in all databases.

    The password does not leave this process. The server gets only the SCRAM hash of the password.

    Parameters
    ----------
    connection : Connection
        A connection in autocommit mode.
    name : str
        Name of the login. The function `check_name` must accept the name.
    kind : str
        "owner", "manager", "worker" or "reader".
    password : str
        Password of the login. The function `check_password` must accept the password.
    connection_limit : int or None
        Largest number of open connections of the login. None selects the limit that `CONNECTION_LIMITS` contains for
        the role.

    Raises
    ------
    LedgerError
        The login already exists, the roles of sql/roles.sql do not exist, or the connection's role may not create
        logins.
    """
    role, login = KINDS[kind], sql.Identifier(name)
    with _permitted(connection, role), connection.transaction():
        if not _exists(connection, role):
            raise LedgerError(
                f"the role {role} does not exist: as a superuser, create the four roles of the ledger by `ledger db"
                " psql -f sql/roles.sql`"
            )
        if found := [known for known in all_of(connection) if known.name == name]:
            rights = " and ".join(KINDS[known.kind] for known in found)
            way_out = "drop the role in psql with `drop role`"
            if found[0].is_removable:
                way_out = f"remove this login by `ledger access remove {name}`"
            raise LedgerError(
                f"the login {name} exists already with the rights of {rights}, and is valid for every ledger of this"
                f" server: choose another name, or {way_out}"
            )
        if _exists(connection, name):
            raise LedgerError(
                f"the role {name} exists already, but is not a login of the ledger: choose another name, or drop the"
                " role in psql by `drop role`"
            )
        most = CONNECTION_LIMITS[kind] if connection_limit is None else connection_limit
        connection.execute(
            sql.SQL("create role {} login connection limit {} password {}").format(
                login, sql.Literal(most), sql.Literal(_hash(connection, name, password))
            )
        )
        connection.execute(sql.SQL("comment on role {} is {}").format(login, sql.Literal(MARK)))
        # A login of the kind "owner" acts as the role ledger_owner. A login of the kind "manager", "worker" or "reader"
        # inherits the rights of its role, but does not act as the role.
        inherits = kind != "owner" and connection.info.server_version >= _INHERIT_OPTION_SINCE
        grant = "grant {} to {} with inherit true, set false" if inherits else "grant {} to {}"
        connection.execute(sql.SQL(grant).format(sql.Identifier(role), login))
        known = "select name from pg_settings where name = any (%s)"
        names = {name for (name,) in connection.execute(known, (list(LIMITS[kind]),)).fetchall()}
        settings = [(setting, value) for setting, value in LIMITS[kind].items() if setting in names]
        if kind == "owner":
            # Because of the setting `role`, each object that the login creates belongs to the role ledger_owner.
            settings.append(("role", role))
        # A login exists in all databases of the server. Therefore the settings of the login must be valid in each
        # database with a ledger.
        for setting, value in settings:
            connection.execute(
                sql.SQL("alter role {} set {} = {}").format(login, sql.Identifier(setting), sql.Literal(value))
            )


def set_password(connection: psycopg.Connection[Any], name: str, password: str) -> None:
    """Set the password of an existing role. The server gets only the SCRAM hash of the password."""
    connection.execute(
        sql.SQL("alter role {} password {}").format(
            sql.Identifier(name), sql.Literal(_hash(connection, name, password))
        )
    )


def all_of(connection: psycopg.Connection[Any]) -> list[Login]:
    """Return all logins, sorted by name. A login that has the rights of two roles is in the list twice."""
    kinds = {role: kind for kind, role in KINDS.items()}
    rows = connection.execute(_LOGINS, (MARK, list(kinds), MARK)).fetchall()
    found = []
    for name, role, is_removable, sessions, settings in rows:
        if name not in kinds:
            kind = kinds[role]
            made = {f"{setting}={value}" for setting, value in LIMITS[kind].items()}
            own = [setting for setting in settings if setting not in made]
            found.append(Login(name, kind, is_removable, sessions, own))
    return found


def remove(connection: psycopg.Connection[Any], name: str) -> int:
    """End the sessions of a login that `add` created, and drop the login. Return the number of sessions that the
    function has ended.

    Raises
    ------
    LedgerError
        The login does not exist, `add` has not created the login, the login owns database objects, or the connection's
        role may not drop the login.
    """
    found = [login for login in all_of(connection) if login.name == name]
    if not found:
        raise LedgerError(f"there is no login {name!r} of the ledger: `ledger access list` shows the logins")
    if not found[0].is_removable:
        raise LedgerError(
            f"the role {name} was not removed, because `ledger access add` did not make this role: drop the role in"
            " psql by `drop role`"
        )
    login = sql.Identifier(name)
    try:
        with _permitted(connection, KINDS[found[0].kind]):
            # The function disables the login before the function ends the login's sessions. With an enabled login, a
            # client could open a new session after the function has ended the old sessions.
            connection.execute(sql.SQL("alter role {} nologin").format(login))
            ended = _end_sessions(connection, name)
            connection.execute(sql.SQL("drop role {}").format(login))
    except errors.DependentObjectsStillExist:
        raise LedgerError(
            f"the login {name} was disabled but not dropped, because it owns objects or has its own privileges: run"
            f' `drop owned by "{name}"` in each database, and then run this command again'
        ) from None
    return ended


def _end_sessions(connection: psycopg.Connection[Any], name: str) -> int:
    # `_end_sessions` first reads the process ids of the login's sessions, and then ends the sessions in another
    # statement. A single statement would be unsafe, because PostgreSQL could call `pg_terminate_backend` for the
    # sessions of other roles.
    rows = connection.execute("select pid from pg_stat_activity where usename = %s", (name,)).fetchall()
    end = "select pg_terminate_backend(%s, %s)"
    try:
        for (pid,) in rows:
            connection.execute(end, (pid, _ENDS_WITHIN))
    except errors.InsufficientPrivilege:
        # A superuser can end the sessions of every login. A role that is not a superuser must be a member of the login
        # to end the login's sessions.
        connection.execute(sql.SQL("grant {} to current_user").format(sql.Identifier(name)))
        for (pid,) in rows:
            connection.execute(end, (pid, _ENDS_WITHIN))
    return len(rows)


def _hash(connection: psycopg.Connection[Any], name: str, password: str) -> str:
    return connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()


def _exists(connection: psycopg.Connection[Any], role: str) -> bool:
    return connection.execute("select from pg_roles where rolname = %s", (role,)).fetchone() is not None


@contextmanager
def _permitted(connection: psycopg.Connection[Any], role: str) -> Iterator[None]:
    """Raise a LedgerError if the connection's role lacks a right that a statement in the `with` block needs.

    The error message names the necessary rights.
    """
    try:
        yield
    except errors.InsufficientPrivilege as error:
        raise LedgerError(
            f"role {connection.info.user} has no right to create or drop logins ({error.diag.message_primary}): connect"
            " as a superuser, or as the role that ran sql/roles.sql; any other role needs CREATEROLE, and on"
            f" PostgreSQL 16 or newer also ADMIN OPTION on {role}"
        ) from None
