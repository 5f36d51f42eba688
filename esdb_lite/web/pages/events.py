"""The pages about one event: what is in it, and which others it belongs to.

Owns: what is read for them. Must not know: how pages look, how an event is looked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from uuid import UUID

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from esdb_lite import InvalidArgument, RecordedEvent, StreamNotFound
from esdb_lite.web.finding import find_event, related_events
from esdb_lite.web.visit import Visit, problem

CORRELATION = "$correlationId"
CAUSATION = "$causationId"
_PIECE = 32 * 1024
"""Bytes that are sent at once."""
_LARGE = 64 * 1024
"""Bytes of a page that is counted until it has been sent."""


@dataclass(frozen=True)
class EventRelations:
    """What an event's metadata say about others."""

    correlation: str
    """What it belongs to; empty if they do not say."""
    causation: str
    """The id of the event that caused it."""

    @classmethod
    def of(cls, event: RecordedEvent) -> EventRelations:
        """Read an event's metadata."""
        said = event.properties
        return cls(_text(said.get(CORRELATION)), _text(said.get(CAUSATION)))


class PiecewiseResponse(Response):
    """Bytes that are sent in pieces, each when the one before was taken."""

    def __init__(self, content: bytes, media_type: str, headers: Mapping[str, str], counted: ExitStack) -> None:
        """`counted` is closed when everything is sent."""
        super().__init__(content, headers=headers, media_type=media_type)
        self._counted = counted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._counted:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for start in range(0, len(self.body), _PIECE):
                piece = bytes(self.body[start : start + _PIECE])
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body"})


async def event(visit: Visit) -> Response:
    """One event."""
    found = await _read(visit)
    if found is None:
        return _missing(visit)
    page = visit.render(
        "event.html",
        event=found,
        original=found.original,
        relations=EventRelations.of(found),
        target=link_target(found),
    )
    if len(page.body) <= _LARGE:
        return page
    with ExitStack() as opening:
        opening.enter_context(visit.desk.large_page())
        return PiecewiseResponse(bytes(page.body), "text/html", {}, opening.pop_all())


async def data(visit: Visit) -> Response:
    """The bytes of an event's data or metadata, to be saved; never to be looked at by the browser itself."""
    with ExitStack() as opening:
        opening.enter_context(visit.desk.download())
        found = await _read(visit)
        if found is None:
            return _missing(visit)
        counted = opening.pop_all()
    part = "metadata" if visit.query.text("part") == "metadata" else "data"
    content = found.metadata if part == "metadata" else found.data
    name = f"{found.stream_position}-{part}.{'json' if found.content_type == 'application/json' else 'bin'}"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return PiecewiseResponse(content, "application/octet-stream", headers, counted)


async def find(visit: Visit) -> Response:
    """Look for an event by its id, from the end of the log back, so many events at a time."""
    wanted = _id(visit.query.required("id"))
    found = await find_event(visit.client, wanted, before=visit.query.number("before"), options=visit.options)
    if found.event is not None:
        return visit.go(visit.to.event(found.event.stream_name, found.event.stream_position))
    return visit.render("find.html", status=200 if found.next else 404, wanted=wanted, found=found)


async def related(visit: Visit) -> Response:
    """The events of one correlation, each below the one that caused it."""
    correlation = visit.query.required("correlation")
    found = await related_events(visit.client, correlation, around=visit.query.number("around"), options=visit.options)
    return visit.render("related.html", correlation=correlation, found=found, rows=causes(found.events))


def causes(events: tuple[RecordedEvent, ...]) -> list[tuple[int, RecordedEvent]]:
    """Order events so that each comes below the one that caused it, with how deep it is."""
    by_id = {str(event.id): event for event in events}
    caused: dict[str, list[RecordedEvent]] = {}
    for each in by_id.values():
        cause = EventRelations.of(each).causation
        caused.setdefault(cause if cause in by_id and cause != str(each.id) else "", []).append(each)
    rows: list[tuple[int, RecordedEvent]] = []
    waiting = [(0, each) for each in reversed(caused.pop("", []))]
    while waiting:
        depth, each = waiting.pop()
        rows.append((depth, each))
        waiting += [(depth + 1, effect) for effect in reversed(caused.pop(str(each.id), []))]
    # Those that cause one another in a circle have no beginning.
    return rows + [(0, each) for rest in caused.values() for each in rest]


def link_target(event: RecordedEvent) -> tuple[str, int] | None:
    """Where a link points to whose event is gone; None for everything else."""
    if event.type != "$>" or event.link is not None:
        return None
    number, at, stream = event.data.decode("utf-8", "replace").partition("@")
    return (stream, int(number)) if at and number.isascii() and number.isdigit() and len(number) < 20 else None


async def _read(visit: Visit) -> RecordedEvent | None:
    name, position = visit.query.required("stream"), visit.query.number("position")
    if position is None:
        raise InvalidArgument("position", "", "must be given")
    try:
        async with visit.client.read_stream_events(
            name, position, limit=1, resolve_links=True, **visit.options
        ) as answer:
            async for found in answer:
                return found if found.original.stream_position == position else None
    except StreamNotFound:
        pass
    return None


def _missing(visit: Visit) -> Response:
    text = "The stream does not exist, or the event is beyond its end, expired or deleted."
    return problem(visit, 404, "There is no such event.", text)


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidArgument("id", text, "must be the id of an event") from None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
