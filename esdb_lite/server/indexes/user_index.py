"""One index that a user has defined: the events in it, and how it is filled.

Owns: what is stored of it, and up to where. Must not know: who asks, how indexes are defined.

It is filled from the log when it is first read, and then brought up to date before each page, so that readers see what
was appended before they asked. What has been evaluated is stored beside the log, also over a restart.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Sequence
from functools import partial

from esdb_lite.server.database.database import Database
from esdb_lite.server.engine.append import LogState, Moment
from esdb_lite.server.engine.indexes import IndexContent, is_selected
from esdb_lite.server.engine.model import Appended, Decision
from esdb_lite.server.indexes.definition import FieldType, IndexEntry
from esdb_lite.server.indexes.functions import IndexFunctions
from esdb_lite.server.projections.user.thread import ScriptThread
from esdb_lite.server.storage import (
    ForgetIndex,
    IndexNote,
    IndexProgress,
    LogSelection,
    Reader,
    Record,
    SelectedPage,
)

_PAGE = 1000
_ENTRY_BYTES = 100
_DOUBLE = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*|\s*[+-]?(?:Infinity|∞)\s*|\s*NaN\s*")
_INTEGER = re.compile(r"\s*[+-]?\d{1,40}\s*")
_EVERYTHING = LogSelection()


def stored_value(text: str, type: FieldType) -> str | None:
    """Return a value that readers ask for as entries have it; None: no entry can have it."""
    if type is FieldType.STRING:
        return text
    if type is FieldType.DOUBLE:
        return _double(float(text)) if _DOUBLE.fullmatch(text) else None
    return str(int(text)) if _INTEGER.fullmatch(text) else None


def _double(value: float) -> str:
    """A number as text; the same for all spellings of it."""
    return repr(value + 0.0) if math.isfinite(value) else str(value)


class UserIndex:
    """A started index."""

    def __init__(self, entry: IndexEntry, database: Database, functions: IndexFunctions) -> None:
        self.entry = entry
        self._field = entry.definition.field
        self._database = database
        self._functions = functions
        self._next: int | None = None
        """The position to go on from; None: it is not known yet."""
        self._filling = asyncio.Lock()

    async def catch_up(self, thread: ScriptThread) -> None:
        """Take in everything that has been committed until now. Raises StorageError, JavaScriptMissing."""
        target = self._database.last_position
        while self._next is None or self._next <= target:
            async with self._filling:
                first = await self._first() if self._next is None else self._next
                if first > target:
                    self._next = first
                    return
                records = await self._database.read(lambda reader: reader.log_forward(first, _PAGE))  # noqa: B023
                if not records:
                    return
                await self._take(records, thread)
                self._next = records[-1].position + 1

    async def _first(self) -> int:
        position = await self._database.read(lambda reader: reader.index_position(self.entry.id))
        return 0 if position is None else position + 1

    async def _take(self, records: Sequence[Record], thread: ScriptThread) -> None:
        """Other indexes have the thread in between; who asked may be gone by then, and what is done is kept."""
        rest = [record for record in records if is_selected(_EVERYTHING, record)]
        while rest:
            results = await thread.run(lambda: self._functions.evaluate_some(rest))  # noqa: B023
            some, rest = rest[: len(results)], rest[len(results) :]
            if some:
                await self._note((some if rest else records)[-1].position, some, results)
        await self._note(records[-1].position, [], [])

    async def _note(self, position: int, records: Sequence[Record], results: Sequence[str | None]) -> None:
        if self._next is not None and position < self._next:
            return
        entries = [
            (record.position, self._stored(result))
            for record, result in zip(records, results, strict=True)
            if result is not None
        ]
        note = IndexProgress(self.entry.id, position, entries)
        await self._database.execute(partial(_write, note=note), cost=_ENTRY_BYTES * len(entries))
        self._next = position + 1

    def _stored(self, value: str) -> bytes:
        is_double = self._field is not None and self._field.type is FieldType.DOUBLE
        return (_double(float(value)) if is_double else value).encode("utf-8", "surrogatepass")

    def close(self) -> None:
        """Give up the engine, in the thread that used it."""
        self._functions.close()

    def content(self, value: str | None) -> IndexContent:
        """Return what is in it: all events, or those with one value."""
        if value is None:
            return UserContent(self.entry.id, None)
        wanted = None if self._field is None else stored_value(value, self._field.type)
        return NoContent() if wanted is None else UserContent(self.entry.id, wanted.encode("utf-8", "surrogatepass"))


async def forget(database: Database, id: int) -> None:
    """Give up what is stored of an index, part by part. Raises StorageError."""
    while await database.read(lambda reader: reader.index_position(id)) is not None:
        await database.execute(partial(_write, note=ForgetIndex(id)))


def _write(state: LogState, moment: Moment, *, note: IndexNote) -> Decision:
    """Write a note alone."""
    return Decision(Appended(-1, None), (), moment.log_end, [note])


class UserContent:
    """The events of a user's index, all or those with a value."""

    def __init__(self, id: int, value: bytes | None) -> None:
        self._id = id
        self._value = value

    def forward(self, reader: Reader, first: int, limit: int) -> SelectedPage:
        """See `IndexContent`."""
        return reader.index_forward(self._id, self._value, first, limit)

    def backward(self, reader: Reader, last: int, limit: int) -> SelectedPage:
        """See `IndexContent`."""
        return reader.index_backward(self._id, self._value, last, limit)

    def live(self, records: Sequence[Record]) -> None:
        """See `IndexContent`."""
        return


class NoContent:
    """What is in an index under a value that no event can have."""

    def forward(self, reader: Reader, first: int, limit: int) -> SelectedPage:
        """See `IndexContent`."""
        return SelectedPage([], None)

    def backward(self, reader: Reader, last: int, limit: int) -> SelectedPage:
        """See `IndexContent`."""
        return SelectedPage([], None)

    def live(self, records: Sequence[Record]) -> Sequence[Record]:
        """See `IndexContent`."""
        return []
