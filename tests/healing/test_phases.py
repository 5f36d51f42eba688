"""Connections that are cut in every phase of their beginning, with TLS and without: all of them are lost links.

A relay stands before the server. It cuts every connection there is, then the next few in one phase; then all is well.
"""

from __future__ import annotations

import asyncio
import enum
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest

from esdb_lite import AsyncEsdbClient, EmbeddedServer, NewEvent, RetryPolicy, StreamState
from tests.healing.conftest import Connect

POLICY = RetryPolicy(first_pause=0.01, longest_pause=0.05)
CUTS = 4


class Phase(enum.Enum):
    """When a connection is cut: instead of passing on the n-th thing that the client or the server says."""

    AT_ONCE = ("client", 0)
    FIRST_BYTES = ("client", 1)
    """The ClientHello, or the preface."""
    FIRST_ANSWER = ("server", 1)
    """The ServerHello, or SETTINGS."""
    SECOND_BYTES = ("client", 2)
    """With TLS, the end of the handshake."""
    SECOND_ANSWER = ("server", 2)
    """With TLS, SETTINGS, or what comes before."""
    THIRD_BYTES = ("client", 3)
    """With TLS the first call; without, one of the first."""
    THIRD_ANSWER = ("server", 3)
    FOURTH_BYTES = ("client", 4)
    """In the middle of calls: their requests are cut off."""
    FOURTH_ANSWER = ("server", 4)
    """In the middle of calls: they are done, and the answers are cut off."""


class Cut(enum.Enum):
    """How a connection ends."""

    CLOSE = "close"
    RESET = "reset"


class Relay:
    """Passes on what comes, in both directions."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.phase: Phase | None = None
        self.cut = Cut.CLOSE
        self.left = 0
        self.done = 0
        self._pairs: set[tuple[asyncio.StreamWriter, ...]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._relay(reader, writer)
        finally:
            self._tasks.discard(task)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        phase = None
        if self.left and self.phase is not None:
            phase, self.left, self.done = self.phase, self.left - 1, self.done + 1
        if phase is Phase.AT_ONCE:
            self._end(writer)
            return
        behind = await asyncio.open_connection(self.host, self.port)
        pair = (writer, behind[1])
        self._pairs.add(pair)
        side, number = ("", 0) if phase is None else phase.value
        try:
            ways = [
                asyncio.ensure_future(self._pass_on(reader, behind[1], number if side == "client" else None)),
                asyncio.ensure_future(self._pass_on(behind[0], writer, number if side == "server" else None)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        finally:
            self._pairs.discard(pair)
            for each in pair:
                self._end(each)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None) -> None:
        """Pass on what comes, up to the read with which it ends."""
        count = 0
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                count += 1
                if count == limit:
                    return
                writer.write(data)
                await writer.drain()

    def _end(self, writer: asyncio.StreamWriter) -> None:
        if self.cut is Cut.RESET:
            sock = writer.get_extra_info("socket")
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        else:
            writer.close()

    def trouble(self, phase: Phase, cut: Cut) -> None:
        """Cut all connections, and the next few in this phase."""
        self.phase, self.cut, self.left, self.done = phase, cut, CUTS, 0
        for pair in [*self._pairs]:
            for each in pair:
                self._end(each)

    async def close(self) -> None:
        """End everything."""
        self.cut = Cut.RESET
        for pair in [*self._pairs]:
            for each in pair:
                self._end(each)
        if self._tasks:
            await asyncio.wait(self._tasks)


@asynccontextmanager
async def relayed(server: EmbeddedServer) -> AsyncIterator[tuple[Relay, str]]:
    """A relay, and the connection string that leads through it."""
    assert server.port is not None
    relay = Relay(server.host, server.port)
    listening = await asyncio.start_server(relay.accept, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    parts = urlsplit(server.uri)
    try:
        yield relay, parts._replace(netloc=f"{parts.hostname}:{port}").geturl()
    finally:
        listening.close()
        await relay.close()
        await listening.wait_closed()


@pytest.mark.parametrize("cut", Cut)
@pytest.mark.parametrize("phase", Phase)
async def test_everything_goes_on(connect: Connect, server: EmbeddedServer, phase: Phase, cut: Cut) -> None:
    async with relayed(server) as (relay, uri):
        client = await connect(uri, retry=POLICY)
        await client.append_events("s", None, NewEvent("T", b"0"))
        await client.create_subscription("g", "s")
        async with (
            await client.subscribe_stream_events("s") as events,
            await client.read_subscription("g", "s") as group,
        ):
            assert (await events.__anext__()).data == b"0"
            await group.ack(await group.__anext__())
            relay.trouble(phase, cut)
            await client.append_events("s", StreamState.ANY, NewEvent("T", b"1"))
            assert (await asyncio.wait_for(events.__anext__(), 20)).data == b"1"
            while (event := await asyncio.wait_for(group.__anext__(), 20)).data != b"1":
                await group.ack(event)
            await group.ack(event)
            assert await client.get_stream_position("s") == 1
        assert relay.done > 0
        assert [event.data async for event in client.read_stream_events("s")] == [b"0", b"1"]


@pytest.mark.parametrize("phase", Phase)
async def test_a_read_that_is_cut_off_is_finished(server: EmbeddedServer, phase: Phase) -> None:
    login = None if "tls=false" in server.uri else ("admin", "changeit")
    async with relayed(server) as (relay, uri), AsyncEsdbClient(uri, retry=POLICY, credentials=login) as client:
        await client.append_events("s", None, [NewEvent("T", bytes(3000)) for _ in range(300)])
        numbers = []
        async for event in client.read_stream_events("s"):
            numbers.append(event.stream_position)
            if len(numbers) == 100:
                relay.trouble(phase, Cut.RESET)
        assert numbers == list(range(300))
