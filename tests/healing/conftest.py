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


class Links:
    """Servers and clusters without TLS, or with it, and clients that may talk to them."""

    def __init__(self, certificates: Path | None) -> None:
        self._certificates = certificates

    def server(self, path: Path | None = None, **arguments: Any) -> EmbeddedServer:
        """A server that is not started yet."""
        return EmbeddedServer(path, dev_certificate=self._certificates, **arguments)

    def cluster(self, **arguments: Any) -> SimulatedCluster:
        """A cluster that is not started yet."""
        return SimulatedCluster(dev_certificate=self._certificates, **arguments)

    def client(self, uri: str, **arguments: Any) -> AsyncEsdbClient:
        """A client that is not connected yet, with a login where one is asked for."""
        return AsyncEsdbClient(uri, **with_login(uri, arguments))


@pytest.fixture(params=["plain", "tls"])
def links(request: pytest.FixtureRequest, certificates: Path) -> Links:
    """Without TLS, then with it."""
    return Links(certificates if request.param == "tls" else None)


def with_login(uri: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a client, with a login where the server asks for one."""
    return arguments if "tls=false" in uri else {"credentials": ("admin", "changeit"), **arguments}


def discovering(uri: str, scheme: str = "esdb") -> str:
    """The connection string that looks for the cluster of a node."""
    return uri.replace("esdb://", f"{scheme}+discover://")


@pytest.fixture(params=["async", "sync"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Makes clients of one kind, then of the other; they are closed after the test."""
    async with AsyncExitStack() as stack:

        async def make(uri: str, **arguments: Any) -> Any:
            arguments = with_login(uri, arguments)
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


@pytest.fixture(params=["plain", "tls"])
async def cluster(request: pytest.FixtureRequest, certificates: Path) -> AsyncIterator[SimulatedCluster]:
    """A cluster without TLS, then one with it."""
    async with SimulatedCluster(dev_certificate=certificates if request.param == "tls" else None) as made:
        yield made
        for node in made.nodes:
            node.faults.clear()
