"""kill -9 at any moment: a JavaScript projection has handled every event once, and what it wrote says so.

ESDB_LITE_KILLS sets how often (8 unless told).
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

from esdb_lite.server.database.database import Database
from tests.healing.waiting import until
from tests.projections import crashing_users
from tests.projections.crashing_users import PROJECTIONS, managed
from tests.projections.support import killed_after

KILLS = int(os.environ.get("ESDB_LITE_KILLS", "8"))
PARTITIONS = 5


async def written(database: Database, stream: str) -> list[str]:
    records = await database.read(lambda reader: reader.stream_forward(stream, 0, 100_000))
    assert [record.revision for record in records] == list(range(len(records)))
    return [record.data.decode() for record in records]


async def test_every_event_is_handled_once(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    chance = random.Random(7)
    for run in range(KILLS):
        killed_after(crashing_users, path, chance.randint(1, 120))
        if run % 3 == 2:
            await check(path)
    await check(path)


async def check(path: Path) -> None:
    database, manager = await managed(str(path))
    for name in PROJECTIONS:
        await manager.enable(name)
        await until(lambda name=name: manager.statistics(name)[0].run.progress == 100)  # type: ignore[misc]
    count = len(await written(database, "x"))
    counted = [f'{{"n":{number + 1}}}' for number in range(count)]
    assert count > 0
    assert await manager.state("root", "") == counted[-1]
    assert await written(database, "out") == await written(database, "$projections-root-result") == counted
    for partition in range(PARTITIONS):
        own = list(range(partition, count, PARTITIONS))
        assert json.loads(await manager.state("parts", str(partition)) or '{"n":0}') == {"n": len(own)}
        assert await written(database, f"links-{partition}") == [f"{number}@x" for number in own]
        assert await written(database, f"$projections-parts-{partition}-result") == counted[: len(own)]
    links = [f"{number // PARTITIONS}@$projections-parts-{number % PARTITIONS}-result" for number in range(count)]
    assert await written(database, "$projections-parts-result") == links
    await manager.stop()
    await database.close()
