"""The HTTP server of `ledger dashboard`, which runs optuna-dashboard and refuses each request that would change data.

The server answers only a request whose header `Host` contains an address of the server. Without the check of the header
`Host`, a web page of another site could read the ledger by DNS rebinding. DNS rebinding changes the address of a
hostile site's name. The name of the hostile site first resolves to an address of the attacker, and later to the address
of this machine.
"""

import json
import re
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

READ_ONLY = "the dashboard only reads this ledger: `ledger study` and `ledger trial` change the ledger"
# Each element of `_COMMANDS` describes a request that would change data. The first item of an element is the HTTP
# method of the request, and the second item is a pattern of the request's path. The third item of an element names the
# command with which the user can make the same change.
_COMMANDS = (
    ("POST", r"/api/studies", "`ledger run` or `ledger study create` makes a study"),
    ("POST", r"/api/studies/[0-9]+/rename", "`ledger study rename NAME NEW_NAME` renames a study"),
    ("DELETE", r"/api/studies/[0-9]+", "`ledger study delete NAME` deletes a study"),
    ("PUT", r"/api/studies/[0-9]+/note", "`ledger study annotate NAME --note TEXT` changes the note of a study"),
    (
        "PUT",
        r"/api/studies/[0-9]+/[0-9]+/note",
        "`ledger trial annotate NAME NUMBER --note TEXT` changes the note of a trial",
    ),
    (
        "POST",
        r"/api/trials/[0-9]+/user-attrs",
        "`ledger trial annotate NAME NUMBER --attribute NAME=VALUE` sets an attribute of a trial",
    ),
    ("POST", r"/api/trials/[0-9]+/tell", "a worker of the ledger records the result of a trial"),
)

_LOCAL = ("localhost", "127.0.0.1", "[::1]")

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class DashboardServer(ThreadingMixIn, WSGIServer):
    """The HTTP server of the command `ledger dashboard`. The server uses one thread for each request.

    The threads of the server are daemon threads, so the threads end when the program ends.
    """

    daemon_threads = True


class _QuietRequestHandler(WSGIRequestHandler):
    """An HTTP request handler that writes no log lines."""

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing, because an open page of the dashboard sends a request every few seconds."""


def server(storage: "BaseStorage", host: str, port: int) -> DashboardServer:
    """Return an HTTP server that listens on an address and shows the dashboard.

    Parameters
    ----------
    storage : optuna.storages.BaseStorage
        The storage that the dashboard shows.
    host : str
        Address on which the server listens.
    port : int
        Port of the server. If `port` is 0, the server uses any free port.

    Raises
    ------
    OSError
        The server cannot listen on the given address and port.
    """
    from optuna_dashboard import wsgi

    application = _read_only(_with_states(_with_encoding(wsgi(storage))))
    httpd = make_server(host, port, application, server_class=DashboardServer, handler_class=_QuietRequestHandler)
    # If `port` is 0, `make_server` chooses the port. Therefore `set_app` runs after `make_server`. The server answers
    # the first request only after the caller calls `serve_forever`.
    httpd.set_app(_own_host(application, host, httpd.server_port))
    return httpd


def _with_encoding(application: Application) -> Application:
    """Return an application that adds an empty header `Accept-Encoding` to a request if the header is missing.

    If a request for a static file has no header `Accept-Encoding`, optuna-dashboard fails. An empty header
    `Accept-Encoding` has the same meaning as a missing header: the client accepts the file without compression.
    """

    def respond(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        return application({"HTTP_ACCEPT_ENCODING": "", **environ}, start_response)

    return respond


def _read_only(application: Application) -> Application:
    """Return an application that refuses each request that would change data.

    The answer has the status 403 and contains the reason for the refusal.
    """

    def respond(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return application(environ, start_response)
        return _refuse(_way_out(environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")), start_response)

    return respond


def _way_out(method: str, path: str) -> str:
    """Return the reason for the refusal of a request. The text names a command that makes the requested change."""
    for its_method, its_path, command in _COMMANDS:
        if method == its_method and re.fullmatch(its_path, path.rstrip("/")):
            return f"the dashboard only reads this ledger: {command}"
    return READ_ONLY


def _with_states(application: Application) -> Application:
    """Return an application that adds the state and the best value of a study to the displayed name of the study.

    In the list of studies, optuna-dashboard displays only the name and the direction of each study.
    """

    def respond(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "GET" or environ.get("PATH_INFO", "").rstrip("/") != "/api/studies":
            return application(environ, start_response)
        answered: list[tuple[str, list[tuple[str, str]]]] = []
        parts = application(environ, lambda status, headers, *_: answered.append((status, headers)))
        body = b"".join(parts)
        (status, headers), *_ = answered
        types = [value for name, value in headers if name.lower() == "content-type"]
        if status.startswith("200") and types == ["application/json"]:
            body = _with_facts(body)
        length = ("Content-Length", str(len(body)))
        start_response(
            status, [*((name, value) for name, value in headers if name.lower() != "content-length"), length]
        )
        return [body]

    return respond


def _with_facts(body: bytes) -> bytes:
    """Add the state and the best value of each study to the name of the study, in the JSON text `body`."""
    document = json.loads(body)
    for study in document["study_summaries"]:
        facts = {each["key"]: each["value"] for each in study["user_attrs"]}
        shown = [facts["state"]] if "state" in facts else []
        if "best_value" in facts:
            shown.append(f"best {float(facts['best_value']):.6g}")
        study["study_name"] += f" ({', '.join(shown)})" if shown else ""
    return json.dumps(document).encode()


def _own_host(application: Application, host: str, port: int) -> Application:
    """Return an application that accepts a request only if the header `Host` names this machine or `host`.

    If the application refuses a request, the answer has the status 403 and contains the reason for the refusal.
    """
    names = dict.fromkeys((*_LOCAL, f"[{host}]" if ":" in host else host.lower()))
    try:
        # A server that listens on all addresses cannot know which address a client uses. If the server runs in a
        # container, the port that a client uses may differ from the server's port. Therefore a server that listens on
        # all addresses accepts each IP address in the header `Host`, with any port. An IP address in the header `Host`
        # is safe, because DNS rebinding needs a name. An attacker can assign a name to any machine, but cannot redirect
        # an IP address.
        is_everywhere = ip_address(host).is_unspecified
    except ValueError:
        is_everywhere = host == ""
    addresses = ", ".join(f"http://{name}:{port}" for name in names)
    reason = f"this dashboard answers only at {addresses}: use one of these addresses"

    def respond(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        name, number = _split(environ.get("HTTP_HOST", ""))
        if (is_everywhere and (name in names or _is_address(name))) or (name in names and number == port):
            return application(environ, start_response)
        return _refuse(reason, start_response)

    return respond


def _split(host: str) -> tuple[str, int | None]:
    """Return the host name and the port in a header `Host`. If the header contains no port, return the port 80."""
    name, colon, number = host.lower().rpartition(":")
    if not colon or number.endswith("]"):
        return host.lower(), 80
    return name, int(number) if number.isascii() and number.isdigit() and len(number) <= 5 else None


def _is_address(name: str) -> bool:
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _refuse(reason: str, start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = json.dumps({"reason": reason}).encode()
    start_response("403 Forbidden", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
