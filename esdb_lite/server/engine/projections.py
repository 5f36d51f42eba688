"""The system projections on a node that has never started one.

Owns: their names and definitions, and the events that a new database gets for them (section 4.1 of the protocol
notes). Must not know: how events are written, what projections compute: there is nothing here that could run one.
"""

from __future__ import annotations

import json
from typing import NamedTuple

ALL_STREAM = "$projections-$all"
"""Says which projections there are."""
INITIALIZED_TYPE = "$ProjectionsInitialized"
CREATED_TYPE = "$ProjectionCreated"
UPDATED_TYPE = "$ProjectionUpdated"

_FIRST_OF_STREAM = "first\r\n-"
_CORRELATION = '{"correlationIdProperty":"$correlationId"}'


class SystemProjection(NamedTuple):
    """One of the projections that every server has."""

    name: str
    handler: str
    """The class that runs it on a real server; clients and their users see the name in the definition."""
    query: str = ""
    include_links: bool = False


SYSTEM_PROJECTIONS = (
    SystemProjection("$streams", "IndexStreams", include_links=True),
    SystemProjection("$stream_by_category", "CategorizeStreamByPath", _FIRST_OF_STREAM, include_links=True),
    SystemProjection("$by_category", "CategorizeEventsByStreamPath", _FIRST_OF_STREAM, include_links=True),
    SystemProjection("$by_event_type", "IndexEventsByEventType"),
    SystemProjection("$by_correlation_id", "ByCorrelationId", _CORRELATION),
)
"""In the order in which they are created."""

NAMES = frozenset(projection.name for projection in SYSTEM_PROJECTIONS)


def definition_stream(name: str) -> str:
    """The stream that holds the definition of a projection."""
    return f"$projections-{name}"


def definition(projection: SystemProjection) -> bytes:
    """Write the document that defines a projection: stopped, at its very beginning."""
    options = {"definesFold": True, **({"includeLinks": True} if projection.include_links else {})}
    document: dict[str, object] = {
        "handlerType": f"native:EventStore.Projections.Core.Standard.{projection.handler}",
        "query": projection.query,
        "mode": "Continuous",
        "sourceDefinition": {
            "allEvents": True,
            "allStreams": True,
            "categories": [],
            "events": [],
            "streams": [],
            "options": options,
        },
        "emitEnabled": True,
        "checkpointsDisabled": False,
        "trackEmittedStreams": False,
        "epoch": -1,
        "version": 0,
        "runAs": {"name": "$system"},
        "checkpointHandledThreshold": 4000,
        "checkpointUnhandledBytesThreshold": 10_000_000,
        "pendingEventsThreshold": 5000,
        "maxWriteBatchLength": 500,
        "projectionSubsystemVersion": 4,
    }
    return json.dumps(document, indent=2).encode()
