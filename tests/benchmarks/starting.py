"""What a program pays before it begins: importing, a first append, and the memory of a client that does nothing."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from statistics import median
from typing import NamedTuple

from tests.benchmarks.processes import Results
from tests.support import environment

SUBSCRIPTIONS = 50

IMPORTS = {
    "kurrentdbclient sync": "from kurrentdbclient import KurrentDBClient",
    "kurrentdbclient async": "import asyncio; from kurrentdbclient import AsyncKurrentDBClient",
    "esdb_lite sync": "from esdb_lite import EsdbClient, NewEvent",
    "esdb_lite async": "import asyncio; from esdb_lite import AsyncEsdbClient, NewEvent",
}
_FIRST_CALLS = {
    "kurrentdbclient sync": """
from kurrentdbclient import KurrentDBClient, NewEvent, StreamState
client = KurrentDBClient(URI)
client.append_to_stream("first", current_version=StreamState.ANY, events=NewEvent("A", b"{}"))""",
    "esdb_lite sync": """
from esdb_lite import EsdbClient, NewEvent, StreamState
client = EsdbClient(URI)
client.append_events("first", StreamState.ANY, NewEvent("A", b"{}"))""",
    "kurrentdbclient async": """
import asyncio
from kurrentdbclient import AsyncKurrentDBClient, NewEvent, StreamState
async def append():
    async with AsyncKurrentDBClient(URI) as client:
        await client.append_to_stream("first", current_version=StreamState.ANY, events=NewEvent("A", b"{}"))
asyncio.run(append())""",
    "esdb_lite async": """
import asyncio
from esdb_lite import AsyncEsdbClient, NewEvent, StreamState
async def append():
    async with AsyncEsdbClient(URI) as client:
        await client.append_events("first", StreamState.ANY, NewEvent("A", b"{}"))
asyncio.run(append())""",
}


class Start(NamedTuple):
    """How long one start took: seconds, and seconds of CPU."""

    wall: float
    cpu: float


Starts = dict[str, list[Start]]


def imports(times: int) -> Starts:
    """Import the clients, so many times."""
    return _starts(IMPORTS, times)


def first_calls(port: int, times: int) -> Starts:
    """The same, with a first append to a server."""
    uri = repr(f"esdb://127.0.0.1:{port}?tls=false")
    return _starts({name: program.replace("URI", uri) for name, program in _FIRST_CALLS.items()}, times)


def _starts(programs: Mapping[str, str], times: int) -> Starts:
    """Run programs in turn where the bytecode is there, as it is once a package is installed."""
    taken: Starts = {}
    with tempfile.TemporaryDirectory() as bytecode:
        for number in range(times + 1):
            for name, program in programs.items():
                start = _time_of(program, bytecode)
                if start is not None and number:  # the first time there is no bytecode
                    taken.setdefault(name, []).append(start)
    return taken


def show(title: str, starts: Starts) -> None:
    """Print them."""
    print(f"\n{title + ' (ms)':24}{'wall':>8}{'CPU':>8}{'least':>8}")
    for name, found in starts.items():
        wall, cpu = (median(each[index] for each in found) * 1000 for index in (0, 1))
        print(f"{name:24}{wall:8.0f}{cpu:8.0f}{least(found):8.0f}", flush=True)


def least(starts: list[Start]) -> float:
    """The milliseconds of CPU that the cheapest of them took."""
    return min(each.cpu for each in starts) * 1000


def show_idle(results: Results) -> None:
    """Print what clients take that do nothing."""
    print(
        f"\nresident memory of a process with a connected client (MB, goal 30), and of one of {SUBSCRIPTIONS} ", end=""
    )
    print("subscriptions (KB)")
    for name, runs in results.items():
        idle, each = (median(figures[what] for figures in runs) for what in ("idle_mb", "subscription_kb"))
        print(f"{name:24}{idle:8.1f}{each:8.1f}", flush=True)


def _time_of(program: str, bytecode: str) -> Start | None:
    """Seconds and seconds of CPU; None for what is not installed."""
    clocks = "time.perf_counter(), time.process_time()"
    timed = f"import time; a, b = {clocks}\n{program}\nc, d = {clocks}; print(c - a, d - b)"
    variables = {**environment(), "PYTHONWARNINGS": "ignore", "PYTHONPYCACHEPREFIX": bytecode}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run([sys.executable, "-c", timed], env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    wall, cpu = done.stdout.split()
    return Start(float(wall), float(cpu))
