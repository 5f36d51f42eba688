"""Where a projection is, as it is noted beside the log.

Owns: the text of the note. Must not know: what a source is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from esdb_lite.server.projections.javascript.tags import Tag


class PlaceUnreadable(Exception):
    """A note that does not fit the source; the text is the reason of the fault."""


@dataclass(frozen=True)
class ProjectionPlace:
    """What has been handled, and what has been read without having a handler."""

    handled: Tag
    read: Tag
    checkpoint: Tag
    """What had been handled at the last checkpoint."""

    def at(self, tag: Tag) -> ProjectionPlace:
        """An event there has been handled."""
        return replace(self, handled=tag, read=tag)

    def with_read(self, tag: Tag) -> ProjectionPlace:
        """Everything up to there has been read."""
        return replace(self, read=tag)

    def at_checkpoint(self) -> ProjectionPlace:
        """A checkpoint is made here."""
        return replace(self, checkpoint=self.handled)

    def note(self) -> str:
        """Write it down."""
        tags = (self.handled, self.read, self.checkpoint)
        return json.dumps([[dict(tag.numbers), tag.position] for tag in tags], separators=(",", ":"))


def place_of(note: str, beginning: Tag) -> ProjectionPlace:
    """Read a note of a projection whose source begins there; "" is the beginning. Raises PlaceUnreadable."""
    if not note:
        return ProjectionPlace(beginning, beginning, beginning)
    handled, read, checkpoint = (_fitting(Tag(numbers, position), beginning) for numbers, position in json.loads(note))
    return ProjectionPlace(handled, read, checkpoint)


def _fitting(tag: Tag, beginning: Tag) -> Tag:
    """The same place in a source that has perhaps other streams by now: those are at their beginning."""
    if (tag.position is None) != (beginning.position is None):
        raise PlaceUnreadable(f"Conversion from {_kind(tag)} to {_kind(beginning)} position tag is not supported")
    return Tag({name: tag.numbers.get(name, number) for name, number in beginning.numbers.items()}, tag.position)


def _kind(tag: Tag) -> str:
    if tag.position is None:
        return "Stream" if len(tag.numbers) == 1 else "MultiStream"
    return "EventTypeIndex" if tag.numbers else "Position"
