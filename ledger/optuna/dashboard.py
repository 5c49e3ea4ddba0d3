"""The HTTP server of `ledger dashboard`: optuna-dashboard, and a plain word for whoever would change something."""

import json
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

READ_ONLY = "Optuna only reads this ledger: `ledger study` and `ledger trial` change it"

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Server(ThreadingMixIn, WSGIServer):
    """A thread a request, none of which outlives the program."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a page asks every few seconds."""


def server(storage: "BaseStorage", host: str, port: int) -> Server:
    """Return a server that listens; port 0 stands for any that is free. An OSError says that it cannot."""
    from optuna_dashboard import wsgi

    return make_server(host, port, _read_only(wsgi(storage)), server_class=Server, handler_class=_Quiet)


def _read_only(application: Application) -> Application:
    """Return the application, which answers what would write with the reason why not."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return application(environ, start_response)
        body = json.dumps({"reason": READ_ONLY}).encode()
        start_response("403 Forbidden", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return answer
