"""Calls against servers that behave, misbehave, and go away."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime, timezone

import pytest

from esdb_lite._rpc import call as call_module
from esdb_lite._rpc.deadline import Deadline, grpc_timeout
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite._rpc.shapes import BidiStream, ClientStream, ServerStream, unary
from esdb_lite._wire.framing import MessageSplitter
from esdb_lite.errors import (
    AccessDenied,
    CallCancelled,
    ClientClosed,
    DeadlineExceeded,
    EsdbClientException,
    NotSupported,
    ProtocolError,
    ResourceExhausted,
    ServiceUnavailable,
    StreamDeleted,
)
from tests.rpc.fake import FakeCall, FakeServer, Handler, check_closed, fake_server, framed, never
from tests.support import free_port

METHOD = "/test.Service/Method"
NEVER = Deadline(None)


async def echo(call: FakeCall) -> None:
    data = await call.read()
    call.begin()
    call.send_data(data)
    call.finish()


class Served:
    """A node and the server behind it."""

    def __init__(self, server: FakeServer, node: ConnectionPool) -> None:
        self.server, self.node = server, node

    async def ask(self, message: bytes = b"hello", timeout: float | None = 5.0) -> bytes:
        return await unary(self.node, METHOD, message, deadline=Deadline(timeout))


@pytest.fixture(params=["first call", "later call"])
async def serve(request: pytest.FixtureRequest) -> AsyncIterator[_Serve]:
    """Calls that go as those before them are served in another way than the first one."""
    async with AsyncExitStack() as running:
        yield _Serve(running, calls_before=2 if request.param == "later call" else 0)


class _Serve:
    def __init__(self, running: AsyncExitStack, calls_before: int) -> None:
        self._running = running
        self._calls_before = calls_before

    async def __call__(self, handler: Handler, *, max_streams: int = 100, deaf: bool = False) -> Served:
        server = await self._running.enter_async_context(fake_server(handler, max_streams=max_streams, deaf=deaf))
        node = ConnectionPool(server.host, server.port)
        self._running.push_async_callback(node.close)
        served = Served(server, node)
        if max_streams and not deaf:
            await node.connect(NEVER)  # the time of a call is for the call alone
            server.handler = echo
            for _ in range(self._calls_before):
                await served.ask()
            server.handler = handler
            server.calls.clear()
            server.called.clear()
        return served


async def test_unary(serve: _Serve) -> None:
    served = await serve(echo)
    assert await served.ask(b"\x00\xff") == b"\x00\xff"
    headers = served.server.calls[0].headers
    assert headers[":path"] == METHOD
    assert headers["te"] == "trailers"
    assert headers["content-type"] == "application/grpc"
    assert headers["user-agent"].startswith("esdb-lite/")
    check_closed(served.node)


async def test_large_messages_pass_the_windows(serve: _Serve) -> None:
    async def answer_length(call: FakeCall) -> None:
        data = await call.read()
        call.answer(str(len(data)).encode())

    served = await serve(answer_length)
    assert await served.ask(bytes(3_000_000)) == b"3000005"


async def test_metadata_is_sent(serve: _Serve) -> None:
    served = await serve(echo)
    await unary(served.node, METHOD, b"", deadline=NEVER, metadata=(("authorization", "Basic eDp5"),))
    assert served.server.calls[0].headers["authorization"] == "Basic eDp5"
    assert "grpc-timeout" not in served.server.calls[0].headers


@pytest.mark.parametrize("trailers_only", [True, False])
async def test_status_and_trailers_become_an_exception(serve: _Serve, trailers_only: bool) -> None:
    trailers = [("exception", "stream-deleted"), ("stream-name", "caf%C3%A9 100%25"), ("date", "today")]

    async def refuse(call: FakeCall) -> None:
        await call.read()
        if trailers_only:
            call.fail(9, "gone%3A %E2%82%AC 100%25", trailers)
        else:
            call.begin()
            call.send(b"some data")
            call.finish([("grpc-status", "9"), ("grpc-message", "gone%3A %E2%82%AC 100%25"), *trailers])

    served = await serve(refuse)
    with pytest.raises(StreamDeleted) as caught:
        await served.ask()
    assert caught.value.stream_name == "café 100%"
    assert caught.value.details == "gone: € 100%"
    assert caught.value.trailers == (("exception", "stream-deleted"), ("stream-name", "café 100%"))
    check_closed(served.node)


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("Mon, 30 Nov 2026 08:00:00 GMT", datetime(2026, 11, 30, 8, tzinfo=timezone.utc)),
        ("Mon, 30 Nov 2026 10:00:00 +0200", datetime(2026, 11, 30, 8, tzinfo=timezone.utc)),
        ("Mon, 30 Nov 2026 08:00:00 -0000", datetime(2026, 11, 30, 8, tzinfo=timezone.utc)),
        ("Mon, 30 Nov 2026 08:00:00", datetime(2026, 11, 30, 8, tzinfo=timezone.utc)),
        ("Mon, 30 Nov 2026 08:00:00 +99999999999999999999", None),
        ("Mon, 30 Nov 2026 08:00:00 +9999", None),
        ("today", None),
        (None, None),
    ],
)
async def test_what_time_it_is_on_the_server(serve: _Serve, date: str | None, expected: datetime | None) -> None:
    async def answer(call: FakeCall) -> None:
        told = [] if date is None else [("date", date)]
        call.send_headers([(":status", "200"), ("content-type", "application/grpc"), *told])
        call.send(b"")
        call.finish()

    served = await serve(answer)
    async with ServerStream(served.node, METHOD, deadline=NEVER) as stream:
        await stream.request(b"")
        assert await stream.receive_data() == framed(b"")
        assert stream.server_time == expected


async def test_a_percent_sign_in_an_ascii_trailer_is_left_alone(serve: _Serve) -> None:
    async def refuse(call: FakeCall) -> None:
        call.fail(9, "", [("exception", "stream-deleted"), ("stream-name", "a%41")])

    served = await serve(refuse)
    with pytest.raises(StreamDeleted) as caught:
        await served.ask()
    assert caught.value.stream_name == "a%41"


async def test_trailers_may_hold_any_byte(serve: _Serve) -> None:
    async def refuse(call: FakeCall) -> None:
        call.fail(9, "", [("exception", "stream-deleted"), ("stream-name", "é\xff")])

    served = await serve(refuse)
    with pytest.raises(StreamDeleted):
        await served.ask()
    assert len(served.server.peers) == 1


async def test_an_early_refusal_is_told_while_much_is_still_to_be_sent(serve: _Serve) -> None:
    async def refuse(call: FakeCall) -> None:
        call.acknowledge = False  # so that the client gets stuck
        await call.received.get()
        call.fail(8, "too much")

    served = await serve(refuse)
    with pytest.raises(ResourceExhausted, match="too much"):
        await served.ask(bytes(10_000_000))
    assert await served.server.calls[0].reset_by_client == 8
    check_closed(served.node)


async def test_an_early_refusal_with_reset_is_told(serve: _Serve) -> None:
    async def refuse(call: FakeCall) -> None:
        call.acknowledge = False
        await call.received.get()
        call.fail(8, "too much")
        call.reset(0)

    served = await serve(refuse)
    with pytest.raises(ResourceExhausted, match="too much"):
        await served.ask(bytes(10_000_000))


async def test_an_early_success_is_one(serve: _Serve) -> None:
    async def answer(call: FakeCall) -> None:
        call.acknowledge = False
        call.answer(b"enough")

    served = await serve(answer)
    assert await served.ask(bytes(10_000_000)) == b"enough"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        *((code, ServiceUnavailable) for code in (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 13, 77, 2**32 - 1)),
        (8, CallCancelled),
        (11, ResourceExhausted),
        (12, AccessDenied),
    ],
)
async def test_resets(serve: _Serve, code: int, expected: type[EsdbClientException]) -> None:
    async def reset(call: FakeCall) -> None:
        call.reset(code)

    served = await serve(reset)
    with pytest.raises(expected) as caught:
        await served.ask()
    if isinstance(caught.value, ServiceUnavailable):
        assert (caught.value.host, caught.value.port) == (served.node.host, served.node.port)
        assert caught.value.sent  # also with REFUSED_STREAM, which proxies say of what the server has done
    check_closed(served.node)


@pytest.mark.parametrize(("status", "expected"), [("503", ServiceUnavailable), ("404", NotSupported)])
async def test_http_errors(serve: _Serve, status: str, expected: type[EsdbClientException]) -> None:
    async def page(call: FakeCall) -> None:
        call.send_headers([(":status", status), ("content-type", "text/html")])
        call.send_data(b"<html>", end=True)

    served = await serve(page)
    with pytest.raises(expected, match=f"HTTP status {status}"):
        await served.ask()
    check_closed(served.node)


async def test_an_answer_that_is_not_grpc(serve: _Serve) -> None:
    async def page(call: FakeCall) -> None:
        call.send_headers([(":status", "200"), ("content-type", "text/html")])
        call.send_data(b"<html>", end=True)

    served = await serve(page)
    with pytest.raises(ProtocolError, match="text/html"):
        await served.ask()


@pytest.mark.parametrize(
    "data",
    [b"\1\0\0\0\1x", framed(b"a") + framed(b"b"), framed(b"a")[:-1] + b"", b"", b"\0\xff\xff\xff\xff"],
    ids=["compressed", "two messages", "cut off", "no message", "over-long"],
)
async def test_answers_that_are_not_one_message(serve: _Serve, data: bytes) -> None:
    async def answer(call: FakeCall) -> None:
        await call.read()
        call.begin()
        call.send_data(data)
        call.finish()

    served = await serve(answer)
    with pytest.raises(ProtocolError):
        await served.ask()
    check_closed(served.node)


async def test_no_status_at_the_end(serve: _Serve) -> None:
    async def answer(call: FakeCall) -> None:
        call.begin()
        call.send_data(framed(b"x"), end=True)

    served = await serve(answer)
    with pytest.raises(ServiceUnavailable, match="without a status") as caught:
        await served.ask()
    assert caught.value.sent
    assert caught.value.port == served.node.port


# --- deadlines ------------------------------------------------------------------------------------------------------


async def test_a_server_that_never_answers(serve: _Serve) -> None:
    served = await serve(never)
    with pytest.raises(DeadlineExceeded, match=r"Method did not end within 0\.05 seconds"):
        await served.ask(timeout=0.05)
    call = served.server.calls[0]
    assert await call.reset_by_client == 8
    assert call.headers["grpc-timeout"].endswith("m")
    check_closed(served.node)


async def answer_without_end(call: FakeCall) -> None:
    await call.read()
    call.begin()
    call.send(b"hello")
    await never(call)


async def test_an_answer_that_never_ends(serve: _Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The status comes with the end: without it nobody knows whether it was a success."""
    monkeypatch.setattr(call_module, "END_PATIENCE", 0.05)
    served = await serve(answer_without_end)
    with pytest.raises(ServiceUnavailable, match="the server has answered, and has not ended the call") as caught:
        await served.ask(timeout=30.0)
    assert caught.value.sent
    assert await served.server.calls[0].reset_by_client == 8
    check_closed(served.node)


async def test_an_answer_that_does_not_end_in_time(serve: _Serve) -> None:
    served = await serve(answer_without_end)
    with pytest.raises(DeadlineExceeded, match=r"within 0\.05 seconds \(while waiting for the end of the answer\)"):
        await served.ask(timeout=0.05)


async def test_a_server_that_takes_no_more(serve: _Serve) -> None:
    async def stuck(call: FakeCall) -> None:
        call.acknowledge = False
        await never(call)

    served = await serve(stuck)
    with pytest.raises(DeadlineExceeded):
        await served.ask(bytes(10_000_000), timeout=0.1)
    check_closed(served.node)


async def test_a_server_that_accepts_and_says_nothing(serve: _Serve) -> None:
    served = await serve(never, deaf=True)
    with pytest.raises(DeadlineExceeded):
        await served.ask(timeout=0.05)


async def test_no_time_at_all(serve: _Serve) -> None:
    served = await serve(echo)
    await served.ask()
    with pytest.raises(DeadlineExceeded):
        await served.ask(timeout=0)
    assert len(served.server.calls) == 1


async def test_the_budget_is_for_the_whole_call(serve: _Serve) -> None:
    async def drip(call: FakeCall) -> None:
        call.begin()
        while not call.reset_by_client.done():
            call.send(b"drop")
            await asyncio.wait({call.reset_by_client}, timeout=0.02)

    served = await serve(drip)
    started = time.monotonic()
    async with ServerStream(served.node, METHOD, deadline=Deadline(0.1)) as stream:
        await stream.request(b"")
        with pytest.raises(DeadlineExceeded):
            await _drain(stream)
    assert 0.09 < time.monotonic() - started < 2


async def test_what_came_before_the_deadline_is_too_late_after_it(serve: _Serve) -> None:
    async def answer(call: FakeCall) -> None:
        call.begin()
        call.send(b"in time")
        await never(call)

    served = await serve(answer)
    async with ServerStream(served.node, METHOD, deadline=Deadline(0.1)) as stream:
        await stream.request(b"")
        assert await stream.receive_data() == framed(b"in time")
        served.server.calls[0].send(b"not asked for")
        await stream._call._stream.window_updated.wait()  # type: ignore[union-attr]  # set when the time is over
        with pytest.raises(DeadlineExceeded):
            await stream.receive_data()


async def _drain(stream: ServerStream) -> None:
    while await stream.receive_data():
        pass


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0001, "1m"), (1.5, "1500m"), (99_999.999, "99999999m"), (200_000, "200000S"), (1e9, "16666667M")],
)
def test_timeouts_as_grpc_writes_them(seconds: float, text: str) -> None:
    assert grpc_timeout(seconds) == text


# --- connections ----------------------------------------------------------------------------------------------------


async def test_nobody_listens() -> None:
    port = free_port()
    node = ConnectionPool("127.0.0.1", port)
    with pytest.raises(ServiceUnavailable, match=f"127.0.0.1:{port}") as caught:
        await unary(node, METHOD, b"", deadline=NEVER)
    assert (caught.value.host, caught.value.port) == ("127.0.0.1", port)
    assert isinstance(caught.value, ConnectionError)
    await node.close()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 300, "-"])
async def test_names_that_are_not_found(host: str) -> None:
    node = ConnectionPool(host, 2113)
    with pytest.raises(ServiceUnavailable, match=f"{host}:2113"):
        await unary(node, METHOD, b"", deadline=Deadline(30))
    await node.close()


async def test_connecting_takes_too_long() -> None:
    async def dial() -> object:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    node = ConnectionPool("far.example", 2113, dial=dial)  # type: ignore[arg-type]
    with pytest.raises(ServiceUnavailable, match=r"far.example:2113: no connection within 0\.05 seconds"):
        await unary(node, METHOD, b"", deadline=Deadline(0.05))
    await node.close()


async def test_one_connection_for_all_who_need_one(serve: _Serve) -> None:
    served = await serve(echo)
    await asyncio.gather(*(served.ask() for _ in range(20)))
    assert len(served.server.peers) == 1


async def test_who_gives_up_connecting_does_not_spoil_it_for_others(serve: _Serve) -> None:
    served = await serve(echo)
    first = asyncio.ensure_future(served.ask())
    second = asyncio.ensure_future(served.ask())
    await asyncio.sleep(0)
    first.cancel()
    assert await second == b"hello"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_the_connection_breaks_in_the_middle_of_an_answer(serve: _Serve) -> None:
    async def break_off(call: FakeCall) -> None:
        call.begin()
        call.send(b"one")
        await call.received.get()
        call.peer.drop()

    served = await serve(break_off)
    async with BidiStream(served.node, METHOD, deadline=NEVER) as stream:
        assert await stream.receive() == [b"one"]
        await stream.send([b"go on"])
        with pytest.raises(ServiceUnavailable, match=f"127.0.0.1:{served.server.port}"):
            await stream.receive()
    served.server.handler = echo
    assert await served.ask() == b"hello"  # on a new connection
    assert len(served.server.peers) == 2


async def test_the_connection_breaks_while_sending(serve: _Serve) -> None:
    async def break_off(call: FakeCall) -> None:
        call.acknowledge = False
        await call.received.get()
        call.peer.drop()

    served = await serve(break_off)
    with pytest.raises(ServiceUnavailable):
        await served.ask(bytes(10_000_000), timeout=None)


async def test_closing_fails_what_is_open(serve: _Serve) -> None:
    served = await serve(never)
    waiting = asyncio.ensure_future(served.ask(timeout=None))
    await served.server.called.wait()
    await served.node.close()
    with pytest.raises(ClientClosed):
        await waiting
    with pytest.raises(ClientClosed):
        await served.ask()


async def test_closing_a_call_wakes_who_waits_on_it(serve: _Serve) -> None:
    served = await serve(never)
    stream = await BidiStream(served.node, METHOD, deadline=NEVER).open()
    waiting = asyncio.ensure_future(stream.receive())
    await asyncio.sleep(0)
    stream.close()
    with pytest.raises(CallCancelled):
        await waiting
    check_closed(served.node)


# --- many calls -----------------------------------------------------------------------------------------------------


async def test_more_calls_than_the_server_takes_wait_in_order(serve: _Serve) -> None:
    served = await serve(echo, max_streams=3)
    await served.ask()
    order: list[int] = []

    async def one(number: int) -> None:
        assert await served.ask(b"%d" % number, timeout=None) == b"%d" % number
        order.append(number)

    await asyncio.gather(*(one(number) for number in range(60)))
    assert order == sorted(order)
    assert len(served.server.peers) == 1
    check_closed(served.node)


async def test_waiting_for_a_place_ends_with_the_deadline_and_with_cancellation(serve: _Serve) -> None:
    served = await serve(never, max_streams=2)
    served.server.handler = echo
    await served.ask()  # so that the limit is known
    served.server.handler = never
    busy = [asyncio.ensure_future(served.ask(timeout=None)) for _ in range(2)]
    cancelled = asyncio.ensure_future(served.ask(timeout=None))
    await asyncio.sleep(0)  # all of them have begun
    with pytest.raises(DeadlineExceeded, match="no free stream"):
        await served.ask(timeout=0.05)
    cancelled.cancel()
    busy[0].cancel()
    await asyncio.wait([cancelled, busy[0]])
    served.server.handler = echo
    assert await served.ask() == b"hello"
    busy[1].cancel()
    await asyncio.wait([busy[1]])
    check_closed(served.node)


async def test_calls_that_stay_open_leave_room_for_short_ones(serve: _Serve) -> None:
    async def both(call: FakeCall) -> None:
        await (never if call.method == "Long" else echo)(call)

    served = await serve(both, max_streams=10)
    await served.ask()
    streams = [await BidiStream(served.node, "/test.Service/Long", deadline=NEVER).open() for _ in range(50)]
    assert len(served.server.peers) == 7  # eight of ten on each
    assert await served.ask() == b"hello"
    for stream in streams:
        stream.close()
    check_closed(served.node)
    assert served.node.connections == 1  # the others are not needed any more


async def test_a_reader_that_stands_still_does_not_hold_up_others(serve: _Serve) -> None:
    async def flood(call: FakeCall) -> None:
        if call.method == "Method":
            await echo(call)
            return
        call.begin()
        h2, sent = call.peer.h2, 0
        while (room := h2.local_flow_control_window(call.id)) > 0:
            piece = min(room, h2.max_outbound_frame_size)
            call.send_data(bytes(piece))
            sent += piece
        stalled.set_result(sent)
        await never(call)

    stalled: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    served = await serve(flood)
    async with ServerStream(served.node, "/test.Service/Flood", deadline=NEVER) as stream:
        await stream.request(b"")
        assert await stalled >= 2**20
        assert await served.ask() == b"hello"


# --- the shapes -----------------------------------------------------------------------------------------------------


async def test_client_stream(serve: _Serve) -> None:
    async def count(call: FakeCall) -> None:
        messages = MessageSplitter().feed(await call.read())
        call.answer(b",".join(messages))

    served = await serve(count)
    async with ClientStream(served.node, METHOD, deadline=NEVER) as stream:
        await stream.send([b"a", b"b"], end=True)
        assert await stream.finish() == b"a,b"


async def test_bidi_stream(serve: _Serve) -> None:
    async def mirror(call: FakeCall) -> None:
        call.begin()
        while data := await call.received.get():
            call.send_data(data)
        call.finish()

    served = await serve(mirror)
    async with BidiStream(served.node, METHOD, deadline=NEVER) as stream:
        for number in range(3):
            await stream.send([b"%d" % number])
            assert await stream.receive() == [b"%d" % number]
        await stream.send([], end=True)
        assert await stream.receive() == []
    check_closed(served.node)


async def test_against_the_server_of_grpclib() -> None:
    from grpclib.const import Cardinality
    from grpclib.const import Handler as Method
    from grpclib.encoding.base import CodecBase
    from grpclib.server import Server
    from grpclib.server import Stream as ServerSide

    class Raw(CodecBase):
        __content_subtype__ = "proto"

        def encode(self, message: bytes, message_type: type) -> bytes:
            return message

        def decode(self, data: bytes, message_type: type) -> bytes:
            return data

    class Service:
        async def method(self, stream: ServerSide[bytes, bytes]) -> None:
            message = await stream.recv_message()
            assert message is not None
            await stream.send_message(message[::-1])

        def __mapping__(self) -> dict[str, Method]:
            return {METHOD: Method(self.method, Cardinality.UNARY_UNARY, bytes, bytes)}

    server = Server([Service()], codec=Raw())
    listening = socket.create_server(("127.0.0.1", 0))
    await server.start(sock=listening)
    node = ConnectionPool("127.0.0.1", listening.getsockname()[1])
    assert await unary(node, METHOD, b"abc", deadline=NEVER) == b"cba"
    await node.close()
    server.close()
    await server.wait_closed()


# --- cancellation ---------------------------------------------------------------------------------------------------


async def _unary(served: Served) -> None:
    await served.ask(bytes(200_000), timeout=60)


async def _server_stream(served: Served) -> None:
    async with ServerStream(served.node, METHOD, deadline=Deadline(60)) as stream:
        await stream.request(bytes(100))
        await _drain(stream)


async def _bidi(served: Served) -> None:
    async with BidiStream(served.node, METHOD, deadline=Deadline(60)) as stream:
        await stream.send([b"x"], end=True)
        while await stream.receive():
            pass


@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize("shape", [_unary, _server_stream, _bidi])
async def test_cancelled_at_every_step(serve: _Serve, shape: object, connected: bool) -> None:
    """A call that is cancelled after n turns of the loop, for every n until it is faster than that."""
    served = await serve(echo)
    for turns in range(10_000):
        if not connected:
            served.node = ConnectionPool(served.server.host, served.server.port)
        task = asyncio.ensure_future(shape(served))  # type: ignore[operator]
        for _ in range(turns):
            await asyncio.sleep(0)
        if not task.cancel():
            break
        with pytest.raises(asyncio.CancelledError):
            await task
        check_closed(served.node)
        if not connected:
            await served.node.close()
    assert turns > 3
    await task
    assert await served.ask() == b"hello"
    check_closed(served.node)
    await served.node.close()
