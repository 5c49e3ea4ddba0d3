"""Fixtures of the integration tests."""

from collections.abc import Iterator

import pytest

from tests.system.servers import VERSIONS, Server


@pytest.fixture(params=VERSIONS)
def own_server(request: pytest.FixtureRequest, tmp_path) -> Iterator[Server]:
    """Yield a server for one test, which may change roles and settings of the whole server."""
    with Server(tmp_path / "server", version=request.param) as server:
        yield server
