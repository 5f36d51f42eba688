"""The console behind a port: one of its own, and that of our server beside gRPC."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

import pytest
from starlette.types import Receive, Scope, Send

from esdb_lite import AsyncEsdbClient, EmbeddedServer, NewEvent
from esdb_lite.cli.web import serving_console
from esdb_lite.web import WebConsole, app, serving
from esdb_lite.web.console import MOST_DOWNLOADS
from esdb_lite.web.serving import ConsoleServer


async def ask(port: int, request: str, *, tls: ssl.SSLContext | None = None) -> tuple[str, str]:
    """Send one request over HTTP/1.1; returns the head and the body of the answer."""
    host = "localhost" if tls else "127.0.0.1"
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=tls and host)
    writer.write(f"{request} HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n\r\n".encode())
    answer = (await asyncio.wait_for(reader.read(), 20)).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    return head, body


async def test_a_port_of_its_own(client: AsyncEsdbClient) -> None:
    server = ConsoleServer(app(client))
    port = await server.start("127.0.0.1", 0)
    head, body = await ask(port, "GET /streams")
    assert head.startswith("HTTP/1.1 200")
    assert "server:" not in head.lower()
    assert body.rstrip().endswith("</html>")
    head, body = await ask(port, "HEAD /streams")
    assert (head.startswith("HTTP/1.1 200"), body) == (True, "")
    assert (await ask(port, "GET /info"))[0].startswith("HTTP/1.1 404")
    await server.stop()


async def test_stopping_does_not_wait_for_those_who_look(client: AsyncEsdbClient) -> None:
    server = ConsoleServer(app(client))
    port = await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /live/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert b"event: ready" in await reader.readuntil(b"event: ready")
    idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.wait_for(server.stop(), 5)
    assert (await reader.read()).endswith(b"0\r\n\r\n")
    assert await idle_reader.read() == b""
    for each in (writer, idle_writer):
        each.close()
        await each.wait_closed()


class _Watched:
    """A console that says when a request has ended."""

    def __init__(self, console: WebConsole) -> None:
        self._console = console
        self.ended = asyncio.Event()
        self.stop = console.stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._console(scope, receive, send)
        self.ended.set()


async def test_who_takes_nothing_of_a_download_is_cut_off(
    client: AsyncEsdbClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "TAKES_NOTHING", 0.05)
    await client.append_events("large", None, NewEvent("Large", bytes(14_000_000)))
    console = _Watched(app(client))
    server = ConsoleServer(console)  # type: ignore[arg-type]
    port = await server.start("127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    with socket.create_connection(("127.0.0.1", port)) as deaf:
        deaf.setblocking(False)
        await loop.sock_sendall(deaf, b"GET /event/data?stream=large&position=0 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await asyncio.wait_for(console.ended.wait(), 20)
        taken = 0
        with suppress(ConnectionResetError):
            while taken < 14_000_000 and (piece := await asyncio.wait_for(loop.sock_recv(deaf, 2**20), 20)):
                taken += len(piece)
    assert 0 < taken < 14_000_000
    await server.stop()


async def test_a_download_is_whole(client: AsyncEsdbClient) -> None:
    await client.append_events("large", None, NewEvent("Large", b"0123456789" * 500_000))
    server = ConsoleServer(app(client))
    port = await server.start("127.0.0.1", 0)
    for _ in range(MOST_DOWNLOADS + 1):
        head, body = await ask(port, "GET /event/data?stream=large&position=0")
        assert "content-length: 5000000" in head
        assert body == "0123456789" * 500_000
    await server.stop()


async def test_beside_grpc_on_the_port_of_the_server() -> None:
    server = EmbeddedServer()
    async with serving_console(server, allow_changes=False, hosts=()), AsyncEsdbClient(server.uri) as client:
        await client.append_events("order-1", None, NewEvent.json("Placed", {"n": 1}))
        assert "Placed" in (await ask(server.port, "GET /stream?name=order-1"))[1]
        assert (await ask(server.port, "GET /health/live"))[0].startswith("HTTP/1.1 204")
        assert "openmetrics" in (await ask(server.port, "GET /metrics"))[0]
        assert json.loads((await ask(server.port, "GET /info"))[1])["dbVersion"] == "26.1.0"
        assert "location: /" in (await ask(server.port, "GET /web/index.html"))[0]
        assert await client.get_stream_position("order-1") == 0
    assert repr(server).endswith("stopped>")


async def test_beside_grpc_with_tls(tmp_path: Path) -> None:
    pytest.importorskip("trustme", reason="trustme is not installed")
    server = EmbeddedServer(dev_certificate=tmp_path)
    async with serving_console(server, allow_changes=True, hosts=()):
        tls = ssl.create_default_context(cafile=unquote(server.uri.partition("tlsCaFile=")[2]))
        head, _ = await ask(server.port, "GET /streams", tls=tls)
        assert "location: /login?next=%2Fstreams" in head
        head, body = await ask(server.port, "GET /login", tls=tls)
        assert "Secure" in head
        assert "Password" in body
        async with AsyncEsdbClient(server.uri, credentials=("admin", "changeit")) as client:
            assert await client.get_user("admin")


async def test_the_certificate_is_for_another_name(tmp_path: Path) -> None:
    trustme = pytest.importorskip("trustme", reason="trustme is not installed")
    made = trustme.CA().issue_cert("db.example.org")
    made.private_key_pem.write_to_path(tmp_path / "key.pem")
    made.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    server = EmbeddedServer(
        certificate_file=tmp_path / "certificate.pem", certificate_private_key_file=tmp_path / "key.pem"
    )
    async with serving_console(server, allow_changes=True, hosts=()):
        tls = ssl.create_default_context(cadata=None)
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
        assert "location: /login" in (await ask(server.port, "GET /", tls=tls))[0]
