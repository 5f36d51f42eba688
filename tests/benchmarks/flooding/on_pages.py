"""Floods of pages: the server's own, over HTTP/1.1 and HTTP/2, and those of the console."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

from esdb_lite import AsyncEsdbClient, NewEvent, StreamState
from tests.benchmarks.flooding.flood import Flood, nothing
from tests.benchmarks.flooding.peers import Attack, Request, Tally, Target, calls, pages

_WEB = ("--web",)


async def _huge(client: AsyncEsdbClient) -> None:
    """Events of 8 MB, and many small ones."""
    content = b'{"values":[' + b",".join(b"%d" % number for number in range(1_200_000)) + b"]}"
    await client.append_events("huge", StreamState.ANY, NewEvent("T", content))
    await client.append_events(
        "bytes", StreamState.ANY, NewEvent("T", bytes(8_000_000), content_type="application/octet-stream")
    )
    for number in range(20):
        await client.append_events(
            f"s-{number}", StreamState.ANY, [NewEvent.json("T", {"n": number}) for _ in range(500)]
        )


def _over_http2(path: str) -> Attack:
    request = Request(path, method="GET")
    return calls(lambda: request)


async def _logins(target: Target, tally: Tally) -> None:
    """Ask for the form, which has a token for its visitor, and send it back again and again."""
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port, ssl=target.tls)
    writer.write(b"GET /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    form = (await reader.read()).decode()
    writer.close()
    (cookie,), (token,) = re.findall("set-cookie: ([^;]+)", form), re.findall('name="token" value="([^"]+)', form)
    body = f"token={token}&login=admin&password=wrong"
    await pages("/login", body=body, more=[f"Cookie: {cookie}", "Origin: https://localhost"])(target, tally)


def floods() -> Iterator[Flood]:
    """All of them."""
    for path in ("/info", "/gossip", "/stats", "/metrics"):
        yield Flood(f"page{path}", f"{path}, 50 connections at a time", pages(path))
    yield Flood("page/stats-h2", "/stats over HTTP/2, 200 at a time", _over_http2("/stats"))
    yield Flood("page/metrics-h2", "/metrics over HTTP/2, 200 at a time", _over_http2("/metrics"))
    console = {
        "overview": "/",
        "streams": "/streams",
        "stream": "/stream?name=s-1",
        "event": "/event?stream=huge&position=0",
        "event-bytes": "/event?stream=bytes&position=0",
        "download": "/event/data?stream=bytes&position=0",
        "huge-stream": "/stream?name=huge",
        "all": "/all",
        "find": "/find?id=00000000-0000-4000-8000-000000000001",
        "live": "/live/events",
        "login": "/login",
    }
    for name, path in console.items():
        prepare = nothing if name in ("overview", "login") else _huge
        yield Flood(f"web/{name}", f"{path.partition('?')[0]}, 50 at a time", pages(path), prepare, _WEB)
    yield Flood("web/logins", "wrong passwords in the console's form", _logins, options=_WEB, secure=True)
