"""Pages of events, the newest on top, with the ways to those before and after.

Owns: which events a page has, and from where the next one is read. Must not know: addresses, templates, calls.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from esdb_lite import AsyncReadResponse, RecordedEvent

MOST_BYTES = 16_000_000
"""Data that are read for a page: of larger events it has fewer."""


class Direction(enum.Enum):
    """Where a page goes on from its position."""

    OLDER = "older"
    NEWER = "newer"

    @classmethod
    def of(cls, text: str) -> Direction:
        """Read what a query says; older where it says nothing that is known."""
        return cls.NEWER if text == cls.NEWER.value else cls.OLDER


@dataclass(frozen=True)
class EventPage:
    """Events, the newest first."""

    events: Sequence[RecordedEvent]
    newer: int | None
    """Where the page of newer events begins; None: nothing is newer, as far as is known."""
    older: int | None
    """Where the page of older events begins; None: there are none."""
    is_newest: bool
    """Whether new events belong on it."""


async def page_of(
    read: Callable[[int], AsyncReadResponse],
    place: Callable[[RecordedEvent], int],
    *,
    position: int | None,
    direction: Direction,
    rows: int,
) -> EventPage:
    """Read a page. `read` begins at the position, for so many events; `place` is the position of an event.

    The event at the position itself was on the page before. One event more than fits tells that there is another page.
    """
    found: list[RecordedEvent] = []
    size, is_cut = 0, False
    async with read(rows + 2) as answer:
        async for event in answer:
            if position is None or place(event) != position:
                found.append(event)
                size += len(event.data) + len(event.metadata)
            if is_cut := size > MOST_BYTES:
                break
    more = is_cut or len(found) > rows
    events = found[:rows]
    if direction is Direction.NEWER:
        events.reverse()
    if not events:
        return EventPage((), None, None, is_newest(position, direction))
    first, last = place(events[0]), place(events[-1])
    if direction is Direction.NEWER:
        return EventPage(events, first if more else None, None if position is None else last, is_newest=False)
    return EventPage(
        events, None if position is None else first, last if more else None, is_newest(position, direction)
    )


def is_newest(position: int | None, direction: Direction) -> bool:
    """Whether a page is the one that new events belong on."""
    return position is None and direction is Direction.OLDER
