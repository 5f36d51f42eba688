"""The page of all events, in the order of the log, with a filter.

Owns: what is read for it. Must not know: how it looks.
"""

from __future__ import annotations

from starlette.responses import Response

from esdb_lite import RecordedEvent
from esdb_lite.web.choosing import EventChoice
from esdb_lite.web.paging import Direction, page_of
from esdb_lite.web.visit import Visit


async def everything(visit: Visit) -> Response:
    """All events that a filter lets through."""
    choice = EventChoice.of(visit.query)
    position, direction = visit.query.number("from"), Direction.of(visit.query.text("direction"))
    newer = direction is Direction.NEWER
    page = await page_of(
        # Forwards, reading begins with the event at the position, which was seen already.
        lambda limit: visit.client.read_all_events(
            position, not newer, choice.exclude, limit=limit, filter=choice.filter(), **visit.options
        ),
        log_place,
        position=position,
        direction=direction,
        rows=visit.query.rows(),
    )
    return visit.render("all.html", page=page, choice=choice)


def log_place(event: RecordedEvent) -> int:
    """Where an event is in the log."""
    return event.commit_position or 0
