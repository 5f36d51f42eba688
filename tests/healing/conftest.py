"""Servers with faults and clusters, and both faces of the client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from esdb_lite import AsyncEsdbClient, EmbeddedServer, EsdbClient, SimulatedCluster
from tests.contract.faces import Face

Connect = Callable[..., Any]


@pytest.fixture(params=["async", "sync"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Makes clients of one kind, then of the other; they are closed after the test."""
    async with AsyncExitStack() as stack:

        async def make(uri: str, **arguments: Any) -> Any:
            made = AsyncEsdbClient(uri, **arguments) if request.param == "async" else Face(EsdbClient(uri, **arguments))
            return await stack.enter_async_context(made)

        yield make


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedServer]:
    async with EmbeddedServer() as made:
        yield made
        made.faults.clear()


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    async with SimulatedCluster() as made:
        yield made
        for node in made.nodes:
            node.faults.clear()
