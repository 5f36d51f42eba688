"""A process that consumes a group as fast as it can, says what it has acknowledged, and waits to be killed.

python -m tests.services.killed PATH EVENTS
"""

from __future__ import annotations

import asyncio
import sys

from esdb_lite.server.database.database import Database
from tests.services.persistent_calls import Service, event_id
from tests.services.test_persistent import create

EVENTS_AT_ONCE = 100


async def main(path: str, events: int) -> None:
    """Consume; prints `acked N`."""
    database = await Database.open(path)
    service = Service(database)
    await service.groups.start()
    if not service.groups.all():
        for _ in range(events // EVENTS_AT_ONCE):
            await service.append("s", EVENTS_AT_ONCE)
        await service.create(create(max_checkpoint_count=7))
    consumer = await service.consume("s", buffer_size=20)
    while True:
        event = await consumer.event()
        consumer.ack(event_id(event))
        print(f"acked {event.event.stream_revision}", flush=True)
        await asyncio.sleep(0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
