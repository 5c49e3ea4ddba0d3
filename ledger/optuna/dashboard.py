"""The HTTP server of `ledger dashboard`, which runs optuna-dashboard and refuses changes with a reason."""

import json
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

READ_ONLY = "Optuna only reads this ledger: `ledger study` and `ledger trial` change the ledger"

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Server(ThreadingMixIn, WSGIServer):
    """A server that uses one thread for each request. The threads end with the program."""

    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing, because an open page sends a request every few seconds."""


def server(storage: "BaseStorage", host: str, port: int) -> Server:
    """Return a server that listens on an address.

    Parameters
    ----------
    storage : optuna.storages.BaseStorage
        The storage that the dashboard shows.
    host : str
        Address on which the server listens.
    port : int
        Port of the server. The value 0 selects any free port.

    Raises
    ------
    OSError
        The server cannot listen on this address.
    """
    from optuna_dashboard import wsgi

    return make_server(host, port, _read_only(wsgi(storage)), server_class=Server, handler_class=_QuietHandler)


def _read_only(application: Application) -> Application:
    """Return an application that answers every request for a change with status 403 and the reason."""

    def respond(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return application(environ, start_response)
        body = json.dumps({"reason": READ_ONLY}).encode()
        start_response("403 Forbidden", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return respond
