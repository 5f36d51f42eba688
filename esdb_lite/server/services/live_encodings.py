"""Live events as bytes, encoded once for all who get them.

Owns: what was encoded last. Must not know: subscriptions, calls.
"""

from __future__ import annotations

from collections.abc import Sequence

from esdb_lite.server.engine.subscriptions import Message
from esdb_lite.server.services.read_messages import framed
from esdb_lite.server.storage import Record

_KEPT_EVENTS, _KEPT_BYTES = 256, 2**20
"""Subscribers get an event within a few turns of the loop: by then some hundred others may have come."""


class LiveEncodings:
    """The messages for live events."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, bool], tuple[Record, bytes]] = {}
        self._bytes = 0

    def framed(self, messages: Sequence[Message], now: int, *, structured: bool) -> bytes:
        """Return messages as they stand in a stream; an event that was encoded a moment ago is not encoded again."""
        frames = [
            self._event(item, now, structured=structured)
            if isinstance(item, Record)
            else framed((item,), now, structured=structured)
            for item in messages
        ]
        return frames[0] if len(frames) == 1 else b"".join(frames)

    def _event(self, record: Record, now: int, *, structured: bool) -> bytes:
        key = record.position, structured
        known = self._known.get(key)
        if known is None or known[0] is not record:
            event = framed((record,), now, structured=structured)
            self._make_room(len(event))
            self._known[key] = known = record, event
        return known[1]

    def _make_room(self, size: int) -> None:
        self._bytes += size
        if self._bytes > _KEPT_BYTES or len(self._known) >= _KEPT_EVENTS:
            self._known.clear()
            self._bytes = size
