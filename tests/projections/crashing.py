"""A process that appends as fast as it can, with all system projections running, until it is killed.

Run as `python crashing.py PATH ROUND`; writes a line to stdout for each append that was acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import sys
import uuid

from esdb_lite.server.database.database import Database, ticks_now
from esdb_lite.server.engine.model import ANY, Appended, ProposedEvent
from esdb_lite.server.projections.manager import ProjectionManager

WRITERS = 6


async def append_for_ever(database: Database, manager: ProjectionManager, run: int, writer: int) -> None:
    """Now and then a stream is deleted, or a projection stopped and started."""
    number = 0
    while True:
        number += 1
        stream = f"cat{writer % 2}-{run}-{number // 7}"
        metadata = b'{"$correlationId":"c%d"}' % (number % 5)
        events = [ProposedEvent(uuid.uuid4().bytes, f"T{n}", True, b"{}", metadata) for n in range(1 + number % 3)]
        outcome = await database.append(stream, ANY, events)
        assert isinstance(outcome, Appended), outcome
        os.write(1, b"%d %d\n" % (writer, number))
        if number % 7 == 6:
            await database.delete(stream, ANY)
        if number % 40 == 39:
            name = "$by_category" if writer % 2 else "$by_event_type"
            await manager.disable(name, checkpoint=number % 2 == 0)
            await manager.enable(name)


async def main(path: str, run: int) -> None:
    database = await Database.open(path)
    manager = ProjectionManager(database, now=ticks_now, engine=None, starts_standard=True)
    await manager.start()
    await asyncio.gather(*[append_for_ever(database, manager, run, writer) for writer in range(WRITERS)])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
