"""Measures esdb_lite and kurrentdbclient side by side, and the server end to end.

    python -m tests.benchmarks                  everything but `level` and `table`, in some minutes
    python -m tests.benchmarks read             reading, from a server that replays prepared events
    python -m tests.benchmarks append           appending to `serve` (in memory, and on a file)
    python -m tests.benchmarks catchup          a subscription over what `serve` has stored
    python -m tests.benchmarks start            importing, a first append, memory of idle clients, and while reading a
                                                million events
    python -m tests.benchmarks server           what `serve` costs, and how far it carries
    python -m tests.benchmarks projections      what the system projections cost appends, and how fast they catch up
    python -m tests.benchmarks table            what README.md has of all this, in its form, with the goals: ten minutes
    python -m tests.benchmarks level            cost at 10,000 and at 5,000,000 events (minutes, 4 GB of disk)

All contenders take turns in one run, each in a process of its own, so that what else the machine does hits all of
them. Figures are medians. kurrentdbclient is left out where it is not installed, and that is said.
"""

from __future__ import annotations

import argparse
import tempfile
from importlib.util import find_spec
from pathlib import Path

from tests.benchmarks import comparison, serving, starting
from tests.benchmarks import projections as system_projections
from tests.benchmarks.contenders import BATCH, FEW, IN_FLIGHT, STREAM
from tests.benchmarks.processes import SIZE, Row, replay_server, rounds, serve, summary, table


def read(arguments: argparse.Namespace) -> list[Row]:
    """Reading from the replay server."""
    number, times = arguments.events, arguments.rounds
    with replay_server(number, SIZE) as port:
        return [
            table(f"read a stream of {number:,} events (replayed)", rounds("stream", port, number, times), 5),
            table("the same, with id, time and JSON looked at", rounds("looked", port, number, times), 5),
            table(f"read all with a filter, {number:,} events (replayed)", rounds("all", port, number, times), 5),
            table(f"catch-up subscription, {number:,} events (replayed)", rounds("catchup", port, number, times), 5),
        ]


def catchup(arguments: argparse.Namespace) -> list[Row]:
    """Reading from `serve`."""
    number, times = arguments.events, arguments.rounds
    with tempfile.TemporaryDirectory() as name, serve(Path(name), "read.db") as server:
        serving.fill(server.port, STREAM, number)
        stream = rounds("stream", server.port, number, times, server)
        stored = rounds("catchup", server.port, number, times, server)
        few = rounds("few", server.port, 500, times, server)
        return [
            table(f"read a stream of {number:,} events (serve)", stream),
            table(f"catch-up subscription, {number:,} stored events (serve)", stored),
            table(f"read {FEW} events, 500 times (serve)", few, 3),
        ]


_APPENDS = {
    "one": ("one after another", 0.5, 2),
    "flight": (f"{IN_FLIGHT} in flight", 2, 3),
    "batches": (f"{BATCH} at a time", 10, None),
}
"""By task: what it is called, how many events for each of `--appends`, and the goal."""


def append(arguments: argparse.Namespace) -> list[Row]:
    """Appending to `serve`."""
    rows = []
    for database in (None, "events.db"):
        where = "in memory" if database is None else "on a file"
        with tempfile.TemporaryDirectory() as name, serve(Path(name), database) as server:
            for task, (title, share, goal) in _APPENDS.items():
                count = int(arguments.appends * share)
                results = rounds(task, server.port, count, arguments.rounds, server)
                rows.append(table(f"append {count:,} events, {title} ({where})", results, goal))
    return rows


def start(arguments: argparse.Namespace) -> list[Row]:
    """What a program pays before it begins, and for a long read."""
    with tempfile.TemporaryDirectory() as name, serve(Path(name), None) as server:
        starting.show("import", starting.imports(arguments.rounds * 3))
        starting.show("import and append", starting.first_calls(server.port, arguments.rounds * 3))
        starting.show_idle(rounds("idle", server.port, starting.SUBSCRIPTIONS, arguments.rounds))
    number = 1_000_000 // arguments.part
    with replay_server(number, SIZE) as port:
        results = rounds("stream", port, number, 1, maker="esdb_lite")
    print(f"\nmemory while reading {number:,} events: MB above the start (goal 40), and the peak with the interpreter")
    for name, (figures,) in results.items():
        print(f"{name:24}{figures['grown_mb']:8.1f}{figures['peak_mb']:8.0f}")
    return []


def server(arguments: argparse.Namespace) -> list[Row]:
    """What `serve` costs."""
    serving.ratios(arguments)
    serving.commits(arguments)
    serving.many(arguments)
    return []


def projections(arguments: argparse.Namespace) -> list[Row]:
    """What the system projections cost."""
    system_projections.appends(arguments)
    system_projections.catch_up(arguments)
    return []


def level(arguments: argparse.Namespace) -> list[Row]:
    """What it costs where there is much."""
    serving.level(arguments)
    return []


def everything(arguments: argparse.Namespace) -> list[Row]:
    """All that takes minutes only."""
    return [row for part in (start, read, catchup, append, server) for row in part(arguments)]


def main() -> None:
    """Choose what to measure."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = {"read": read, "append": append, "catchup": catchup, "start": start, "server": server}
    parts |= {"projections": projections, "level": level, "table": comparison.run, "everything": everything}
    parser.add_argument("part", nargs="?", default="everything", choices=[*parts], help="default: everything")
    parser.add_argument("--events", type=int, help="how many are read (default: 50000; level: 5000000)")
    parser.add_argument("--appends", type=int, default=2_000, help="one after another half as many are made")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", dest="part_of", action="store_true", help="a tenth of what takes longest")
    arguments = parser.parse_args()
    if find_spec("kurrentdbclient") is None:
        print("kurrentdbclient is not installed, and left out: pip install kurrentdbclient", flush=True)
    run = parts[arguments.part]
    arguments.events = arguments.events or (5_000_000 if run is level else 50_000)
    arguments.part = 10 if arguments.part_of else 1
    if rows := run(arguments):
        summary(rows)


if __name__ == "__main__":
    main()
