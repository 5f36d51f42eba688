"""A process that consumes the stream `s`: every event has an effect, and says so. It waits to be killed or stopped.

python -m tests.services.consuming_process URI STORE FACE FOLDER LAST
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from esdb_lite import AsyncEsdbClient, EsdbClient, FileCheckpoint, RecordedEvent, SqliteCheckpoint

DATABASE, POSITION, EFFECTS = "effects.sqlite", "position.json", "effects.txt"
BATCH = 3
SELDOM = 1_000_000


def handler_of(store: Any, folder: Path, last: int, stop: Callable[[], None]) -> Callable[[Any], None]:
    """What is done with events: rows in the store's database, or lines in a file."""
    lines = os.open(folder / EFFECTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def handle(events: RecordedEvent | list[RecordedEvent]) -> None:
        for event in events if isinstance(events, list) else [events]:
            number = event.stream_position
            if isinstance(store, SqliteCheckpoint):
                store.connection.execute("INSERT INTO effects VALUES (?)", (number,))
            else:
                os.write(lines, b"%d\n" % number)
            os.write(1, b"%d\n" % number)
            if number == last:
                stop()

    return handle


def store_of(kind: str, folder: Path) -> tuple[Any, dict[str, Any]]:
    """A store, and how it is used."""
    if kind == "sqlite":
        return SqliteCheckpoint(folder / DATABASE, "effects"), {"batch_size": BATCH}
    every = SELDOM if kind == "seldom" else 1
    return FileCheckpoint(folder / POSITION), {"checkpoint_every": every}


async def run_async(uri: str, kind: str, folder: Path, last: int) -> None:
    store, options = store_of(kind, folder)

    async def handle(events: Any) -> None:
        handle_now(events)

    async with AsyncEsdbClient(uri) as client:
        consumer = client.consumer(handle, checkpoint=store, stream_name="s", **options)
        handle_now = handler_of(store, folder, last, consumer.stop)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, consumer.stop)
        signal.signal(signal.SIGINT, lambda *_: consumer.stop())
        await consumer.run()


def run_sync(uri: str, kind: str, folder: Path, last: int) -> None:
    store, options = store_of(kind, folder)
    with EsdbClient(uri) as client:
        consumer = client.consumer(lambda events: handle(events), checkpoint=store, stream_name="s", **options)
        handle = handler_of(store, folder, last, consumer.stop)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: consumer.stop())
        consumer.run()


if __name__ == "__main__":
    _, uri, kind, face, folder, last = sys.argv
    if face == "sync":
        run_sync(uri, kind, Path(folder), int(last))
    else:
        asyncio.run(run_async(uri, kind, Path(folder), int(last)))
