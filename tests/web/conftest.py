"""Servers with something in them, and consoles to look at it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from esdb_lite import AsyncEsdbClient, EmbeddedServer
from esdb_lite.web import WebConsole, app
from tests.web.visiting import Visitor


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedServer]:
    """A server without users, with all projections."""
    async with EmbeddedServer(run_projections="all", start_standard_projections=True) as running:
        yield running


@pytest.fixture
async def client(server: EmbeddedServer) -> AsyncIterator[AsyncEsdbClient]:
    """A client of it."""
    async with AsyncEsdbClient(server.uri) as made:
        yield made


@pytest.fixture
def console(client: AsyncEsdbClient) -> WebConsole:
    """A console in which things can be changed."""
    return app(client, allow_changes=True)


@pytest.fixture
def visitor(console: WebConsole) -> Visitor:
    """Somebody who looks at it."""
    return Visitor(console)


@pytest.fixture
async def secure_server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    """A server with users."""
    pytest.importorskip("trustme", reason="trustme is not installed")
    async with EmbeddedServer(dev_certificate=tmp_path) as running:
        yield running


@pytest.fixture
async def stranger(secure_server: EmbeddedServer) -> AsyncIterator[AsyncEsdbClient]:
    """A client of it that has not logged in."""
    async with AsyncEsdbClient(secure_server.uri) as made:
        yield made


@pytest.fixture
async def admin(secure_server: EmbeddedServer) -> AsyncIterator[AsyncEsdbClient]:
    """A client of it that may do everything."""
    async with AsyncEsdbClient(secure_server.uri, credentials=("admin", "changeit")) as made:
        yield made
