"""How much of appends that are not complete a server holds: of one connection, and of all.

Owns: these two limits. Must not know: appends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

PER_CONNECTION = 32 * 1024 * 1024
"""Bytes for one connection, or of one append where that may have more."""
IN_ALL = 128 * 1024 * 1024
"""Bytes for all connections, besides those of one append."""
EVENT_OVERHEAD = 250
"""Bytes that an event takes besides its own."""


class NoAppendRoom(Exception):
    """There is no room for more."""


class AppendRoom:
    """The room of one server."""

    def __init__(self) -> None:
        self._held: Counter[Hashable] = Counter()
        self._in_all = 0

    def open(self, peer: Hashable, largest: int) -> HeldAppend:
        """Return what counts for one call of a connection; `largest`: bytes that one append may have."""
        return HeldAppend(self, peer, largest)

    def _change(self, peer: Hashable, size: int) -> int:
        """Return how much the connection holds now."""
        self._in_all += size
        self._held[peer] += size
        held = self._held[peer]
        if not held:
            del self._held[peer]
        return held


class HeldAppend:
    """What one call holds."""

    def __init__(self, room: AppendRoom, peer: Hashable, largest: int) -> None:
        self._room = room
        self._peer = peer
        self._largest = largest
        self._size = 0

    def hold(self, size: int) -> None:
        """Hold so many bytes in all. Raises NoAppendRoom, and holds them all the same, until `release`."""
        held = self._room._change(self._peer, size - self._size)
        self._size = size
        if held > max(PER_CONNECTION, self._largest) or self._room._in_all > IN_ALL + self._largest:
            raise NoAppendRoom

    def release(self) -> None:
        """Hold nothing any more. Idempotent."""
        if self._size:
            self._room._change(self._peer, -self._size)
            self._size = 0
