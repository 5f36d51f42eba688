"""What `esdb-lite export` and `import` cost: `python -m tests.benchmarks.moving [EVENTS]` (default 150000), minutes.

Databases of events of about 400 bytes are written to a file (675,000 make 250 MB), read out of one `serve` by the
command `export`, and written into another by `import`; then both are read side by side, event by event.

runs       10 to 100 events of a stream follow each other
in turn    1,000 streams take turns: each event is of another stream than the one before
random     the same by chance, of 20,000 streams
new        each event is the first of its stream
by stream  as random, with `--by-stream`
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count, islice, repeat
from pathlib import Path
from random import Random

from esdb_lite import EsdbClient, RecordedEvent
from esdb_lite.server.database.database import Database
from esdb_lite.server.engine.model import ANY, ProposedEvent
from esdb_lite.server.engine.records.requests import AtomicAppend
from esdb_lite.server.options import Durability
from tests.benchmarks.processes import Serving, serve
from tests.support import command, environment

_STREAMS = 20_000
_AT_A_TIME = 1000
_Streams = Callable[[Random], Iterator[str]]


def _runs(random: Random) -> Iterator[str]:
    while True:
        yield from repeat(_any(random), random.randint(10, 100))


def _by_chance(random: Random) -> Iterator[str]:
    while True:
        yield _any(random)


def _any(random: Random) -> str:
    return f"order-{random.randrange(_STREAMS)}"


_SHAPES: dict[str, _Streams] = {
    "runs": _runs,
    "in turn": lambda _: (f"order-{number % 1000}" for number in count()),
    "random": _by_chance,
    "new": lambda _: (f"order-{number}" for number in count()),
    "by stream": _by_chance,
}
"""The streams of the events, one after the other."""


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("events", nargs="?", type=int, default=150_000)
    number: int = parser.parse_args().events
    print(f"{'':14}{'':8}{'per s':>10}{'command us':>12}{'server us':>11}")
    for shape, streams in _SHAPES.items():
        with tempfile.TemporaryDirectory() as name:
            _move(Path(name), shape, number, streams)


def _move(folder: Path, shape: str, number: int, streams: _Streams) -> None:
    options = ["--by-stream"] if shape == "by stream" else []
    path = folder / "events.jsonl"
    asyncio.run(_fill(folder / "from.db", number, streams))
    durability = ("--durability", "relaxed")
    with serve(folder, "from.db", *durability) as source, serve(folder, "to.db", *durability) as target:
        _timed(source, number, shape, "export", path)
        _timed(target, number, shape, "import", path, *options)
        same = _same(source, target, in_order=not options)
    print(f"{'':14}{same:,} events are the same in both, in {folder.joinpath('from.db').stat().st_size / 1e6:,.0f} MB")


async def _fill(path: Path, number: int, streams: _Streams) -> None:
    """Write events into a new database, without a server."""
    database = await Database.open(path, durability=Durability.RELAXED)
    events = _events(number, streams)
    while some := list(islice(events, _AT_A_TIME)):
        await database.append_records(AtomicAppend(dict.fromkeys([stream for stream, _ in some], ANY), some))
    await database.close()


def _events(number: int, streams: _Streams) -> Iterator[tuple[str, ProposedEvent]]:
    random = Random(1)
    for stream in islice(streams(random), number):
        data = {
            "orderId": stream,
            "amount": random.randrange(10_000),
            "items": ["sku-17", "sku-4711"],
            "note": "x" * 90,
        }
        metadata = {"$correlationId": f"{random.getrandbits(128):032x}", "user": "somebody"}
        id = random.getrandbits(128).to_bytes(16, "big")
        yield stream, ProposedEvent(id, "OrderPlaced", True, _json(data), _json(metadata))


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _timed(server: Serving, number: int, shape: str, *arguments: str | Path) -> None:
    """Run a command, and print what it has taken there and here."""
    before, cpu, wall = resource.getrusage(resource.RUSAGE_CHILDREN), server.cpu, time.perf_counter()
    env = {**environment(), "ESDB_URI": f"esdb://127.0.0.1:{server.port}?tls=false"}
    subprocess.run(command(*arguments), env=env, check=True, capture_output=True)
    taken, after = time.perf_counter() - wall, resource.getrusage(resource.RUSAGE_CHILDREN)
    own = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    here, there = own / number * 1e6, (server.cpu - cpu) / number * 1e6
    print(f"{shape:14}{arguments[0]!s:8}{number / taken:10,.0f}{here:12.1f}{there:11.1f}", flush=True)


def _same(source: Serving, target: Serving, *, in_order: bool) -> int:
    """Read both, and return how many events there are. Raises AssertionError where they are not the same."""
    with _client(source) as one, _client(target) as other:
        if in_order:
            pairs = zip(one.read_all_events(), other.read_all_events(), strict=True)
            return sum(_is_same(left, right) for left, right in pairs)
        found = {event.id: event for event in other.read_all_events()}
        return sum(_is_same(event, found.pop(event.id)) for event in one.read_all_events())


def _client(server: Serving) -> EsdbClient:
    return EsdbClient(f"esdb://127.0.0.1:{server.port}?tls=false")


def _is_same(left: RecordedEvent, right: RecordedEvent) -> bool:
    assert _content(left) == _content(right)
    return True


def _content(event: RecordedEvent) -> tuple[object, ...]:
    return (
        event.stream_name,
        event.stream_position,
        event.id,
        event.type,
        event.data,
        event.metadata,
        event.content_type,
    )


if __name__ == "__main__":
    main()
