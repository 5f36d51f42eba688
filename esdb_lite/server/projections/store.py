"""Which projections there are, as the database says it.

Owns: the streams that hold definitions, and changing them in one transaction each. Must not know: what runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial

from esdb_lite.positions import LARGEST
from esdb_lite.server.database.database import Database
from esdb_lite.server.projections.definitions import (
    ALL_STREAM,
    CREATED_TYPE,
    DELETED_TYPE,
    INITIALIZED_TYPE,
    SYSTEM_PROJECTIONS,
    UPDATED_TYPE,
    Definition,
    definition_stream,
    dump,
    parse,
)
from esdb_lite.server.projections.emitting import Emission, Emit, Owner
from esdb_lite.server.storage import Forget, Note, Reader, Record

_SERVER = Owner(0, -1, 0)
_PAGE = 500


async def load(database: Database) -> dict[str, Definition]:
    """Read all definitions, by name, in the order of their creation. Raises StorageError."""
    ids = await _ids(database)
    definitions: dict[str, Definition] = {}
    for name, id in ids.items():
        found = await database.read(partial(_definition, name, id))
        if found is not None:
            definitions[name] = found
    return definitions


async def _ids(database: Database) -> dict[str, int]:
    ids: dict[str, int] = {}
    async for event in stream(database, ALL_STREAM):
        name = event.data.decode("utf-8", "replace")
        if event.type in (CREATED_TYPE, DELETED_TYPE):
            ids.pop(name, None)
        if event.type == CREATED_TYPE:
            ids[name] = event.revision
    return ids


async def stream(database: Database, name: str) -> AsyncIterator[Record]:
    """Read all stored events of a stream. Raises StorageError."""
    first = 0
    while page := await database.read(partial(_page, name, first)):
        for event in page:
            yield event
        first = page[-1].revision + 1


def _page(name: str, first: int, reader: Reader) -> list[Record]:
    return reader.stream_forward(name, first, _PAGE)


def _definition(name: str, id: int, reader: Reader) -> Definition | None:
    last = reader.stream_backward(definition_stream(name), LARGEST, 1)
    return parse(name, id, last[0].revision, last[0].data) if last and last[0].type == UPDATED_TYPE else None


async def begin(database: Database) -> dict[str, Definition]:
    """Read all definitions; the system projections are added, stopped, where a database lacks them.

    Raises StorageError.
    """
    known = await load(database)
    missing = [definition for definition in SYSTEM_PROJECTIONS if definition.name not in known]
    if not missing:
        return known
    is_new = await database.read(lambda reader: reader.head(ALL_STREAM)) is None
    emissions = [_listed(INITIALIZED_TYPE, "")] if is_new else []
    emissions += [_listed(CREATED_TYPE, definition.name) for definition in missing]
    await _write(database, [*emissions, *map(_defined, missing)])
    return await load(database)


async def create(database: Database, definition: Definition) -> Definition:
    """Add a projection; returns the definition with its id and version. Raises StorageError."""
    definition = replace(definition, version=await _next_version(database, definition.name))
    numbers = await _write(database, [_listed(CREATED_TYPE, definition.name), _defined(definition)])
    version = numbers[definition_stream(definition.name)] - 1
    return replace(definition, id=numbers[ALL_STREAM] - 1, version=version)


async def save(database: Database, definition: Definition, *, reset: bool = False) -> Definition:
    """Replace a definition; `reset`: its projection starts over. Returns it as it is now. Raises StorageError."""
    version = await _next_version(database, definition.name)
    changed = replace(definition, version=version, epoch=version if reset else definition.epoch)
    numbers = await _write(database, [_defined(changed)], [Forget(definition.id)] if reset else [])
    return replace(changed, version=numbers[definition_stream(definition.name)] - 1)


async def remove(database: Database, definition: Definition) -> None:
    """Remove a projection, and all that was noted of it. Raises StorageError."""
    version = await _next_version(database, definition.name)
    last = replace(definition, version=version, enabled=False, deleting=True)
    await _write(database, [_defined(last), _listed(DELETED_TYPE, definition.name)], [Forget(definition.id)])


async def _next_version(database: Database, name: str) -> int:
    head = await database.read(lambda reader: reader.head(definition_stream(name)))
    return 0 if head is None else head.last_revision + 1


def _listed(type: str, name: str) -> Emission:
    return Emission(ALL_STREAM, type, False, name.encode(), stream_metadata=b"", stamped=False)


def _defined(definition: Definition) -> Emission:
    stream = definition_stream(definition.name)
    return Emission(stream, UPDATED_TYPE, True, dump(definition), stream_metadata=b"", stamped=False)


async def _write(database: Database, emissions: Sequence[Emission], notes: Sequence[Note] = ()) -> dict[str, int]:
    """Write events; returns the next numbers of their streams."""
    numbers: dict[str, int] = {}
    emit = Emit(_SERVER, emissions, numbers, notes)
    await database.execute(emit, cost=emit.cost)
    emit.accept()
    return numbers


async def forget(database: Database, key: int) -> None:
    """Remove what was noted of a projection. Raises StorageError."""
    await _write(database, [], [Forget(key)])
