"""`esdb-lite demo`: the package at work, told as a story of a few orders.

Owns: the story. Uses what everybody can import from `esdb_lite`, and must not know more than that.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterable, Iterable
from pathlib import Path

from esdb_lite import AsyncEsdbClient, EmbeddedServer, EsdbClient, ExpectedPositionError, NewEvent, RecordedEvent

WRITERS = ("Ada", "Grace", "Edsger")
ORDERS_EACH = 4
STEPS = ("OrderPlaced", "OrderPaid", "OrderShipped")
DISPUTED = "order-Ada-1"


def demo(_: argparse.Namespace | None = None) -> int:
    """Tell the story on a temporary database; returns 0. What does not happen as told raises."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="esdb-lite-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "orders.db"
        written = asyncio.run(first_run(path))
        second_run(path, written)
    print(
        f"\nDone in {time.monotonic() - started:.1f} seconds. Next: {interpreter()} -m esdb_lite serve --db events.db"
    )
    return 0


def interpreter() -> str:
    """How to call this Python from here."""
    try:
        return os.path.relpath(sys.executable)
    except ValueError:  # Windows: on another drive
        return sys.executable


async def first_run(path: Path) -> list[RecordedEvent]:
    """Everything up to the restart; returns all events in the order of the log."""
    heading("A server in this process, on a file of its own")
    async with EmbeddedServer(path) as server, AsyncEsdbClient(server.uri) as client:
        print(f"   {server.uri}  ({path.name}; real gRPC: other clients can connect, too)")
        async with await client.subscribe_all_events() as subscription:
            await write_concurrently(client)
            await show_conflict(client)
            await show_stream(client)
            events = await show_all(client)
            await show_subscription(subscription, events)
    return events


def second_run(path: Path, written: list[RecordedEvent]) -> None:
    """Start again on the same file, this time without asyncio, and find what the first run wrote."""
    heading("The server was stopped and starts again on the same file; now with the client for code without asyncio")
    with EmbeddedServer(path) as server, EsdbClient(server.uri) as client:
        events = list(client.read_all_events())
        assert [event.id for event in events] == [event.id for event in written]
        print(f"   all {len(events)} events are there, in the same order, at the same positions")
        result = client.append_events(DISPUTED, client.get_stream_position(DISPUTED), NewEvent("OrderClosed", b"{}"))
        print(f"   {DISPUTED} goes on: OrderClosed is at position {result.stream_position}")


async def write_concurrently(client: AsyncEsdbClient) -> None:
    """Each writer appends the first events of its orders, all writers at once."""
    heading(f"{len(WRITERS)} writers at once, {ORDERS_EACH} orders each; every append says where it expects its stream")
    started = time.monotonic()
    await asyncio.gather(*(write_orders(client, writer) for writer in WRITERS))
    count = len(WRITERS) * ORDERS_EACH * len(STEPS)
    milliseconds = (time.monotonic() - started) * 1000
    print(f"   {count} events in {milliseconds:.0f} ms, each safe on disk when its append returned")


async def write_orders(client: AsyncEsdbClient, writer: str) -> None:
    """One writer: one append for each step of each order, each on top of the one before."""
    for number in range(1, ORDERS_EACH + 1):
        expected: int | None = None
        for step in STEPS:
            event = NewEvent.json(step, {"clerk": writer, "order": number})
            result = await client.append_events(f"order-{writer}-{number}", expected, event)
            expected = result.stream_position


async def show_conflict(client: AsyncEsdbClient) -> None:
    """Two writers decide on the same state of an order: one is told, looks again and decides again."""
    heading(f"Two clerks change {DISPUTED} at the same time")
    seen = await client.get_stream_position(DISPUTED)
    print(f"   both have seen position {seen}")
    await client.append_events(DISPUTED, seen, NewEvent("OrderReturned", b"{}"))
    print("   Grace appends OrderReturned")
    try:
        await client.append_events(DISPUTED, seen, NewEvent("OrderDelivered", b"{}"))
    except ExpectedPositionError as conflict:
        print(f"   Edsger appends OrderDelivered: ExpectedPositionError, the stream is at {conflict.current} by now")
        result = await client.append_events(DISPUTED, conflict.current, NewEvent("ReturnReceived", b"{}"))
        print(f"   Edsger looks again and appends ReturnReceived: accepted at position {result.stream_position}")
    else:
        raise AssertionError("a conflict went unnoticed")


async def show_stream(client: AsyncEsdbClient) -> None:
    """Read one stream in both directions."""
    heading(f"The stream {DISPUTED}, from its start")
    events = await collect(client.read_stream_events(DISPUTED))
    show(events)
    last = await collect(client.read_stream_events(DISPUTED, backwards=True, limit=1))
    print(f"   and its last event, read backwards: {last[0].type}")


async def show_all(client: AsyncEsdbClient) -> list[RecordedEvent]:
    """Read everything, and once more what a filter on the server lets through."""
    heading("All streams in one order: the log")
    events = await collect(client.read_all_events())
    for type, count in Counter(event.type for event in events).items():
        print(f"   {count:3} {type}")
    returns = await collect(client.read_all_events(filter_include=(".*Return.*",)))
    print("   with filter_include=('.*Return.*',), which the server applies:")
    show(returns)
    return events


async def show_subscription(subscription: AsyncIterable[object], events: list[RecordedEvent]) -> None:
    """The subscription was opened before the first append: it has got everything, live."""
    heading("A subscription that was opened before the first append")
    received: list[RecordedEvent] = []
    async for item in subscription:
        if isinstance(item, RecordedEvent):
            received.append(item)
        if len(received) == len(events):
            break
    assert [event.id for event in received] == [event.id for event in events]
    print(f"   received all {len(received)} events as they were written, in the order of the log; the last two:")
    show(received[-2:])


async def collect(events: AsyncIterable[RecordedEvent]) -> list[RecordedEvent]:
    """All events of a read."""
    return [event async for event in events]


def heading(text: str) -> None:
    """Announce the next part."""
    print(f"\n{text}")


def show(events: Iterable[RecordedEvent]) -> None:
    """One line for each event."""
    for event in events:
        where = f"{event.stream_name} [{event.stream_position}]"
        print(f"   {where:18} {event.type:16} {event.data.decode()}")
