"""Servers with faults and clusters, and both faces of the client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from esdb_lite import AsyncEsdbClient, EmbeddedServer, EsdbClient, SimulatedCluster
from esdb_lite.server.tls import dev_certificate
from tests.contract.faces import Face

Connect = Callable[..., Any]


@pytest.fixture(params=["async", "sync"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Makes clients of one kind, then of the other; they are closed after the test."""
    async with AsyncExitStack() as stack:

        async def make(uri: str, **arguments: Any) -> Any:
            if "tls=false" not in uri:
                arguments.setdefault("credentials", ("admin", "changeit"))
            made = AsyncEsdbClient(uri, **arguments) if request.param == "async" else Face(EsdbClient(uri, **arguments))
            return await stack.enter_async_context(made)

        yield make


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with certificates for servers."""
    folder = tmp_path_factory.mktemp("certificates")
    dev_certificate(str(folder))
    return folder


@pytest.fixture(params=["plain", "tls"])
async def server(request: pytest.FixtureRequest, certificates: Path) -> AsyncIterator[EmbeddedServer]:
    """A server without TLS, then one with it."""
    async with EmbeddedServer(dev_certificate=certificates if request.param == "tls" else None) as made:
        yield made
        made.faults.clear()


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    async with SimulatedCluster() as made:
        yield made
        for node in made.nodes:
            node.faults.clear()
