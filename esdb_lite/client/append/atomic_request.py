"""What a caller asks of an atomic append, and which call of a server can do it.

Owns: taking the arguments of `append_records` apart, and the choice, as a pure function of what the server has. Must
not know: how calls are made.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeGuard

from esdb_lite_protos.tags import PATH_STREAMS_SERVICE_APPEND_RECORDS, PATH_STREAMS_SERVICE_APPEND_SESSION

from esdb_lite._checks import checked_items
from esdb_lite._json import load_json
from esdb_lite._wire.record_requests import encode_new_record, encode_records_request, encode_session_request
from esdb_lite.client.append.looking import Wanted
from esdb_lite.client.arguments import checked_events
from esdb_lite.errors import InvalidArgument, NotSupported, OutcomeUnknown, WrongArgumentType
from esdb_lite.events import JSON, OCTET_STREAM, JsonValue, NewEvent
from esdb_lite.positions import ANY, EXISTS, checked_state, expectation
from esdb_lite.records import NewRecord, RecordsLike, SchemaFormat, StreamAppend, StreamCheck, fold

if TYPE_CHECKING:
    from esdb_lite.event_types.likes import EventsLike
    from esdb_lite.event_types.registry import EventTypes

_FORMATS = {JSON: SchemaFormat.JSON, OCTET_STREAM: SchemaFormat.BYTES}


class Way(enum.Enum):
    """The call that makes an atomic append."""

    RECORDS = "AppendRecords"
    SESSION = "AppendSession"
    APPEND = "Append"


@dataclass(frozen=True)
class AtomicRequest:
    """Records of several streams, and what has to be true of these and others."""

    records: Sequence[NewRecord]
    expected: Mapping[str, int]
    """By stream: the checks, then the other streams that are expected to be something; in their order."""

    @cached_property
    def streams(self) -> Mapping[str, Sequence[NewRecord]]:
        """The records by stream, in the order of their first records."""
        found: dict[str, list[NewRecord]] = {}
        for record in self.records:
            found.setdefault(record.stream_name, []).append(record)
        return found

    @property
    def wanted(self) -> Sequence[Wanted]:
        """See `Repeatable`."""
        return [(stream, records[-1].id) for stream, records in self.streams.items()]

    @property
    def first_expected(self) -> int:
        """See `Repeatable`."""
        return self.expected.get(self.records[0].stream_name, ANY)

    @property
    def uncertain(self) -> bool:
        """See `Repeatable`."""
        return any(self.expected.get(stream, ANY) < -1 for stream in self.streams)

    def tell(self, unknown: OutcomeUnknown) -> None:
        """See `Repeatable`."""
        unknown.records = tuple(self.records)

    def marked(self, marks: Mapping[str, str]) -> AtomicRequest:
        """Return the same records with more in their properties; what they say already stays."""
        records = [replace(record, properties={**marks, **record.properties}) for record in self.records]
        return AtomicRequest(records, self.expected)

    def expecting(self, expected: int | None) -> AtomicRequest:
        """Return the same records with another expectation of the first stream; None: that of the caller."""
        if expected is None:
            return self
        return AtomicRequest(self.records, {**self.expected, self.records[0].stream_name: expected})

    def encode_records(self) -> bytes:
        """The request of AppendRecords."""
        return encode_records_request(
            (_encode(record, record.stream_name) for record in self.records), self.expected.items()
        )

    def encode_session(self) -> Iterator[bytes]:
        """The requests of AppendSession."""
        for stream, records in self.streams.items():
            yield encode_session_request(stream, self.expected.get(stream, ANY), map(_encode, records))

    def as_events(self) -> list[NewEvent]:
        """The records as events of the older protocol: properties become metadata."""
        return [_event(record) for record in self.records]

    def way(self, has: Callable[[str], bool]) -> Way:
        """Return the call that does it, given which calls there are by their paths. Raises NotSupported."""
        if has(PATH_STREAMS_SERVICE_APPEND_RECORDS):
            return Way.RECORDS
        if self._needs_records():
            raise NotSupported(f"{self._needs_records()}: that needs KurrentDB 26.0.3, 26.1 or later")
        if has(PATH_STREAMS_SERVICE_APPEND_SESSION):
            return Way.SESSION
        if len(self.streams) > 1:
            raise NotSupported("an atomic append to several streams needs KurrentDB 25.1 or later")
        if any(record.schema_id or record.format not in _FORMATS.values() for record in self.records):
            raise NotSupported("schema_id, and a format other than JSON and BYTES, need KurrentDB 25.1 or later")
        return Way.APPEND

    def _needs_records(self) -> str:
        """What only AppendRecords can do of this; nothing where less is enough."""
        others = [stream for stream in self.expected if stream not in self.streams]
        if others:
            return f"a check of stream {others[0]!r}, to which nothing is appended"
        if any(state < EXISTS for state in self.expected.values()):
            return "a check for DELETED or TOMBSTONED"
        streams = [record.stream_name for record in self.records]
        changes = sum(stream != before for stream, before in zip(streams[1:], streams[:-1], strict=True))
        return "records of several streams in turns" if changes >= len(self.streams) else ""


def atomic_request(
    records: RecordsLike, checks: StreamCheck | Iterable[StreamCheck], types: EventTypes | None = None
) -> AtomicRequest:
    """Take the arguments apart. Raises InvalidArgument."""
    expected: dict[str, int] = {}
    for check in checked_checks(checks):
        if check.stream_name in expected:
            raise InvalidArgument("checks", check, "must name each stream only once")
        expected[check.stream_name] = checked_state("state", check.state)
    found: list[NewRecord] = []
    for part in checked_parts(records, types):
        if isinstance(part, NewRecord):
            found.append(part)
            continue
        state = expectation(part.expected_position)
        if state != ANY and expected.setdefault(part.stream_name, state) != state:
            raise InvalidArgument("records", part, "a check expects this stream to be in another state")
        found += [_record(part.stream_name, event) for event in part.events]
    if not found:
        raise InvalidArgument("records", records, "there must be at least one")
    _refuse_confusion(expected, found)
    return AtomicRequest(found, expected)


def _refuse_confusion(expected: Iterable[str], records: Sequence[NewRecord]) -> None:
    """Refuse names for which a server would take one stream: it writes the events of both to one of them."""
    spelled: dict[str, str] = {}
    for name in dict.fromkeys([*expected, *(record.stream_name for record in records)]):
        other = spelled.setdefault(fold(name), name)
        if other != name:
            found = f"streams {other!r} and {name!r} differ only in case"
            raise InvalidArgument("records", name, f"{found}: servers take them for one in an atomic append")


def checked_checks(value: StreamCheck | Iterable[StreamCheck]) -> list[StreamCheck]:
    """One check or several."""
    checks = [value] if isinstance(value, StreamCheck) else value
    return checked_items("checks", checks, StreamCheck, "must be a StreamCheck or a sequence of them")


def checked_parts(value: RecordsLike, types: EventTypes | None) -> list[NewRecord | StreamAppend]:
    """Records, or events by stream, whatever the caller keeps them in; `types` as for `checked_events`."""
    if isinstance(value, (NewRecord, StreamAppend)):
        return [value]
    if _is_by_stream(value):
        return [StreamAppend(stream, -2, checked_events(events, types)) for stream, events in value.items()]
    if isinstance(value, (str, bytes, NewEvent)) or not isinstance(value, Iterable):
        raise WrongArgumentType("records", value, "must be records, or events by the names of their streams")
    return [_part(part) for part in value]


def _part(part: object) -> NewRecord | StreamAppend:
    if not isinstance(part, (NewRecord, StreamAppend)):
        raise WrongArgumentType("records", part, "must contain only NewRecord and StreamAppend")
    return part


def _is_by_stream(value: RecordsLike) -> TypeGuard[Mapping[str, EventsLike]]:
    return isinstance(value, Mapping)


def _record(stream_name: str, event: NewEvent) -> NewRecord:
    return NewRecord(stream_name, event.type, event.data, _properties(event), _FORMATS[event.content_type], id=event.id)


def _properties(event: NewEvent) -> Mapping[str, JsonValue]:
    """The metadata of an event, which become the properties of a record."""
    if not event.metadata:
        return {}
    try:
        found = load_json(event.metadata)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InvalidArgument("events", event, "its metadata must be a JSON object, or empty, for an atomic append")
    return found


def _event(record: NewRecord) -> NewEvent:
    properties = record.properties
    metadata = json.dumps(properties, ensure_ascii=False, separators=(",", ":")).encode() if properties else b""
    content_type = JSON if record.format is SchemaFormat.JSON else OCTET_STREAM
    return NewEvent(record.type, record.data, metadata, content_type, record.id)


def _encode(record: NewRecord, stream: str | None = None) -> bytes:
    return encode_new_record(
        id=str(record.id),
        format=record.format,
        type=record.type,
        properties=record.properties,
        data=record.data,
        schema_id=None if record.schema_id is None else str(record.schema_id),
        stream=stream,
    )
