"""Atomic appends over three streams: `python -m tests.benchmarks.atomic [APPENDS]` (default 1000).

esdb_lite beside kurrentdbclient, which has to be installed, against one `serve` in memory: one after another, and 50 in
flight. They take turns, three rounds; what is shown are medians, and the CPU time of the client's own process and of
`serve`.

    python -m tests.benchmarks.atomic one NAME PORT PID APPENDS   one contender, in a process of its own
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.processes import Serving, serve
from tests.support import environment

STREAMS = ("order-1", "payment-1", "stock-1")
IN_FLIGHT = 50
ROUNDS = 3
NAMES = ("kurrentdbclient sync", "esdb_lite sync", "kurrentdbclient asyncio", "esdb_lite asyncio")
Seconds = tuple[float, float, float]
"""On the wall, of the client's CPU, of the server's."""
Figures = dict[str, Seconds]
"""By task."""


def clocks(server: Serving) -> Seconds:
    return time.perf_counter(), time.process_time(), server.cpu


def since(began: Seconds, server: Serving) -> Seconds:
    wall, client, serving = (now - then for now, then in zip(clocks(server), began, strict=True))
    return wall, client, serving


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


def one_after_another(client: Any, records: Callable[[], Any], server: Serving, appends: int) -> Figures:
    with client:
        client.append_records(records())
        began = clocks(server)
        for _ in range(appends):
            client.append_records(records())
        return {"one after another": since(began, server)}


async def with_asyncio(client: Any, records: Callable[[], Any], server: Serving, appends: int) -> Figures:
    async def alone() -> None:
        for _ in range(appends):
            await client.append_records(records())

    async def in_flight() -> None:
        left = iter(range(appends))

        async def worker() -> None:
            for _ in left:
                await client.append_records(records())

        await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))

    figures: Figures = {}
    async with client:
        await client.append_records(records())
        for task, work in (("one after another", alone), (f"{IN_FLIGHT} in flight", in_flight)):
            began = clocks(server)
            await work()
            figures[task] = since(began, server)
    return figures


def one(name: str, server: Serving, appends: int) -> Figures:
    """Measure one contender."""
    package, _, face = name.partition(" ")
    client, records = (ours if package == "esdb_lite" else theirs)(face == "asyncio", server.port)
    if face == "sync":
        return one_after_another(client, records, server, appends)
    return asyncio.run(with_asyncio(client, records, server, appends))


def contend(name: str, server: Serving, appends: int) -> Figures:
    """Measure one contender in a process of its own."""
    numbers = map(str, (server.port, server.pid, appends))
    command = [sys.executable, "-m", "tests.benchmarks.atomic", "one", name, *numbers]
    env = {**environment(), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr.strip().splitlines()[-1])
    figures: Figures = json.loads(done.stdout)
    return figures


def main(appends: int) -> None:
    """Measure all, and show them side by side."""
    found: dict[tuple[str, str], list[Seconds]] = {}
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder), None, "--compatibility", "26.1") as server:
        for _ in range(ROUNDS):
            for name in NAMES:
                for task, figures in contend(name, server, appends).items():
                    found.setdefault((task, name), []).append(figures)
    print(f"{'us of CPU each':46}{'per s':>10}{'client':>9}{'server':>9}")
    for (task, name), rounds in sorted(found.items()):
        wall, client, serving = (median(figures) / appends for figures in zip(*rounds, strict=True))
        print(f"{task:20}{name:26}{1 / wall:10,.0f}{client * 1e6:9,.0f}{serving * 1e6:9,.0f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        print(json.dumps(one(sys.argv[2], Serving(int(sys.argv[3]), int(sys.argv[4])), int(sys.argv[5]))))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 1000)
