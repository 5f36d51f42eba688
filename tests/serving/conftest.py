"""A server that most of these tests begin with."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from esdb_lite.server.node import ServerNode, ServerSettings


@pytest.fixture
async def node() -> AsyncIterator[ServerNode]:
    running = await ServerNode.start(ServerSettings(), lambda: None)
    yield running
    await running.stop()
