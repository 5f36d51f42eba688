"""A process that appends as fast as it can until it is killed. Run as `python crashing.py PATH ROUND`.

Each acknowledged append is one line on stdout: `stream expected round number size`. The ids of its events follow
from round, number and index; their data says which append they belong to and how many there are.
"""

from __future__ import annotations

import asyncio
import os
import sys

from esdb_lite.server.database.database import Database
from esdb_lite.server.engine.model import ANY, Appended, ProposedEvent

WRITERS = 20


def proposed(run: int, number: int, size: int) -> list[ProposedEvent]:
    """The events of one append."""
    datas = [b"%d %d %d %d" % (run, number, index, size) for index in range(size)]
    ids = [b"%06d%08d%02d" % (run, number, index) for index in range(size)]
    return [ProposedEvent(id, "Kind", True, data, bytes(200)) for id, data in zip(ids, datas, strict=True)]


async def append_for_ever(database: Database, run: int, writer: int) -> None:
    """Every other writer has a stream of its own and says its version, the rest share one and say nothing."""
    own = writer % 2 == 0
    stream = f"own-{writer}" if own else "shared"
    head = await database.read(lambda reader: reader.head(stream))
    expected = (-1 if head is None else head.last_revision) if own else ANY
    number = writer
    while True:
        size = 1 + number % 4
        outcome = await database.append(stream, expected, proposed(run, number, size))
        assert isinstance(outcome, Appended), outcome
        assert not outcome.idempotent
        os.write(1, b"%s %d %d %d %d\n" % (stream.encode(), expected, run, number, size))
        expected = outcome.revision if own else ANY
        number += WRITERS


async def main(path: str, run: int) -> None:
    database = await Database.open(path)
    await asyncio.gather(*[append_for_ever(database, run, writer) for writer in range(WRITERS)])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
