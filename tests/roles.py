"""The four roles of a ledger for tests, and a login for each of them."""

from collections.abc import Callable

import psycopg
from psycopg.conninfo import make_conninfo

from ledger.database import logins
from ledger.database.login_kinds import KINDS
from ledger.resources import folder

# A server that asks for no password ignores it.
PASSWORD = "of the tests' roles"
ROLES = ("ledger_owner", "ledger_manager", "ledger_worker", "ledger_reader")
# Only the owner logs in as the role itself. The name of a login stands in statements without quotes.
LOGINS = {"ledger_owner": "ledger_owner"} | {role: f"one_{kind}" for kind, role in KINDS.items() if kind != "owner"}

Url = Callable[[str], str]


def make_roles(url: str) -> Url:
    """Run roles.sql twice, as psql would, and add the logins. Returns a function from a role to the URL of its login.

    The roles and the logins belong to the whole server, so they may exist.
    """
    with psycopg.connect(url, autocommit=True, client_encoding="UTF8") as administrator:
        for _ in range(2):
            administrator.execute((folder("sql") / "roles.sql").read_text())
        known = {login.name for login in logins.all_of(administrator)}
        for kind, role in KINDS.items():
            login = LOGINS[role]
            if kind != "owner" and login not in known:
                logins.add(administrator, login, kind, PASSWORD, connection_limit=100)
            administrator.pgconn.change_password(login.encode(), PASSWORD.encode())
    return lambda role: make_conninfo(url, user=LOGINS[role], password=PASSWORD)
