"""What is kept of a projection: its definition, and the streams that hold it.

Owns: names, modes, and the document that defines a projection (section 4.8 of the notes on projections). Must not know:
how events are written, what projections compute.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from esdb_lite._json import parse_json
from esdb_lite.positions import LARGEST
from esdb_lite.server.engine.access import Principal
from esdb_lite.server.projections.system import (
    BY_CATEGORY,
    BY_CORRELATION_ID,
    BY_EVENT_TYPE,
    STREAM_BY_CATEGORY,
    STREAMS,
)

ALL_STREAM = "$projections-$all"
"""Says which projections there are. The number of the event that creates one is its id."""
INITIALIZED_TYPE = "$ProjectionsInitialized"
CREATED_TYPE = "$ProjectionCreated"
DELETED_TYPE = "$ProjectionDeleted"
UPDATED_TYPE = "$ProjectionUpdated"

JAVASCRIPT = "JS"
TRANSIENT_ID = -2
"""Of all transient projections, which nobody writes down."""
_FIRST_OF_STREAM = "first\r\n-"
_CORRELATION = '{"correlationIdProperty":"$correlationId"}'
_NATIVE = "native:EventStore.Projections.Core.Standard."
CHECKPOINT_METADATA = (
    b'{"$maxCount":2,"$acl":{"$r":"$admins","$w":"$admins","$d":"$admins","$mr":"$all","$mw":"$admins"}}'
)
"""Of the stream of checkpoints."""


class Mode(enum.Enum):
    """How long a projection lives; the values are those of statistics."""

    CONTINUOUS = "Continuous"
    ONE_TIME = "OneTime"
    TRANSIENT = "Transient"


@dataclass(frozen=True)
class Definition:
    """A projection as it was written down last."""

    name: str
    query: str
    handler: str = JAVASCRIPT
    """`JS`, or the class that runs it on a real server; clients and their users see the name."""
    mode: Mode = Mode.CONTINUOUS
    enabled: bool = True
    emit_enabled: bool = False
    track_emitted_streams: bool = False
    source: Mapping[str, object] = field(default_factory=dict)
    """What the query says of its source, as it is written down."""
    run_as: str = "$system"
    id: int = TRANSIENT_ID
    epoch: int = -1
    """The version at the last reset; -1: never."""
    version: int = 0
    """The number of the event that defines it."""
    deleting: bool = False
    engine_version: int = 1
    """Of the engine that it was created for: the second one writes no results to streams."""
    on_behalf_of: Principal | None = None
    """An ordinary user, who has asked for a transient projection: it sees what they may read, and writes nothing but
    results into streams of its own. None: it may do everything."""

    @property
    def is_system(self) -> bool:
        """Whether it is one of those that every server has."""
        return self.handler != JAVASCRIPT

    @property
    def handler_class(self) -> str:
        """The name of the class that runs it, without what stands before it in the definition."""
        return self.handler.removeprefix("native:")


def _system(name: str, handler: str, query: str = "", *, links: bool = False) -> Definition:
    options = {"definesFold": True, **({"includeLinks": True} if links else {})}
    source: Mapping[str, object] = {
        "allEvents": True,
        "allStreams": True,
        "categories": [],
        "events": [],
        "streams": [],
        "options": options,
    }
    return Definition(name, query, _NATIVE + handler, enabled=False, emit_enabled=True, source=source)


SYSTEM_PROJECTIONS = (
    _system(STREAMS, "IndexStreams", links=True),
    _system(STREAM_BY_CATEGORY, "CategorizeStreamByPath", _FIRST_OF_STREAM, links=True),
    _system(BY_CATEGORY, "CategorizeEventsByStreamPath", _FIRST_OF_STREAM, links=True),
    _system(BY_EVENT_TYPE, "IndexEventsByEventType"),
    _system(BY_CORRELATION_ID, "ByCorrelationId", _CORRELATION),
)
"""In the order in which they are created: stopped, at their very beginning."""


def definition_stream(name: str) -> str:
    """The stream that holds the definition of a projection."""
    return f"$projections-{name}"


def checkpoint_stream(name: str) -> str:
    """The stream that holds its checkpoints."""
    return f"$projections-{name}-checkpoint"


def emitted_streams_stream(name: str) -> str:
    """The stream that holds the names of the streams it has written to, if they are tracked."""
    return f"$projections-{name}-emittedstreams"


def dump(definition: Definition) -> bytes:
    """Write the document that defines a projection."""
    document: dict[str, object] = {
        "handlerType": definition.handler,
        "query": definition.query,
        "mode": definition.mode.value,
        **({"enabled": True} if definition.enabled else {}),
        **({"deleting": True} if definition.deleting else {}),
        "sourceDefinition": definition.source,
        "emitEnabled": definition.emit_enabled,
        "checkpointsDisabled": False,
        "trackEmittedStreams": definition.track_emitted_streams,
        "epoch": definition.epoch,
        "version": definition.version,
        "runAs": {"name": definition.run_as},
        "checkpointHandledThreshold": 4000,
        "checkpointUnhandledBytesThreshold": 10_000_000,
        "pendingEventsThreshold": 5000,
        "maxWriteBatchLength": 500,
        "projectionSubsystemVersion": 4,
        **({"engineVersion": definition.engine_version} if definition.engine_version > 1 else {}),
    }
    return json.dumps(document, indent=2).encode()


def _epoch(value: object) -> int:
    """Beyond what a number of an event can be, it is none."""
    return value if isinstance(value, int) and -1 <= value <= LARGEST else -1


def parse(name: str, id: int, version: int, data: bytes) -> Definition | None:
    """Read such a document, the event with the number `version`; None for what is none."""
    try:
        document: Any = parse_json(data)
        run_as = document.get("runAs")
        return Definition(
            name,
            str(document.get("query", "")),
            str(document["handlerType"]),
            Mode(document["mode"]),
            bool(document.get("enabled")),
            bool(document.get("emitEnabled")),
            bool(document.get("trackEmittedStreams")),
            dict(document.get("sourceDefinition") or {}),
            str(run_as.get("name")) if isinstance(run_as, dict) else "$system",
            id,
            _epoch(document.get("epoch")),
            version,
            bool(document.get("deleting")),
            int(document.get("engineVersion", 1)),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
