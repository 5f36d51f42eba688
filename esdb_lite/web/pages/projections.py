"""The pages about projections: how they do, what they hold, and queries that run once.

Owns: what is read for them, what is done to them. Must not know: how pages look.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable

from starlette.responses import Response

from esdb_lite import (
    AccessDenied,
    JsonValue,
    ProjectionError,
    ProjectionFailed,
    StreamNotFound,
)
from esdb_lite.web.asking import Asked
from esdb_lite.web.visit import Visit

_SOURCE = "$ProjectionUpdated"


async def projections(visit: Visit) -> Response:
    """All projections of the server."""
    found = await visit.client.list_projections(**visit.options)
    found.sort(key=lambda info: (info.name.startswith("$"), info.name))
    return visit.render("projections.html", projections=found)


async def projection(visit: Visit) -> Response:
    """One projection: what it does, what it holds, and its query."""
    name, partition = visit.query.required("name"), visit.query.text("partition") or None
    info = await visit.client.get_projection(name, **visit.options)
    state, result, source = await asyncio.gather(
        _held(visit.client.get_projection_state(name, partition, **visit.options)),
        _held(visit.client.get_projection_result(name, partition, **visit.options)),
        _source(visit, name),
    )
    return visit.render(
        "projection.html",
        info=info,
        partition=partition,
        state=state,
        result=result,
        source=source,
        is_system=name.startswith("$"),
    )


async def create(visit: Visit) -> Response:
    """Make a projection."""
    name = visit.form.required("name").strip()
    await visit.client.create_projection(name, _query(visit.form), emit=visit.form.checked("emit"), **visit.options)
    return visit.go(visit.to.projection(name))


async def change(visit: Visit) -> Response:
    """Start, stop, reset or delete a projection, or change its query."""
    name, client, options = visit.form.required("name"), visit.client, visit.options
    done = await visit.act(
        {
            "enable": lambda: client.enable_projection(name, **options),
            "disable": lambda: client.disable_projection(name, **options),
            "abort": lambda: client.abort_projection(name, **options),
            "reset": lambda: client.reset_projection(name, **options),
            "update": lambda: client.update_projection(name, _query(visit.form), **options),
            "delete": lambda: client.delete_projection(name, **options),
        },
        sure=dict.fromkeys(("reset", "delete"), "what it holds is gone afterwards"),
    )
    return visit.go(visit.to.page("projections") if done == "delete" else visit.to.projection(name))


async def query(visit: Visit) -> Response:
    """Run a query once, and show what comes out."""
    text = visit.form.text("query") if visit.is_post else ""
    answer: JsonValue = None
    fault = ""
    if text:
        try:
            answer = await visit.client.run_query(text, **visit.options)
        except ProjectionFailed as error:
            fault = error.reason
        except ProjectionError as error:
            fault = str(error)
    return visit.render("query.html", query=text, answer=answer, fault=fault, has_run=bool(text))


def _query(form: Asked) -> str:
    return form.required("query").replace("\r\n", "\n")


async def _held(asking: Awaitable[JsonValue]) -> JsonValue:
    """What a projection holds; None where it has nothing to tell, as those of the server have."""
    try:
        return await asking
    except (ProjectionError, AccessDenied):
        return None


async def _source(visit: Visit, name: str) -> str | None:
    """The text of a query, which no call tells: from the stream where the server keeps it; None if it cannot be had."""
    try:
        async with visit.client.read_stream_events(f"$projections-{name}", None, True, 10, **visit.options) as answer:
            async for event in answer:
                if event.type == _SOURCE:
                    return _query_in(event.data)
    except (StreamNotFound, AccessDenied):
        pass
    return None


def _query_in(data: bytes) -> str | None:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    found = document.get("query") if isinstance(document, dict) else None
    return found if isinstance(found, str) else None
