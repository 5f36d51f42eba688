"""What was read from the last event of a stream, remembered: it is asked for again and again.

Owns: for how many events it is remembered. Must not know: what is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from esdb_lite.server.storage import Record

T = TypeVar("T")

_ROOM = 4 * 1024 * 1024
_ENTRY = 500
"""Bytes that an entry takes besides its data."""


class Remembered(Generic[T]):
    """Reads events, each once. May be used by several threads."""

    def __init__(self, read: Callable[[Record], T], *, room: int = _ROOM) -> None:
        """`room`: bytes of the events that are remembered."""
        self._read = read
        self._room = room
        self._known: dict[tuple[str, int], tuple[Record, T]] = {}
        self._size = 0

    def __call__(self, record: Record) -> T:
        """Return what an event says."""
        key = (record.stream, record.position)
        known = self._known.get(key)
        # There may be other databases with another event there.
        if known is not None and known[0].data == record.data and known[0].is_json == record.is_json:
            return known[1]
        value = self._read(record)
        self._size += len(record.data) + _ENTRY
        if self._size > self._room:
            self._known.clear()
            self._size = 0
        else:
            self._known[key] = (record, value)
        return value
