"""Short reads that are answered at once: as their handler answers them, and left to it where they are not short."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from esdb_lite._http2 import flood
from esdb_lite._wire.framing import frame
from esdb_lite._wire.read_request import ReadRequest
from esdb_lite._wire.read_response_fast import ReadDecoder
from esdb_lite.events import RecordedEvent
from esdb_lite.filters import Filter
from esdb_lite.server.database.loop_share import ROOM
from esdb_lite.server.engine.model import ANY, ProposedEvent
from esdb_lite.server.handlers import AT_ONCE
from esdb_lite.server.node import ServerNode, ServerSettings
from esdb_lite.server.services.quick_reads import MOST
from tests.serving.raw import Answer, RawClient, connected

READ = "/event_store.client.streams.Streams/Read"
LONG = 3 * MOST
WINDOW = 65_535
"""Of a connection, at first."""


class Server:
    """A server with some streams, which counts what it reads at once."""

    def __init__(self, node: ServerNode, client: RawClient) -> None:
        self.node = node
        self.client = client
        self.at_once = 0
        self._read = node._database.read_at_once
        node._database.read_at_once = self._counted  # type: ignore[method-assign, assignment]

    def _counted(self, query: object) -> object:
        found = self._read(query)  # type: ignore[arg-type, var-annotated]
        self.at_once += found is not None
        return found

    async def append(self, stream: str, *sizes: int) -> None:
        events = [ProposedEvent(os.urandom(16), "T", True, b"x" * size, b"{}") for size in sizes]
        await self.node._database.append(stream, ANY, events)

    async def quickly(self, request: ReadRequest) -> Answer:
        """The answer where the request comes in one piece."""
        stream = self.client.open_unsent(READ)
        self.client.send(stream, frame([request.encode()]), end=True)
        return await self.client.ended(stream)

    async def slowly(self, request: ReadRequest) -> Answer:
        """The answer of the handler."""
        stream = self.client.open(READ)
        await self.client.call(READ, b"")  # by the time that this is answered, the headers have been looked at
        self.client.send(stream, frame([request.encode()]), end=True)
        return await self.client.ended(stream)


@pytest.fixture(params=["memory", "file"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    path = None if request.param == "memory" else tmp_path / "events.db"
    node = await ServerNode.start(ServerSettings(path=path), lambda: None)
    try:
        async with connected(node.port) as client:
            await client.more()
            server = Server(node, client)
            await server.append("few", *range(20))
            await server.append("one", 1)
            await server.append("long", *[10] * LONG)
            await server.append("large", *[20_000] * 5)
            await server.append("cut", *[10] * 20)
            await server.append("$$cut", 0)
            metadata = ProposedEvent(os.urandom(16), "$metadata", True, b'{"$maxCount":3}')
            await node._database.append("$$cut", ANY, [metadata])
            yield server
    finally:
        await node.stop()


SHORT = [
    ReadRequest("few"),
    ReadRequest("few", limit=7),
    ReadRequest("few", 5, limit=7),
    ReadRequest("few", 100),  # of which nothing comes
    ReadRequest("few", 100, tells_last=True),
    ReadRequest("few", tells_last=True),
    ReadRequest("few", from_end=True, backwards=True),
    ReadRequest("few", from_end=True, backwards=True, limit=1),
    ReadRequest("few", 3, backwards=True),
    ReadRequest("one"),
    ReadRequest("missing", limit=10),
    ReadRequest("cut"),
    ReadRequest("cut", tells_last=True),
    ReadRequest("$$cut"),
    ReadRequest("long", limit=MOST),
    ReadRequest("long", LONG - 40),
    ReadRequest("long", LONG - 40, tells_last=True),
    ReadRequest("long", from_end=True, backwards=True, limit=MOST),
    ReadRequest("large", limit=2),
    ReadRequest(None, limit=20),
    ReadRequest(None, from_end=True, backwards=True, limit=20),
]

OTHERS = [
    ReadRequest("long"),
    ReadRequest("long", limit=MOST + 1),
    ReadRequest("long", from_end=True, backwards=True),
    ReadRequest("large"),
    ReadRequest("few", resolve_links=True),
    ReadRequest("missing"),
    ReadRequest(None),
    ReadRequest(None, limit=5, filter=Filter.by_event_type(include=["T"])),
    ReadRequest(None, 3, limit=5),  # where no event begins
    ReadRequest(None, index_name="$idx-all", limit=2),
]


@pytest.mark.parametrize("request_", SHORT, ids=str)
async def test_a_short_read_is_answered_at_once_and_as_always(server: Server, request_: ReadRequest) -> None:
    expected = await server.slowly(request_)
    assert server.at_once == 0
    answer = await server.quickly(request_)
    while not server.at_once:  # on a busy machine one may be taken for slow, and some others come later for it
        answer = await server.quickly(request_)
    assert (answer.messages, answer.status) == (expected.messages, expected.status)
    # where there are no messages, the handler sends all of them together
    assert {*answer.headers, *answer.trailers} == {*expected.headers, *expected.trailers}


@pytest.mark.parametrize("request_", OTHERS, ids=str)
async def test_other_reads_are_left_to_the_handler(server: Server, request_: ReadRequest) -> None:
    expected = await server.slowly(request_)
    answer = await server.quickly(request_)
    assert (answer.messages, answer.status) == (expected.messages, expected.status)


async def test_nothing_beyond_the_window_is_held(server: Server) -> None:
    """What a client does not take waits where the server counts it: in the handler."""
    server.client.acknowledge = False
    sizes = [AT_ONCE // 4] * 3
    await server.append("wide", *sizes)
    first = server.client.open_unsent(READ)
    second = server.client.open_unsent(READ)
    for stream in (first, second):
        server.client.send(stream, frame([ReadRequest("wide").encode()]), end=True)
    server.client.flush()
    while sum(len(server.client.answers[stream].data) for stream in (first, second)) < WINDOW - AT_ONCE // 4:
        await server.client.more()
    assert server.at_once <= 1
    server.client.h2.increment_flow_control_window(2**20)
    server.client.flush()
    answers = [await server.client.ended(stream) for stream in (first, second)]
    assert answers[0].messages == answers[1].messages
    assert len(answers[0].messages) == len(sizes)


async def test_others_come_first(server: Server) -> None:
    """Where the turn of the loop is used up, a read waits for its turn like any other."""
    turns = server.node._database.turns
    stream = server.client.open_unsent(READ)
    server.client.send(stream, frame([ReadRequest("few").encode()]), end=True)
    turns.charge(1.0, 0)
    assert turns._left < ROOM
    answer = await server.client.ended(stream)
    assert server.at_once == 0
    assert len(answer.messages) == 20


async def test_many_at_once(server: Server) -> None:
    streams = [server.client.open_unsent(READ) for _ in range(100)]
    for stream in streams:
        server.client.send(stream, frame([ReadRequest("few").encode()]), end=True)
    answers = [await server.client.ended(stream) for stream in streams]
    decoded = [ReadDecoder().feed(answer.data) for answer in answers]
    assert {sum(isinstance(item, RecordedEvent) for item in items) for items in decoded} == {20}
    await asyncio.sleep(0)
    assert not list(server.node._server.open_calls())


async def test_reads_that_were_answered_at_once_may_be_broken_off(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever breaks off a read may find out afterwards that it had been answered."""
    monkeypatch.setattr(flood, "RESETS", 10)
    monkeypatch.setattr(flood, "RESETS_PER_SECOND", 0)
    async with connected(server.node.port) as client:
        await client.more()
        server.client = client
        while (before := server.at_once) < 50:
            answer = await server.quickly(ReadRequest("few", limit=20))
            assert answer.status[0] == "0"
            if server.at_once == before:
                continue  # on a busy machine it may be taken for slow
            client.write(b"\0\0\4\3\0" + max(client.answers).to_bytes(4, "big") + b"\0\0\0\x08")
        await server.quickly(ReadRequest("few", limit=20))
        assert not client.goodbye
