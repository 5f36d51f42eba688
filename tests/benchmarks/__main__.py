"""Measures esdb_lite and kurrentdbclient side by side, and the server end to end.

    python -m tests.benchmarks                  everything but `level`, in some minutes
    python -m tests.benchmarks read             reading, from a server that replays prepared events
    python -m tests.benchmarks append           appending to `serve` (in memory, and on a file)
    python -m tests.benchmarks catchup          a subscription over what `serve` has stored
    python -m tests.benchmarks start            import time, and memory while reading 1,000,000 events
    python -m tests.benchmarks server           what `serve` costs, and how far it carries
    python -m tests.benchmarks level            cost at 10,000 and at 5,000,000 events (minutes, 4 GB of disk)

All contenders take turns in one run, each in a process of its own, so that what else the machine does hits all of
them. Figures are medians. kurrentdbclient is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from tests.benchmarks import serving
from tests.benchmarks.contenders import BATCH, CONTENDERS, IN_FLIGHT, STREAM
from tests.benchmarks.processes import Results, Serving, contend, replay_server, serve, table
from tests.support import environment

SIZE = 240
_IMPORTS = {
    "kurrentdbclient sync": "from kurrentdbclient import KurrentDBClient",
    "kurrentdbclient async": "from kurrentdbclient import AsyncKurrentDBClient",
    "esdb_lite sync": "from esdb_lite import EsdbClient, NewEvent",
    "esdb_lite async": "from esdb_lite import AsyncEsdbClient, NewEvent",
}


def rounds(task: str, port: int, number: int, times: int, server: Serving | None = None, *, maker: str = "") -> Results:
    """Let all contenders (those of one maker) do something in turn, again and again."""
    results: Results = {}
    for _ in range(times):
        for name in (name for name in CONTENDERS if name.startswith(maker)):
            before = server.cpu if server else 0.0
            if (figures := contend(name, task, port, number)) is not None:
                figures["server"] = (server.cpu if server else 0.0) - before
                results.setdefault(name, []).append(figures)
    return results


def read(arguments: argparse.Namespace) -> None:
    """Reading from the replay server."""
    number, times = arguments.events, arguments.rounds
    with replay_server(number, SIZE) as port:
        table(f"read a stream of {number:,} events (replayed)", rounds("stream", port, number, times))
        table(f"read all with a filter, {number:,} events (replayed)", rounds("all", port, number, times))
        table(f"catch-up subscription over {number:,} events (replayed)", rounds("catchup", port, number, times))


def catchup(arguments: argparse.Namespace) -> None:
    """Reading from `serve`."""
    number, times = arguments.events, arguments.rounds
    with tempfile.TemporaryDirectory() as name, serve(Path(name), "read.db") as server:
        serving.fill(server.port, STREAM, number)
        table(f"read a stream of {number:,} events (serve)", rounds("stream", server.port, number, times, server))
        results = rounds("catchup", server.port, number, times, server)
        table(f"catch-up subscription over {number:,} stored events (serve)", results)


def append(arguments: argparse.Namespace) -> None:
    """Appending to `serve`."""
    number, times = arguments.appends, arguments.rounds
    tasks = {"one": "one after another", "flight": f"{IN_FLIGHT} in flight", "batches": f"{BATCH} at a time"}
    for database in (None, "events.db"):
        where = "in memory" if database is None else "on a file"
        with tempfile.TemporaryDirectory() as name, serve(Path(name), database) as server:
            for (task, title), count in zip(tasks.items(), (number // 2, number * 2, number * 10), strict=True):
                results = rounds(task, server.port, count, times, server)
                table(f"append {count:,} events, {title} ({where})", results)


def start(arguments: argparse.Namespace) -> None:
    """What a program pays before it begins, and for a long read."""
    taken: dict[str, list[float]] = {}
    for _ in range(arguments.rounds * 3):
        for name, statement in _IMPORTS.items():
            if (seconds := _import_time(statement)) is not None:
                taken.setdefault(name, []).append(seconds)
    print("\nimport (milliseconds)")
    for name, times in taken.items():
        print(f"{name:24}{median(times) * 1000:8.0f}")
    number = 1_000_000 // arguments.part
    with replay_server(number, SIZE) as port:
        results = rounds("stream", port, number, 1, maker="esdb_lite")
    print(f"\nmemory while reading {number:,} events: growth (peak), MB")
    for name, (figures,) in results.items():
        print(f"{name:24}{figures['grown_mb']:8.1f}{figures['peak_mb']:8.0f}")


def _import_time(statement: str) -> float | None:
    program = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment(), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    return float(done.stdout) if done.returncode == 0 else None


def server(arguments: argparse.Namespace) -> None:
    """What `serve` costs."""
    serving.ratios(arguments)
    serving.commits(arguments)
    serving.many(arguments)


def everything(arguments: argparse.Namespace) -> None:
    """All that takes minutes only."""
    for part in (start, read, catchup, append, server):
        part(arguments)


def main() -> None:
    """Choose what to measure."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = {"read": read, "append": append, "catchup": catchup, "start": start, "server": server}
    parts |= {"level": serving.level, "everything": everything}
    parser.add_argument("part", nargs="?", default="everything", choices=[*parts], help="default: everything")
    parser.add_argument("--events", type=int, help="how many are read (default: 50000; level: 5000000)")
    parser.add_argument("--appends", type=int, default=2_000, help="one after another half as many are made")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", dest="part_of", action="store_true", help="a tenth of what takes longest")
    arguments = parser.parse_args()
    run = parts[arguments.part]
    arguments.events = arguments.events or (5_000_000 if run is serving.level else 50_000)
    arguments.part = 10 if arguments.part_of else 1
    run(arguments)


if __name__ == "__main__":
    main()
