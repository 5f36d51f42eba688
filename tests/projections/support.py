"""Small tools of the tests of projections that run on a database."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType

from esdb_lite.server.database.database import Database, ticks_now
from esdb_lite.server.engine.visibility import window_of
from esdb_lite.server.projections.manager import ProjectionManager
from esdb_lite.server.storage import Reader, Record
from tests.projections.naive import RULES, Written
from tests.storage.support import log, opened

PREFIXES = {
    "$streams": "$streams",
    "$stream_by_category": "$category-",
    "$by_category": "$ce-",
    "$by_event_type": "$et-",
    "$by_correlation_id": "$bc-",
}


@asynccontextmanager
async def running(path: object = None) -> AsyncIterator[tuple[Database, ProjectionManager]]:
    """A database whose system projections run."""
    async with opened(path) as database:
        manager = ProjectionManager(database, now=ticks_now, engine=None, starts_standard=True)
        await manager.begin()
        await manager.start()
        try:
            yield database, manager
        finally:
            await manager.stop()


async def caught_up(manager: ProjectionManager, names: Iterable[str] = RULES) -> None:
    """Wait until running projections have seen everything."""
    while any(manager.statistics(name)[0].run.progress != 100.0 for name in names):  # noqa: ASYNC110
        await asyncio.sleep(0)


async def written_by(database: Database, name: str) -> dict[str, list[Written]]:
    """What can be read of what a projection has written, by stream; the numbers must have no gaps."""
    found: dict[str, list[Record]] = {}
    for record in await log(database, 0):
        if record.stream.startswith(PREFIXES[name]):
            found.setdefault(record.stream, []).append(record)
    contents: dict[str, list[Written]] = {}
    for stream, records in found.items():
        assert [record.revision for record in records] == list(range(len(records))), stream
        first = await database.read(lambda reader, stream=stream: _first(reader, stream))
        contents[stream] = [_written(record) for record in records if record.revision >= first]
    return contents


def _first(reader: Reader, stream: str) -> int:
    window = window_of(reader, stream, 0)
    return 2**62 if window is None else window.first


def _written(record: Record) -> Written:
    metadata = json.loads(record.metadata)
    del metadata["$v"]
    return Written(record.type, record.data.decode(), metadata)


def killed_after(program: ModuleType, path: Path, acknowledgements: int, *arguments: object) -> None:
    """Let a process append, and kill it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(program.__file__), str(path), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline() for _ in range(acknowledgements)]
        finally:
            process.kill()
    assert all(lines)
