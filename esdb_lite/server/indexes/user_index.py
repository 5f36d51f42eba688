"""One index that a user has defined: the events in it, and how it is filled.

Owns: the entries, in memory, and which of them have a value. Must not know: who asks, how indexes are defined.

Nothing is written for it: it is filled from the log when it is first read, and then brought up to date before each
page, so that readers see what was appended before they asked.
"""

from __future__ import annotations

import asyncio
import math
import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

from esdb_lite.server.database.database import Database
from esdb_lite.server.engine.indexes import is_selected
from esdb_lite.server.indexes.definition import FieldType, IndexEntry
from esdb_lite.server.indexes.functions import IndexFunctions
from esdb_lite.server.projections.user.thread import ScriptThread
from esdb_lite.server.storage import LogSelection, Reader, Record, SelectedPage

_PAGE = 500
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
        self._definition = entry.definition
        self._database = database
        self._functions = functions
        self._positions = array("q")
        self._values: list[str] = []
        """One for each position, where the index has a field."""
        self._next = 0
        self._filling = asyncio.Lock()

    async def catch_up(self, thread: ScriptThread) -> None:
        """Take in everything that has been committed until now. Raises StorageError, JavaScriptMissing."""
        target = self._database.last_position
        while self._next <= target:
            async with self._filling:
                if self._next > target:
                    return
                records = await self._database.read(lambda reader: reader.log_forward(self._next, _PAGE))
                if not records:
                    return
                await self._take_in(thread, [record for record in records if is_selected(_EVERYTHING, record)])
                self._next = records[-1].position + 1

    async def _take_in(self, thread: ScriptThread, records: Sequence[Record]) -> None:
        """Other indexes have the thread in between; who asked may be gone by then, and what is done is kept."""
        while records:
            results = await thread.run(lambda: self._functions.evaluate_some(records))  # noqa: B023
            self._take(records[: len(results)], results)
            if results:
                self._next = records[len(results) - 1].position + 1
            records = records[len(results) :]

    def _take(self, records: Sequence[Record], results: Sequence[str | None]) -> None:
        field = self._definition.field
        for record, result in zip(records, results, strict=True):
            if result is None:
                continue
            self._positions.append(record.position)
            if field is not None:
                self._values.append(_double(float(result)) if field.type is FieldType.DOUBLE else result)

    def close(self) -> None:
        """Give up the engine, in the thread that used it."""
        self._functions.close()

    def content(self, value: str | None) -> UserContent:
        """Return what is in it: all events, or those with one value."""
        field = self._definition.field
        if value is None:
            return UserContent(self._positions, None)
        wanted = None if field is None else stored_value(value, field.type)
        return UserContent(self._positions, lambda index: wanted is not None and self._values[index] == wanted)


class UserContent:
    """The events of a user's index, all or some."""

    def __init__(self, positions: array[int], has: Callable[[int], bool] | None) -> None:
        self._positions = positions
        self._has = has

    def forward(self, reader: Reader, first: int, limit: int) -> SelectedPage:
        """See `IndexContent`."""
        chosen = self._chosen(range(bisect_left(self._positions, first), len(self._positions)), limit)
        return _page(reader, chosen, limit, 1)

    def backward(self, reader: Reader, last: int, limit: int) -> SelectedPage:
        """See `IndexContent`."""
        return _page(reader, self._chosen(range(bisect_right(self._positions, last) - 1, -1, -1), limit), limit, -1)

    def _chosen(self, indexes: range, limit: int) -> list[int]:
        positions, has = self._positions, self._has
        if has is None:
            return [positions[index] for index in indexes[:limit]]
        chosen: list[int] = []
        for index in indexes:
            if has(index):
                chosen.append(positions[index])
                if len(chosen) == limit:
                    break
        return chosen

    def live(self, records: Sequence[Record]) -> None:
        """See `IndexContent`."""
        return


def _page(reader: Reader, positions: Sequence[int], limit: int, step: int) -> SelectedPage:
    records = reader.log_at(positions)
    if not positions:
        return SelectedPage([], None)
    cut = records and records[-1].position != positions[-1]
    last = records[-1].position if cut else positions[-1]
    return SelectedPage(records, last + step if cut or len(positions) == limit else None)
