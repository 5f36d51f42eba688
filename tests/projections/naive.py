"""What the system projections should have written, told from the events alone: as simple as can be, and slow."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import NamedTuple

from esdb_lite.server.storage import TOMBSTONE, Record


class Written(NamedTuple):
    """What is in a record that a projection has written: without its number, its id and who wrote it."""

    type: str
    data: str
    metadata: dict[str, object]


class Arrival(NamedTuple):
    """An event as projections saw it: a link may have pointed to another one at that moment."""

    at: Record
    event: Record | None
    ignored: bool = False


def of_users(record: Record) -> bool:
    name = record.stream[2:] if record.stream.startswith("$$") else record.stream
    return not name.startswith("$")


def is_broken(record: Record | None) -> bool:
    if record is None or not record.is_json:
        return False
    try:
        # The last comma and bad bytes are forgiven.
        json.loads(record.data.decode("utf-8", "replace").replace(",}", "}"))
    except ValueError:
        return True
    return False


def document(data: bytes) -> dict[str, object]:
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


class Naive:
    """All records that are to be there, by projection and stream."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []

    def written(self, name: str) -> dict[str, list[Written]]:
        """What a projection is to have written, by stream."""
        streams: dict[str, list[Written]] = defaultdict(list)
        for arrival in self.arrivals:
            at, event, ignored = arrival
            if ignored or not of_users(at) or is_broken(event):
                continue
            for stream, type, data, extras in RULES[name](at, event):
                metadata: dict[str, object] = {"$c": at.position, "$p": at.position, **extras}
                if event is not None:
                    metadata["$causedBy"] = str(uuid.UUID(bytes=event.id))
                    correlation = document(event.metadata).get("$correlationId") if event.is_json else None
                    if correlation not in (None, ""):
                        metadata["$correlationId"] = str(correlation)
                streams[stream].append(Written(type, data, metadata))
        return streams


Links = Sequence[tuple[str, str, str, dict[str, object]]]


def deleted_stream(at: Record, event: Record | None) -> str | None:
    if event is None:
        return None
    if at.stream.startswith("$$"):
        deletes = event.type == "$metadata" and document(event.data).get("$tb") == TOMBSTONE
        return at.stream[2:] if deletes else None
    return at.stream if event.type == "$streamDeleted" else None


def category(stream: str) -> str | None:
    before, dash, _ = stream.partition("-")
    return before if before and dash and not stream.startswith("$") else None


def target(event: Record | None) -> str:
    if event is None:
        return "-1@"
    return event.data.decode() if event.type == "$>" else f"{event.revision}@{event.stream}"


def streams(at: Record, event: Record | None) -> Links:
    return [("$streams", "$>", f"0@{at.stream}", {})] if at.revision == 0 else []


def stream_by_category(at: Record, event: Record | None) -> Links:
    found = category(at.stream)
    return [(f"$category-{found}", "$@", at.stream, {})] if at.revision == 0 and found else []


def by_category(at: Record, event: Record | None) -> Links:
    deleted = deleted_stream(at, event)
    stream = deleted or at.stream
    found = category(stream)
    if not found:
        return []
    return [(f"$ce-{found}", "$>", target(event), {"$o": stream, **({"$deleted": -1} if deleted else {})})]


def by_event_type(at: Record, event: Record | None) -> Links:
    if at.type == "$>":
        return []
    stream = at.stream[2:] if at.stream.startswith("$$") else at.stream
    if deleted_stream(at, event):
        return [("$et-$deleted", "$>", f"{at.revision}@{stream}", {"$deleted": -1})]
    return [(f"$et-{at.type}", "$>", f"{at.revision}@{stream}", {})]


def by_correlation_id(at: Record, event: Record | None) -> Links:
    found = document(at.metadata).get("$correlationId")
    if at.type == "$>" or found is None:
        return []
    when = datetime.fromtimestamp(at.created // 10_000_000, timezone.utc)
    stamp = f"{when:%Y-%m-%dT%H:%M:%S}.{at.created // 10 % 1_000_000:06}Z"
    return [(f"$bc-{found}", "$>", f"{at.revision}@{at.stream}", {"$eventTimestamp": stamp})]


RULES: dict[str, Callable[[Record, Record | None], Links]] = {
    "$streams": streams,
    "$stream_by_category": stream_by_category,
    "$by_category": by_category,
    "$by_event_type": by_event_type,
    "$by_correlation_id": by_correlation_id,
}
