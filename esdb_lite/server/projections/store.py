"""What a database keeps of projections on a server that lists them.

Owns: which events are written for them, and in which order. Must not know: calls, what is in a definition.
"""

from __future__ import annotations

from esdb_lite.server.database.database import Database
from esdb_lite.server.database.group_commit import new_id
from esdb_lite.server.engine import projections
from esdb_lite.server.engine.model import NO_STREAM, ProposedEvent
from esdb_lite.server.engine.projections import SYSTEM_PROJECTIONS, definition, definition_stream


async def begin(database: Database) -> None:
    """Give a database that has never had them the system projections, stopped. Raises StorageError.

    May be repeated after an interruption: what is there is left alone.
    """
    created = [
        _event(projections.CREATED_TYPE, projection.name.encode(), is_json=False) for projection in SYSTEM_PROJECTIONS
    ]
    initialized = _event(projections.INITIALIZED_TYPE, b"", is_json=False)
    await _append_first(database, projections.ALL_STREAM, [initialized, *created])
    for projection in SYSTEM_PROJECTIONS:
        updated = _event(projections.UPDATED_TYPE, definition(projection))
        await _append_first(database, definition_stream(projection.name), [updated])


def _event(type_: str, data: bytes, *, is_json: bool = True) -> ProposedEvent:
    return ProposedEvent(new_id(), type_, is_json, data)


async def _append_first(database: Database, stream: str, events: list[ProposedEvent]) -> None:
    if await database.read(lambda reader: reader.head(stream)) is None:
        await database.append(stream, NO_STREAM, events)
