"""What a group asks of the world: the answers of the pure machine in `group`.

Owns: the shapes of the effects. Must not know: who carries them out, and how.
"""

from __future__ import annotations

from dataclasses import dataclass

from .consumers import GroupConsumer
from .messages import Message


@dataclass(frozen=True)
class ReadPage:
    """Read up to `limit` events of the source from position `first` on; answer with `Group.page`."""

    first: int
    limit: int


@dataclass(frozen=True)
class ReadParked:
    """Read parked events with numbers in [first, first + limit), links resolved; answer with `Group.parked_page`."""

    first: int
    limit: int


@dataclass(frozen=True)
class Park:
    """Write these to the parked stream, in order; answer with `Group.parked` or `Group.parking_failed`."""

    messages: list[Message]
    reason: str


@dataclass(frozen=True)
class WriteCheckpoint:
    """Write this position to the checkpoint stream; answer with `Group.checkpoint_written` or `checkpoint_failed`.

    A later one may replace it while it waits.
    """

    position: int


@dataclass(frozen=True)
class TruncateParked:
    """Make parked events with numbers below `before` disappear. No answer."""

    before: int
    unfinished_from: int | None = None
    """Note that those from this number on were replayed and are not done; None: there are no such."""


@dataclass(frozen=True)
class NoteUnfinished:
    """Note the same anew. If that fails, answer with `Group.replay_not_noted`."""

    unfinished_from: int | None


@dataclass(frozen=True)
class Wake:
    """There is something for this consumer: call `Group.take`."""

    consumer: GroupConsumer


@dataclass(frozen=True)
class Drop:
    """End this consumer's call: the group has let it go."""

    consumer: GroupConsumer


Effect = ReadPage | ReadParked | Park | WriteCheckpoint | TruncateParked | NoteUnfinished | Wake | Drop
