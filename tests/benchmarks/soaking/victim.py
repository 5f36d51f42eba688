"""A process that appends and consumes until it is killed, and says on stdout what it does.

python -m tests.benchmarks.soaking.victim URI WRITER GROUP NUMBER POSITION COUNT

`NUMBER` is that of its next event, `POSITION` the end of its stream, `COUNT` how many events its first append has: it
is the one that another such process has perhaps made already. Ends when its stdin does.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from random import Random

from esdb_lite import AsyncEsdbClient, DeadlineExceeded, OutcomeUnknown, ServiceUnavailable
from tests.benchmarks.soaking.ledger import make, read

PAUSE = 0.05
TRIES, DONE, PROCESSED = "tries", "done", "processed"
"""It says `tries COUNT` before an append, `done POSITION` after it, `processed WRITER NUMBER` before an answer."""


def say(*words: object) -> None:
    """Tell whoever has started this."""
    print(*words, flush=True)


async def write(
    client: AsyncEsdbClient, writer: str, number: int, position: int, count: int, stop: asyncio.Event
) -> None:
    """Append, the first time what was perhaps appended before: the same ids, the same expectation."""
    random = Random()
    while not stop.is_set():
        say(TRIES, count)
        events = [make(writer, number + index, fixed=True) for index in range(count)]
        while True:
            try:
                result = await client.append_events(f"soak-{writer}", None if position < 0 else position, events)
                break
            except (OutcomeUnknown, DeadlineExceeded, ServiceUnavailable):
                await asyncio.sleep(PAUSE)  # a process that has just begun has never met a server that is away
        number, position = number + count, position + count
        assert result.stream_position == position, (result, position)
        say(DONE, position)
        count = random.randint(1, 5)
        await asyncio.sleep(random.random() * 2 * PAUSE)


async def consume(client: AsyncEsdbClient, group: str) -> None:
    """Process events, and answer."""
    while True:
        try:
            consumer = await client.read_subscription(group, buffer_size=20, ack_batch_size=5)
            break
        except ServiceUnavailable:
            await asyncio.sleep(PAUSE)
    async with consumer:
        async for event in consumer:
            say(PROCESSED, *read(event))
            await consumer.ack(event)


async def main(uri: str, writer: str, group: str, number: int, position: int, count: int) -> None:
    """Work until stdin ends."""
    logging.getLogger("esdb_lite").setLevel(logging.ERROR)
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait_for_end, daemon=True).start()
    async with AsyncEsdbClient(uri) as client:
        consuming = asyncio.ensure_future(consume(client, group))
        writing = asyncio.ensure_future(write(client, writer, number, position, count, stop))
        await asyncio.wait({consuming, writing}, return_when=asyncio.FIRST_COMPLETED)
        if writing.done():
            writing.result()
        consuming.cancel()
        await asyncio.wait({consuming})
        if not consuming.cancelled():
            consuming.result()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4], *map(int, sys.argv[4:])))
