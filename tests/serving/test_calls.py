"""Calls on the server: how each ends, whatever the client does."""

from __future__ import annotations

import asyncio

import pytest

from esdb_lite._http2.server import MAX_CONCURRENT_STREAMS
from esdb_lite._status import RpcError, StatusCode
from esdb_lite._wire.framing import frame
from esdb_lite.server.handlers import ServerCall
from tests.serving.raw import RawClient, echo, serving
from tests.support import PATIENCE


async def wait(call: ServerCall) -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def test_messages_go_both_ways() -> None:
    async with serving(echo) as (client, _, _):
        answer = await client.call("/s/M", b"one", b"", b"three")
    assert answer.messages == [b"one", b"", b"three"]
    assert answer.headers[":status"] == "200"
    assert answer.headers["content-type"] == "application/grpc"
    assert answer.headers["date"].endswith(" GMT")
    assert answer.headers["server"].startswith("esdb-lite/")
    assert answer.status == ("0", None)
    assert answer.trailers == {"grpc-status": "0"}


async def test_messages_in_pieces() -> None:
    async with serving(echo) as (client, _, _):
        stream = client.open("/s/M")
        data = frame([b"one", b"two"])
        for at in range(len(data)):
            client.send(stream, data[at : at + 1])
            await asyncio.sleep(0)
        client.send(stream, b"", end=True)
        assert (await client.ended(stream)).messages == [b"one", b"two"]


async def test_answers_come_while_requests_are_sent() -> None:
    async with serving(echo) as (client, _, _):
        stream = client.open("/s/M")
        client.send(stream, frame([b"one"]))
        while not client.answers[stream].messages:
            await client.more()
        assert not client.answers[stream].ended


async def test_an_error_with_trailers_and_a_message_beyond_ascii() -> None:
    async def fail(call: ServerCall) -> None:
        raise RpcError(StatusCode.NOT_FOUND, "größe 100%\n", [("exception", "some-thing"), ("n", "1")])

    async with serving(fail) as (client, _, _):
        answer = await client.call("/s/M", b"")
    assert answer.status == ("5", "gr%C3%B6%C3%9Fe 100%25%0A")
    assert (answer.headers["exception"], answer.headers["n"]) == ("some-thing", "1")
    assert answer.data == b""


@pytest.mark.parametrize(
    ("path", "message"), [("/s/N", "Method is unimplemented."), ("/t/M", "Service is unimplemented."), ("x", None)]
)
async def test_what_is_not_served(path: str, message: str | None) -> None:
    async with serving(echo) as (client, _, _):
        answer = await client.call(path, b"")
    assert answer.status[0] == "12"
    assert message is None or answer.status[1] == message


@pytest.mark.parametrize(
    ("data", "code", "text"),
    [
        (frame([b"x" * 1001]), "8", "Received message exceeds the maximum configured message size."),
        (b"\0\xff\xff\xff\xff", "8", "Received message exceeds the maximum configured message size."),
        (b"\x01\0\0\0\x01x", "12", "Unsupported grpc-encoding value 'gzip'. Supported encodings: identity"),
        (b"\x07\0\0\0\x01x", "13", "Malformed gRPC framing"),
        (b"\0\0\0\0\x05ab", "13", "Incomplete message"),
        (b"\0\0", "13", "Incomplete message"),
    ],
)
async def test_malformed_messages(data: bytes, code: str, text: str) -> None:
    async with serving(echo) as (client, _, _):
        stream = client.open("/s/M", more=[("grpc-encoding", "gzip")])
        client.send(stream, data, end=True)
        answer = await client.ended(stream)
        assert (await client.call("/s/M", b"still there")).messages == [b"still there"]
    assert answer.status[0] == code
    assert (answer.status[1] or "").startswith(text)


async def test_an_answer_before_the_requests_end_does_not_disturb_the_connection() -> None:
    async def refuse(call: ServerCall) -> None:
        await call.receive()
        raise RpcError(StatusCode.INVALID_ARGUMENT, "no")

    async with serving(refuse) as (client, _, _):
        stream = client.open("/s/M")
        client.send(stream, frame([b"one"]))
        assert (await client.ended(stream)).status == ("3", "no")
        for _ in range(10):
            client.send(stream, frame([b"more" * 200]))
        client.send(stream, b"", end=True)
        assert (await client.call("/s/M", b"")).status == ("3", "no")


async def test_a_deadline() -> None:
    ended = asyncio.Event()

    async def watched(call: ServerCall) -> None:
        try:
            await wait(call)
        finally:
            ended.set()

    async with serving(watched) as (client, _, _):
        answer = await client.call("/s/M", b"", more=[("grpc-timeout", "20m")])
        assert answer.status == ("4", "Deadline Exceeded")
        assert ended.is_set()
        assert (await client.call("/s/M", b"", more=[("grpc-timeout", "soon")])).status[0] == "3"


async def test_a_client_that_cancels() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def watched(call: ServerCall) -> None:
        began.set()
        try:
            await wait(call)
        finally:
            ended.set()

    async with serving(watched) as (client, _, _):
        stream = client.open("/s/M", end=True)
        await asyncio.wait_for(began.wait(), PATIENCE)
        client.h2.reset_stream(stream)
        client.flush()
        await asyncio.wait_for(ended.wait(), PATIENCE)


async def test_a_client_that_goes_away() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def watched(call: ServerCall) -> None:
        began.set()
        try:
            while True:
                await call.send([b"x" * 1000] * 100)
        finally:
            ended.set()

    async with serving(watched) as (client, _, _):
        client.open("/s/M", end=True)
        await asyncio.wait_for(began.wait(), PATIENCE)
        await client.close()
        await asyncio.wait_for(ended.wait(), PATIENCE)


async def test_a_handler_that_fails_is_logged_and_answered(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(call: ServerCall) -> None:
        raise KeyError("secret")

    async with serving(broken) as (client, _, _):
        answer = await client.call("/s/M", b"")
    assert answer.status[0] == "13"
    assert "secret" not in (answer.status[1] or "")
    assert "secret" in caplog.text


async def test_a_client_that_does_not_read_holds_up_itself_alone() -> None:
    sent = 0

    async def pour(call: ServerCall) -> None:
        nonlocal sent
        if (await call.receive()) == [b"little"]:
            await call.send([b"x"])
            return
        while True:
            await call.send([b"x" * 10_000])
            sent += 10_000

    async with serving(pour) as (client, _, port):
        client.acknowledge = False
        stream = client.open("/s/M")
        client.send(stream, frame([b"much"]), end=True)
        while len(client.answers[stream].data) < 65_535:
            await client.more()
        before = sent
        other = RawClient(*await asyncio.open_connection("127.0.0.1", port))
        for _ in range(20):
            assert (await other.call("/s/M", b"little")).messages == [b"x"]
        await other.close()
        assert sent == before <= 65_535


async def test_many_calls_at_once() -> None:
    async with serving(echo) as (client, _, _):
        await client.more()  # the server's settings
        streams = [client.open("/s/M") for _ in range(MAX_CONCURRENT_STREAMS)]
        for number, stream in enumerate(streams):
            client.send(stream, frame([b"%d" % number]))
        for stream in streams:
            client.send(stream, b"", end=True)
        for number, stream in enumerate(streams):
            assert (await client.ended(stream)).messages == [b"%d" % number]


async def test_stopping_ends_open_calls_and_says_goodbye() -> None:
    began = asyncio.Event()

    async def watched(call: ServerCall) -> None:
        began.set()
        await wait(call)

    async with serving(watched) as (client, server, port):
        stream = client.open("/s/M")
        await asyncio.wait_for(began.wait(), PATIENCE)
        stopping = asyncio.ensure_future(server.stop())
        await client.until_closed()
        await stopping
        assert client.answers[stream].status == ("14", "Server Is Shutting Down")
        assert client.goodbye
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_stopping_does_not_wait_for_a_client_that_does_not_read() -> None:
    async def pour(call: ServerCall) -> None:
        while True:
            await call.send([b"x" * 100_000])

    async with serving(pour) as (client, server, _):
        client.h2.increment_flow_control_window(2**30)
        stream = client.open("/s/M", end=True)
        client.h2.increment_flow_control_window(2**30, stream)
        client.flush()
        await client.more()
        await asyncio.wait_for(server.stop(), PATIENCE)
