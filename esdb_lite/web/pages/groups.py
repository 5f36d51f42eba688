"""The pages about persistent subscriptions: how they do, and what they have parked.

Owns: what is read for them, what is done to parked events. Must not know: how pages look.
"""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from esdb_lite import InvalidArgument, SubscriptionInfo
from esdb_lite.web.asking import Asked
from esdb_lite.web.visit import Visit

MOST_PARKED = 100
"""Parked events on one page."""


async def groups(visit: Visit) -> Response:
    """All groups of the server."""
    found = await visit.client.list_subscriptions(**visit.options)
    found.sort(key=lambda info: (info.stream_name or "", info.group_name))
    return visit.render("groups.html", groups=found, lag=lag)


async def group(visit: Visit) -> Response:
    """One group: its state, settings, consumers and parked events."""
    stream, name = _named(visit.query)
    begin = visit.query.number("from")
    info, parked = await asyncio.gather(
        visit.client.get_subscription_info(name, stream, **visit.options),
        visit.client.read_parked_events(name, stream, begin, MOST_PARKED + 1, **visit.options),
    )
    more = parked[MOST_PARKED].position if len(parked) > MOST_PARKED else None
    return visit.render("group.html", info=info, parked=parked[:MOST_PARKED], more=more, begin=begin, lag=lag(info))


async def replay(visit: Visit) -> Response:
    """Have parked events delivered again."""
    stream, name = _named(visit.form)
    await visit.client.replay_parked_events(name, stream, stop_at=_behind(visit.form), **visit.options)
    return visit.go(visit.to.group(stream, name))


async def truncate(visit: Visit) -> Response:
    """Throw parked events away."""
    if not visit.form.checked("sure"):
        raise InvalidArgument("sure", "", "must be ticked: what is thrown away is gone")
    stream, name = _named(visit.form)
    await visit.client.truncate_parked_events(name, stream, stop_at=_behind(visit.form), **visit.options)
    return visit.go(visit.to.group(stream, name))


def lag(info: SubscriptionInfo) -> int | None:
    """How many events a group on a stream has still to do; None where that is not known."""
    if info.stream_name is None or info.last_known is None:
        return None
    done = -1 if info.last_checkpoint is None else info.last_checkpoint
    return max(0, info.last_known - done)


def _named(asked: Asked) -> tuple[str | None, str]:
    stream = asked.required("stream")
    return None if stream == "$all" else stream, asked.required("name")


def _behind(form: Asked) -> int | None:
    """Before which parked event to stop: behind the one that is named; None: all."""
    last = form.number("up_to")
    return None if last is None else last + 1
