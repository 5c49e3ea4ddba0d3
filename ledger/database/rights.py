"""Warnings about dangerous rights of database roles. With a dangerous right, a login of the ledger could stop the
server, or could prevent the work of other logins.

For example, some rights in a database allow a login to fill the server's lock table or disk. The file sql/roles.sql
revokes such dangerous rights only in the ledger's own database. The module warns if the ledger's roles are from an
older version of sql/roles.sql. The module also warns if no superuser has run sql/roles.sql, or if every login can
connect to another database of the server.
"""

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, text

from ledger.database.login_kinds import GROUP_ROLES
from ledger.resources import folder
from ledger.text import one_line

# The file sql/roles.sql forbids the execution of some PostgreSQL functions. A regular expression in sql/roles.sql
# matches the names of the forbidden functions. This module reads the regular expression from sql/roles.sql.
_REVOKED = re.findall(r"proname ~ '([^']+)'", (folder("sql") / "roles.sql").read_text())[0]
_ROLES = text("""
    select rolname as role, rolcanlogin as can_log_in,
      array(
        select format('alter role %I%s reset all', rolname, ' in database ' || quote_ident(datname))
        from pg_db_role_setting
        left join pg_database on pg_database.oid = setdatabase
        where setrole = pg_roles.oid
        order by datname) as resets
    from pg_roles
    where rolname = any (:roles)
    order by rolname""")
# Only a superuser can read the table `pg_authid`, which contains the password hashes of roles.
_PASSWORDS = text("select rolname from pg_authid where rolname = any (:roles) and rolpassword is not null")
_MAY_READ_PASSWORDS = text("select has_table_privilege('pg_authid', 'select')")
_FUNCTIONS = text("""
    select distinct proname::text as name
    from pg_proc
    cross join aclexplode(coalesce(proacl, acldefault('f', proowner))) as acl
    where pronamespace = 'pg_catalog'::regnamespace and proname ~ :revoked and acl.grantee = 0
    order by name""")
_DATABASES = text("""
    select datname::text as name, quote_ident(datname) as quoted
    from pg_database
    cross join aclexplode(coalesce(datacl, acldefault('d', datdba))) as acl
    where datallowconn and datname <> current_database() and acl.grantee = 0 and acl.privilege_type = 'CONNECT'
    order by datname""")
# Largest number of names in one warning.
_NAMES = 3


def warnings(connection: Connection) -> Sequence[str]:
    """Return warnings about group roles with unsafe settings, and about dangerous rights that every role has.

    The function warns about a group role that can log in, has a password or has its own settings.

    If the roles of sql/roles.sql do not exist, only the administrator can use the ledger, and the function returns no
    warning.
    """
    roles = {"roles": list(GROUP_ROLES)}
    with connection.begin():
        found = connection.execute(_ROLES, roles).all()
        if not found:
            return []
        with_password = set()
        if connection.scalar(_MAY_READ_PASSWORDS):
            with_password = set(connection.scalars(_PASSWORDS, roles))
        functions = connection.scalars(_FUNCTIONS, {"revoked": _REVOKED}).all()
        databases = connection.execute(_DATABASES).all()
    lines = [_of_role(row, row.role in with_password) for row in found if _has_fault(row, with_password)]
    if functions:
        lines.append(
            f"every role can call {len(functions)} functions of PostgreSQL that can fill the server's lock table or"
            f" disk ({_named(functions)}): run `ledger db psql -f sql/roles.sql` as a superuser"
        )
    if databases:
        shown = databases[:_NAMES]
        lines.append(
            f"every login of the ledger can connect to {_named([one_line(row.name) for row in databases])}, and can"
            " then fill the server's lock table or disk: if no other program needs the CONNECT privilege of public,"
            f" run `revoke connect on database {', '.join(row.quoted for row in shown)} from public` as a superuser"
        )
    return lines


def _has_fault(row: Row[Any], with_password: set[str]) -> bool:
    return row.can_log_in or bool(row.resets) or row.role in with_password


def _of_role(row: Row[Any], has_password: bool) -> str:
    faults = ["can log in"] * row.can_log_in + ["has a password"] * has_password
    faults += ["has settings of its own"] * bool(row.resets)
    repairs = [f"alter role {row.role} nologin password null"] * (row.can_log_in or has_password) + row.resets
    return (
        f"role {row.role} {' and '.join(faults)}, and each member of the role can change the password and the"
        " settings of the role: create a login for each service by `ledger access add`, and then run"
        f" `{'; '.join(repairs)}` as a superuser"
    )


def _named(names: Sequence[str]) -> str:
    more = len(names) - _NAMES
    return ", ".join(names[:_NAMES]) + (f" and {more} more" if more > 0 else "")
