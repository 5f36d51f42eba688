"""The server and both clients for the contract suite.

A test is written once, for the client for asyncio, and also runs with the one for threads, which `faces` dresses up
like its sibling. The server is the embedded one, or the real one that ESDB_URI names.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from esdb_lite import AsyncEsdbClient, Compatibility, EmbeddedServer, EsdbClient, EventTypes
from tests.contract.faces import Face


@pytest.fixture
def version() -> str:
    """The version that the embedded server passes for, where that matters to a test."""
    return "26.1"


@pytest.fixture
def server_options() -> dict[str, Any]:
    """What else the embedded server gets."""
    return {}


@pytest.fixture
async def uri(version: str, server_options: dict[str, Any]) -> AsyncIterator[str]:
    """A connection string."""
    if real := os.environ.get("ESDB_URI"):
        yield real
        return
    async with EmbeddedServer(compatibility=Compatibility(version), **server_options) as server:
        yield server.uri


@pytest.fixture(params=["async", "sync"])
async def client(request: pytest.FixtureRequest, uri: str) -> AsyncIterator[Any]:
    """A client of one kind, then of the other."""
    async with AsyncEsdbClient(uri) if request.param == "async" else Face(EsdbClient(uri)) as made:
        yield made


@pytest.fixture
def event_types() -> EventTypes:
    """The classes that `typed_client` knows."""
    return EventTypes()


@pytest.fixture(params=["async", "sync"])
async def typed_client(request: pytest.FixtureRequest, uri: str, event_types: EventTypes) -> AsyncIterator[Any]:
    """A client like `client` that knows classes of events."""
    known = {"event_types": event_types}
    async with AsyncEsdbClient(uri, **known) if request.param == "async" else Face(EsdbClient(uri, **known)) as made:
        yield made


@pytest.fixture
def stream() -> str:
    """Name of a stream that does not exist."""
    return f"order-{uuid4()}"
