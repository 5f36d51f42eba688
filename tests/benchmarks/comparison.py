"""The tables of README.md, filled in one run: esdb_lite beside kurrentdbclient, and what was aimed at.

`python -m tests.benchmarks table`. Prints Markdown at the end; what it does meanwhile goes to standard error.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.benchmarks import serving, starting, windows
from tests.benchmarks.contenders import BATCH, FEW, IN_FLIGHT, STREAM
from tests.benchmarks.processes import SIZE, Results, Row, cost, rate, replay_server, rounds, serve

_FEW_READS = 1_000
_SUBSCRIBERS = 1_000
_LOG = 300_000
FACES = ("sync", "async")


class Compared(NamedTuple):
    """One line of the comparison."""

    title: str
    results: Results
    goal: str = ""


class Aim(NamedTuple):
    """One thing that was aimed at."""

    what: str
    found: str
    goal: str


def run(arguments: argparse.Namespace) -> list[Row]:
    """Measure everything, then print it."""
    compared = {line.title: line for line in _compared(arguments)}
    aims = [*_aims_of(compared), *_starting(arguments), *_serving(arguments), *_windows()]
    print(_comparison(list(compared.values())))
    print(_table(("what", "found", "goal"), aims), flush=True)
    return []


def _say(what: str) -> None:
    print(f"{what} ...", file=sys.stderr, flush=True)


# --- beside kurrentdbclient -------------------------------------------------------------------------------------------


def _compared(arguments: argparse.Namespace) -> Iterator[Compared]:
    yield from _replayed(arguments.events, arguments.rounds)
    yield from _served(arguments.events, arguments.rounds)
    for database in (None, "events.db"):
        yield from _appended(database, arguments.appends, arguments.rounds)


def _replayed(number: int, times: int) -> Iterator[Compared]:
    titles = {
        "stream": f"read a stream of {number:,} events",
        "looked": "the same, and `id`, `recorded_at`, `json()`, `metadata_json()`",
        "all": "read all events",
        "catchup": "catch-up subscription",
    }
    with replay_server(number, SIZE) as port:
        for task, title in titles.items():
            _say(title)
            yield Compared(title, rounds(task, port, number, times))


def _served(number: int, times: int) -> Iterator[Compared]:
    titles = {"stream": "read a stream from `serve`", "catchup": "catch-up subscription from `serve`"}
    with tempfile.TemporaryDirectory() as name, serve(Path(name), "read.db") as server:
        serving.fill(server.port, STREAM, number)
        for task, title in titles.items():
            _say(title)
            yield Compared(title, rounds(task, server.port, number, times, server))
        title = f"read {FEW} events from `serve`"
        _say(title)
        yield Compared(title, rounds("few", server.port, _FEW_READS, times, server), "3")


def _appended(database: str | None, number: int, times: int) -> Iterator[Compared]:
    where = "in memory" if database is None else "on a file"
    one_goal = "" if database is None else "3; CPU 6"
    tasks = {
        "one": ("append one after another", number // 2, one_goal),
        "flight": (f"append with {IN_FLIGHT} in flight", number * 2, ""),
        "batches": (f"append {BATCH} at a time", number * 10, "3"),
    }
    with tempfile.TemporaryDirectory() as name, serve(Path(name), database) as server:
        for task, (title, count, goal) in tasks.items():
            _say(f"{title}, {where}")
            yield Compared(f"{title}, {where}", rounds(task, server.port, count, times, server), goal)


def _comparison(lines: Sequence[Compared]) -> str:
    heads = ("", "kurrentdbclient sync", "asyncio", "esdb_lite sync", "asyncio")
    return _table((*heads, "ratio sync", "asyncio", "CPU sync", "asyncio", "goal"), [_line(*line) for line in lines])


def _line(title: str, results: Results, goal: str) -> tuple[str, ...]:
    makers = ("kurrentdbclient", "esdb_lite")
    speeds = {name: rate(runs) for name, runs in results.items()}
    best = max((speed for name, speed in speeds.items() if name.startswith(makers[0])), default=0.0)
    cells = [
        f"{speeds[f'{maker} {face}']:,.0f}" if f"{maker} {face}" in speeds else "" for maker in makers for face in FACES
    ]
    ratios, costs = [], []
    for face in FACES:
        theirs, ours = (f"{maker} {face}" for maker in makers)
        known = theirs in speeds
        ratios.append(f"{speeds[ours] / speeds[theirs]:.1f} ({speeds[ours] / best:.1f})" if known else "")
        costs.append(f"{cost(results[theirs]) / cost(results[ours]):.1f}" if known else "")
    return (title, *cells, *ratios, *costs, goal)


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows)


# --- what was aimed at ------------------------------------------------------------------------------------------------


def _of_server(results: Results, name: str) -> float:
    """Median of the microseconds of CPU that one took in the server."""
    return median(each["server"] / each["number"] for each in results[name]) * 1e6


def _aims_of(compared: dict[str, Compared]) -> Iterator[Aim]:
    """What of the aims is in the comparison."""
    looked, caught, few = (
        next(line.results for title, line in compared.items() if title.startswith(start))
        for start in ("the same", "catch-up subscription from", "read 20")
    )
    each = ", ".join(f"{cost(looked[f'esdb_lite {face}']):.1f}" for face in FACES)
    yield Aim("client CPU of an event that is looked at with `json()` (sync, asyncio)", f"{each} µs", "8 µs")
    name = "esdb_lite async"
    both = cost(few[name]) + _of_server(few, name)
    yield Aim(f"CPU of reading {FEW} events, client and `serve` (asyncio)", f"{both:.0f} µs", "300 µs")
    of_event = _of_server(caught, name)
    found = f"{of_event:.1f} µs; {rate(caught[name]):,.0f}/s seen"
    yield Aim("`serve`: CPU of an event for a subscriber that catches up from disk", found, "4 µs (250,000/s)")
    for where in ("in memory", "on a file"):
        stored = _of_server(compared[f"append {BATCH} at a time, {where}"].results, name)
        yield Aim(f"`serve`: CPU of an event that is stored {BATCH} at a time, {where}", f"{stored:.1f} µs", "6 µs")


def _starting(arguments: argparse.Namespace) -> Iterator[Aim]:
    times = arguments.rounds * 5
    with tempfile.TemporaryDirectory() as name, serve(Path(name), None) as server:
        _say("importing")
        for title, starts in (
            ("importing", starting.imports(times)),
            ("importing and a first append", starting.first_calls(server.port, times)),
        ):
            yield Aim(
                f"{title}: CPU (sync, asyncio), and how much of kurrentdbclient's that is", _started(starts), "0.6"
            )
        _say("clients that do nothing")
        idle = rounds("idle", server.port, starting.SUBSCRIPTIONS, arguments.rounds, maker="esdb_lite")
    for what, key, unit, goal in (
        ("memory of a process with an idle client (sync, asyncio)", "idle_mb", "MB", "30 MB"),
        ("memory of one more subscription (sync, asyncio)", "subscription_kb", "KB", ""),
    ):
        found = ", ".join(f"{median(each[key] for each in idle[f'esdb_lite {face}']):.0f}" for face in FACES)
        yield Aim(what, f"{found} {unit}", goal)


def _started(starts: starting.Starts) -> str:
    took = ", ".join(f"{starting.least(starts[f'esdb_lite {face}']):.0f}" for face in FACES)
    if "kurrentdbclient sync" not in starts:
        return f"{took} ms"
    share = (
        starting.least(starts[f"esdb_lite {face}"]) / starting.least(starts[f"kurrentdbclient {face}"])
        for face in FACES
    )
    return f"{took} ms; {', '.join(f'{each:.2f}' for each in share)}"


def _serving(arguments: argparse.Namespace) -> Iterator[Aim]:
    _say("live subscribers")
    with tempfile.TemporaryDirectory() as name, serve(Path(name), "live.db") as server:
        live = asyncio.run(serving.live(server, _SUBSCRIBERS, 10 * arguments.rounds))
    found = f"{live.cost * 1e6:.1f} µs; {1 / live.cost:,.0f} deliveries for a second of CPU"
    yield Aim(f"`serve`: CPU of a live event for each of {_SUBSCRIBERS:,} subscribers", found, "100,000/s")
    _say("a filter")
    with tempfile.TemporaryDirectory() as name, serve(Path(name), "filter.db") as server:
        each = asyncio.run(serving.filtering(server, _LOG))
    yield Aim("`serve`: CPU of an event of `$all`, with a filter for 1 in 10,000", f"{each * 1e6:.2f} µs", "1 µs")


def _windows() -> Iterator[Aim]:
    _say(f"npm's {windows.PACKAGE}")
    found = windows.small_windows()
    title = f"npm's `{windows.PACKAGE}` reads {windows.EVENTS:,} events from `serve`"
    if found is None:
        yield Aim(title, "not measured: no node, or no packages", "60,000/s, 500 waits")
        return
    told = f"{found.rate:,.0f}/s, {found.waits:.0f} waits; CPU {found.server * 1e6:.1f} and {found.client * 1e6:.1f} µs"
    yield Aim(f"{title}; CPU of `serve` and of the client", told, "60,000/s, 500 waits")
