"""The indexes of a server: those that every database has, and those that users define.

Owns: the commands, in which order they take effect, and who is told when an index can no longer be read.
Must not know: messages, statuses, who may do what.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import gmtime, strftime
from typing import Protocol

from esdb_lite.server.database.database import Database
from esdb_lite.server.database.group_commit import new_id
from esdb_lite.server.engine.indexes import IndexContent, SelectedContent, UserIndexName, parse_index
from esdb_lite.server.engine.model import ANY, ProposedEvent
from esdb_lite.server.engine.records.requests import AtomicAppend
from esdb_lite.server.indexes.definition import (
    ALL_STREAM,
    CREATED,
    DELETED,
    STARTED,
    STOPPED,
    IndexDefinition,
    IndexEntry,
    changed_data,
    created_data,
    note,
    stream_of,
)
from esdb_lite.server.indexes.functions import IndexFunctions, is_function
from esdb_lite.server.indexes.user_index import UserIndex, forget
from esdb_lite.server.projections.javascript.engine import Opener
from esdb_lite.server.projections.javascript.quickjs_engine import open_quickjs
from esdb_lite.server.projections.user.thread import ScriptThread

_PAGE = 512
_TICKS = 10_000_000


class IndexMissing(Exception):
    """There is no such index, or it cannot be read now."""


class IndexThere(Exception):
    """There is an index of this name that is defined otherwise."""


class OpenIndex(Protocol):
    """An index that can be read."""

    @property
    def content(self) -> IndexContent:
        """What is in it."""
        ...

    async def ready(self) -> None:
        """Wait until it has everything that has been committed. Raises IndexMissing, StorageError."""
        ...

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Have a function called when it may have been stopped; returns one that ends this."""
        ...


class _Native:
    """One of the indexes that every database has."""

    def __init__(self, content: SelectedContent) -> None:
        self.content = content

    async def ready(self) -> None:
        """See `OpenIndex`."""

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """See `OpenIndex`."""
        return lambda: None


class _Defined:
    """One of a user's indexes, or a value of one."""

    def __init__(self, indexes: Indexes, name: UserIndexName, index: UserIndex) -> None:
        self._indexes = indexes
        self._name = name.name
        self._index = index
        self.content = index.content(name.value)

    async def ready(self) -> None:
        """See `OpenIndex`."""
        await self._indexes.catch_up(self._name, self._index)

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """See `OpenIndex`."""
        self._indexes.watchers.add(changed)
        return lambda: self._indexes.watchers.discard(changed)


class Indexes:
    """Everything is called on the loop of the database."""

    def __init__(self, database: Database, *, now: Callable[[], int], opener: Opener = open_quickjs) -> None:
        """`now`: ticks."""
        self.watchers: set[Callable[[], None]] = set()
        self._database = database
        self._now = now
        self._opener = opener
        self._entries: dict[str, IndexEntry] = {}
        self._noted = 0
        """Events of `$all-indexes` that are in `_entries`."""
        self._filled: dict[str, UserIndex] = {}
        self._thread: ScriptThread | None = None
        self._commands = asyncio.Lock()

    # --- commands ---

    async def is_function(self, text: str) -> bool:
        """Whether a text can be a filter or a selector. Raises JavaScriptMissing."""
        return await self._script_thread().run(lambda: is_function(text, self._opener))

    async def create(self, definition: IndexDefinition, *, start: bool) -> None:
        """Define an index; nothing is done if it is there, as it would be. Raises IndexThere, StorageError."""
        async with self._commands:
            entries = await self._known()
            found = entries.get(definition.name)
            if found is not None:
                if found != IndexEntry(definition, start):
                    raise IndexThere(definition.name)
                return
            time = self._timestamp()
            events = [(CREATED, created_data(definition, time))]
            if start:
                events.append((STARTED, changed_data(definition.name, time)))
            await self._write(definition.name, events)

    async def start(self, name: str) -> None:
        """Have an index filled, and read. Idempotent. Raises IndexMissing, StorageError."""
        await self._switch(name, STARTED, started=True)

    async def stop(self, name: str) -> None:
        """Let nobody read an index. Idempotent. Raises IndexMissing, StorageError."""
        await self._switch(name, STOPPED, started=False)

    async def _switch(self, name: str, type: str, *, started: bool) -> None:
        async with self._commands:
            entry = await self._entry(name)
            if entry.started is not started:
                await self._write(name, [(type, changed_data(name, self._timestamp()))])

    async def delete(self, name: str) -> None:
        """Delete an index. Idempotent; raises IndexMissing for one that never was, StorageError."""
        async with self._commands:
            entries = await self._known()
            if name not in entries:
                if await self._database.read(lambda reader: reader.head(stream_of(name))) is None:
                    raise IndexMissing(name)
                return
            time = self._timestamp()
            entry = entries[name]
            stopped = [(STOPPED, changed_data(name, time))] if entry.started else []
            await self._write(name, [*stopped, (DELETED, changed_data(name, time))])
            await forget(self._database, entry.id)

    async def get(self, name: str) -> IndexEntry:
        """Return an index. Raises IndexMissing, StorageError."""
        return await self._entry(name)

    async def all(self) -> list[IndexEntry]:
        """Return all of them, in order of creation. Raises StorageError."""
        return list((await self._known()).values())

    @property
    def any_ever(self) -> bool:
        """Whether one had been created when they were asked for last, even if it has been deleted since."""
        return self._noted > 0

    async def _entry(self, name: str) -> IndexEntry:
        entry = (await self._known()).get(name)
        if entry is None:
            raise IndexMissing(name)
        return entry

    async def _known(self) -> dict[str, IndexEntry]:
        """Return the indexes that there are now, also those that others who serve the database have defined."""
        while page := await self._database.read(lambda reader: reader.stream_forward(ALL_STREAM, self._noted, _PAGE)):
            # Others may have read the same page meanwhile.
            for record in page[max(self._noted - page[0].revision, 0) :]:
                note(self._entries, record)
                self._noted = record.revision + 1
        return self._entries

    async def _write(self, name: str, events: list[tuple[str, bytes]]) -> None:
        writes = [
            (stream, ProposedEvent(new_id(), type, True, data))
            for type, data in events
            for stream in (stream_of(name), ALL_STREAM)
        ]
        await self._database.append_records(AtomicAppend({stream_of(name): ANY, ALL_STREAM: ANY}, writes))
        for changed in tuple(self.watchers):
            changed()

    def _timestamp(self) -> str:
        seconds, rest = divmod(self._now(), _TICKS)
        return f"{_second(seconds)}.{rest:07}00Z"

    # --- reading ---

    async def open(self, name: str) -> OpenIndex:
        """Return an index by the name that readers use. Raises IndexMissing, StorageError."""
        parsed = parse_index(name)
        if parsed is None:
            raise IndexMissing(name)
        if not isinstance(parsed, UserIndexName):
            return _Native(SelectedContent(parsed))
        return _Defined(self, parsed, await self._started(parsed.name))

    async def _started(self, name: str) -> UserIndex:
        """Return an index that is started: the same as before, as long as it has been. Raises IndexMissing."""
        entry = (await self._known()).get(name)
        index = self._filled.get(name)
        if index is not None and index.entry is not entry:
            del self._filled[name]
            await self._script_thread().run(index.close)
            index = None
        if entry is None or not entry.started:
            raise IndexMissing(name)
        if index is None:
            index = self._filled[name] = UserIndex(
                entry, self._database, IndexFunctions(entry.definition, self._opener)
            )
        return index

    async def catch_up(self, name: str, index: UserIndex) -> None:
        """Have an index take in what has been committed. Raises IndexMissing if it was stopped since; StorageError."""
        for _ in range(2):  # it may be stopped while it is filled
            if await self._started(name) is not index:
                raise IndexMissing(name)
            await index.catch_up(self._script_thread())

    def _script_thread(self) -> ScriptThread:
        if self._thread is None:
            self._thread = ScriptThread("indexes")
        return self._thread

    async def close(self) -> None:
        """End the thread, if there is one. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None:
            indexes, self._filled = list(self._filled.values()), {}
            closing = asyncio.gather(*(thread.run(index.close) for index in indexes), return_exceptions=True)
            if indexes and not (await asyncio.wait({closing}, timeout=thread.patience))[0]:
                thread.abandon()
            await closing
            await thread.close()


def _second(seconds: int) -> str:
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(seconds))
