"""An event as it is handed over to a projection.

Owns: what handlers and the records made for it are told of an event. Must not know: how it was read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from esdb_lite.server.projections.javascript.tags import Tag

_EPOCH = datetime(1970, 1, 1)
_TICKS = 10_000_000


@dataclass(frozen=True)
class SourceEvent:
    """An event, or a link to one: then `link_metadata` is the link's and everything else the target's."""

    tag: Tag
    """The place in the source that it is at."""
    stream: str | None
    number: int
    type: str | None
    """None: the event of nothing, which stands for a target that is not there."""
    id: str = ""
    created: str = ""
    data: str | None = None
    metadata: str | None = None
    is_json: bool = True
    link_metadata: str | None = None
    category: str | None = None
    of_stream: str = ""
    """The stream that it counts for in `foreachStream`."""
    deletes: bool = False
    """It tells that this stream has been deleted; there is nothing else in it."""
    correlation_id: str | None = None


def created_text(ticks: int) -> str:
    """A time, in 100-ns ticks since 1970-01-01 UTC, as handlers see it."""
    seconds, rest = divmod(ticks, _TICKS)
    return f"{_second(seconds)}.{rest:07}"


@lru_cache
def _second(seconds: int) -> str:
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}"


def correlation_id_of(metadata: str | None) -> str | None:
    """The correlation id in metadata that are a JSON object, as text; of two, the first. None: there is none."""
    if metadata is None or "orrelationId" not in metadata:
        return None
    try:
        document = json.loads(metadata, object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    except (ValueError, RecursionError):
        return None
    value = document.get("$correlationId") if isinstance(document, dict) else None
    if value is None or isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, bool) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
