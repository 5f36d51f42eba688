"""A process that appends as fast as it can, with JavaScript projections over that, until it is killed.

Run as `python crashing_users.py PATH`; writes a line to stdout for each append that was acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import sys
import uuid

from esdb_lite.server.database.database import Database, ticks_now
from esdb_lite.server.engine.model import ANY, ProposedEvent
from esdb_lite.server.projections.definitions import Definition
from esdb_lite.server.projections.manager import ProjectionConflict, ProjectionManager
from esdb_lite.server.projections.user.engine import UserEngine

PROJECTIONS = {
    "root": """fromStream('x').when({
        $init: () => ({n: 0}), T(s, e) { s.n++; emit('out', 'Made', {n: s.n}) } }).outputState()""",
    "parts": """fromStream('x').partitionBy(e => e.sequenceNumber % 5).when({
        $init: () => ({n: 0}), T(s, e) { s.n++; linkTo('links-' + e.partition, e) } }).outputState()""",
}


async def managed(path: str) -> tuple[Database, ProjectionManager]:
    """A database whose projections run."""
    database = await Database.open(path)
    engine = UserEngine(database, now=ticks_now)
    manager = ProjectionManager(database, now=ticks_now, engine=engine, starts_standard=False)
    await manager.start()
    return database, manager


async def main(path: str) -> None:
    database, manager = await managed(path)
    for name, query in PROJECTIONS.items():
        try:
            await manager.create(Definition(name, query, emit_enabled=True))
        except ProjectionConflict:
            await manager.enable(name)
    number = 0
    while True:
        number += 1
        events = [ProposedEvent(uuid.uuid4().bytes, "T", True, b"{}") for _ in range(1 + number % 3)]
        await database.append("x", ANY, events)
        os.write(1, b"%d\n" % number)
        if number % 30 == 29:
            name = "root" if number % 2 else "parts"
            await manager.disable(name, checkpoint=number % 3 == 0)
            await manager.enable(name)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
