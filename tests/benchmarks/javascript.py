"""What JavaScript projections cost: `python -m tests.benchmarks.javascript [EVENTS]` (default 100000), about a minute.

engine      a query over events in this process, without a server: handler calls a second
server      the same in `serve`, on a file, from creation to having caught up: events a second, CPU of the server for
            each, and what an append beside it takes (median and longest) while it catches up and before
partitions  10,000 partitions: resident memory of `serve` before and after
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from esdb_lite import EsdbClient, NewEvent, StreamState
from esdb_lite.testing import GivenEvent, Projection
from tests.support import start_serve

STREAM = "orders"
PARTITIONS = 10_000
BATCH = 1000
QUERIES = {
    "count": "fromStream('orders').when({$init: () => ({n: 0}), T(s, e) { s.n += e.data.amount }})",
    "link": "fromStream('orders').when({T(s, e) { linkTo('customer-' + e.data.customer % 100, e) }})",
    "emit": "fromStream('orders').when({T(s, e) { emit('amounts', 'Amount', {amount: e.data.amount}) }})",
    "partitions": f"""fromStream('orders').partitionBy(e => e.data.customer % {PARTITIONS}).when({{
        $init: () => ({{n: 0}}), T(s, e) {{ s.n += e.data.amount }} }})""",
}


def new_event(number: int) -> NewEvent:
    """An event of about 240 bytes."""
    return NewEvent.json("T", {"customer": number, "amount": number % 100, "text": "x" * 200})


def engine(count: int) -> None:
    """Without a server."""
    events = [GivenEvent(STREAM, "T", new_event(number).data) for number in range(count)]
    for name, query in QUERIES.items():
        began = time.perf_counter()
        outcome = Projection(query).run(events)
        taken = time.perf_counter() - began
        assert (outcome.handled, outcome.fault) == (count, None)
        print(f"{name:12}{count / taken:12,.0f} events a second, without a server", flush=True)


@contextmanager
def server(count: int) -> Iterator[tuple[EsdbClient, psutil.Process]]:
    """`serve` with so many events on a file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process = start_serve("--run-projections", "all", "--db", folder / "events.db", folder=folder)
        try:
            with EsdbClient(f"esdb://{process.address}?tls=false") as client:
                for start in range(0, count, BATCH):
                    client.append_events(STREAM, StreamState.ANY, [new_event(start + n) for n in range(BATCH)])
                yield client, psutil.Process(process.process.pid)
        finally:
            process.stop()


def append_times(client: EsdbClient, seconds: float = 1.0) -> list[float]:
    """What appends take, in milliseconds, one every few milliseconds."""
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        taken.append(append_time(client))
    return taken


def append_time(client: EsdbClient) -> float:
    began = time.perf_counter()
    client.append_events("beside", StreamState.ANY, NewEvent("T", b"{}"))
    taken = (time.perf_counter() - began) * 1000
    time.sleep(0.005)
    return taken


def in_server(count: int) -> None:
    """In `serve`."""
    with server(count) as (client, process):
        alone = append_times(client)
        print(f"{'':12}an append alone takes {shown(alone)} ms (median, longest)")
        for name, query in QUERIES.items():
            before, memory = process.cpu_times(), process.memory_info().rss
            began = time.perf_counter()
            client.create_projection(name, query, emit=True)
            beside = [append_time(client)]
            while client.get_projection(name).progress < 100:
                beside.append(append_time(client))
            taken = time.perf_counter() - began
            after = process.cpu_times()
            cpu = after.user + after.system - before.user - before.system
            grown = (process.memory_info().rss - memory) / 2**20
            print(
                f"{name:12}{count / taken:12,.0f} events a second in serve, {cpu / count * 1e6:.0f} µs of CPU each, "
                f"+{grown:.1f} MB; an append beside it {shown(beside)} ms",
                flush=True,
            )


def shown(times: list[float]) -> str:
    """Median and longest."""
    return f"{statistics.median(times):.1f}, {max(times):.1f}"


def main() -> None:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("events", nargs="?", type=int, default=100_000)
    count = parser.parse_args().events
    engine(count)
    in_server(count)


if __name__ == "__main__":
    main()
