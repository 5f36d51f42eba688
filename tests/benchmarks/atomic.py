"""Atomic appends over three streams: `python -m tests.benchmarks.atomic [APPENDS]` (default 1000).

esdb_lite beside kurrentdbclient, which has to be installed, against one `serve` in memory: one after another, and 50 in
flight. They take turns, three rounds; what is shown are medians, and the CPU time of the client's own process.

    python -m tests.benchmarks.atomic one NAME PORT APPENDS       one contender, in a process of its own
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

from tests.support import environment, start_serve

STREAMS = ("order-1", "payment-1", "stock-1")
IN_FLIGHT = 50
ROUNDS = 3
NAMES = ("kurrentdbclient sync", "esdb_lite sync", "kurrentdbclient asyncio", "esdb_lite asyncio")
Figures = dict[str, tuple[float, float]]
"""By task: seconds, and seconds of CPU."""


def measured(action: Callable[[], None]) -> tuple[float, float]:
    began, cpu = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - began, time.process_time() - cpu


def theirs(asynchronous: bool, port: int) -> tuple[Any, Callable[[], Any]]:
    """A client of kurrentdbclient, and what makes records for it."""
    import kurrentdbclient
    from kurrentdbclient.events import NewRecord

    kind = kurrentdbclient.AsyncKurrentDBClient if asynchronous else kurrentdbclient.KurrentDBClient
    client = kind(f"kurrentdb://127.0.0.1:{port}?Tls=false")
    return client, lambda: [
        NewRecord(stream_name=name, type="Placed", data=b'{"n": 1}', metadata=b'{"user": "me"}') for name in STREAMS
    ]


def ours(asynchronous: bool, port: int) -> tuple[Any, Callable[[], Any]]:
    """A client of esdb_lite, and what makes records for it."""
    from esdb_lite import AsyncEsdbClient, EsdbClient, NewRecord

    client = (AsyncEsdbClient if asynchronous else EsdbClient)(f"esdb://127.0.0.1:{port}?tls=false")
    return client, lambda: [NewRecord(name, "Placed", b'{"n": 1}', {"user": "me"}) for name in STREAMS]


def one_after_another(client: Any, records: Callable[[], Any], appends: int) -> Figures:
    def run() -> None:
        for _ in range(appends):
            client.append_records(records())

    with client:
        client.append_records(records())
        return {"one after another": measured(run)}


async def with_asyncio(client: Any, records: Callable[[], Any], appends: int) -> Figures:
    async def alone() -> None:
        for _ in range(appends):
            await client.append_records(records())

    async def in_flight() -> None:
        left = iter(range(appends))

        async def worker() -> None:
            for _ in left:
                await client.append_records(records())

        await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))

    async with client:
        await client.append_records(records())
        return {"one after another": await timed(alone()), f"{IN_FLIGHT} in flight": await timed(in_flight())}


async def timed(work: Awaitable[None]) -> tuple[float, float]:
    began, cpu = time.perf_counter(), time.process_time()
    await work
    return time.perf_counter() - began, time.process_time() - cpu


def one(name: str, port: int, appends: int) -> Figures:
    """Measure one contender."""
    package, _, face = name.partition(" ")
    client, records = (ours if package == "esdb_lite" else theirs)(face == "asyncio", port)
    if face == "sync":
        return one_after_another(client, records, appends)
    return asyncio.run(with_asyncio(client, records, appends))


def contend(name: str, port: int, appends: int) -> Figures:
    """Measure one contender in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.atomic", "one", name, str(port), str(appends)]
    env = {**environment(), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr.strip().splitlines()[-1])
    figures: Figures = json.loads(done.stdout)
    return figures


def main(appends: int) -> None:
    """Measure all, and show them side by side."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        server = start_serve("--compatibility", "26.1", folder=Path(folder))
        port = int(server.address.rpartition(":")[2])
        for _ in range(ROUNDS):
            for name in NAMES:
                for task, figures in contend(name, port, appends).items():
                    found.setdefault((task, name), []).append(figures)
        server.stop()
    for (task, name), rounds in sorted(found.items()):
        seconds, cpu = (median(figures) for figures in zip(*rounds, strict=True))
        print(f"{task:20}{name:26}{appends / seconds:8,.0f}/s{cpu / appends * 1e6:8,.0f} us of CPU each")


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        print(json.dumps(one(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 1000)
