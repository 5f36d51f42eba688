"""Storage figures: `python -m tests.benchmarks.storage [commit] [read] [level] [memory] [busy] [--events N]`.

commit   appends per second with 1, 50 and 200 in flight, against a bare sqlite3 loop with one commit each
read     microseconds an event, page after page, through `Database.read`
level    reading the last 100 events of a stream and appending one, at 10,000 and at N events (default 1,000,000)
memory   the most memory used while N events are written and read
busy     how long an append and a page take beside an event loop that never rests
All with 500-byte events on a file in the folder for temporary files, synchronous=FULL.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count

from esdb_lite.server.database.database import Database
from esdb_lite.server.engine.model import ANY, ProposedEvent
from esdb_lite.server.options import Durability
from esdb_lite.server.storage import Reader, Record

DATA = bytes(494)
STREAMS = 100
_ids = count(1)


def events(number: int) -> list[ProposedEvent]:
    return [ProposedEvent(next(_ids).to_bytes(16, "big"), "Kind", True, DATA) for _ in range(number)]


def bare_loop(path: str, seconds: float = 2.0, data: bytes = DATA) -> float:
    """Commits per second of the simplest program that keeps events in SQLite."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE events (position INTEGER PRIMARY KEY, data BLOB)")
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO events (data) VALUES (?)", (data,))
        connection.execute("COMMIT")
        done += 1
    connection.close()
    return done / seconds


async def appends_per_second(database: Database, in_flight: int, seconds: float = 2.0) -> float:
    began = time.perf_counter()

    async def append(number: int) -> int:
        done = 0
        while time.perf_counter() - began < seconds:
            await database.append(f"stream-{number}", ANY, events(1))
            done += 1
        return done

    return sum(await asyncio.gather(*[append(number) for number in range(in_flight)])) / seconds


async def commit(folder: str, _: int) -> None:
    database = await Database.open(f"{folder}/commit.db")
    rounds: dict[int, list[float]] = {1: [], 50: [], 200: []}
    bare: list[float] = []
    for number in range(3):
        bare.append(bare_loop(f"{folder}/bare-{number}.db"))
        for in_flight, rates in rounds.items():
            rates.append(await appends_per_second(database, in_flight))
    await database.close()
    base = statistics.median(bare)
    print(f"bare sqlite3 loop, one commit each: {base:,.0f}/s")
    for in_flight, rates in rounds.items():
        rate = statistics.median(rates)
        print(f"Database.append, {in_flight:3} in flight: {rate:,.0f}/s, ratio {rate / base:.1f}")


async def fill(database: Database, number: int) -> None:
    """Events over STREAMS streams, ten at a time, as if by that many writers."""
    size = 10
    for start in range(0, number, STREAMS * size):
        appends = [database.append(f"stream-{n}", ANY, events(size)) for n in range(STREAMS)]
        await asyncio.gather(*appends)
        del start


def _page(first: int, size: int, reader: Reader) -> list[Record]:
    return reader.log_forward(first, size)


async def read(folder: str, _: int) -> None:
    for name, path in (("file", f"{folder}/read.db"), ("memory", None)):
        database = await Database.open(path)
        await fill(database, 20_000)
        for size in (32, 256):
            times = [await _read_through(database, size) for _ in range(3)]
            print(f"{name}, pages of {size}: {min(times):.1f} us an event")
        await database.close()


async def _read_through(database: Database, size: int) -> float:
    began, first, number = time.perf_counter(), 0, 0
    while page := await database.read(partial(_page, first, size)):
        first = page[-1].position + 1
        number += len(page)
    return (time.perf_counter() - began) / number * 1e6


async def timed(action: Callable[[], Awaitable[object]], times: int) -> float:
    """Median milliseconds."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        await action()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def _last_100(stream: str, reader: Reader) -> list[Record]:
    return reader.stream_backward(stream, 2**63 - 1, 100)


async def level(folder: str, number: int) -> None:
    database = await Database.open(f"{folder}/level.db", durability=Durability.RELAXED)
    figures = []
    held = 0
    for size in (10_000, number):
        await fill(database, size - held)
        held = size
        await database.close()
        database = await Database.open(f"{folder}/level.db")
        streams = (f"stream-{n % STREAMS}" for n in count())
        tail = await timed(lambda: database.read(partial(_last_100, next(streams))), 400)  # noqa: B023
        append = await timed(lambda: database.append(next(streams), ANY, events(1)), 400)  # noqa: B023
        figures.append((tail, append))
        print(f"{size:>9,} events: last 100 of a stream {tail:.3f} ms, appending one {append:.3f} ms")
    await database.close()
    (tail, append), (tail_later, append_later) = figures
    print(f"ratios: {tail_later / tail:.2f} and {append_later / append:.2f}")


async def memory(folder: str, number: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    database = await Database.open(f"{folder}/memory.db", durability=Durability.RELAXED)
    await fill(database, number)
    written = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    await _read_through(database, 256)
    read_too = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = os.path.getsize(f"{folder}/memory.db") / 1024**2  # noqa: ASYNC240
    await database.close()
    print(f"{number:,} events, file {size:,.0f} MB: {before:.0f} MB before, {written:.0f} written, {read_too:.0f} read")


async def busy(folder: str, _: int) -> None:
    database = await Database.open(f"{folder}/busy.db")
    await fill(database, 20_000)
    resting = True

    async def never_rest() -> None:
        while not resting:
            sum(range(5000))
            await asyncio.sleep(0)

    for resting, name in ((True, "resting"), (False, "busy")):
        tasks = [asyncio.ensure_future(never_rest()) for _ in range(8)]
        page = await timed(lambda: database.read(partial(_page, 1_000_000, 32)), 50)
        append = await timed(lambda: database.append("stream-1", ANY, events(1)), 50)
        resting = True
        await asyncio.gather(*tasks)
        print(f"{name} loop: a page of 32 {page:.2f} ms, an append {append:.2f} ms")
    await database.close()


BENCHMARKS = {"commit": commit, "read": read, "level": level, "memory": memory, "busy": busy}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of the above; all unless told")
    parser.add_argument("--events", type=int, default=1_000_000)
    arguments = parser.parse_args()
    for name in arguments.names or BENCHMARKS:
        with tempfile.TemporaryDirectory() as folder:
            print(f"-- {name}")
            asyncio.run(BENCHMARKS[name](folder, arguments.events))


if __name__ == "__main__":
    main()
