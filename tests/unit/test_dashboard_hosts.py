"""Requests to the dashboard, which answers only requests that name its own address.

Otherwise a page of another site could read the ledger.
"""

import http.client
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import optuna
import pytest

from ledger.optuna.dashboard import DashboardServer, server


def application(_environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"the studies"]


@contextmanager
def dashboard(host: str) -> Iterator[int]:
    """Run a server with a small application in place of optuna-dashboard, and yield its port."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "optuna_dashboard", cast(Any, SimpleNamespace(wsgi=lambda _storage: application)))
        httpd = server(cast(Any, None), host, 0)
    with serving(httpd) as port:
        yield port


@contextmanager
def serving(httpd: DashboardServer) -> Iterator[int]:
    """Run a server, and yield its port."""
    with httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield httpd.server_port
        finally:
            httpd.shutdown()
            thread.join()


def ask(port: int, host: str | None) -> tuple[int, str]:
    """Send a request with the header `Host`, which is missing if `host` is None."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.putrequest("GET", "/api/studies", skip_host=True)
    if host is not None:
        connection.putheader("Host", host)
    connection.endheaders()
    with connection.getresponse() as answer:
        return answer.status, answer.read().decode()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with dashboard("127.0.0.1") as port:
        yield port


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "LocalHost"])
def test_a_request_that_names_this_machine_is_answered(port, name):
    assert ask(port, f"{name}:{port}") == (200, "the studies")


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example:{port}", "evil.example", "localhost", "localhost:1", "127.0.0.1.evil.example:{port}", "", None),
        *("localhost:{port}, evil.example", "evil.example@localhost:{port}", "192.0.2.1:{port}", "::1:{port}", "[::1]"),
        *("localhost:", "localhost:+{port}", "localhost:٣", "x" * 5_000),
    ],
)
def test_a_request_with_another_host_name_is_refused_in_one_line(port, host):
    status, body = ask(port, host if host is None else host.format(port=port).encode().decode("latin-1"))
    assert status == 403
    reason = json.loads(body)["reason"]
    assert "\n" not in reason
    assert f"http://localhost:{port}" in reason


def test_a_request_without_an_accepted_encoding_gets_a_static_file():
    with serving(server(optuna.storages.InMemoryStorage(), "127.0.0.1", 0)) as port:
        for path in ("/static/bundle.js.LICENSE.txt", "/favicon.ico"):
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.putrequest("GET", path, skip_accept_encoding=True)
            connection.endheaders()
            with connection.getresponse() as answer:
                assert (answer.status, answer.getheader("Content-Encoding")) == (200, None), path
                assert answer.read()


def test_a_dashboard_for_other_machines_answers_addresses_and_no_names():
    with dashboard("0.0.0.0") as port:
        for host, status in {"192.0.2.1": 200, "[2001:db8::1]": 200, "localhost": 200, "evil.example": 403}.items():
            assert ask(port, f"{host}:{port}")[0] == ask(port, f"{host}:1")[0] == status, host
