"""Calls whose request and answer go whole, as before: served without a stream of grpclib, until one does not.

What may go wrong is tested for them, too, by `test_calls`, whose calls come after others on the same connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from esdb_lite._http2.client import ClientProtocol
from esdb_lite._http2.protocol import QuickConnection
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite._rpc.shapes import ServerStream, unary
from esdb_lite._wire.framing import MessageSplitter
from esdb_lite.errors import AccessDenied, CallCancelled, DeadlineExceeded, ServiceUnavailable
from tests.healing.waiting import until
from tests.rpc.fake import OK, FakeCall, FakeServer, Headers, fake_server, framed
from tests.support import PATIENCE

METHOD = "/test.Service/Method"
BEGINNING = [(":status", "200"), ("content-type", "application/grpc"), ("date", "Mon, 30 Nov 2026 14:00:00 GMT")]


def answer_whole(call: FakeCall, message: bytes = b"done", trailers: Headers = OK) -> None:
    """Answer with one write."""
    h2 = call.peer.h2
    h2.send_headers(call.id, BEGINNING)
    h2.send_data(call.id, framed(message))
    h2.send_headers(call.id, trailers, end_stream=True)
    call.peer.flush()


async def read(node: ConnectionPool, method: str, message: bytes, deadline: Deadline) -> bytes:
    """What `unary` does, by the shape that has any number of answers."""
    stream = ServerStream(node, method, deadline=deadline)
    data = b""
    try:
        await stream.ask(message)
        while part := await stream.receive_data():
            data += part
            assert stream.taken is (await _is_ended(stream) if stream.taken else False)
    finally:
        stream.close()
    (answer,) = MessageSplitter().feed(data)
    return answer


async def _is_ended(stream: ServerStream) -> bool:
    return await stream.receive_data() == b""


class Conversation:
    """A connection on which calls have been answered as usual; from then on, the test answers."""

    def __init__(self, server: FakeServer, node: ConnectionPool, by: Callable[..., Awaitable[bytes]]) -> None:
        self.server = server
        self.node = node
        self._by = by
        self.asked: asyncio.Queue[FakeCall] = asyncio.Queue()

    async def begin(self) -> None:
        for _ in range(3):
            await self.ask()
        self.server.handler = self._note

    async def _note(self, call: FakeCall) -> None:
        await call.read()
        self.asked.put_nowait(call)

    async def ask(self, message: bytes = b"hello", timeout: float | None = None) -> bytes:
        return await self._by(self.node, METHOD, message, Deadline(timeout))

    async def begin_call(self, timeout: float | None = None) -> tuple[asyncio.Future[bytes], FakeCall]:
        asking = asyncio.ensure_future(self.ask(timeout=timeout))
        call = await self.asked.get()
        assert [*self.protocol._exchanges] == [call.id]
        return asking, call

    @property
    def protocol(self) -> ClientProtocol:
        return self.node._links[0]._protocol

    def check_nothing_is_left(self) -> None:
        assert not any(link.calls for link in self.node._links)
        for link in self.node._links:
            protocol = link._protocol
            assert protocol._exchanges == {}
            assert [protocol.processor.streams, protocol.processor.watchers] == [{}, {}]


@pytest.fixture(params=[unary, read])
async def talk(request: pytest.FixtureRequest) -> AsyncIterator[Conversation]:
    async def answer(call: FakeCall) -> None:
        await call.read()
        answer_whole(call)

    async with fake_server(answer) as server:
        node = ConnectionPool(server.host, server.port)
        conversation = Conversation(server, node, request.param)
        await conversation.begin()
        yield conversation
        conversation.check_nothing_is_left()
        await node.close()


async def test_it_needs_no_stream(talk: Conversation) -> None:
    asking, call = await talk.begin_call()
    assert not talk.protocol.processor.streams
    answer_whole(call, b"whole")
    assert await asking == b"whole"
    assert call.id not in talk.protocol._h2.streams


async def test_the_windows_are_kept(talk: Conversation) -> None:
    """What is sent and taken counts, and is given back with more."""
    message, sent = bytes(10_000), talk.protocol._h2.outbound_flow_control_window
    asking, call = await talk.begin_call()
    left = talk.protocol._h2.outbound_flow_control_window
    assert left == call.peer.h2.inbound_flow_control_window < sent
    for _ in range(10):
        answer_whole(call, message)
        assert await asking == message
        asking, call = await talk.begin_call()
    answer_whole(call)
    await asking
    room, connection = talk.protocol._h2._inbound_flow_control_window_manager, talk.protocol.connection
    assert isinstance(connection, QuickConnection)
    assert room.max_window_size - room.current_window_size == room._bytes_processed + connection.owed > 100_000
    assert connection.owed < 64 * 1024


async def test_an_answer_in_pieces(talk: Conversation) -> None:
    for number in range(3):
        asking, call = await talk.begin_call()
        call.send_headers(BEGINNING)
        await until(lambda call=call: call.id in talk.protocol.processor.streams)
        call.send_data(framed(b"slow")[:6])
        call.send_data(framed(b"slow")[6:])
        if number == 1:
            await asyncio.sleep(0)
        call.finish()
        assert await asking == b"slow"


async def test_a_large_answer(talk: Conversation) -> None:
    asking, call = await talk.begin_call()
    call.send_headers(BEGINNING)
    call.send(bytes(100_000))
    call.finish()
    assert await asking == bytes(100_000)


async def test_an_error_at_the_end(talk: Conversation) -> None:
    asking, call = await talk.begin_call()
    answer_whole(call, trailers=[("grpc-status", "7"), ("grpc-message", "no")])
    with pytest.raises(AccessDenied):
        await asking
    assert await _next(talk) == b"done"


async def test_a_goodbye(talk: Conversation) -> None:
    asking, call = await talk.begin_call()
    call.peer.goaway()
    await until(lambda: not talk.node.connected)
    answer_whole(call)
    assert await asking == b"done"


async def test_a_goodbye_that_did_not_look_at_it(talk: Conversation) -> None:
    asking, call = await talk.begin_call()
    call.peer.goaway(last=call.id - 2)
    with pytest.raises(ServiceUnavailable) as caught:
        await asking
    assert not caught.value.sent


async def test_such_a_goodbye_on_a_connection_that_breaks_as_it_comes(
    talk: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking, call = await talk.begin_call()
    transport = talk.protocol._transport
    assert transport is not None
    monkeypatch.setattr(transport, "write", lambda _: transport.abort())  # the answer to the ping
    call.peer.h2.ping(b"12345678")
    call.peer.goaway(last=call.id - 2)
    with pytest.raises(ServiceUnavailable, match="goodbye") as caught:
        await asyncio.wait_for(asking, PATIENCE)
    assert not caught.value.sent


async def test_the_connection_is_lost(talk: Conversation) -> None:
    asking, call = await talk.begin_call()
    call.peer.drop()
    with pytest.raises(ServiceUnavailable) as caught:
        await asking
    assert caught.value.sent
    assert caught.value.port == talk.node.port


async def test_who_gives_up_resets_it(talk: Conversation) -> None:
    asking, call = await talk.begin_call()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await call.reset_by_client == 8
    assert await _next(talk) == b"done"


async def test_those_that_are_sent_at_the_same_time_go_together(
    talk: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, written = talk.protocol.connection._transport, []
    monkeypatch.setattr(transport, "write", written.append)
    asking = [asyncio.ensure_future(talk.ask()) for _ in range(30)]
    await until(lambda: len(talk.protocol._exchanges) == 30)
    await asyncio.sleep(0)
    monkeypatch.undo()
    assert 3 <= len(written) <= 4  # the first one alone, twelve and twelve, and the rest at the end of the turn
    transport.write(b"".join(written))
    for _ in asking:
        answer_whole(await talk.asked.get())
    assert await asyncio.gather(*asking) == [b"done"] * 30


async def test_a_deadline(talk: Conversation) -> None:
    asking, call = await talk.begin_call(timeout=0.05)
    with pytest.raises(DeadlineExceeded):
        await asking
    assert await call.reset_by_client == 8


async def begin_read(talk: Conversation) -> tuple[ServerStream, FakeCall]:
    stream = ServerStream(talk.node, METHOD, deadline=Deadline(None))
    await stream.ask(b"hello")
    return stream, await talk.asked.get()


async def test_who_is_cancelled_can_ask_again(talk: Conversation) -> None:
    for whole in (True, False):
        stream, call = await begin_read(talk)
        receiving = asyncio.ensure_future(stream.receive_data())
        await asyncio.sleep(0)
        if whole:  # it is there, and the one who waits has not taken it yet
            begun = stream._exchange
            assert begun is not None
            begun.finished = _then_cancel(begun.finished, receiving)  # type: ignore[method-assign]
            answer_whole(call)
        else:
            receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        if not whole:
            answer_whole(call)
        assert await stream.receive_data() == framed(b"done")
        assert await stream.receive_data() == b""
        stream.close()


def _then_cancel(finished: Callable[[bytes], None], task: asyncio.Future[bytes]) -> Callable[[bytes], None]:
    def both(data: bytes) -> None:
        finished(data)
        task.cancel()

    return both


async def test_who_closes_it_wakes_the_one_who_waits(talk: Conversation) -> None:
    stream, call = await begin_read(talk)
    receiving = asyncio.ensure_future(stream.receive_data())
    await asyncio.sleep(0)
    stream.close()
    with pytest.raises(CallCancelled):
        await receiving
    assert await call.reset_by_client == 8


async def test_one_that_is_closed_before_anybody_waits(talk: Conversation) -> None:
    stream, call = await begin_read(talk)
    stream.close()
    assert await call.reset_by_client == 8
    stream, call = await begin_read(talk)
    answer_whole(call)
    await until(lambda: not talk.protocol._exchanges)
    stream.close()
    with pytest.raises(CallCancelled):
        await stream.receive_data()


async def test_one_whose_connection_is_lost_before_anybody_waits(talk: Conversation) -> None:
    stream, call = await begin_read(talk)
    call.peer.drop()
    await until(lambda: not talk.node.connected)
    with pytest.raises(ServiceUnavailable):
        await stream.receive_data()
    stream.close()


async def _next(talk: Conversation) -> bytes:
    asking, call = await talk.begin_call()
    answer_whole(call)
    return await asking
