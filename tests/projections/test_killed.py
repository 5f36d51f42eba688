"""kill -9 at any moment: no link is missing, and none is there twice.

ESDB_LITE_KILLS sets how often (8 unless told).
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

from esdb_lite.server.database.maintenance import verify
from tests.projections import crashing
from tests.projections.naive import RULES, Arrival, Naive, of_users
from tests.projections.support import caught_up, running, written_by
from tests.storage.support import log

KILLS = int(os.environ.get("ESDB_LITE_KILLS", "8"))


def killed_after(path: Path, run: int, acknowledgements: int) -> None:
    """Let a process append, and kill it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, crashing.__file__, str(path), str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline() for _ in range(acknowledgements)]
        finally:
            process.kill()
    assert all(lines)


async def test_nothing_missing_and_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    chance = random.Random(4)
    for run in range(KILLS):
        killed_after(path, run, chance.randint(1, 150))
        if run % 3 == 2:
            await check(path)
    await check(path)
    assert verify(str(path)) == []


async def check(path: Path) -> None:
    async with running(path) as (database, manager):
        await caught_up(manager)
        naive = Naive()
        naive.arrivals = [Arrival(record, record) for record in await log(database, 0) if of_users(record)]
        assert len(naive.arrivals) > 0
        for name in RULES:
            assert await written_by(database, name) == naive.written(name), name
