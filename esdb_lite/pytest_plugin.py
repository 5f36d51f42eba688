"""Fixtures for tests of code that uses EventStoreDB or KurrentDB; pytest finds them by itself.

    esdb_server           a server with a fresh database in memory, for this test alone; `.faults` make things go wrong
    esdb_cluster          a simulated cluster of three nodes in memory, for this test alone
    esdb_shared_server    one server for the whole session, where tests keep apart by using streams of their own
    esdb_client           an EsdbClient connected to esdb_server
    async_esdb_client     an AsyncEsdbClient connected to esdb_server, for tests run by pytest-asyncio or anyio
    esdb_projection       makes a JavaScript projection of a query, to be run over events without a server
    esdb_compatibility    the version that the servers pass for, such as "24.10": define it in your conftest.py

Markers with the names of the first two give them arguments, those of `EmbeddedServer` and `SimulatedCluster`:
`@pytest.mark.esdb_server(run_projections="system", start_standard_projections=True)`.
To have the clients use another server, define a fixture `esdb_server` in your conftest.py.

Owns: the life of servers and clients in tests. Must not know: more than what everybody can import from `esdb_lite`
and `esdb_lite.testing`.
Imports nothing of the package before a fixture is used: sessions that do not use it must not pay for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from esdb_lite import AsyncEsdbClient, EmbeddedServer, EsdbClient, SimulatedCluster
    from esdb_lite.testing import Projection

_PYTEST_ASYNCIO = ("asyncio", "pytest_asyncio", "pytest_asyncio.plugin")
_ANYIO = ("anyio", "anyio.pytest_plugin")
_NO_RUNNER = "async_esdb_client needs pytest-asyncio (or, for tests marked with it, anyio)"


@pytest.fixture(scope="session")
def esdb_compatibility() -> str | None:
    """The version that the servers pass for, "24.10", "25.1" or "26.1"; None (the default): the newest."""
    return None


def _options(compatibility: str | None) -> dict[str, Any]:
    return {} if compatibility is None else {"compatibility": compatibility}


@pytest.fixture
def esdb_server(request: pytest.FixtureRequest, esdb_compatibility: str | None) -> Iterator[EmbeddedServer]:
    """A server with a fresh database in memory; `.uri` and `.address` say where it is.

    The marker `esdb_server` gives it arguments. It is stopped after the test in good order, whatever was done to it;
    faults (`.faults`) are cleared.
    """
    from esdb_lite import EmbeddedServer

    with EmbeddedServer(**_options(esdb_compatibility) | _arguments(request, "esdb_server")) as server:
        yield server
    server.faults.clear()


@pytest.fixture
def esdb_cluster(request: pytest.FixtureRequest, esdb_compatibility: str | None) -> Iterator[SimulatedCluster]:
    """A simulated cluster of three nodes in memory; `.uri` is its connection string, and the first node leads.

    The marker `esdb_cluster` gives it arguments. It is stopped after the test, whatever was done to its nodes; faults
    are cleared.
    """
    from esdb_lite import SimulatedCluster

    with SimulatedCluster(**_options(esdb_compatibility) | _arguments(request, "esdb_cluster")) as cluster:
        yield cluster
    for node in cluster.nodes:
        node.faults.clear()


def _arguments(request: pytest.FixtureRequest, marker: str) -> dict[str, Any]:
    """What the closest marker of that name says."""
    found = request.node.get_closest_marker(marker)
    if found is not None and found.args:
        raise pytest.UsageError(f"the marker {marker} takes arguments by name only, not {found.args[0]!r}")
    return {} if found is None else dict(found.kwargs)


@pytest.fixture(scope="session")
def esdb_shared_server(esdb_compatibility: str | None) -> Iterator[EmbeddedServer]:
    """One server in memory for all tests of the session that ask for it."""
    from esdb_lite import EmbeddedServer

    with EmbeddedServer(**_options(esdb_compatibility)) as server:
        yield server


@pytest.fixture
def esdb_client(esdb_server: EmbeddedServer) -> Iterator[EsdbClient]:
    """A client of `esdb_server`, closed after the test."""
    from esdb_lite import EsdbClient

    with EsdbClient(esdb_server.uri) as client:
        yield client


@pytest.fixture
def esdb_projection() -> type[Projection]:
    """`esdb_lite.testing.Projection`: `esdb_projection(query).run(events)` gives what the query makes of events."""
    from esdb_lite.testing import Projection

    return Projection


@pytest.fixture
def async_esdb_client(request: pytest.FixtureRequest) -> AsyncEsdbClient:
    """A client of `esdb_server` on the loop of the test, closed after the test."""
    if "anyio_backend" in request.fixturenames:
        _skip_without_asyncio(request.getfixturevalue("anyio_backend"))
        name = "_esdb_client_for_anyio"
    elif _has(request.config, *_PYTEST_ASYNCIO):
        name = "_esdb_client_for_asyncio"
    else:
        raise pytest.UsageError(_NO_RUNNER)
    client: AsyncEsdbClient = request.getfixturevalue(name)
    return client


def _skip_without_asyncio(backend: object) -> None:
    """Anyio runs tests once for each of its backends, and the client needs asyncio."""
    name = backend[0] if isinstance(backend, tuple) else backend
    if name != "asyncio":
        pytest.skip(f"async_esdb_client needs asyncio, and this test runs on {name}")


async def _connected(esdb_server: EmbeddedServer) -> AsyncIterator[AsyncEsdbClient]:
    from esdb_lite import AsyncEsdbClient

    async with AsyncEsdbClient(esdb_server.uri) as client:
        yield client


class _AnyioFixtures:
    """An asynchronous fixture as anyio takes it: undecorated."""

    @pytest.fixture(name="_esdb_client_for_anyio")
    async def for_anyio(self, esdb_server: EmbeddedServer, anyio_backend: object) -> AsyncIterator[AsyncEsdbClient]:
        async for client in _connected(esdb_server):
            yield client


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers, and the asynchronous fixtures in the way of the plugins that are there."""
    config.addinivalue_line("markers", "esdb_server(**arguments): arguments of EmbeddedServer for this test's server")
    config.addinivalue_line("markers", "esdb_cluster(**arguments): arguments of SimulatedCluster for this test's")
    if _has(config, *_ANYIO):
        config.pluginmanager.register(_AnyioFixtures(), "esdb_lite_anyio")
    if _has(config, *_PYTEST_ASYNCIO):
        config.pluginmanager.register(_asyncio_fixtures(), "esdb_lite_asyncio")


def _has(config: pytest.Config, *names: str) -> bool:
    """Whether one of these plugins is active; names differ between entry points and `-p MODULE`."""
    return any(config.pluginmanager.hasplugin(name) for name in names)


def _asyncio_fixtures() -> object:
    """pytest-asyncio in strict mode takes only what its own decorator has marked."""
    import pytest_asyncio

    class AsyncioFixtures:
        @pytest_asyncio.fixture(name="_esdb_client_for_asyncio")
        async def for_asyncio(self, esdb_server: EmbeddedServer) -> AsyncIterator[AsyncEsdbClient]:
            async for client in _connected(esdb_server):
                yield client

    return AsyncioFixtures()
