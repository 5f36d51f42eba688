"""Servers that answer nonsense of every kind: whoever asks gets one of the package's exceptions, and soon."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from esdb_lite import AsyncEsdbClient, EsdbClientException, NewEvent, RetryPolicy, StreamState
from tests.rpc.fake import FakeCall, fake_server
from tests.rpc.streams_service import event_message

SEEDS = range(40)
E = NewEvent("T", b"{}")
POLICY = RetryPolicy(attempts=2, first_pause=0.001, longest_pause=0.001)

NUMBERS = ["0", "-1", "5", "--5", "9" * 5000, "²", "", "1e400", "0x10", "99999", "-9" + "9" * 30, " 7", "\x00"]
TEXTS = ["", "a\0b", "%", "%zz", "%ff%fe", "é\xff", "[" * 3000, '{"string":' * 3000, "x" * 4000, "\x1b[31m", "\x85"]
EXCEPTIONS = [
    "wrong-expected-version",
    "not-leader",
    "stream-deleted",
    "stream-not-found",
    "maximum-append-size-exceeded",
    "maximum-append-event-size-exceeded",
    "maximum-subscribers-reached",
    "persistent-subscription-failed",
    "persistent-subscription-dropped",
    "user-not-found",
    "access-denied",
    "what is this",
]
NAMED = [
    "expected-version",
    "actual-version",
    "leader-endpoint-host",
    "leader-endpoint-port",
    "maximum-append-size",
    "maximum-append-event-size",
    "proposed-append-event-size",
    "event-id",
    "stream-name",
    "group-name",
    "login-name",
    "reason",
    "grpc-message",
]


def trailers(rng: random.Random) -> list[tuple[str, str]]:
    status = rng.choice([*NUMBERS, *map(str, range(18))])
    found = [("grpc-status", status), ("exception", rng.choice(EXCEPTIONS))]
    return found + [(name, rng.choice(NUMBERS + TEXTS)) for name in NAMED if rng.random() < 0.5]


def message(rng: random.Random) -> bytes:
    """Bytes that may be a message: random ones, or a real one with a few changed."""
    if rng.random() < 0.4:
        return rng.randbytes(rng.randrange(60))
    data = bytearray(event_message(rng.randrange(100)))
    for _ in range(rng.randrange(1, 6)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def answer(rng: random.Random, call: FakeCall) -> None:
    """Say something, and end the call in some way."""
    if rng.random() < 0.2:
        call.send_headers([(":status", "200"), ("content-type", "application/grpc"), *trailers(rng)], end=True)
        return
    if rng.random() < 0.1:
        call.send_headers([(":status", rng.choice(["404", "502", "abc", "", "99999"]))], end=True)
        return
    call.begin()
    for _ in range(rng.randrange(4)):
        data = message(rng)
        length = len(data) if rng.random() < 0.8 else rng.choice([0, 1, 2**31 - 1, 2**32 - 1, len(data) + 1])
        call.send_data(struct.pack(">BI", rng.choice([0, 0, 0, 0, 1, 255]), length) + data)
    how = rng.random()
    if how < 0.2:
        call.reset(rng.choice([0, 1, 2, 7, 8, 11, 12, 99, 2**32 - 1]))
    elif how < 0.3:
        call.send_data(b"", end=True)
    elif how < 0.4:
        call.peer.transport.write(rng.randbytes(30))  # no frame, as a rule
    elif how < 0.5:
        call.peer.goaway(rng.randrange(20), last=rng.choice([0, 1, 2**31 - 1]), words=rng.randbytes(rng.randrange(20)))
        call.finish(trailers(rng))
    elif how < 0.6:
        call.peer.drop()
    else:
        call.finish(trailers(rng))


async def _drain(items: object) -> None:
    count = 0
    async for _ in items:  # type: ignore[attr-defined]
        count += 1
        if count > 20:
            return


async def _subscribe(client: AsyncEsdbClient) -> None:
    async with await client.subscribe_all_events() as events:
        await _drain(events)


async def _consume(client: AsyncEsdbClient) -> None:
    async with await client.read_subscription("g", "s") as events:
        await _drain(events)


ASKS: dict[str, Callable[[AsyncEsdbClient], Awaitable[object]]] = {
    "append": lambda client: client.append_events("s", 5, E, timeout=3),
    "append anything": lambda client: client.append_events("s", StreamState.ANY, E, timeout=3),
    "read": lambda client: _drain(client.read_stream_events("s")),
    "position": lambda client: client.get_stream_position("s", timeout=3),
    "metadata": lambda client: client.get_stream_metadata("s", timeout=3),
    "delete": lambda client: client.delete_stream("s", timeout=3),
    "tombstone": lambda client: client.tombstone_stream("s", timeout=3),
    "subscribe": _subscribe,
    "consume": _consume,
    "create group": lambda client: client.create_subscription("g", "s", timeout=3),
    "group": lambda client: client.get_subscription_info("g", "s", timeout=3),
    "groups": lambda client: client.list_subscriptions(timeout=3),
    "users": lambda client: client.list_users(timeout=3),
}


@pytest.mark.parametrize("seeds", [SEEDS[at : at + 10] for at in range(0, len(SEEDS), 10)], ids=str)
@pytest.mark.parametrize("what", ASKS)
async def test_every_error_is_one_of_ours(what: str, seeds: range) -> None:
    for seed in seeds:
        rng = random.Random(f"{what} {seed}")

        async def serve(call: FakeCall, rng: random.Random = rng) -> None:
            await call.received.get()
            answer(rng, call)

        async with fake_server(serve) as server, AsyncEsdbClient(f"127.0.0.1:{server.port}", retry=POLICY) as client:
            # a subscription may wait for more; the others end, by their time if need be
            waits = (asyncio.TimeoutError,) if what in ("subscribe", "consume", "read") else ()
            with suppress(EsdbClientException, *waits):
                await asyncio.wait_for(ASKS[what](client), 5)


@pytest.mark.parametrize("seed", range(10))
async def test_gossip_of_every_kind(seed: int) -> None:
    rng = random.Random(seed)

    async def serve(call: FakeCall) -> None:
        await call.received.get()
        answer(rng, call)

    async with fake_server(serve) as server:
        uri = f"esdb://127.0.0.1:{server.port}?tls=false&dnsDiscover=true&maxDiscoverAttempts=3&discoveryInterval=1"
        async with AsyncEsdbClient(uri, retry=POLICY) as client:
            with pytest.raises(EsdbClientException):
                await client.append_events("s", None, E, timeout=3)
