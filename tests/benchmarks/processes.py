"""The processes of a measurement: servers, contenders, and what they cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.benchmarks.contenders import CONTENDERS, Figures
from tests.support import environment, start_serve

Results = dict[str, list[Figures]]

SIZE = 240
"""Bytes of data that an event has in the replay server."""

_TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def replay_server(events: int, size: int) -> Iterator[int]:
    """Run the replay server; gives its port."""
    command = [sys.executable, "-m", "tests.benchmarks.replay", str(events), str(size)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(), text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


class Serving:
    """A running `serve`."""

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self.pid = pid

    @property
    def cpu(self) -> float:
        """Seconds of CPU that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    @property
    def memory(self) -> float:
        """Its resident memory in MB."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def serve(folder: Path, database: str | None, *options: str) -> Iterator[Serving]:
    """Run `serve` on a file of that name in the folder, or in memory."""
    process = start_serve(*(() if database is None else ("--db", folder / database)), *options, folder=folder)
    try:
        yield Serving(int(process.address.rpartition(":")[2]), process.process.pid)
    finally:
        process.stop()


def contend(name: str, task: str, port: int, number: int) -> Figures | None:
    """Measure one contender; None when it is not installed."""
    command = [sys.executable, "-m", "tests.benchmarks.contenders", name, task, str(port), str(number)]
    # another package's warnings are not ours to judge
    done = subprocess.run(
        command, env={**environment(), "PYTHONWARNINGS": "ignore"}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    result: Figures = json.loads(done.stdout.splitlines()[-1])
    return None if "missing" in result else result


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


def cost(runs: list[Figures]) -> float:
    """Median of the microseconds of CPU that one took in the client."""
    return median(each["cpu"] / each["number"] for each in runs) * 1e6


def rate(runs: list[Figures]) -> float:
    """Median of what was done in a second."""
    return median(each["number"] / each["wall"] for each in runs)


class Row(NamedTuple):
    """How the two faces of esdb_lite compare with those of kurrentdbclient in one thing; ratios, more is better."""

    title: str
    goal: float | None
    """What both faces are to reach."""
    same: dict[str, float]
    """By face: speed, next to the same face of kurrentdbclient."""
    best: dict[str, float]
    """The same, next to the faster of its faces."""
    cpu: dict[str, float]
    """CPU time that the same face of kurrentdbclient takes, as a multiple of ours."""


FACES = ("sync", "async")


def table(title: str, results: Results, goal: float | None = None) -> Row:
    """Print what every contender took. The ratio is to the same face of kurrentdbclient, and to the better one."""
    speeds = {name: rate(runs) for name, runs in results.items()}
    costs = {name: cost(runs) for name, runs in results.items()}
    best = max((speed for name, speed in speeds.items() if name.startswith("kurrentdbclient")), default=None)
    print(f"\n{title}")
    print(f"{'':24}{'per s':>10}{'client us':>11}{'server us':>11}{'peak MB':>9}{'same face':>11}{'best':>7}")
    for name, runs in results.items():
        server = median(each.get("server", 0.0) / each["number"] for each in runs) * 1e6
        peak = median(each["peak_mb"] for each in runs)
        same = speeds.get("kurrentdbclient " + name.rpartition(" ")[2])
        ratios = f"{speeds[name] / same:10.2f}x{speeds[name] / best:6.2f}x" if same and best else ""
        print(f"{name:24}{speeds[name]:10,.0f}{costs[name]:11.1f}{server:11.1f}{peak:9.0f}{ratios}", flush=True)
    faces = [face for face in FACES if f"kurrentdbclient {face}" in speeds and f"esdb_lite {face}" in speeds]
    return Row(
        title,
        goal,
        {face: speeds[f"esdb_lite {face}"] / speeds[f"kurrentdbclient {face}"] for face in faces},
        {face: speeds[f"esdb_lite {face}"] / best for face in faces if best},
        {face: costs[f"kurrentdbclient {face}"] / costs[f"esdb_lite {face}"] for face in faces},
    )


def summary(rows: list[Row]) -> None:
    """Print all ratios in one table, with what they are to reach."""
    print(
        "\nesdb_lite, as a multiple of kurrentdbclient: of its same face, of its better face; and CPU of the same face"
    )
    print(f"{'':58}{'sync':>6}{'best':>6}{'CPU':>6}{'async':>8}{'best':>6}{'CPU':>6}{'goal':>7}")
    for row in rows:
        figures = ""
        for face, width in zip(FACES, (6, 8), strict=True):
            if face in row.same:
                figures += f"{row.same[face]:{width}.1f}{row.best[face]:6.1f}{row.cpu[face]:6.1f}"
        goal = "" if row.goal is None else f"{row.goal:7.1f}"
        print(f"{row.title:58}{figures}{goal}", flush=True)
