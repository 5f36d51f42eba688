"""How far a group has come, and when it writes that down.

Owns: the order in which events entered the group, the lowest one that is not done, the rules for writing checkpoints.
Must not know: why an event is done, consumers, where checkpoints are stored.

Events get a sequence number as they enter. A checkpoint stands just before the lowest event that is not done, no
matter in which order they were delivered; events that a filter left out are done as soon as they were passed.
"""

from __future__ import annotations

from collections import deque

from .messages import Message
from .settings import GroupSettings

COMPACT_ABOVE = 256
"""So many finished events may be remembered behind an unfinished one before they are sorted out."""


class GroupProgress:
    """The checkpoint of one group: what it was and what it could be."""

    def __init__(self, settings: GroupSettings, *, checkpoint: int | None) -> None:
        self.checkpoint = checkpoint
        """The position last written (or being written); None before the first."""
        self._settings = settings
        self._sequence = 0
        self._frontier = checkpoint
        self._written_sequence = 0
        self._written_at: float | None = None
        self._before = 0, checkpoint
        self._unfinished: deque[Message] = deque()
        self._finished = 0

    def enter(self, message: Message) -> None:
        """An event has entered the group."""
        self._sequence += 1
        message.sequence = self._sequence
        message.previous = self._frontier
        self._frontier = message.position
        self._unfinished.append(message)

    def passed(self, count: int, position: int) -> None:
        """`count` events were left out by the filter; the last event seen was at `position`."""
        self._sequence += count
        if self._frontier is None or position > self._frontier:
            self._frontier = position

    def finish(self, message: Message) -> None:
        """An event that entered is done: acknowledged, skipped or parked."""
        if message.done:
            return
        message.done = True
        self._finished += 1
        if self._finished > COMPACT_ABOVE and self._finished * 2 > len(self._unfinished):
            self._unfinished = deque(m for m in self._unfinished if not m.done)
            self._finished = 0

    def due(self, now: float, *, tick: bool) -> int | None:
        """Return the position to write now, or None. `now` in seconds; `tick` = the regular check."""
        sequence, position = self._lowest()
        completed = sequence - self._written_sequence
        if position is None or completed <= 0 or not self._is_due(completed, now, tick=tick):
            return None
        self._before = self._written_sequence, self.checkpoint
        self._written_sequence, self._written_at = sequence, now
        if position == self.checkpoint:
            return None
        self.checkpoint = position
        return position

    def not_written(self) -> None:
        """The position last returned by `due` was not written after all."""
        self._written_sequence, self.checkpoint = self._before

    def _lowest(self) -> tuple[int, int | None]:
        unfinished = self._unfinished
        while unfinished and unfinished[0].done:
            unfinished.popleft()
            self._finished = max(self._finished - 1, 0)
        if not unfinished:
            return self._sequence, self._frontier
        return unfinished[0].sequence - 1, unfinished[0].previous

    def _is_due(self, completed: int, now: float, *, tick: bool) -> bool:
        settings = self._settings
        if completed >= settings.max_checkpoint_count:
            return True
        return tick and completed >= settings.min_checkpoint_count and self._waited(now)

    def _waited(self, now: float) -> bool:
        after = self._settings.checkpoint_after
        if not after:
            return False
        return self._written_at is None or (now - self._written_at) * 1000 >= after
