"""Connections that are lost at awkward moments."""

from __future__ import annotations

import asyncio

import pytest

from esdb_lite._http2.client import ClientProtocol
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite.errors import ServiceUnavailable


async def test_a_connection_that_is_lost_before_anybody_has_it() -> None:
    """On a busy machine the end may be read in the same turn of the loop in which the connection is made."""
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def dial() -> ClientProtocol:
        _, protocol = await asyncio.get_running_loop().create_connection(ClientProtocol, "127.0.0.1", port)
        await protocol.closed.wait()
        return protocol

    node = ConnectionPool("127.0.0.1", port, dial=dial)
    with pytest.raises(ServiceUnavailable):
        await node.connect(Deadline(None))
    assert not node.connections
    await node.close()
    server.close()
    await server.wait_closed()
