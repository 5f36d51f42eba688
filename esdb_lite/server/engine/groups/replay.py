"""Which of the parked events that were replayed are not done.

Owns: what is to be remembered of them, and when. Must not know: why an event is done, how that is stored.

As on a real server, parked events disappear once they have been read for a replay. But a real server loses those that
consumers have not answered if it is stopped then. Here it is noted from where on there are such, and a group that
begins anew has them among its parked events again.
"""

from __future__ import annotations

from .effects import NoteUnfinished
from .messages import Message

_UNKNOWN = -1


class ReplayProgress:
    """The events of a group's replays that are not done, and the note of them."""

    def __init__(self) -> None:
        self._unfinished: set[int] = set()
        self._noted: int | None = None

    def enter(self, message: Message) -> None:
        """A parked event is to be delivered again."""
        self._unfinished.add(message.original.revision)

    def finish(self, message: Message) -> None:
        """It is done, or has been parked again."""
        self._unfinished.discard(message.original.revision)

    def unfinished_from(self, before: int) -> int | None:
        """Return the lowest number below `before` that is not done, which will be noted; None: there is none."""
        lowest = min(self._unfinished, default=before)
        self._noted = lowest if lowest < before else None
        return self._noted

    def note(self, before: int, *, at_once: bool) -> NoteUnfinished | None:
        """Return what is to be noted now; None: nothing, or (not `at_once`) it can wait for a while."""
        noted = self._noted
        if noted is None or (self._unfinished and not at_once):
            return None
        first = self.unfinished_from(before)
        return None if first == noted else NoteUnfinished(first)

    def not_noted(self) -> None:
        """What was to be noted could not be written."""
        self._noted = _UNKNOWN
