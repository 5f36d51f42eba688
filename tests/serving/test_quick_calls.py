"""Calls that are served without a task, where they come whole: how each ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from esdb_lite._http2.server import MAX_CONCURRENT_STREAMS
from esdb_lite._status import RpcError, StatusCode, refusals
from esdb_lite._wire.framing import frame
from esdb_lite.server.app import Route, RpcServer
from esdb_lite.server.handlers import QuickAnswer, ServerCall
from tests.serving.raw import RawClient, connected
from tests.support import PATIENCE

FRAME = 16_384
"""Bytes that a frame may have."""


class Method:
    """Answers with what has come when it is told to; the handler says that it was the handler."""

    def __init__(self, *, at_once: bool = True) -> None:
        self.at_once = at_once
        self.refuses = False
        self.times = 1
        self.fails = False
        self.begun: list[tuple[bytes, QuickAnswer]] = []
        self.commits: list[int] = []
        self.given_up: list[bytes] = []
        self.asked = self.awaited = 0
        self._changed = asyncio.Event()

    async def change(self) -> None:
        await asyncio.wait_for(self._changed.wait(), PATIENCE)
        self._changed.clear()

    def begin(self, request: bytes, answer: QuickAnswer) -> Callable[[], None] | None:
        if self.fails:
            raise ValueError("never mind")
        if self.refuses:
            return None
        self.asked += 1
        self.begun.append((request, answer))
        return lambda: self._give_up(request)

    def _give_up(self, request: bytes) -> None:
        self.given_up.append(request)
        self._changed.set()

    def commit(self) -> None:
        self.commits.append(len(self.begun))
        self._changed.set()
        if self.at_once:
            self.answer()

    def answer(self) -> None:
        begun, self.begun = self.begun, []
        for request, answer in begun:
            answer(RpcError(StatusCode.NOT_FOUND, "none") if request == b"error" else b"quick " + request * self.times)

    async def handle(self, call: ServerCall) -> None:
        while messages := await call.receive():
            await call.send([b"handler " + b"".join(messages)])


@asynccontextmanager
async def serving(method: Method) -> AsyncIterator[tuple[RawClient, RpcServer]]:
    server = RpcServer({"/s/M": Route(method.handle, 2**21, None, method)})
    port = await server.start("127.0.0.1", 0)
    try:
        async with connected(port) as client:
            await client.more()
            yield client, server
    finally:
        await server.stop()


def send(client: RawClient, stream: int, request: bytes) -> None:
    """Prepare a whole request."""
    data = frame([request])
    for at in range(0, len(data), FRAME):
        client.h2.send_data(stream, data[at : at + FRAME], end_stream=at + FRAME >= len(data))


async def begin(client: RawClient, method: Method, *requests: bytes, timeout: str | None = None) -> list[int]:
    """Begin calls, all in one piece, and wait until the method has been asked."""
    more = [] if timeout is None else [("grpc-timeout", timeout)]
    streams = []
    for request in requests:
        streams.append(client.open_unsent("/s/M", more=more))
        send(client, streams[-1], request)
    client.flush()
    method.awaited += len(requests)
    while method.asked < method.awaited:
        await method.change()
    return streams


async def test_an_answer() -> None:
    method = Method()
    async with serving(method) as (client, server):
        for request in (b"", b"x", b"y" * 20_000):
            (stream,) = await begin(client, method, request)
            answer = await client.ended(stream)
            assert answer.messages == [b"quick " + request]
            assert answer.headers[":status"] == "200"
            assert answer.headers["content-type"] == "application/grpc"
            assert answer.status == ("0", None)
            assert answer.trailers == {"grpc-status": "0"}
        assert (server.counts.total, server.counts.failed) == (3, 0)


async def test_an_error() -> None:
    method = Method()
    async with serving(method) as (client, server):
        (stream,) = await begin(client, method, b"error")
        assert (await client.ended(stream)).status == ("5", "none")
        assert (server.counts.total, server.counts.failed) == (1, 1)


async def test_what_comes_together_is_committed_together() -> None:
    method = Method()
    async with serving(method) as (client, _):
        streams = await begin(client, method, *(b"%d" % number for number in range(12)))
        assert method.commits == [12]
        assert [(await client.ended(stream)).messages for stream in streams] == [
            [b"quick %d" % number] for number in range(12)
        ]


async def test_the_window_of_the_connection_opens_again() -> None:
    method = Method()
    async with serving(method) as (client, _):
        for _ in range(800):
            stream = client.open_unsent("/s/M")
            send(client, stream, b"x" * 12_000)
            client.flush()
            assert len((await client.ended(stream)).messages[0]) in (12_006, 12_008)
        assert client.h2.outbound_flow_control_window > 2**20
        assert method.asked > 400


@pytest.mark.parametrize("reason", ["refused", "failed"])
async def test_what_the_method_leaves_is_for_the_handler(reason: str) -> None:
    method = Method()
    method.refuses, method.fails = reason == "refused", reason == "failed"
    async with serving(method) as (client, _):
        for request in (b"", b"x", b"y" * 10_000):
            assert (await client.call("/s/M", request)).messages == [b"handler " + request]
    assert method.commits == []


async def test_what_comes_in_pieces_is_for_the_handler() -> None:
    method = Method()
    async with serving(method) as (client, _):
        stream = client.open("/s/M")
        await client.call("/s/M", b"beside")
        for piece in frame([b"x" * 10]):
            client.send(stream, bytes((piece,)))
        client.send(stream, b"", end=True)
        assert (await client.ended(stream)).messages == [b"handler " + b"x" * 10]


async def test_headers_that_come_before_those_of_others_are_for_the_handler() -> None:
    method = Method()
    async with serving(method) as (client, _):
        streams = [client.open_unsent("/s/M") for _ in range(3)]
        for stream in streams:
            send(client, stream, b"x")
        client.flush()
        found = [(await client.ended(stream)).messages for stream in streams]
        assert found == [[b"handler x"]] * 3


async def test_an_end_that_comes_behind_the_data() -> None:
    method = Method()
    async with serving(method) as (client, _):
        stream = client.open_unsent("/s/M")
        client.h2.send_data(stream, frame([b"x"]))
        client.h2.end_stream(stream)
        client.flush()
        assert (await client.ended(stream)).messages == [b"quick x"]


@pytest.mark.parametrize("data", [b"", b"\0\0", frame([b"one", b"two"]), b"\1\0\0\0\1x", b"\0\0\0\0\2x"])
async def test_what_is_not_one_message_is_for_the_handler(data: bytes) -> None:
    method = Method()
    async with serving(method) as (client, _):
        stream = client.open_unsent("/s/M")
        client.send(stream, data, end=True)
        answer = await client.ended(stream)
        assert answer.status[0] == ("0" if not data or data.endswith(b"two") else "13")
        assert method.commits == []


async def test_an_answer_for_which_there_is_no_room() -> None:
    method = Method()
    async with serving(method) as (client, _):
        method.times = 200_000  # more than the window of a stream
        (stream,) = await begin(client, method, b"x")
        answer = await client.ended(stream)
        assert answer.messages == [b"quick " + b"x" * 200_000]
        assert answer.status == ("0", None)


async def test_a_client_that_cancels() -> None:
    method = Method(at_once=False)
    async with serving(method) as (client, server):
        first, second = await begin(client, method, b"1", b"2")
        client.h2.reset_stream(first)
        client.flush()
        while not method.given_up:
            await method.change()
        assert method.given_up == [b"1"]
        method.begun.pop(0)
        method.answer()
        assert (await client.ended(second)).messages == [b"quick 2"]
        assert not list(server.open_calls())


async def test_a_call_that_is_cancelled_as_soon_as_it_has_come() -> None:
    method = Method()
    async with serving(method) as (client, _):
        stream = client.open_unsent("/s/M")
        client.h2.send_data(stream, frame([b"x"]), end_stream=True)
        client.h2.reset_stream(stream)
        (other,) = await begin(client, method, b"y")
        assert (await client.ended(other)).messages == [b"quick y"]
        assert method.commits == [1]


async def test_a_client_that_goes_away() -> None:
    method = Method(at_once=False)
    async with serving(method) as (client, _):
        await begin(client, method, b"x")
        await client.close()
        while not method.given_up:
            await method.change()
        assert method.given_up == [b"x"]


async def test_a_deadline() -> None:
    method = Method(at_once=False)
    async with serving(method) as (client, _):
        (stream,) = await begin(client, method, b"x", timeout="20m")
        assert (await client.ended(stream)).status == ("4", "Deadline Exceeded")
        assert method.given_up == [b"x"]
        (stream,) = await begin(client, method, b"y", timeout="20S")
        method.begun.pop(0)
        method.answer()
        assert (await client.ended(stream)).messages == [b"quick y"]


async def test_a_server_that_stops() -> None:
    method = Method(at_once=False)
    async with serving(method) as (client, server):
        (stream,) = await begin(client, method, b"x")
        stopping = asyncio.ensure_future(server.stop())
        answer = await client.ended(stream)
        assert answer.status == ("14", refusals.shutting_down().message)
        assert method.given_up == [b"x"]
        await stopping


async def test_as_many_calls_as_may_be_open() -> None:
    method = Method()
    async with serving(method) as (client, _):
        for _ in range(3):
            streams = [client.open_unsent("/s/M") for _ in range(MAX_CONCURRENT_STREAMS)]
            for stream in streams:
                send(client, stream, b"x")
            client.flush()
            for stream in streams:
                assert (await client.ended(stream)).status == ("0", None)
