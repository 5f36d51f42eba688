"""Floods below calls: frames, connections, handshakes, and readers that take nothing."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from functools import partial

from esdb_lite import AsyncEsdbClient, NewEvent, StreamState
from esdb_lite._wire.append import ANY, encode_append_options, encode_append_proposed, encode_proposed
from esdb_lite._wire.framing import frame as framed
from esdb_lite._wire.read_request import ReadRequest
from tests.benchmarks.flooding.flood import STREAMS, Flood
from tests.benchmarks.flooding.peers import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    RESET,
    SETTINGS,
    WINDOW_UPDATE,
    Attack,
    Caller,
    Headers,
    Request,
    Silent,
    Tally,
    calls,
    frame,
    frames,
    greeting,
    header_block,
    with_connections,
)

_READ = header_block(f"{STREAMS}/Read")
_DETAILS = "/event_store.client.users.Users/Details"
LARGE, MANY_LARGE = 900_000, 8


def _taken_back(number: int) -> bytes:
    first = 1 + 100 * number
    return b"".join(
        frame(HEADERS, _READ, flags=END_HEADERS, stream=stream) + frame(RESET, b"\0\0\0\x08", stream=stream)
        for stream in range(first, first + 100, 2)
    )


def _broken_off(number: int) -> bytes:
    """A read that begins, and is taken back when it may just have been begun."""
    stream, request = 1 + 4 * number, framed([ReadRequest("large").encode()])
    begun = b"".join(
        frame(HEADERS, _READ, flags=END_HEADERS, stream=each) + frame(DATA, request, flags=END_STREAM, stream=each)
        for each in (stream, stream + 2)
    )
    return begun + b"".join(frame(RESET, b"\0\0\0\x08", stream=each) for each in (stream - 4, stream - 2) if each > 0)


def _opened(number: int) -> bytes:
    opening = b"" if number else frame(HEADERS, _READ, flags=END_HEADERS, stream=1)
    return opening + frame(DATA, stream=1) * 100


def _single_bytes(number: int) -> bytes:
    opening = [frame(HEADERS, _READ, flags=END_HEADERS, stream=stream) for stream in (1, 3) if not number]
    return b"".join(opening) + (frame(DATA, b"\0", stream=1) + frame(DATA, b"\0", stream=3)) * 50


def _continued(number: int) -> bytes:
    return (frame(HEADERS, _READ, stream=1) if not number else b"") + frame(CONTINUATION, b"", stream=1) * 100


async def large_events(client: AsyncEsdbClient) -> None:
    """Write a stream of large events."""
    for _ in range(MANY_LARGE):
        await client.append_events("large", StreamState.ANY, NewEvent("T", b"1" * LARGE))


def _readers(number: int, connections: int, *, live: bool = False) -> Attack:
    """Reads that take nothing at all."""
    request = Request(f"{STREAMS}/Read", framed([ReadRequest("large", limit=None if live else 2**32).encode()]))
    return with_connections(connections, lambda tally: Caller(tally, lambda: request, number // connections, 0))


def _endless_append() -> Request:
    events = [
        encode_append_proposed(
            encode_proposed(
                id=os.urandom(16), type="T", content_type="application/octet-stream", metadata=b"", data=b"1" * 100
            )
        )
        for _ in range(2000)
    ]
    return Request(f"{STREAMS}/Append", framed([encode_append_options("endless", ANY), *events]), ends=False)


def login(name: str, password: str) -> Headers:
    """Say who is calling."""
    return (("authorization", "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()),)


def _guesses(*, connections: int) -> Attack:
    return calls(lambda: Request(_DETAILS, framed([b""]), login("admin", os.urandom(4).hex())), connections=connections)


def _silent(first: bytes, tally: Tally) -> Silent:
    return Silent(tally, first)


def _come_and_go(tally: Tally) -> Silent:
    protocol = Silent(tally, greeting())
    begin = protocol.begin

    def leave() -> None:
        begin()
        protocol.cut_off = False
        protocol.transport.close()

    protocol.begin = leave  # type: ignore[method-assign]
    return protocol


def floods() -> Iterator[Flood]:
    """All of them."""
    yield Flood("resets", "requests that are taken back at once (CVE-2023-44487)", frames(_taken_back))
    yield Flood("broken-reads", "reads of 7 MB that are broken off at once", frames(_broken_off), large_events)
    yield Flood("pings", "PING", frames(lambda _: frame(PING, b"12345678") * 100))
    yield Flood("settings", "SETTINGS", frames(lambda _: frame(SETTINGS) * 100))
    yield Flood("windows", "WINDOW_UPDATE", frames(lambda _: frame(WINDOW_UPDATE, b"\0\0\0\1") * 100))
    yield Flood("unknown-frames", "frames of a type that nobody knows", frames(lambda _: frame(77, b"x") * 100))
    yield Flood("empty-data", "DATA with nothing in it", frames(_opened))
    yield Flood("single-bytes", "DATA of one byte, of two calls by turns", frames(_single_bytes))
    yield Flood("continuations", "headers that never end", frames(_continued))
    yield Flood(
        "pings-20", "PING, over 20 connections", frames(lambda _: frame(PING, b"12345678") * 100, connections=20)
    )
    yield Flood("connections", "50 at a time that come and go", with_connections(50, _come_and_go))
    yield Flood("silent", "1,000 connections that say nothing", with_connections(1000, partial(_silent, b"")))
    yield Flood(
        "window-0",
        "1,000 readers with a window of 0 on events of 900 kB",
        _readers(1000, 5),
        large_events,
        memory=200,
    )
    yield Flood(
        "window-0-live", "1,000 subscribers with a window of 0 on them", _readers(1000, 5, live=True), large_events
    )
    yield Flood("endless-appends", "800 appends that never end", calls(_endless_append, connections=4, in_flight=200))
    yield Flood(
        "no-tls",
        "500 connections that never begin TLS",
        with_connections(500, partial(_silent, b""), tls=False),
        secure=True,
    )
    yield Flood(
        "half-open",
        "500 handshakes that stop after their first bytes",
        with_connections(500, partial(_silent, b"\x16\x03\x01\x02\x00\x01"), tls=False),
        secure=True,
    )
    yield Flood("handshakes", "20 handshakes at a time", with_connections(20, _come_and_go), secure=True)
    yield Flood("guesses", "wrong passwords, 200 at a time", _guesses(connections=1), secure=True)
    yield Flood("guesses-20", "wrong passwords over 20 connections", _guesses(connections=20), secure=True)
    right = Request(_DETAILS, framed([b""]), login("admin", "changeit"))
    yield Flood("logins", "the right password, 200 at a time", calls(lambda: right), secure=True)
