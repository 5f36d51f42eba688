"""New events as they are appended: the page, and the stream of events that its script follows.

Owns: what is sent for an event, how much, how often. Must not know: how pages look.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack

from starlette.responses import Response, StreamingResponse

from esdb_lite import AsyncSubscription, Checkpoint, CheckpointMismatch, EsdbClientException, RecordedEvent
from esdb_lite.web.asking import Asked
from esdb_lite.web.choosing import EventChoice
from esdb_lite.web.payload import preview
from esdb_lite.web.places import Places
from esdb_lite.web.visit import Visit

MOST_AT_ONCE = 50
"""Events that are sent at once; of more, the last ones are, and how many are left out."""
PAUSE = 0.25
"""Seconds between two times that events are sent."""
HEARTBEAT = 10.0
"""Seconds after which something is sent where nothing happens: connections that are gone are noticed, and sessions."""


async def live(visit: Visit) -> Response:
    """The page."""
    choice = EventChoice.of(visit.query)
    choice.filter()  # what cannot be a filter is refused here, where it can be read
    return visit.render("live.html", choice=choice)


async def live_events(visit: Visit) -> Response:
    """Server-sent events: new events of a stream, or of all that a filter lets through."""
    with ExitStack() as opening:
        opening.enter_context(visit.desk.live_page())
        try:
            subscription = await _subscribe(visit)
        except CheckpointMismatch as error:
            return _stream_of(_fault(error))
        counted = opening.pop_all()

    async def messages() -> AsyncIterator[str]:
        with counted:
            async with subscription:
                async for text in _messages(visit, subscription):
                    yield text

    return _stream_of(messages())


def _stream_of(messages: AsyncIterator[str]) -> Response:
    return StreamingResponse(messages, media_type="text/event-stream", headers={"x-accel-buffering": "no"})


async def _fault(error: EsdbClientException) -> AsyncIterator[str]:
    yield message("fault", {"text": str(error)})


async def _subscribe(visit: Visit) -> AsyncSubscription[RecordedEvent]:
    """Follow what the page wants; a page that comes back says which event it has seen last."""
    name = visit.query.text("stream")
    credentials = visit.options["credentials"]
    headers = Asked(dict(visit.request.headers))
    seen = headers.text("last-event-id")
    if name:
        position = headers.place("last-event-id") if seen else visit.query.place("after")
        return await visit.client.subscribe_stream_events(
            name, position, from_end=position is None, resolve_links=True, credentials=credentials
        )
    choice = EventChoice.of(visit.query)
    place = Checkpoint.from_token(seen) if seen else None
    return await visit.client.subscribe_all_events(
        place, choice.exclude, from_end=place is None, filter=choice.filter(), credentials=credentials
    )


async def _messages(visit: Visit, subscription: AsyncSubscription[RecordedEvent]) -> AsyncIterator[str]:
    of_stream = bool(visit.query.text("stream"))
    stopped = asyncio.ensure_future(visit.desk.stopped.wait())
    taking = asyncio.ensure_future(subscription.next_batch())
    try:
        yield message("ready", {})
        while visit.session is None or visit.desk.sessions.is_open(visit.cookie):
            await asyncio.wait((taking, stopped), timeout=HEARTBEAT, return_when=asyncio.FIRST_COMPLETED)
            if stopped.done():
                return
            if not taking.done():
                yield ": nothing new\n\n"
                continue
            events = taking.result()
            if not events:
                return
            for text in _texts(visit.to, events, of_stream=of_stream):
                yield text
            taking = asyncio.ensure_future(subscription.next_batch())
            await asyncio.wait((stopped,), timeout=PAUSE)
    except EsdbClientException as error:
        yield message("fault", {"text": str(error)})
    finally:
        for task in (taking, stopped):
            task.cancel()
        await asyncio.gather(taking, stopped, return_exceptions=True)


def _texts(to: Places, events: Sequence[RecordedEvent], *, of_stream: bool) -> list[str]:
    shown = [(event, place_of(event, of_stream=of_stream)) for event in events[-MOST_AT_ONCE:]]
    skipped = len(events) - MOST_AT_ONCE
    first = [message("skipped", {"count": skipped})] if skipped > 0 else []
    return [*first, *(message("row", row(to, event), place) for event, place in shown)]


def row(to: Places, event: RecordedEvent) -> dict[str, object]:
    """What the script puts into a row: texts and addresses, by the names of the places for them."""
    original = event.original
    at = event.recorded_at
    return {
        "texts": {
            "position": str(original.stream_position),
            "stream": event.stream_name,
            "type": event.type,
            "time": "" if at is None else f"{at:%H:%M:%S}.{at.microsecond // 1000:03}",
            "data": preview(event.data),
        },
        "links": {
            "position": to.event(original.stream_name, original.stream_position),
            "stream": to.stream(event.stream_name),
            "type": to.event(original.stream_name, original.stream_position),
        },
    }


def place_of(event: RecordedEvent, *, of_stream: bool) -> str | None:
    """Where to go on after an event; its id tells a database that was begun anew."""
    if of_stream:
        return f"{event.original.stream_position}@{event.original.id}"
    return event.checkpoint.token if event.checkpoint else None


def message(name: str, content: dict[str, object], place: str | None = None) -> str:
    """One server-sent event. JSON has no line breaks of its own, so that it cannot begin another one."""
    number = "" if place is None else f"id: {place}\n"
    return f"event: {name}\n{number}data: {json.dumps(content)}\n\n"
