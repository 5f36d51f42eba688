"""The pages about streams: which there are, and the events of one.

Owns: what is read for them. Must not know: how pages look.
"""

from __future__ import annotations

import asyncio
import re
from uuid import UUID

from starlette.responses import Response

from esdb_lite import (
    AccessDenied,
    AsyncEsdbClient,
    DeadlineExceeded,
    EsdbClientException,
    RecordedEvent,
    StreamDeleted,
    StreamMetadata,
    StreamNotFound,
)
from esdb_lite.web.asking import LARGEST
from esdb_lite.web.paging import Direction, EventPage, page_of
from esdb_lite.web.visit import Visit

MOST_NAMES = 300
"""Names on one page."""

_DIGITS = re.compile(r"(\d+)")
_AT = re.compile(r"(\d{1,19})@(.+)", re.DOTALL)


_KINDS = {
    "streams": AsyncEsdbClient.list_streams,
    "categories": AsyncEsdbClient.list_categories,
    "types": AsyncEsdbClient.list_event_types,
}
"""What can be listed, and what lists it."""


async def streams(visit: Visit) -> Response:
    """The streams, categories or types whose names begin with something."""
    asked = visit.query.text("kind")
    kind = asked if asked in _KINDS else "streams"
    prefix = visit.query.text("prefix")
    names: list[str] = []
    obstacle = ""
    try:
        names = await _KINDS[kind](visit.client, prefix, limit=MOST_NAMES + 1, **visit.options)
    except AccessDenied:
        obstacle = "Who may not read all events cannot list names."
    except DeadlineExceeded:
        obstacle = "The server has no list of names, and reading all events for them takes too long."
    return visit.render(
        "streams.html",
        kind=kind,
        prefix=prefix,
        names=sorted(names[:MOST_NAMES], key=_natural),
        obstacle=obstacle,
        is_cut=len(names) > MOST_NAMES,
    )


def _natural(name: str) -> list[tuple[int, str]]:
    """What to sort names by: `order-2` comes before `order-10`."""
    return [(len(part), part) if part.isdecimal() else (0, part) for part in _DIGITS.split(name)]


async def go(visit: Visit) -> Response:
    """What somebody typed into the field at the top: an id, `5@stream`, a stream's name or the beginning of one."""
    wanted = visit.query.text("q")
    if found := _AT.fullmatch(wanted):
        return visit.go(visit.to.event(found[2], min(int(found[1]), LARGEST)))
    if _is_id(wanted):
        return visit.go(visit.to.page("find", id=wanted))
    if wanted and await _exists(visit, wanted):
        return visit.go(visit.to.stream(wanted))
    return visit.go(visit.to.page("streams", prefix=wanted))


async def stream(visit: Visit) -> Response:
    """The events of a stream."""
    name = visit.query.required("name")
    position, direction = visit.query.number("from"), Direction.of(visit.query.text("direction"))
    if name == "$all":
        return visit.go(visit.to.page("all"))
    try:
        page, metadata, last = await asyncio.gather(
            _events(visit, name, position, direction),
            _metadata(visit, name),
            visit.client.get_stream_position(name, **visit.options),
        )
    except StreamNotFound:
        return await _no_events(visit, name)
    return visit.render("stream.html", name=name, page=page, metadata=metadata, last=last, category=category_of(name))


async def _no_events(visit: Visit, name: str) -> Response:
    metadata = await _metadata(visit, name)
    page = EventPage((), None, None, is_newest=True)
    return visit.render(
        "stream.html", status=404, name=name, page=page, metadata=metadata, last=None, category=category_of(name)
    )


async def _events(visit: Visit, name: str, position: int | None, direction: Direction) -> EventPage:
    backwards = direction is Direction.OLDER
    return await page_of(
        lambda limit: visit.client.read_stream_events(
            name, position, backwards, limit, resolve_links=True, **visit.options
        ),
        stream_place,
        position=position,
        direction=direction,
        rows=visit.query.rows(),
    )


def stream_place(event: RecordedEvent) -> int:
    """Where an event is in the stream that it was read from."""
    return event.original.stream_position


async def _metadata(visit: Visit, name: str) -> StreamMetadata | None:
    """The metadata; None where they cannot be read."""
    try:
        return await visit.client.get_stream_metadata(name, **visit.options)
    except (AccessDenied, StreamDeleted):
        return None


async def _exists(visit: Visit, name: str) -> bool:
    try:
        return await visit.client.get_stream_position(name, **visit.options) is not None
    except (AccessDenied, StreamDeleted):
        return True
    except EsdbClientException:
        return False


def category_of(name: str) -> str:
    """The category of a stream, as the server's projection sees it; empty if it has none."""
    return "" if name.startswith("$") else name.partition("-")[0] if "-" in name else ""


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
