"""A server, and clients of the adapters: with asyncio, and without, dressed up like those with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from esdb_lite.compat.kurrentdbclient import AsyncKurrentDBClient, KurrentDBClient
from tests.support import ServeProcess, start_serve

END = object()
VALUES = ("is_closed", "connection_spec", "connection_target", "connection_id", "subscription_id", "is_stopped")


class Threaded:
    """A client or an iterator of the face without asyncio: what blocks runs in a thread, and is awaited."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.inner, name)
        if name in VALUES or not callable(value):
            return value

        async def call(*args: Any, **kwargs: Any) -> Any:
            result = await asyncio.to_thread(value, *args, **kwargs)
            return Threaded(result) if hasattr(result, "__next__") else result

        return call

    def __aiter__(self) -> Threaded:
        return self

    async def __anext__(self) -> Any:
        item = await asyncio.to_thread(next, self.inner, END)
        if item is END:
            raise StopAsyncIteration
        return item

    async def __aenter__(self) -> Threaded:
        await asyncio.to_thread(self.inner.__enter__)
        return self

    async def __aexit__(self, *args: Any) -> None:
        await asyncio.to_thread(self.inner.__exit__, *args)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """A server with everything, in a process of its own: what it closes late is not left behind by a test."""
    folder = tmp_path_factory.mktemp("server")
    running = start_serve("--run-projections", "all", "--start-standard-projections", folder=folder)
    yield running
    running.kill()


@pytest.fixture
def uri(server: ServeProcess) -> str:
    """Where it is."""
    return f"kdb://{server.address}?Tls=false"


@pytest.fixture(params=["sync", "async"])
async def client(request: pytest.FixtureRequest, uri: str) -> AsyncIterator[Any]:
    """A client of either face."""
    made: Any = AsyncKurrentDBClient(uri) if request.param == "async" else Threaded(KurrentDBClient(uri))
    async with made:
        yield made
