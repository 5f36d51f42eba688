"""Blocks of headers that come or go again and again, coded once.

Owns: remembering what a block means, and how headers are written, for as long as the table that both sides keep
(RFC 7541, section 2.3.2) stays as it is. Must not know: frames, streams.

Most calls of a connection have the same headers, and hpack takes 20 to 50 µs over each block of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from hpack.table import HeaderTable

_MOST = 64
"""Blocks that are remembered."""
LONGEST_BLOCK = 1024
"""Bytes that such a block may have."""

K = TypeVar("K")
V = TypeVar("V")


class BlockMemory(Generic[K, V]):
    """What is true of blocks while the table does not change."""

    def __init__(self, table: HeaderTable, make: Callable[[K], V]) -> None:
        """`make` codes a block, which may change the table."""
        self._table = table
        self._make = make
        self._found: dict[K, V] = {}
        self._seen = self._state()

    def _state(self) -> tuple[object, int, int]:
        # Entries come on the left and go on the right: while the first is the same object, none has come.
        entries = self._table.dynamic_entries
        return entries[0] if entries else None, len(entries), self._table.maxsize

    @property
    def _is_as_before(self) -> bool:
        entries, (first, number, maxsize) = self._table.dynamic_entries, self._seen
        newest = entries[0] if entries else None
        return newest is first and len(entries) == number and self._table.maxsize == maxsize

    def recall(self, key: K) -> V | None:
        """Return what `make` has returned before, where it need not be asked again; else None."""
        return self._found.get(key) if self._is_as_before else None

    def get(self, key: K) -> V:
        """Return what `make` returns."""
        if not self._is_as_before or len(self._found) >= _MOST:
            self._found.clear()
            self._seen = self._state()
        found = self._found.get(key)
        if found is None:
            found = self._make(key)
            if self._is_as_before:
                self._found[key] = found
        return found
