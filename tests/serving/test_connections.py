"""Connections: what is no HTTP/2, what is none that can be understood, health checks, and silence."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

import pytest
from h2.settings import SettingCodes

from esdb_lite._http2.keepalive import KeepAlive
from esdb_lite.server.app import connection as connections
from esdb_lite.server.app.server import RpcServer
from esdb_lite.server.handlers import ServerCall
from tests.healing.waiting import until
from tests.serving.raw import echo, serving
from tests.support import PATIENCE


async def http1(port: int, request: bytes) -> bytes:
    """Send bytes; return all that comes until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for at in range(0, len(request), 7):
        writer.write(request[at : at + 7])
        await asyncio.sleep(0)
    try:
        return await asyncio.wait_for(reader.read(), PATIENCE)
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /health/live HTTP/1.1", b"204 No Content"),
        (b"HEAD /health/live HTTP/1.1", b"204 No Content"),
        (b"GET /health/live?x=1 HTTP/1.0", b"204 No Content"),
        (b"GET / HTTP/1.1", b"302 Found"),
        (b"PRINT / HTTP/1.1", b"404 Not Found"),
        (b"PUT /info HTTP/1.1", b"405 Method Not Allowed"),
        (b"POST /a/b HTTP/1.1", b"415 Unsupported Media Type"),
        (b"POST /health/live HTTP/1.1", b"415 Unsupported Media Type"),
        (b"DELETE /a/b HTTP/1.1", b"404 Not Found"),
        (b"nonsense", b"400 Bad Request"),
    ],
)
async def test_http1(line: bytes, status: bytes) -> None:
    async with serving(echo) as (_, _, port):
        answer = await http1(port, line + b"\r\nHost: x\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status)
    assert body == b""


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health/live", "204"),
        ("GET", "/nothing", "404"),
        ("POST", "/nothing", "404"),
        ("PUT", "/nothing/here", "404"),
        ("DELETE", "/nothing", "404"),
        ("POST", "/s/M", "415"),
    ],
)
async def test_plain_requests_over_http2(method: str, path: str, status: str) -> None:
    async with serving(echo) as (client, _, _):
        stream = client.open(path, method=method, more=[("content-type", "text/plain")], end=True)
        answer = await client.ended(stream)
    assert answer.headers[":status"] == status


@pytest.mark.parametrize(
    ("method", "content_type", "status"),
    [
        ("POST", "application/grpc", "200"),
        ("POST", "application/grpc+proto", "200"),
        ("POST", "application/grpc;v=1", "200"),
        ("POST", "application/grpc-web", "415"),
        ("POST", "application/grpc-web+proto", "415"),
        ("GET", "application/grpc", "404"),
        ("DELETE", "application/grpc", "404"),
    ],
)
async def test_what_is_a_call(method: str, content_type: str, status: str) -> None:
    async with serving(echo) as (client, _, _):
        more = [("content-type", content_type)]
        answer = await client.ended(client.open("/s/M", method=method, more=more, end=True))
    assert answer.headers[":status"] == status


@pytest.mark.parametrize(
    ("method", "path", "status", "name", "value"),
    [
        ("GET", "/", "302", "location", "/web/index.html"),
        ("HEAD", "/web", "302", "location", "/web/index.html"),
        ("PUT", "/info", "405", "allow", "GET, HEAD, OPTIONS"),
    ],
)
async def test_pages_of_a_real_server(method: str, path: str, status: str, name: str, value: str) -> None:
    async with serving(echo) as (client, _, _):
        answer = await client.ended(client.open(path, method=method, more=[("content-type", "text/plain")], end=True))
    assert (answer.headers[":status"], answer.headers[name]) == (status, value)


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01" + os.urandom(40_000), b"x" * 40_000, b"PRI * HTTP/2.0\r\n\r\nno\r\n\r\n"]
)
async def test_what_is_no_http_is_closed(garbage: bytes) -> None:
    async with serving(echo) as (client, _, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(garbage)
        with contextlib.suppress(ConnectionError):  # closed before it had taken all
            await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        assert (await client.call("/s/M", b"x")).messages == [b"x"]


@pytest.mark.parametrize(
    "frames",
    [
        b"\xff" * 9 + b"garbage",
        b"\0\0\x05\x01\x04\0\0\0\x01\xff\xff\xff\xff\xff",  # headers that are not HPACK
        b"\0\0\x01\0\0\0\0\0\x63x",  # data of a stream that was never opened
        b"\0\0\x04\x08\0\0\0\0\0\0\0\0\0",  # a window that grows by nothing
        b"\0\0\0\x04\x01\0\0\0\x01",  # settings of a stream
    ],
)
async def test_broken_http2_ends_its_connection_alone(frames: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    async with serving(echo) as (client, _, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(connections.PREFACE + b"\0\0\0\x04\0\0\0\0\0" + frames)
        await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()
        await writer.wait_closed()
        assert (await client.call("/s/M", b"x")).messages == [b"x"]
    assert capfd.readouterr().err == ""


async def test_header_values_beyond_ascii(capfd: pytest.CaptureFixture[str]) -> None:
    seen = []

    async def look(call: ServerCall) -> None:
        seen.append(call.metadata["x"])

    async with serving(look) as (client, _, _):
        assert (await client.call("/s/M", more=[("x", "größe")])).status == ("0", None)
    assert seen == ["größe".encode().decode("latin-1")]
    assert capfd.readouterr().err == ""


async def test_who_is_silent_is_asked_and_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "KEEPALIVE", KeepAlive(0.05, 0.05))
    async with serving(echo) as (_, _, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(connections.PREFACE + b"\0\0\0\x04\0\0\0\0\0")
        answer = await asyncio.wait_for(reader.read(), PATIENCE)  # until it is closed, without an answer to the ping
        assert b"\0\0\x08\x06\0\0\0\0\0esdblite" in answer
        writer.close()
        await writer.wait_closed()


async def test_who_answers_is_not_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "KEEPALIVE", KeepAlive(0.02, 0.02))
    async with serving(echo) as (client, _, _):
        while client.pings < 5:  # h2 answers them
            await client.more()
        assert (await client.call("/s/M", b"x")).messages == [b"x"]


async def test_who_does_not_even_greet_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_GREETING_TIMEOUT", 0.05)
    async with serving(echo) as (_, _, port):
        assert await http1(port, b"PRI * HT") == b""


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_connection_that_is_made_when_the_server_has_ended_is_closed(end: str) -> None:
    """It was accepted before; the loop gets round to it afterwards, when nobody looks after connections any more."""
    server = RpcServer({})
    await server.start("127.0.0.1", 0)
    accepted = server._accept()
    await getattr(server, end)()
    ours, theirs = socket.socketpair()
    with ours:
        await asyncio.get_running_loop().connect_accepted_socket(lambda: accepted, theirs)
        ours.settimeout(5)
        assert await asyncio.to_thread(ours.recv, 1) == b""


async def test_who_closes_while_much_is_on_its_way_ends_once(caplog: pytest.LogCaptureFixture) -> None:
    """What is written is sent to the end first; the loop ended the transport twice then, and complained of it."""

    async def pour(call: ServerCall) -> None:
        for _ in range(64):
            await call.send([bytes(500_000)])

    async with serving(pour) as (client, server, _):
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 2**30})
        client.h2.increment_flow_control_window(2**30)
        client.open("/s/M")
        await until(lambda: any(each._transport.get_write_buffer_size() for each in server._connections))
        client._writer.write_eof()
        await until(lambda: all(each.is_closing for each in server._connections))
        await asyncio.wait_for(client._reader.read(), PATIENCE)
        await until(lambda: not server.connections)
        await asyncio.sleep(0)  # where it would be ended again
    assert not caplog.records
