"""A peer for tests of translations."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite._rpc.stubs import channel_to
from tests.rpc.fake import FakeCall, fake_server
from tests.unit.peer import Peer


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async def serve(call: FakeCall) -> None:
        await here.serve(call)

    async with fake_server(serve) as server:
        node = ConnectionPool(server.host, server.port)
        here = Peer(channel_to(node, Deadline(None)))
        yield here
        await node.close()
