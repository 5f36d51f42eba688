"""Pages about a server: over HTTP/1.1 and HTTP/2, with TLS and without; and HTTP/1.1 in the hands of others."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from esdb_lite import AsyncEsdbClient, EmbeddedServer, NewEvent
from esdb_lite.server.services.metrics import NodeFigures, render
from esdb_lite.server.services.pages import nested

PATIENCE = 20


async def get(server: EmbeddedServer, path: str, method: str = "GET", tls: ssl.SSLContext | None = None) -> Any:
    """Status, headers and body of a page, over HTTP/1.1."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=tls)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    return int(first.split(" ")[1]), dict(line.split(": ", 1) for line in rest), body


async def test_pages() -> None:
    async with EmbeddedServer() as server, AsyncEsdbClient(server.uri) as client:
        await client.connect()
        status, headers, body = await get(server, "/info?x=1")
        assert (status, headers["content-type"]) == (200, "application/json; charset=utf-8")
        assert json.loads(body)["dbVersion"] == "26.1.0"
        assert headers["content-length"] == str(len(body))
        _, headers, nothing = await get(server, "/info", "HEAD")
        assert (headers["content-length"], nothing) == (str(len(body)), b"")
        assert json.loads((await get(server, "/ping"))[2])["text"]
        (member,) = json.loads((await get(server, "/gossip"))[2])["members"]
        assert (member["state"], member["httpEndPointPort"]) == ("Leader", server.port)
        assert json.loads((await get(server, "/stats"))[2])["proc"]["mem"] > 0
        assert (await get(server, "/metrics", "POST"))[0] == 404
        assert server.page("/ping") is not None
        assert server.page("/nothing") is None
    assert server.page("/ping") is None


def fetched(server: EmbeddedServer, path: str) -> tuple[int, Any]:
    """As test fixtures of others ask: with the HTTP client of a standard library, a connection for each request."""
    with urlopen(f"http://localhost:{server.port}{path}", timeout=PATIENCE) as answer:
        body = answer.read()
        return answer.status, json.loads(body) if body else None


def test_fixtures_of_others_see_that_a_server_is_ready() -> None:
    """What they wait for: langgraph's checkpointer, testcontainers, and the tests of the client for Node.js."""
    with EmbeddedServer(run_projections="system") as server:
        status, info = fetched(server, "/info")
        assert (status, info["state"], info["features"]["projections"]) == (200, "leader", True)
        assert fetched(server, "/ping") == (200, {"text": "Ping request successfully handled"})
        assert fetched(server, "/health/live") == (204, None)
        status, gossip = fetched(server, "/gossip")
        states = [member["state"] for member in gossip["members"]]
        assert (status, "Leader" in states, "Unknown" in states) == (200, True, False)
        with pytest.raises(HTTPError, match="404: Not Found"):
            fetched(server, "/no-such-page")


async def test_over_tls(tmp_path: Path) -> None:
    """Also for those who are nobody: the services tell everybody the same."""
    async with EmbeddedServer(dev_certificate=tmp_path, compatibility="24.10") as server:
        tls = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        tls.check_hostname = False
        assert json.loads((await get(server, "/info", tls=tls))[2])["features"]["userManagement"]
        assert b"\neventstore_proc_mem_bytes{" in (await get(server, "/metrics", tls=tls))[2]


def values(text: str) -> dict[tuple[str, str], float]:
    """What a collector reads, by name and labels."""
    families: Iterator[Any] = text_string_to_metric_families(text)
    return {
        (sample.name, ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


async def test_metrics_can_be_collected() -> None:
    async with EmbeddedServer() as server, AsyncEsdbClient(server.uri) as client:
        before = values((await get(server, "/metrics"))[2].decode())
        await client.append_events("order-1", None, [NewEvent("T", b"{}") for _ in range(7)])
        await client.create_subscription('g"\\\n', "order-1")
        async with await client.read_subscription('g"\\\n', "order-1"):
            found = values((await get(server, "/metrics"))[2].decode())
    written = ("kurrentdb_io_events_total", "activity=written")
    assert found[written] - before[written] >= 7
    assert found["kurrentdb_current_incoming_grpc_calls", ""] >= 1
    assert found["kurrentdb_persistent_sub_connections", 'event_stream_id=order-1,group_name=g"\\\n'] == 1
    assert found["kurrentdb_incoming_grpc_calls_total", "kind=total"] > 0


def test_what_is_not_known_is_left_out() -> None:
    statistics = {"proc-id": "1", "proc-cpu": "-1", "sys-drive-/a-b-totalBytes": "5", "sys-drive-/a-b-usage": "1"}
    text = render(NodeFigures(statistics, 1.5, 0, 0, 3, 1, 0, 0, 0, []), "eventstore")
    found = values(text)
    assert found["eventstore_sys_disk_bytes", "disk=/a-b,kind=total"] == 5
    assert not [name for name, _ in found if "proc_cpu" in name or "persistent" in name]


def test_statistics_within_each_other() -> None:
    assert nested({"proc-mem": "5", "proc-cpu": "1.5", "sys-drive-/a-b-usage": "1", "es-x": "text"}) == {
        "proc": {"mem": 5, "cpu": 1.5},
        "sys": {"drive": {"/a-b": {"usage": 1}}},
        "es": {"x": "text"},
    }


class Somebody(asyncio.Protocol):
    """Serves HTTP/1.1 in its own way."""

    made: list[Somebody]

    def __init__(self) -> None:
        self.made.append(self)
        self.received = b""
        self.lost = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.received.endswith(b"\r\n\r\n"):
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nmine")

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


@pytest.mark.parametrize("tls", [False, True])
async def test_http1_in_the_hands_of_somebody_else(tmp_path: Path, tls: bool) -> None:
    """Requests of one connection, next to gRPC; what is open ends with the server."""
    Somebody.made = []
    server = EmbeddedServer(dev_certificate=tmp_path if tls else None)
    server.hand_http1_to(Somebody)
    context: ssl.SSLContext | None = None
    async with server:
        async with AsyncEsdbClient(server.uri, credentials=("admin", "changeit") if tls else None) as client:
            await client.append_events("s", None, NewEvent("T", b"{}"))
        if tls:
            context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
            context.set_alpn_protocols(["h2", "http/1.1"])
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
        for number in range(2):
            for part in (b"P", b"OST /web HT", b"TP/1.1\r\nHost: x\r\n\r\n"):
                writer.write(part)
                await writer.drain()
            assert (await asyncio.wait_for(reader.readuntil(b"mine"), PATIENCE)).startswith(b"HTTP/1.1 200"), number
        (somebody,) = Somebody.made
        assert not somebody.lost.is_set()
    assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
    assert somebody.received.count(b"POST /web") == 2
    assert somebody.lost.is_set()
    writer.close()
    await writer.wait_closed()
