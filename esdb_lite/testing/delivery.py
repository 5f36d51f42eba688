"""Which of the given events a projection sees, and as what.

Owns: the numbers and places that the events get. Must not know: what the projection makes of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from esdb_lite import InvalidArgument
from esdb_lite.server.projections.javascript.definition import QueryDefinition
from esdb_lite.server.projections.javascript.source_event import SourceEvent, correlation_id_of
from esdb_lite.server.projections.javascript.tags import BEFORE, Tag
from esdb_lite.server.projections.valid_json import is_valid
from esdb_lite.testing.given import GivenEvent, id_of

if TYPE_CHECKING:
    from esdb_lite.events import JsonValue

_RECORD = 100
"""Bytes that each event is said to take in the log."""


class EventDelivery:
    """Places events as a database would, and hands over those that the projection reads."""

    def __init__(self, definition: QueryDefinition, category_separator: str) -> None:
        self._definition = definition
        self._separator = category_separator
        self._numbers: dict[str, int] = {}
        self._places: dict[str, int] = dict.fromkeys(definition.source_streams, BEFORE)
        self._position = 0

    @property
    def beginning(self) -> Tag:
        """The place before all events."""
        return Tag(dict(self._places), BEFORE if self._definition.all_streams else None)

    def deliver(self, events: Iterable[GivenEvent]) -> Iterator[SourceEvent]:
        """Hand over the events of the projection's sources, in their order."""
        for event in events:
            data, metadata = _text(event.data), _text(event.metadata)
            number = self._number(event)
            if event.is_deletion or not event.is_json or is_valid((data or "").encode()):
                yield from self._seen(event, number, data, metadata)

    def _number(self, event: GivenEvent) -> int:
        number = self._numbers.get(event.stream, -1) + 1 if event.number is None else event.number
        self._numbers[event.stream] = number
        self._position += _RECORD
        return number

    def _seen(self, event: GivenEvent, number: int, data: str | None, metadata: str | None) -> Iterator[SourceEvent]:
        id = id_of(event)
        for tag, link in self._tags(event, number):
            yield SourceEvent(
                tag=tag,
                stream=event.stream,
                number=number,
                type=event.type,
                id=id,
                created=event.created,
                data=data,
                metadata=metadata,
                is_json=event.is_json,
                link_metadata=link,
                category=self._definition.category,
                of_stream=event.stream,
                deletes=event.is_deletion,
                correlation_id=correlation_id_of(metadata) if event.is_json else None,
            )

    def _tags(self, event: GivenEvent, number: int) -> Iterator[tuple[Tag, str | None]]:
        """The places of an event in the sources, with the metadata of the link that is there."""
        if self._definition.all_streams:
            if not event.stream.startswith("$"):
                yield Tag({}, self._position), None
            return
        for source in self._definition.source_streams:
            if source == event.stream:
                self._places[source] = number
            elif self._is_indexed(event, source):
                self._places[source] += 1
            else:
                continue
            link = None if source == event.stream else self._link_metadata(event)
            yield Tag(dict(self._places)), link

    def _is_indexed(self, event: GivenEvent, source: str) -> bool:
        """Whether the source holds a link to the event."""
        if event.link is not None and event.link.stream_name == source:
            return True
        if source.startswith("$ce-"):
            category, separator, _ = event.stream.partition(self._separator)
            return bool(separator) and source == f"$ce-{category}"
        return source == f"$et-{event.type}"

    def _link_metadata(self, event: GivenEvent) -> str:
        if event.link is not None:
            return event.link.metadata.decode("utf-8", "replace")
        members = {"$v": "3:-1:0:4", "$c": self._position, "$p": self._position, "$o": event.stream}
        return json.dumps(members, separators=(",", ":"))


def _text(value: JsonValue | bytes) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace") or None
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument("events", value, f"must hold JSON values, or bytes ({error})") from error
