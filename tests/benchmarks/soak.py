"""Lets everything go wrong for some minutes, with everybody at work, and compares at the end.

    python -m tests.benchmarks.soak                          all modes, ten minutes together
    python -m tests.benchmarks.soak --mode cluster --minutes 3
    python -m tests.benchmarks.soak --seed 7                 the same faults in the same order as another time

embedded: a server in this process, on a file, with all that `server.faults` has. secure: the same with TLS. cluster:
a simulated cluster, whose nodes die, freeze, leave and elect. killed: `python -m esdb_lite serve`, which is killed,
paused and started again, and a process that writes and consumes, which is killed, too, and goes on where it was.
proxied: as embedded, with nginx between it and half of the clients, and HAProxy between it and the others; they are
reloaded, stopped, killed and cut.

Writers, readers, subscribers and consumers of both faces are at work. At the end every acknowledged event must be
there once, every subscriber must have seen every event once and in order, every group must have processed every event;
and no task, thread, descriptor or growth of memory may be left. Exit status 1 if anything is not so.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

from esdb_lite.server import EmbeddedServer, SimulatedCluster
from tests.benchmarks.soaking import report, trouble
from tests.benchmarks.soaking.processes import KillableServer
from tests.benchmarks.soaking.resources import Holding
from tests.benchmarks.soaking.running import Soak
from tests.benchmarks.soaking.victims import Victim
from tests.benchmarks.soaking.world import World
from tests.healing.proxies import Proxy
from tests.support import asyncio_errors

SHARES = {"embedded": 0.2, "secure": 0.2, "cluster": 0.2, "killed": 0.2, "proxied": 0.2}
"""The modes, and how much of the time each of them gets."""
PACE = 0.02
"""Seconds that a writer waits between two appends, on average."""
GROWTH = {"embedded": 96.0, "secure": 96.0, "cluster": 96.0, "killed": 24.0, "proxied": 96.0}
"""MB by which memory may have grown since the warm-up: fragmentation, and where the server is in this process, the
caches of SQLite for each of its five connections, which fill as the file grows (40 MB), and the ids of the last events
(25 MB)."""
PILE = 2_000
"""By so many may the objects of one type have become more since the warm-up."""
KEPT = ("_IdRun",)
"""Types whose objects the server keeps on purpose, within 8 MiB: the ids of the last events."""
LONG = 60.0
"""Seconds below which a soak is too short to tell growth from warming up."""
_THREADS = 64

Run = Callable[[Path, int, float, float], Awaitable[Soak]]


async def embedded(folder: Path, seed: int, seconds: float, pace: float) -> Soak:
    """A server in this process."""
    return await _in_this_process("embedded", EmbeddedServer(folder / "soak.db"), seed, seconds, pace)


async def secure(folder: Path, seed: int, seconds: float, pace: float) -> Soak:
    """A server in this process, with TLS."""
    server = EmbeddedServer(folder / "soak.db", dev_certificate=folder)
    return await _in_this_process("secure", server, seed, seconds, pace)


async def _in_this_process(mode: str, server: EmbeddedServer, seed: int, seconds: float, pace: float) -> Soak:
    await asyncio.to_thread(server.start)
    try:
        uri = server.uri.replace("esdb://", "esdb://admin:changeit@") if mode == "secure" else server.uri
        world = World(seed, uri)
        deck = trouble.Deck(trouble.of_server(server), world.random("faults"))
        soak = Soak(mode, world, deck, lambda: asyncio.to_thread(server.faults.clear), pace)
        await soak.run(seconds)
    finally:
        await asyncio.to_thread(server.stop)
    return soak


async def cluster(folder: Path, seed: int, seconds: float, pace: float) -> Soak:
    """A simulated cluster."""
    nodes = SimulatedCluster(folder / "soak.db", election_after=0.5)
    await asyncio.to_thread(nodes.start)

    async def clear() -> None:
        for node in nodes.nodes:
            await asyncio.to_thread(node.faults.clear)

    try:
        world = World(seed, nodes.uri)
        deck = trouble.Deck(trouble.of_cluster(nodes), world.random("faults"))
        soak = Soak("cluster", world, deck, clear, pace)
        await soak.run(seconds)
    finally:
        await asyncio.to_thread(nodes.stop)
    return soak


async def killed(folder: Path, seed: int, seconds: float, pace: float) -> Soak:
    """A server in a process of its own."""
    server = KillableServer(folder / "soak.db")
    await asyncio.to_thread(server.start)

    async def clear() -> None:
        """A process has no faults but those that are over."""

    try:
        world = World(seed, server.uri)
        victim = Victim(world)
        faults = {**trouble.of_process(server), "SIGKILL a client": victim.kill}
        soak = Soak("killed", world, trouble.Deck(faults, world.random("faults")), clear, pace, victim)
        await soak.run(seconds)
    finally:
        await asyncio.to_thread(server.kill)
    for line in server.log().splitlines()[:20]:
        print(f"  the server has said: {line}")
    return soak


async def proxied(folder: Path, seed: int, seconds: float, pace: float) -> Soak:
    """A server in this process, behind the proxies that the machine has."""
    server = EmbeddedServer(folder / "soak.db")
    await asyncio.to_thread(server.start)
    proxies: list[Proxy] = []
    try:
        for kind in proxies_here():
            (folder / kind).mkdir()
            proxies.append(Proxy(kind, folder / kind, server.port))
            await asyncio.to_thread(proxies[-1].start)
        ports = [each.port for each in (*proxies, *reversed(proxies))]  # each face gets clients behind both
        world, fronts = World(seed, *(f"esdb://127.0.0.1:{port}?tls=false" for port in ports)), cycle(ports)
        faults = trouble.of_server(server, lambda: next(fronts))
        for proxy in proxies:
            faults |= trouble.of_proxy(proxy)
        deck = trouble.Deck(faults, world.random("faults"))
        soak = Soak("proxied", world, deck, lambda: asyncio.to_thread(server.faults.clear), pace)
        await soak.run(seconds)
    finally:
        for proxy in proxies:
            await asyncio.to_thread(proxy.kill)
        await asyncio.to_thread(server.stop)
    return soak


def proxies_here() -> list[str]:
    """The proxies that are installed and can be reloaded."""
    return [kind for kind in ("nginx", "haproxy") if shutil.which(kind)]


MODES: dict[str, Run] = {
    "embedded": embedded,
    "secure": secure,
    "cluster": cluster,
    "killed": killed,
    "proxied": proxied,
}


def soak(mode: str, seed: int, seconds: float, *, pace: float = PACE, folder: Path | None = None) -> Soak:
    """Run one mode with a loop and threads of its own; violations are in the ledger of its world."""
    before = Holding.now()

    async def run(place: Path) -> Soak:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
        return await MODES[mode](place, seed, seconds, pace)

    with asyncio_errors() as errors:
        if folder is None:
            with tempfile.TemporaryDirectory() as name:
                result = asyncio.run(run(Path(name)))
        else:
            result = asyncio.run(run(folder))
        left = Holding.now().left(before)
    for each in (*(f"is left: {what}" for what in left), *(f"asyncio: {error}" for error in errors)):
        result.world.ledger.violations.add(each)
    if seconds >= LONG:
        _check_growth(result)
    return result


def _check_growth(result: Soak) -> None:
    gauge, violations = result.gauge, result.world.ledger.violations
    if gauge.last > gauge.warm + GROWTH[result.outcome.mode]:
        violations.add(f"memory has grown from {gauge.warm:.0f} to {gauge.last:.0f} MB")
    for name, (warm, end) in gauge.grown.items():
        if end > warm + PILE and name not in KEPT:
            violations.add(f"objects of type {name} pile up: {warm} after the warm-up, {end} at the end")


def main() -> None:
    """Run the modes, print their reports, and exit."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="for all modes together (default: 10)")
    parser.add_argument("--seed", type=int, help="decides which faults there are, and in which order")
    parser.add_argument("--mode", choices=[*MODES, "all"], default="all")
    parser.add_argument("--log-level", default="error", help="of the client's log")
    arguments = parser.parse_args()
    logging.basicConfig(level=arguments.log_level.upper(), format="%(relativeCreated)d %(name)s: %(message)s")
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    chosen = [*MODES] if arguments.mode == "all" else [arguments.mode]
    if "proxied" in chosen and not proxies_here():
        print("proxied: skipped, neither nginx nor haproxy is installed")
        chosen.remove("proxied")
    whole = sum(SHARES[mode] for mode in chosen)
    print(f"seed {seed}", flush=True)
    count = 0
    for mode in chosen:
        result = soak(mode, seed, arguments.minutes * 60 * SHARES[mode] / whole)
        print("\n".join(report.lines(result)), flush=True)
        count += result.world.ledger.violations.count
    print(f"\n{count} violations; --seed {seed} repeats it" if count else f"\nno violations (seed {seed})")
    sys.exit(1 if count else 0)


if __name__ == "__main__":
    main()
