"""What is checked of an atomic append before anybody looks at the streams, and in which order.

Owns: the rules for names, ids, schemas, properties and sizes (section B.1 of the notes on KurrentDB), and turning
records into events. Must not know: streams, who asks, how refusals are told.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from esdb_lite._wire.primitives import WireError
from esdb_lite._wire.record_requests import SentAppend, SentCheck, SentRecord, SentRecords, SentSchema
from esdb_lite._wire.uuids import format_uuid, parse_uuid
from esdb_lite._wire.values import NoKind, Value, size_of_entries
from esdb_lite.records import SchemaFormat, fold
from esdb_lite.server.engine.model import (
    ANY,
    EXISTS,
    LONGEST_NAME,
    MOST_EVENTS,
    NO_STREAM,
    SOFT_DELETED,
    TOMBSTONED,
    ProposedEvent,
    is_too_long,
)
from esdb_lite.server.engine.records.properties import FORMAT_NAMES, SCHEMA_FORMAT, SCHEMA_ID, shown
from esdb_lite.server.engine.records.refusals import (
    FieldViolation,
    InvalidRecords,
    MeaninglessRecords,
    RecordTooLarge,
    StreamTwice,
    TransactionTooLarge,
)
from esdb_lite.server.storage import StoredSchema

LOG_LIMIT = 16 * 1024 * 1024 - 10_000
"""Bytes that a record may have in the log of a real server."""

_RECORD_OVERHEAD = 250
"""Bytes that a record takes besides its own."""

_SESSION_STATES = (NO_STREAM, ANY, EXISTS)
_CHECK_STATES = (NO_STREAM, EXISTS, SOFT_DELETED, TOMBSTONED)
_FORMATS = {int(format): format for format in SchemaFormat}
_NAME_MARKS = "_.$:-"
_ZERO = bytes(16)
_USUAL_NAME = 256
"""Characters."""


@dataclass(frozen=True)
class RecordLimits:
    """How many bytes are taken."""

    record: int
    total: int
    """Of all records of one append."""


@dataclass
class AtomicAppend:
    """What is to be written, and what has to be true."""

    expected: dict[str, int]
    """By stream, in the order in which they are judged; a number or a state."""
    writes: list[tuple[str, ProposedEvent]]

    @property
    def written(self) -> list[str]:
        """The streams that are written, in the order of their first use."""
        return list(dict.fromkeys(stream for stream, _ in self.writes))


class RecordsIntake:
    """Takes the records of one append, one after the other; the first that is wrong ends it."""

    def __init__(self, limits: RecordLimits, new_id: Callable[[], bytes]) -> None:
        self._limits = limits
        self._new_id = new_id
        self._total = 0
        self._count = 0

    @property
    def held(self) -> int:
        """Bytes that the records take."""
        return self._total + _RECORD_OVERHEAD * self._count

    def take(self, stream: str | None, record: SentRecord) -> ProposedEvent:
        """Turn a record into an event. Raises RecordsRefused."""
        schema = record.schema
        if schema is None:
            raise MeaninglessRecords("records: a record has no schema.")
        judged, data = _judged(schema), record.data
        properties = record.properties if judged.stores_nothing else _stored_properties(record.properties, schema)
        id = self._new_id() if record.id is None else nonzero_uuid(record.id)
        if id is None or not judged.plain or not _is_plain(record):
            violations = list(_record_violations(record, schema))
            if violations or id is None:
                raise InvalidRecords("AppendRequest", violations)
        size = size_of_entries(properties) if properties else 0
        self._count_size(stream or "", record.id, id, len(data) + size + judged.name_size)
        if len(data) + size + judged.log_size > LOG_LIMIT:
            raise MeaninglessRecords(f"records: a record may have {LOG_LIMIT} bytes in the log.")
        format = judged.format
        metadata = shown(properties, schema.name, format)
        return ProposedEvent(id, schema.name, judged.is_json, data, metadata, StoredSchema(format, size))

    def _count_size(self, stream: str, sent_id: str | None, id: bytes, size: int) -> None:
        self._total += size
        self._count += 1
        if size > self._limits.record:
            raise RecordTooLarge(stream, format_uuid(id) if sent_id is None else sent_id, size, self._limits.record)
        if self._count > MOST_EVENTS:
            raise MeaninglessRecords(f"records: an append has at most {MOST_EVENTS} of them.")
        if self._total > self._limits.total:
            raise TransactionTooLarge(self._total, self._limits.total, self._count)


class RecordsSession:
    """The requests of one AppendSession, as they arrive."""

    def __init__(self, limits: RecordLimits, new_id: Callable[[], bytes]) -> None:
        self.append = AtomicAppend({}, [])
        """What has been taken so far."""
        self._folded: set[str] = set()
        self._intake = RecordsIntake(limits, new_id)

    @property
    def held(self) -> int:
        """Bytes that it takes so far."""
        return self._intake.held

    @staticmethod
    def check(request: SentAppend) -> None:
        """Check all of a request but its records. Raises InvalidRecords."""
        violations = list(_stream_violations("Stream.Stream", request.stream))
        if request.expected is not None and request.expected < 0 and request.expected not in _SESSION_STATES:
            violations.append(FieldViolation("ExpectedRevision", _SESSION_STATE))
        if not request.records:
            text = "Stream append request must contain at least one record"
            violations.append(FieldViolation("Records", text))
        if violations:
            raise InvalidRecords("AppendRequest", violations)

    def take(self, request: SentAppend) -> None:
        """Add a request that has been checked. Raises RecordsRefused."""
        stream = request.stream
        if fold(stream) in self._folded:
            raise StreamTwice(stream)
        self._folded.add(fold(stream))
        self.append.expected[stream] = ANY if request.expected is None else request.expected
        self.append.writes += [(stream, self._intake.take(stream, record)) for record in request.records]


_SESSION_STATE = (
    "Expected revision must be positive or one of the allowed constants: NoStream (-1), Any (-2) or Exists (-4)."
)
_CHECK_STATE = (
    "Expected state must be positive or one of the allowed constants: NoStream (-1), Exists (-4), Deleted (-5), or"
    " Tombstoned (-6). Any (-2) is not allowed."
)


def records_append(request: SentRecords, limits: RecordLimits, new_id: Callable[[], bytes]) -> AtomicAppend:
    """Turn a request of AppendRecords into what it asks for. Raises RecordsRefused."""
    if (request.checks or not request.records) and (violations := list(_request_violations(request))):
        raise InvalidRecords("AppendRecordsRequest", violations)
    intake = RecordsIntake(limits, new_id)
    events = [intake.take(record.stream, record) for record in request.records]
    expected = {check.stream: check.expected for check in request.checks if check is not None}
    # Names that differ only in case are one stream: the one that is spelled first.
    spelled = {fold(stream): stream for stream in expected}
    writes = []
    for record, event in zip(request.records, events, strict=True):
        if record.stream is None:
            raise MeaninglessRecords("records: a record has no stream.")
        stream = spelled.setdefault(fold(record.stream), record.stream)
        expected.setdefault(stream, ANY)
        writes.append((stream, event))
    return AtomicAppend(expected, writes)


class _JudgedSchema(NamedTuple):
    """What can be said of a schema."""

    plain: bool
    """Nothing is wrong with it."""
    stores_nothing: bool
    """It needs no properties of its own in the log."""
    format: SchemaFormat
    is_json: bool
    name_size: int
    """Bytes of the name as it is sent."""
    log_size: int
    """The same in the log."""


def _judged(schema: SentSchema) -> _JudgedSchema:
    """Of schemas there are few; long ones are no use to be remembered."""
    return (_remembered if len(schema.name) <= _USUAL_NAME and schema.id is None else _judge)(schema)


def _judge(schema: SentSchema) -> _JudgedSchema:
    format, name = _FORMATS.get(schema.format, SchemaFormat.BYTES), schema.name
    plain = schema.format in _FORMATS and schema.id is None and not _name_violations(name)
    is_json = format is SchemaFormat.JSON
    name_size, log_size = _name_sizes(name)
    return _JudgedSchema(plain, is_json and schema.id is None, format, is_json, name_size, log_size)


_remembered = lru_cache(1024)(_judge)
_SCALARS = frozenset((str, float, bool, type(None)))


def _is_plain(record: SentRecord) -> bool:
    """Whether nothing can be wrong with stream and properties: said quickly of most, and never of a wrong one."""
    stream = record.stream
    if stream is not None and (stream in ("", "$$") or len(stream) > LONGEST_NAME // 4):
        return False
    return "" not in record.properties and _SCALARS.issuperset(map(type, record.properties.values()))


def _request_violations(request: SentRecords) -> Iterable[FieldViolation]:
    if not request.records:
        yield FieldViolation("Records", "Append records request must contain at least one record.")
    folded: list[str] = []
    for index, check in enumerate(request.checks):
        if check is None:
            yield FieldViolation(f"Checks[{index}].TypeCase", "Each consistency check must specify a type.")
            continue
        yield from _check_violations(f"Checks[{index}].StreamState", check)
        folded.append(fold(check.stream))
    if len(set(folded)) < len(folded):
        yield FieldViolation("Checks", "Each stream can only appear once in consistency checks.")


def _check_violations(field: str, check: SentCheck) -> Iterable[FieldViolation]:
    yield from _stream_violations(f"{field}.Stream.Stream", check.stream)
    if check.expected < 0 and check.expected not in _CHECK_STATES:
        yield FieldViolation(f"{field}.ExpectedState", _CHECK_STATE)


def _stream_violations(field: str, stream: str) -> Sequence[FieldViolation]:
    if stream == "":
        return [FieldViolation(field, "Stream must not be empty.")]
    if stream == "$$":
        return [FieldViolation(field, "Stream must not be '$$'.")]
    if is_too_long(stream):
        return [FieldViolation(field, f"Stream must not be longer than {LONGEST_NAME} bytes.")]
    return []


def _record_violations(record: SentRecord, schema: SentSchema) -> Iterable[FieldViolation]:
    if record.stream is not None:
        yield from _stream_violations("Stream.Stream", record.stream)
    if record.id is not None and nonzero_uuid(record.id) is None:
        yield FieldViolation("RecordId.Record ID", "Record ID must be a valid and non-empty UUID.")
    if schema.format not in _FORMATS:
        text = "not be Unspecified" if schema.format == 0 else "be one of Json, Protobuf or Bytes"
        yield FieldViolation("Schema.Format.Schema format", f"Schema format must {text}.")
    yield from _name_violations(schema.name)
    if schema.id is not None and nonzero_uuid(schema.id) is None:
        yield FieldViolation("Schema.Id.Schema ID", "Schema ID must be a valid and non-empty UUID")
    for index, (key, value) in enumerate(record.properties.items()):
        if key == "":
            yield FieldViolation(f"Properties[{index}].Key", "Property keys must not be empty.")
        if _lacks_kind(value):
            yield FieldViolation(f"Properties[{index}].Value", "Property values must have a type set.")


def _name_violations(name: str) -> Sequence[FieldViolation]:
    if is_too_long(name):
        return [FieldViolation("Schema.Name", f"Schema name must not be longer than {LONGEST_NAME} bytes")]
    return [FieldViolation("Schema.Name", text) for text in wrong_with_schema_name(name)]


def _name_sizes(name: str) -> tuple[int, int]:
    """Bytes of a name as it is sent, and in the log."""
    if name.isascii():
        return len(name), 2 * len(name)
    return len(name.encode()), len(name.encode("utf-16-le"))


@lru_cache(1024)
def wrong_with_schema_name(name: str) -> Sequence[str]:
    """What is wrong with the name of a schema, in the words of a real server. Of names there are few."""
    found = ["Schema name must not be empty"] if name == "" else []
    if not unicodedata.is_normalized("NFC", name):
        found.append("Schema name must be in Unicode NFC (Normalization Form C)")
    letters = name.removesuffix("\n")
    if not letters or not all(map(_may_be_in_name, letters)):
        found.append(
            "Schema name can only contain unicode letters, digits, underscores, dashes, periods, colons, and dollar"
            f" signs. Attempted Value: {name}"
        )
    return found


def _may_be_in_name(letter: str) -> bool:
    return letter <= "\uffff" and (letter in _NAME_MARKS or unicodedata.category(letter)[0] in "LN")


def nonzero_uuid(text: str) -> bytes | None:
    """The bytes of an id; None: it is none, or zero."""
    try:
        found = parse_uuid(text)
    except WireError:
        return None
    return None if found == _ZERO else found


def _lacks_kind(value: Value) -> bool:
    if isinstance(value, NoKind):
        return True
    if value is None or isinstance(value, (str, int, float)):
        return False
    return any(map(_lacks_kind, value.values() if isinstance(value, Mapping) else value))


def _stored_properties(properties: Mapping[str, Value], schema: SentSchema) -> Mapping[str, Value]:
    """The properties as they are in the log: with the format where it is not JSON, and the id."""
    format = _FORMATS.get(schema.format)
    own: list[tuple[str, str]] = []
    if format is not SchemaFormat.JSON:
        own.append((SCHEMA_FORMAT, FORMAT_NAMES[format] if format is not None else ""))
    if schema.id is not None:
        own.append((SCHEMA_ID, schema.id))
    if taken := [key for key, _ in own if key in properties]:
        raise MeaninglessRecords(f"records: a property has the name {taken[0]}, which the server gives itself.")
    return {**properties, **dict(own)} if own else properties
