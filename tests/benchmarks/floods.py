"""Whether one client can spoil it for others: floods of every kind, and what another client's appends take meanwhile.

    python -m tests.benchmarks.floods                        all of them, some minutes
    python -m tests.benchmarks.floods --only state --only web    those whose names begin like this
    python -m tests.benchmarks.floods --list

For each flood, `serve` runs on a new file, a process floods it, and this one appends one event after another. Exit
status 1 if the median of these appends is above 100 ms, one of them takes more than a second, or the server takes more
memory than the flood allows. Three processes are at work: where fewer cores are free, they wait for each other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import cast

from esdb_lite import AsyncEsdbClient, NewEvent, StreamState
from tests.benchmarks.flooding.catalogue import catalogue
from tests.benchmarks.flooding.flood import Flood
from tests.benchmarks.load import Memory
from tests.benchmarks.processes import Serving, serve
from tests.support import environment

MEDIAN, WORST = 100.0, 1000.0
"""Milliseconds that an append of another client may take."""
_PATIENCE = 30.0
_EVENT = b'{"other":"client"}'


@dataclass(frozen=True)
class Outcome:
    """What a flood has done."""

    flood: Flood
    taken: Sequence[float]
    """Milliseconds of each append."""
    memory: float
    """MB that the server took more than before, at most."""
    tally: Mapping[str, object]
    seconds: float

    @property
    def faults(self) -> list[str]:
        """What is beyond the goal."""
        found = []
        if median(self.taken) > MEDIAN:
            found.append("median")
        if max(self.taken) > WORST:
            found.append("worst")
        if self.flood.memory is not None and self.memory > self.flood.memory:
            found.append("memory")
        return found

    def __str__(self) -> str:
        ordered = sorted(self.taken)
        last = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
        figures = f"{median(ordered):7.1f}{last:8.1f}{ordered[-1]:8.1f}{self.memory:7.0f}{len(ordered):7}"
        beyond = f"  BEYOND: {', '.join(self.faults)}" if self.faults else ""
        return f"{self.flood.name:18}{figures}  {self._effect}{beyond}"

    @property
    def _effect(self) -> str:
        answers = cast(Mapping[str, int], self.tally["answers"])
        said = [f"{count / self.seconds:,.0f}/s: {status}" for status, count in sorted(answers.items())]
        if sent := cast(int, self.tally["sent"]):
            said.append(f"{sent / self.seconds:,.0f}/s sent")
        said.append(f"{cast(int, self.tally['received']) / self.seconds / 2**20:,.1f} MB/s")
        if cut := cast(int, self.tally["cut_off"]):
            said.append(f"{cut:,} ended")
        return "; ".join(said)


async def _appended(client: AsyncEsdbClient) -> float:
    began = time.perf_counter()
    await client.append_events("other", StreamState.ANY, NewEvent("Other", _EVENT), timeout=_PATIENCE)
    return (time.perf_counter() - began) * 1000


async def _beside(client: AsyncEsdbClient, server: Serving, flood: Flood, seconds: float) -> Outcome:
    await flood.prepare(client)
    for _ in range(20):
        await _appended(client)
    memory, taken = Memory(server), list[float]()
    memory.begin()
    command = [sys.executable, "-m", "tests.benchmarks.flooding", flood.name, str(server.port), str(seconds)]
    attacker = await asyncio.create_subprocess_exec(
        *command, *(["tls"] if flood.secure else []), stdout=subprocess.PIPE, env=environment()
    )
    assert attacker.stdout is not None
    assert await attacker.stdout.readline() == b"begun\n"
    ended = asyncio.ensure_future(attacker.stdout.read())
    while not ended.done():
        taken.append(await _appended(client))
    await attacker.wait()
    return Outcome(flood, taken, memory.most - memory.before, json.loads(await ended), seconds)


def measure(flood: Flood, seconds: float) -> Outcome:
    """Let a flood loose on a server of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder, options = Path(name), [*flood.options, "--log-level", "error"]
        if flood.secure:
            options += ["--dev-certificate", str(folder / "certificates")]
        with serve(folder, "flooded.db", *options) as server:
            uri = f"esdb://127.0.0.1:{server.port}?tls=false"
            if flood.secure:
                uri = f"esdb://admin:changeit@localhost:{server.port}?tlsCaFile={folder / 'certificates' / 'ca.pem'}"

            async def run() -> Outcome:
                async with AsyncEsdbClient(uri) as client:
                    return await _beside(client, server, flood, seconds)

            return asyncio.run(run())


def main() -> int:
    """Choose floods, and measure them."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.floods",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", metavar="NAME", help="how names of floods begin; can be repeated")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each goes on (default: 5)")
    parser.add_argument("--list", action="store_true", help="say which there are")
    arguments = parser.parse_args()
    floods = catalogue()
    chosen = [each for name, each in floods.items() if name.startswith(tuple(arguments.only or [""]))]
    if arguments.list:
        for each in chosen:
            print(f"{each.name:18}{each.about}")
        return 0
    print(f"load {os.getloadavg()[0]:.1f}; milliseconds of another client's append, MB that the server takes more")
    print(f"{'flood':18}{'median':>7}{'99 %':>8}{'worst':>8}{'MB':>7}{'count':>7}  what comes of it", flush=True)
    faults = 0
    for each in chosen:
        try:
            outcome = measure(each, arguments.seconds)
        except Exception as error:
            faults += 1
            print(f"{each.name:18} FAILED: {error!r}", flush=True)
            continue
        faults += bool(outcome.faults)
        print(outcome, flush=True)
    print(f"{faults} of {len(chosen)} floods are beyond the goal; load {os.getloadavg()[0]:.1f}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
