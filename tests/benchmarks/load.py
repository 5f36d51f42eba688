"""What `serve` carries: `python -m tests.benchmarks.load [live] [stopped] [streams] [long]`, a few minutes in all.

live     1,000 subscriptions to all events, of one client, all receiving
stopped  1,000 subscriptions that stop reading while 64 MB are appended, beside a reader and a writer. Half of them
         close their windows; some of these read on afterwards and get everything. The others leave their sockets
         full, do not answer pings, and are cut off.
streams  100,000 streams
long     a stream of 1,000,000 events, and a filter that one event in 10,000 passes

Memory is what the server process has resident, in MB: before, at most, afterwards. All on a file.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from itertools import islice
from pathlib import Path

from esdb_lite import AsyncEsdbClient, CaughtUp, NewEvent, RecordedEvent, StreamState
from esdb_lite._wire.framing import frame
from esdb_lite._wire.primitives import block, encode_stream_identifier
from esdb_lite._wire.read_response_fast import ReadDecoder
from esdb_lite.server.database.database import Database
from esdb_lite.server.engine.model import ANY, ProposedEvent
from esdb_lite.server.options import Durability
from tests.benchmarks.processes import Serving, serve
from tests.serving.raw import RawClient

SUBSCRIBERS = 1000
_READ = "/event_store.client.streams.Streams/Read"
_UUIDS, _NO_FILTER, _SUBSCRIPTION = b"\x4a\x02\x12\x00", b"\x42\x00", b"\x32\x00"


class Memory:
    """Resident memory of a process: now, and at most since `begin`."""

    def __init__(self, server: Serving) -> None:
        self._status = Path(f"/proc/{server.pid}/status")
        self._clear = Path(f"/proc/{server.pid}/clear_refs")
        self.before = 0.0

    def begin(self) -> None:
        self._clear.write_text("5")
        self.before = self._value("VmRSS")

    def _value(self, name: str) -> float:
        (line,) = (line for line in self._status.read_text().splitlines() if line.startswith(name))
        return int(line.split()[1]) / 1024

    @property
    def most(self) -> float:
        """What it was at most since then."""
        return self._value("VmHWM")

    def __str__(self) -> str:
        return f"{self.before:.0f} before, {self.most:.0f} at most, {self._value('VmRSS'):.0f} after"


def show(what: str, figures: object) -> None:
    print(f"  {what:58}{figures}", flush=True)


@contextmanager
def measured(what: str, server: Serving, number: int = 0) -> Iterator[None]:
    """Show how long something takes, for each of a number if given, and what it costs the server."""
    began, cpu = time.perf_counter(), server.cpu
    yield
    taken, cost = time.perf_counter() - began, server.cpu - cpu
    each = f", {number / taken:,.0f}/s, {cost / number * 1e6:.1f} us of CPU each" if number else ""
    show(what, f"{taken:.2f} s{each}")


def milliseconds(times: Sequence[float]) -> str:
    ordered = sorted(times)
    return f"{statistics.median(ordered) * 1000:.1f} ms, at most {ordered[-1] * 1000:.1f}"


def new(size: int, number: int = 1) -> list[NewEvent]:
    return [NewEvent("Kind", bytes(size), content_type="application/octet-stream") for _ in range(number)]


@asynccontextmanager
async def client_of(server: Serving) -> AsyncIterator[AsyncEsdbClient]:
    async with AsyncEsdbClient(f"127.0.0.1:{server.port}") as client:
        yield client


# --- live -------------------------------------------------------------------------------------------------------------


async def live(folder: Path) -> None:
    with serve(folder, "live.db") as server:
        memory = Memory(server)
        memory.begin()
        async with client_of(server) as client, AsyncExitStack() as stack:
            with measured("1,000 subscriptions made", server, SUBSCRIBERS):
                subscriptions = [
                    await stack.enter_async_context(await client.subscribe_all_events(from_end=True))
                    for _ in range(SUBSCRIBERS)
                ]

            async def take(count: int) -> None:
                async def of_one(subscription: AsyncIterator[object]) -> None:
                    for _ in range(count):
                        await anext(subscription)

                await asyncio.gather(*map(of_one, subscriptions))

            times = [await _timed(lambda: _append_and(client, 1, take)) for _ in range(20)]
            show("one event, until all have it", milliseconds(times))
            total = 300
            with measured(f"{total} events of 500 bytes, until all have them", server, total * SUBSCRIBERS):
                await _append_and(client, total, take)
            show("memory", memory)


async def _append_and(client: AsyncEsdbClient, count: int, then: Callable[[int], Awaitable[None]]) -> None:
    taking = asyncio.ensure_future(then(count))
    for start in range(0, count, 10):
        await client.append_events("s", StreamState.ANY, new(500, min(10, count - start)))
    await taking


async def _timed(action: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await action()
    return time.perf_counter() - began


# --- stopped ----------------------------------------------------------------------------------------------------------

EVENTS, SIZE = 65_536, 1024
READ_ON = 10
"""So many read on afterwards: 500 times 64 MB would take an hour."""


class Subscriber:
    """A subscription to a stream, on a connection that others may share."""

    def __init__(self, raw: RawClient) -> None:
        self.raw = raw
        self.events = self.caught_up = 0
        self._decoder = ReadDecoder()
        self._stream = raw.open(_READ)
        options = block(0x0A, encode_stream_identifier(0x0A, "s") + b"\x1a\0")
        raw.send(self._stream, frame([block(0x0A, options + _SUBSCRIPTION + _NO_FILTER + _UUIDS)]), end=True)

    def take(self) -> None:
        """Look at what has arrived: all events must be there, in order, each once."""
        answer = self.raw.answers[self._stream]
        data, answer.data = answer.data, b""
        for item in self._decoder.feed(data):
            if isinstance(item, RecordedEvent):
                assert item.stream_position == self.events, (item.stream_position, self.events)
                self.events += 1
            self.caught_up += isinstance(item, CaughtUp)

    def open_window(self, size: int) -> None:
        """Let more come on this stream."""
        self.raw.h2.increment_flow_control_window(size, self._stream)
        self.raw.flush()


class Stopped:
    """Subscribers that do not read."""

    def __init__(self) -> None:
        self.with_closed_windows: list[Subscriber] = []
        self.with_full_sockets: list[Subscriber] = []
        self._readers: list[asyncio.Task[None]] = []

    async def begin(self, server: Serving) -> None:
        for _ in range(SUBSCRIBERS // 200):
            raw = await _connection(server)
            raw.acknowledge = False
            self.with_closed_windows += [await _subscribed(raw) for _ in range(100)]
            # The connection is alive and answers pings: only the streams do not take more than their windows.
            self._readers.append(asyncio.ensure_future(_answer_pings(raw)))
        for _ in range(SUBSCRIBERS // 2):
            raw = await _connection(server)
            self.with_full_sockets.append(await _subscribed(raw))
            self.with_full_sockets[-1].open_window(2**30)

    async def read_on(self, subscribers: Sequence[Subscriber]) -> None:
        """Until each has everything and has been told that it has caught up, again."""
        for subscriber in subscribers:
            subscriber.caught_up = 0
            subscriber.open_window(2**30)
        while any(each.events < EVENTS or not each.caught_up for each in subscribers):
            await asyncio.sleep(0.01)
            for subscriber in subscribers:
                subscriber.take()

    async def cut_off(self) -> int:
        """How many of those with full sockets find that the server has gone."""
        for subscriber in self.with_full_sockets:
            await subscriber.raw.until_closed()
        return len(self.with_full_sockets)

    async def end(self) -> None:
        for task in self._readers:
            task.cancel()
        await asyncio.wait(self._readers)
        for raw in {id(each.raw): each.raw for each in self.with_closed_windows + self.with_full_sockets}.values():
            with suppress(ConnectionError):
                await raw.close()


async def _answer_pings(raw: RawClient) -> None:
    while True:
        with suppress(asyncio.TimeoutError):
            await raw.more()


async def _connection(server: Serving) -> RawClient:
    peer = socket.socket()
    peer.setblocking(False)
    # What the system takes for a connection is no memory of the server.
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
    await asyncio.get_running_loop().sock_connect(peer, ("127.0.0.1", server.port))
    raw = RawClient(*await asyncio.open_connection(sock=peer))
    await raw.more()
    raw.h2.increment_flow_control_window(2**30)
    return raw


async def _subscribed(raw: RawClient) -> Subscriber:
    subscriber = Subscriber(raw)
    while not subscriber.caught_up:
        await raw.more()
        subscriber.take()
    return subscriber


async def stopped(folder: Path) -> None:
    those = Stopped()
    with serve(folder, "stopped.db") as server:
        async with client_of(server) as client:
            show("alone: an append", milliseconds(await _while_appending(client, server, EVENTS // 8, "other")))
            memory = Memory(server)
            memory.begin()
            await those.begin(server)
            show("memory with 1,000 subscriptions", memory)
            reading = asyncio.ensure_future(_follow(server, EVENTS))
            times = await _while_appending(client, server, EVENTS, "s")
            ended = time.perf_counter()
            show("beside 1,000 that do not read: an append", milliseconds(times))
            show("a reader beside them had the last event after", f"{await reading - ended:+.2f} s")
            show("memory", memory)
            chosen = those.with_closed_windows[:: len(those.with_closed_windows) // READ_ON]
            with measured(f"{len(chosen)} of them read on", server, len(chosen) * EVENTS):
                await those.read_on(chosen)
            show("memory", memory)
            show("cut off: did not answer pings", await those.cut_off())
            show("memory", memory)
            await those.end()


async def _while_appending(client: AsyncEsdbClient, server: Serving, count: int, stream: str) -> list[float]:
    """Append so many events in batches, and single ones to another stream at the same time: how long these take."""
    times: list[float] = []

    async def single() -> None:
        while True:
            times.append(await _timed(lambda: client.append_events("single", StreamState.ANY, new(100))))
            await asyncio.sleep(0.02)

    task = asyncio.ensure_future(single())
    with measured(f"{count:,} events of {SIZE} bytes appended", server, count):
        for _ in range(count // 64):
            await client.append_events(stream, StreamState.ANY, new(SIZE, 64))
    task.cancel()
    await asyncio.wait([task])
    return times


async def _follow(server: Serving, count: int) -> float:
    """A subscriber that reads; returns when it had all events."""
    async with client_of(server) as client, await client.subscribe_stream_events("s") as subscription:
        for _ in range(count):
            await anext(subscription)
        return time.perf_counter()


# --- streams ----------------------------------------------------------------------------------------------------------


async def streams(folder: Path) -> None:
    number = 100_000
    with serve(folder, "streams.db") as server:
        memory = Memory(server)
        memory.begin()
        async with client_of(server) as client:
            names = iter(range(number))

            async def fill() -> None:
                while chunk := list(islice(names, 1)):
                    await client.append_events(f"stream-{chunk[0]}", StreamState.NO_STREAM, new(200))

            with measured("100,000 streams of one event made, 200 at a time", server, number):
                await asyncio.gather(*[fill() for _ in range(200)])
            show("memory", memory)
            chosen = [f"stream-{n * 7919 % number}" for n in range(500)]
            times = [await _timed(lambda s=stream: client.get_stream_position(s)) for stream in chosen]  # type: ignore[misc]
            show("position of any of them", milliseconds(times))
            times = [
                await _timed(lambda s=stream: client.append_events(s, 0, new(200)))  # type: ignore[misc]
                for stream in chosen
            ]
            show("an append to any of them", milliseconds(times))
            show("memory", memory)


# --- long -------------------------------------------------------------------------------------------------------------

LONG = 1_000_000
RARE = 10_000


async def long(folder: Path) -> None:
    began = time.perf_counter()
    await _fill_long(str(folder / "long.db"))
    show("1,000,000 events of 200 bytes written to the file", f"{time.perf_counter() - began:.1f} s")
    with serve(folder, "long.db") as server:
        memory = Memory(server)
        memory.begin()
        async with client_of(server) as client:
            with measured("the stream read from its start", server, LONG):
                assert await _count(client.read_stream_events("long")) == LONG
            show("memory", memory)
            last = [
                await _timed(lambda: _count(client.read_stream_events("long", backwards=True, limit=100)))
                for _ in range(50)
            ]
            show("its last 100 events", milliseconds(last))
            with measured("one event in 10,000: all read with a filter", server, LONG):
                assert await _count(client.read_all_events(filter_include=["Rare"])) == LONG // RARE
            with measured("one event in 10,000: a subscription with a filter", server, LONG):
                async with await client.subscribe_all_events(filter_include=["Rare"]) as subscription:
                    for _ in range(LONG // RARE):
                        await anext(subscription)
            times = await _beside_a_filter(client)
            show("an append beside such a read", milliseconds(times))
            show("memory", memory)


async def _fill_long(path: str) -> None:
    database = await Database.open(path, durability=Durability.RELAXED)
    data = bytes(200)
    for start in range(0, LONG, 5000):
        types = ["Rare" if number % RARE == RARE - 1 else "Kind" for number in range(start, start + 5000)]
        await database.append("long", ANY, [ProposedEvent(os.urandom(16), type, True, data) for type in types])
    await database.close()


async def _count(events: AsyncIterator[object]) -> int:
    count = 0
    async for _ in events:
        count += 1
    return count


async def _beside_a_filter(client: AsyncEsdbClient) -> list[float]:
    reading = asyncio.ensure_future(_count(client.read_all_events(filter_include=["Rare"])))
    times = []
    while not reading.done():
        times.append(await _timed(lambda: client.append_events("other", StreamState.ANY, new(100))))
    await reading
    return times


LOADS = {"live": live, "stopped": stopped, "streams": streams, "long": long}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of the above; all unless told")
    for name in parser.parse_args().names or LOADS:
        print(f"-- {name}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(LOADS[name](Path(folder)))


if __name__ == "__main__":
    main()
