"""Measures the server end to end: what it costs to serve, and what many of something do to it."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple
from uuid import uuid4

from tests.benchmarks.contenders import DATA, IN_FLIGHT, METADATA, STREAM, touch
from tests.benchmarks.processes import Serving, contend, rate, replay_server, serve

BIG = b"x" * 465


async def _fill(
    port: int, stream: str, number: int, *, at_once: int = 500, type: str = "OrderCreated", data: bytes = DATA
) -> None:
    from esdb_lite import AsyncEsdbClient, NewEvent

    async with AsyncEsdbClient(f"127.0.0.1:{port}") as client:
        for start in range(0, number, at_once):
            size = min(at_once, number - start)
            await client.append_events(stream, -2, [NewEvent(type, data, METADATA) for _ in range(size)])


def fill(port: int, stream: str, number: int, data: bytes = DATA) -> None:
    """Append that many events."""
    asyncio.run(_fill(port, stream, number, data=data))


def ratios(arguments: argparse.Namespace) -> None:
    """kurrentdbclient reading from `serve` and from the replay server, and what `serve` pays for an event."""
    events = arguments.events
    rates: dict[str, list[float]] = {"serve": [], "replay": []}
    costs = []
    with tempfile.TemporaryDirectory() as name, serve(Path(name), "read.db") as server:
        fill(server.port, STREAM, events, BIG)
        with replay_server(events, len(BIG)) as replay:
            for _ in range(arguments.rounds):
                for where, port in (("replay", replay), ("serve", server.port)):
                    for contender in ("kurrentdbclient sync", "kurrentdbclient async"):
                        if (figures := contend(contender, "stream", port, events)) is not None:
                            rates[where].append(figures["number"] / figures["wall"])
        for _ in range(arguments.rounds):
            before = server.cpu
            contend("esdb_lite async", "stream", server.port, events)
            costs.append((server.cpu - before) / events * 1e6)
    print("\nserving reads from a file")
    print(f"  server CPU for an event of {len(BIG) + len(METADATA)} bytes: {median(costs):.1f} us (goal 15)")
    if rates["serve"]:
        served, replayed = median(rates["serve"]), median(rates["replay"])
        ratio = served / replayed
        print(f"  kurrentdbclient: {served:,.0f}/s from serve, {replayed:,.0f}/s from replay: {ratio:.2f} (goal 0.9)")


def commits(arguments: argparse.Namespace) -> None:
    """Appends with 50 in flight on a file, next to a bare loop with one commit each on the same disk."""
    from tests.benchmarks.storage import appends_per_second, bare_loop

    async def alone(path: Path) -> float:
        from esdb_lite.server.database.database import Database

        database = await Database.open(path)
        try:
            return await appends_per_second(database, IN_FLIGHT, 1.0)
        finally:
            await database.close()

    bare, inside, outside = [], [], []
    with tempfile.TemporaryDirectory() as name, serve(Path(name), "commit.db") as server:
        for number in range(arguments.rounds):
            bare.append(bare_loop(f"{name}/bare-{number}.db", 1.0, BIG))
            inside.append(asyncio.run(alone(Path(name) / f"alone-{number}.db")))
            figures = contend("esdb_lite async", "flight", server.port, 5_000)
            if figures is not None:
                outside.append(rate([figures]))
    print("\nappends with 50 in flight on a file, synchronous=FULL, as a multiple of a bare sqlite3 loop")
    print(f"  bare loop {median(bare):,.0f}/s")
    for what, found in (("Database.append", inside), ("through gRPC", outside)):
        multiple = median(one / two for one, two in zip(found, bare, strict=True))
        print(f"  {what} {median(found):,.0f}/s: {multiple:.1f} (goal 3)")


def many(arguments: argparse.Namespace) -> None:
    """Many subscriptions, many streams, a long stream, and a filter that hardly matches."""
    for one in (_subscriptions, _streams, _long_stream):
        with tempfile.TemporaryDirectory() as name, serve(Path(name), "many.db") as server:
            asyncio.run(one(server, arguments))


class Live(NamedTuple):
    """What live subscriptions to one stream cost."""

    held: float
    """MB of the server's memory, for all of them."""
    delivered: float
    """Seconds until all of them have an event."""
    cost: float
    """Seconds of the server's CPU, for one event of one of them."""


async def live(server: Serving, number: int, times: int) -> Live:
    """Append events one by one that so many subscribers get."""
    from esdb_lite import AsyncEsdbClient, NewEvent

    before = server.memory
    async with AsyncEsdbClient(f"127.0.0.1:{server.port}") as client:
        subscriptions = [await client.subscribe_stream_events("feed", from_end=True) for _ in range(number)]
        held, cpu = server.memory - before, server.cpu
        delivered = []
        for _ in range(times):
            began = time.perf_counter()
            await client.append_events("feed", -2, NewEvent("Tick", DATA))
            for subscription in subscriptions:
                touch(await subscription.__anext__())
            delivered.append(time.perf_counter() - began)
        cost = (server.cpu - cpu) / (number * times)
        for subscription in subscriptions:
            await subscription.close()
    return Live(held, median(delivered), cost)


async def _subscriptions(server: Serving, arguments: argparse.Namespace) -> None:
    number = 1_000
    found = await live(server, number, 10 * arguments.rounds)
    print(f"\n{number:,} live subscriptions: {found.held * 1024 / number:.0f} KB of server memory each;")
    print(f"  one event is with all of them after {found.delivered * 1000:.0f} ms, and costs", end=" ")
    print(f"{found.cost * 1e6:.1f} us of server CPU for each", flush=True)


async def filtering(server: Serving, number: int) -> float:
    """Seconds of the server's CPU that a filter takes which one event in 10,000 passes, for each event."""
    from esdb_lite import AsyncEsdbClient

    for _ in range(number // 10_000):
        await _fill(server.port, "long", 9_999, at_once=1_000)
        await _fill(server.port, "long", 1, type="Rare")
    async with AsyncEsdbClient(f"127.0.0.1:{server.port}") as client:
        cpu = server.cpu
        assert len(await client.read_all_events(filter_include=["Rare"])) == number // 10_000
        return (server.cpu - cpu) / number


async def _streams(server: Serving, arguments: argparse.Namespace) -> None:
    from esdb_lite import AsyncEsdbClient, NewEvent

    number, before = 100_000 // arguments.part, server.memory
    began = time.perf_counter()
    async with AsyncEsdbClient(f"127.0.0.1:{server.port}") as client:
        for start in range(0, number, 1_000):
            names = [f"stream-{n}" for n in range(start, start + 1_000)]
            await asyncio.gather(*(client.append_events(name, None, NewEvent("Made", DATA)) for name in names))
        took, held = time.perf_counter() - began, server.memory - before
        began = time.perf_counter()
        for n in range(0, number, number // 200):
            await client.get_stream_position(f"stream-{n}")
        looked_up = (time.perf_counter() - began) / 200
    print(f"\n{number:,} streams made in {took:.0f} s; server memory grew by {held:.0f} MB;")
    print(f"  the position of one of them takes {looked_up * 1000:.1f} ms", flush=True)


async def _long_stream(server: Serving, arguments: argparse.Namespace) -> None:
    from esdb_lite import AsyncEsdbClient, NewEvent

    number, before = 1_000_000 // arguments.part, server.memory
    rounds = number // 10_000
    began = time.perf_counter()
    for _ in range(rounds):
        await _fill(server.port, "long", 9_999, at_once=1_000)
        await _fill(server.port, "long", 1, type="Rare")
    written, peak = time.perf_counter() - began, server.memory
    async with AsyncEsdbClient(f"127.0.0.1:{server.port}") as client:
        began, cpu, count = time.perf_counter(), server.cpu, 0
        async for event in client.read_stream_events("long"):
            touch(event)
            count += 1
            if not count % 50_000:
                peak = max(peak, server.memory)
        took, cost = time.perf_counter() - began, server.cpu - cpu
        began, cpu = time.perf_counter(), server.cpu
        rare = [event async for event in client.read_all_events(filter_include=["Rare"])]
        filtered, filter_cost = time.perf_counter() - began, server.cpu - cpu
        assert (count, len(rare)) == (number, rounds)
        await client.append_events("long", -2, NewEvent("Made", DATA))
    print(f"\na stream of {number:,} events: written in {written:.0f} s, read in {took:.1f} s,")
    print(f"  {cost / number * 1e6:.1f} us of server CPU an event; server memory grew by {peak - before:.0f} MB;")
    print(
        f"  a filter that matches 1 in 10,000: {filtered:.1f} s for all of it, {filter_cost / number * 1e6:.1f} us",
        flush=True,
    )


# --- cost over size ---------------------------------------------------------------------------------------------------


async def load(path: Path, number: int) -> None:
    """Put events into a file quickly, over 100 streams."""
    from esdb_lite.server.database.database import Database
    from esdb_lite.server.engine.model import ANY, ProposedEvent
    from esdb_lite.server.options import Durability

    database = await Database.open(path, durability=Durability.RELAXED)
    try:
        for start in range(0, number, 50_000):
            appends = []
            for stream in range(100):
                size = min(50_000, number - start) // 100
                events = [ProposedEvent(uuid4().bytes, "Made", True, BIG) for _ in range(size)]
                appends.append(database.append(f"stream-{stream}", ANY, events))
            await asyncio.gather(*appends)
    finally:
        await database.close()


async def _tail(port: int) -> tuple[float, float]:
    """Median milliseconds of reading the last 100 events of a stream and of appending one."""
    from esdb_lite import AsyncEsdbClient, NewEvent

    async with AsyncEsdbClient(f"127.0.0.1:{port}") as client:

        async def read() -> None:
            stream = f"stream-{uuid4().int % 100}"
            assert len([e async for e in client.read_stream_events(stream, backwards=True, limit=100)]) == 100

        async def append() -> None:
            await client.append_events(f"stream-{uuid4().int % 100}", -1, NewEvent("Made", BIG))

        return await _median(read), await _median(append)


async def _median(action: Callable[[], Awaitable[None]]) -> float:
    taken = []
    for _ in range(300):
        began = time.perf_counter()
        await action()
        taken.append((time.perf_counter() - began) * 1000)
    return median(taken[50:])


def level(arguments: argparse.Namespace) -> None:
    """The same at 10,000 and at many events: both servers run side by side and take turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asyncio.run(load(folder / "small.db", 10_000))
        began = time.perf_counter()
        asyncio.run(load(folder / "large.db", arguments.events))
        print(f"\n{arguments.events:,} events of {len(BIG)} bytes loaded in {time.perf_counter() - began:.0f} s")
        pairs = []
        with serve(folder, "small.db") as small, serve(folder, "large.db") as large:
            for _ in range(arguments.rounds):
                pairs.append((asyncio.run(_tail(small.port)), asyncio.run(_tail(large.port))))
    for index, what in enumerate(("reading the last 100 events of a stream", "appending one")):
        before, after = (median(pair[side][index] for pair in pairs) for side in (0, 1))
        ratio = after / before
        print(f"  {what}: {before:.2f} ms at 10,000, {after:.2f} ms at {arguments.events:,}: {ratio:.2f} (goal 1.5)")
