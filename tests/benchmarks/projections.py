"""Measures the system projections: what they cost appends, and how fast they catch up."""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tests.benchmarks.contenders import BATCH, IN_FLIGHT
from tests.benchmarks.processes import Serving, contend, rate, serve

SYSTEM = ("$streams", "$stream_by_category", "$by_category", "$by_event_type", "$by_correlation_id")
_ALL_FIVE = ("--run-projections", "system", "--start-standard-projections")
_TASKS = {"one": "one after another", "flight": f"{IN_FLIGHT} in flight", "batches": f"{BATCH} at a time"}
_LOOK_AFTER, _IDLE = 0.3, 0.1
"""Seconds, and the part of a CPU below which a server has nothing to do."""
_SHARES = {"one": 0.5, "flight": 2.0, "batches": 10.0}


def appends(arguments: argparse.Namespace) -> None:
    """Appends by the client for asyncio, with all five running and with none."""
    print("\nappends with all five system projections running, and with none (per second)")
    for database in (None, "events.db"):
        where = "in memory" if database is None else "on a file"
        with tempfile.TemporaryDirectory() as name:
            plain, running = Path(name) / "plain", Path(name) / "running"
            plain.mkdir(), running.mkdir()
            with serve(plain, database) as none, serve(running, database, *_ALL_FIVE) as five:
                for task, title in _TASKS.items():
                    rates: list[tuple[Serving, list[float]]] = [(none, []), (five, [])]
                    for _ in range(arguments.rounds):
                        for server, found in rates:
                            number = int(arguments.appends * _SHARES[task])
                            figures = contend("esdb_lite async", task, server.port, number)
                            if figures is not None:
                                found.append(rate([figures]))
                            _settle(server)
                    before, after = (median(found) for _, found in rates)
                    print(f"  {title} ({where}): {after:,.0f} against {before:,.0f}: {after / before:.2f}", flush=True)


def _settle(server: Serving) -> None:
    """Wait until the links to what was appended are written, so that the next turn is not slowed down by them."""
    before = -1.0
    while server.cpu - before > _IDLE * _LOOK_AFTER:
        before = server.cpu
        time.sleep(_LOOK_AFTER)


def catch_up(arguments: argparse.Namespace) -> None:
    """All five, and each alone, over what has been appended before they were enabled."""
    number = 1_000_000 // arguments.part
    with tempfile.TemporaryDirectory() as name:
        for names in (SYSTEM, ("$by_category",), ("$by_event_type",)):
            seconds, cpu = asyncio.run(_catch_up(Path(name) / f"{len(os.listdir(name))}.db", number, names))
            what = "all five" if len(names) > 1 else names[0]
            print(
                f"\ncatching up on {number:,} events on a file, {what}: {seconds:.1f} s, {number / seconds:,.0f}/s, "
                f"{cpu / number / len(names) * 1e6:.1f} us of CPU for an event and projection (goal 25)",
                flush=True,
            )


async def _catch_up(path: Path, number: int, names: Sequence[str]) -> tuple[float, float]:
    from esdb_lite.server.database.database import Database, ticks_now
    from esdb_lite.server.engine.model import ANY, ProposedEvent
    from esdb_lite.server.projections.manager import ProjectionManager

    database = await Database.open(path)
    manager = ProjectionManager(database, now=ticks_now, engine=None, starts_standard=False)
    await manager.start()
    for batch in range(number // 100):
        events = [
            ProposedEvent(os.urandom(16), f"Type{n % 20}", True, b'{"amount":5,"items":[1,2]}', _metadata(n, batch))
            for n in range(100)
        ]
        await database.append(f"order-{batch % 2000}", ANY, events)
    wall, cpu = time.perf_counter(), time.process_time()
    for name in names:
        await manager.enable(name)
    while any(manager.statistics(name)[0].run.progress != 100.0 for name in names):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    taken = time.perf_counter() - wall, time.process_time() - cpu
    await manager.stop()
    await database.close()
    return taken


def _metadata(number: int, batch: int) -> bytes:
    return b'{"$correlationId":"c%d"}' % batch if number % 2 else b""
