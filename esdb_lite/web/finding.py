"""Looking for events that no index knows: by id, or by what they belong to.

Owns: how far is searched at a time. Must not know: pages.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from uuid import UUID

from esdb_lite import AccessDenied, AsyncEsdbClient, AsyncReadResponse, RecordedEvent, StreamDeleted, StreamNotFound
from esdb_lite.web.visit import CallOptions

MOST_SEARCHED = 20_000
"""Events that are looked at for one page."""
MOST_RELATED = 500
"""Events of one correlation that are shown."""
_TIME = 5.0
"""Seconds that are searched for one page."""


@dataclass(frozen=True)
class EventSearch:
    """How a search by id ended."""

    event: RecordedEvent | None
    searched: int
    """Events that were looked at."""
    next: int | None
    """Where to search on; None: everything has been searched."""


@dataclass(frozen=True)
class Relatives:
    """The events of one correlation."""

    events: tuple[RecordedEvent, ...]
    """In the order in which they were appended."""
    searched: int
    """Events that were looked at; 0 where the server has an index of correlations."""
    is_cut: bool
    """Whether there may be more."""


async def find_event(client: AsyncEsdbClient, wanted: UUID, *, before: int | None, options: CallOptions) -> EventSearch:
    """Look for an event by its id, backwards from a position in the log or from the end."""
    searched, last = 0, before
    reading = client.read_all_events(before, True, (), limit=MOST_SEARCHED, **options)
    until = asyncio.get_running_loop().time() + _TIME
    async with reading:
        while batch := await reading.next_batch():
            for event in batch:
                if event.id == wanted:
                    return EventSearch(event, searched, None)
            searched += len(batch)
            last = batch[-1].commit_position
            if asyncio.get_running_loop().time() > until:
                return EventSearch(None, searched, last)
    return EventSearch(None, searched, last if searched >= MOST_SEARCHED else None)


async def related_events(
    client: AsyncEsdbClient, correlation: str, *, around: int | None, options: CallOptions
) -> Relatives:
    """Return the events of a correlation: from the server's index of them, or what is found around a position."""
    try:
        index = client.read_stream_events(f"$bc-{correlation}", limit=MOST_RELATED + 1, resolve_links=True, **options)
        events = [event async for event in index if event.type != "$>"]
        return Relatives(tuple(events[:MOST_RELATED]), 0, len(events) > MOST_RELATED)
    except (StreamNotFound, StreamDeleted, AccessDenied):
        pass
    half = MOST_SEARCHED // 2
    sides = [client.read_all_events(around, True, limit=half, **options)]
    if around is not None:
        sides.append(client.read_all_events(around, limit=half, **options))
    found: dict[UUID, RecordedEvent] = {}
    searched, is_cut = 0, False
    for side in sides:
        number = await _collect(side, correlation, found)
        searched += number
        is_cut = is_cut or number >= half or len(found) >= MOST_RELATED
    return Relatives(tuple(sorted(found.values(), key=_order)), searched, is_cut)


async def _collect(reading: AsyncReadResponse, correlation: str, found: dict[UUID, RecordedEvent]) -> int:
    """Add what belongs to a correlation; returns how many events were looked at."""
    searched = 0
    wanted = correlation.encode()
    until = asyncio.get_running_loop().time() + _TIME / 2
    async with reading:
        while len(found) < MOST_RELATED and (batch := await reading.next_batch()):
            searched += len(batch)
            for event in batch:
                if wanted in event.metadata and event.properties.get("$correlationId") == correlation:
                    found[event.id] = event
            if asyncio.get_running_loop().time() > until:
                break
    return searched


def _order(event: RecordedEvent) -> int:
    return event.commit_position or 0
