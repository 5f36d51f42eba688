"""Small tools of the storage tests."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from esdb_lite.server.database.database import Database, ticks_now
from esdb_lite.server.engine.model import ANY, Appended, ProposedEvent
from esdb_lite.server.options import Durability
from esdb_lite.server.storage import Reader, Record

_NUMBERS = itertools.count(1)


def event(data: bytes = b"{}", *, type: str = "Type", metadata: bytes = b"") -> ProposedEvent:
    """An event with an id that no other has."""
    return ProposedEvent(next(_NUMBERS).to_bytes(16, "big"), type, True, data, metadata)


def events(count: int, data: bytes = b"{}") -> list[ProposedEvent]:
    return [event(data) for _ in range(count)]


@asynccontextmanager
async def opened(path: object = None, **options: object) -> AsyncIterator[Database]:
    database = await Database.open(
        None if path is None else str(path),
        durability=options.get("durability", Durability.FULL),  # type: ignore[arg-type]
        now=options.get("now", ticks_now),  # type: ignore[arg-type]
    )
    try:
        yield database
    finally:
        await database.close()


async def written(database: Database, stream: str, proposed: list[ProposedEvent], expected: int = ANY) -> Appended:
    outcome = await database.append(stream, expected, proposed)
    assert isinstance(outcome, Appended)
    return outcome


async def of_stream(database: Database, stream: str) -> list[Record]:
    """All stored events of a stream, read page by page."""
    records: list[Record] = []
    while page := await database.read(partial(_stream_page, stream, records[-1].revision + 1 if records else 0)):
        records += page
    return records


async def log(database: Database, first: int = 733) -> list[Record]:
    """All stored events from a position on."""
    records: list[Record] = []
    while page := await database.read(partial(_log_page, records[-1].position + 1 if records else first)):
        records += page
    return records


def _stream_page(stream: str, first: int, reader: Reader) -> list[Record]:
    return reader.stream_forward(stream, first, 1000)


def _log_page(first: int, reader: Reader) -> list[Record]:
    return reader.log_forward(first, 1000)
