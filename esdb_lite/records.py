"""Records for atomic appends to several streams, the checks that go with them, and what comes of it (KurrentDB 25.1+).

Owns: `NewRecord`, `StreamAppend`, `StreamCheck`, `SchemaFormat`, `RecordSchema`, `RecordsResult` and
`ConsistencyViolation`; which names of streams are the same there. Must not know: gRPC, protobuf, asyncio, which call
of which server they go to.
"""

from __future__ import annotations

import enum
import math
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Union
from uuid import UUID, uuid4

from esdb_lite._checks import checked_items, checked_text
from esdb_lite._event_fields import checked_bytes, checked_id, checked_type
from esdb_lite.errors import InvalidArgument, WrongArgumentType
from esdb_lite.event_types.likes import EventsLike
from esdb_lite.events import JsonValue, NewEvent, StreamState
from esdb_lite.positions import CheckedState, ExpectedPosition, checked_state, expectation, meant

SCHEMA_PREFIX = "$schema."
"""How the names begin under which a server keeps what it knows of a record's schema, beside the properties."""
_MARKS = "_.$:-"


class SchemaFormat(enum.IntEnum):
    """What the data of a record is. Servers do not check it."""

    JSON = 1
    PROTOBUF = 2
    AVRO = 3
    BYTES = 4


@dataclass(frozen=True)
class RecordSchema:
    """What a record says about its data."""

    name: str
    """The type of the record."""
    format: SchemaFormat
    """What its data is."""
    id: UUID | None = None
    """The version of a registered schema."""


@dataclass(frozen=True)
class NewRecord:
    """One record of an atomic append.

    Raises InvalidArgument for wrong values, WrongArgumentType for wrong types. The rules are in section B.1 of the
    notes on KurrentDB.
    """

    stream_name: str
    """The stream that it goes to."""
    type: str
    """What happened; the name of its schema. Letters, digits and `_ . $ : -` only."""
    data: bytes = b""
    """The content."""
    properties: Mapping[str, JsonValue] = field(default_factory=dict)
    """JSON values by name. Numbers become doubles, and stay numbers."""
    format: SchemaFormat = SchemaFormat.JSON
    """What the data is. Servers do not check it."""
    schema_id: UUID | None = None
    """The version of a registered schema. Servers store it, and do not check it."""
    id: UUID = field(default_factory=uuid4)
    """Makes appending idempotent; by default a random UUID."""

    def __post_init__(self) -> None:
        checked_name("stream_name", self.stream_name)
        checked_schema_name(checked_type(self.type))
        object.__setattr__(self, "data", checked_bytes("data", self.data))
        object.__setattr__(self, "properties", checked_properties("properties", self.properties))
        if not isinstance(self.format, SchemaFormat):
            raise WrongArgumentType("format", self.format, "must be a SchemaFormat")
        checked_id(self.id)
        if self.schema_id is not None and not isinstance(self.schema_id, UUID):
            raise WrongArgumentType("schema_id", self.schema_id, "must be a uuid.UUID")


@dataclass(frozen=True)
class StreamAppend:
    """Events for one stream of an atomic append, and where the stream is expected to end. Raises InvalidArgument."""

    stream_name: str
    """The stream that they go to."""
    expected_position: ExpectedPosition
    """As for `append_events`."""
    events: Iterable[NewEvent]
    """The events; their metadata must be JSON objects, and become properties."""

    def __post_init__(self) -> None:
        checked_name("stream_name", self.stream_name)
        object.__setattr__(self, "expected_position", meant(self.expected_position))
        expectation(self.expected_position)
        events = [self.events] if isinstance(self.events, NewEvent) else self.events
        reason = "must be a NewEvent or a sequence of them"
        object.__setattr__(self, "events", tuple(checked_items("events", events, NewEvent, reason)))


RecordsLike = Union[  # noqa: UP007 - read at run time by documentation tools on 3.10
    NewRecord,
    StreamAppend,
    Iterable[Union[NewRecord, StreamAppend]],  # noqa: UP007
    Mapping[str, EventsLike],
]
"""Records, in their order; or events for one stream each, with where it is expected to end or without."""


@dataclass(frozen=True)
class StreamCheck:
    """A condition of an atomic append: a stream, written or not, must be in a state. Raises InvalidArgument."""

    stream_name: str
    """The stream to check."""
    state: CheckedState
    """None: no stream; n: its last event is at n; or a `StreamState` other than ANY."""

    def __post_init__(self) -> None:
        checked_name("stream_name", self.stream_name)
        checked_state("state", self.state)


@dataclass(frozen=True)
class RecordsResult:
    """The result of an atomic append."""

    commit_position: int | None
    """Position of the last record in the order of all events. None where the server knew the records already and
    cannot tell their positions any more (they have been deleted or truncated meanwhile)."""
    stream_positions: Mapping[str, int]
    """Number of the last record in each stream that was written."""


@dataclass(frozen=True)
class ConsistencyViolation:
    """One condition of an atomic append that did not hold."""

    stream_name: str
    """The stream."""
    expected: int | StreamState | None
    """A position, a state, or None for no stream. ANY: the stream has some of the records already, others not."""
    actual: int | StreamState | None
    """The position of the stream's last event, None for no stream, DELETED or TOMBSTONED."""
    index: int
    """Which one: the checks come first, in their order, then the other streams that are written."""


def checked_name(argument: str, value: str) -> str:
    """Return the name of a stream. Raises InvalidArgument."""
    if checked_text(argument, value) in ("", "$$"):
        raise InvalidArgument(argument, value, "must be the name of a stream")
    return value


@lru_cache(1024)
def checked_schema_name(value: str, argument: str = "type") -> str:
    """Return the type of a record, or the name of a schema. Raises InvalidArgument."""
    usual = all(
        letter in _MARKS or (letter <= "\uffff" and unicodedata.category(letter)[0] in "LN") for letter in value
    )
    if not usual or not unicodedata.is_normalized("NFC", value):
        raise InvalidArgument(argument, value, f"must have only letters, digits and {' '.join(_MARKS)} (in form NFC)")
    return value


def checked_properties(argument: str, value: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return properties that every server keeps as they are. Raises InvalidArgument."""
    if value.__class__ is not dict and not isinstance(value, Mapping):
        raise WrongArgumentType(argument, value, "must be a mapping from names to JSON values")
    for name, item in value.items():
        if isinstance(name, str) and (not name or name.startswith(SCHEMA_PREFIX)):
            raise InvalidArgument(argument, name, f"must have no name that is empty or begins with {SCHEMA_PREFIX!r}")
        _check_value(argument, name, item)
    return dict(value)


def _is_double(value: int) -> bool:
    try:
        return int(float(value)) == value
    except OverflowError:
        return False


def _check_value(argument: str, name: object, value: object) -> None:
    if not isinstance(name, str):
        raise WrongArgumentType(argument, name, "names must be str")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidArgument(argument, value, f"{name!r} must be a finite number")
    if isinstance(value, int) and not _is_double(value):
        raise InvalidArgument(argument, value, f"{name!r} must be a number that a double can hold exactly")
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_value(argument, key, item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check_value(argument, name, item)
    elif value is not None and not isinstance(value, (bool, int, float, str)):
        raise WrongArgumentType(argument, value, f"{name!r} must be a JSON value")


def read_schema(metadata: Mapping[str, JsonValue]) -> RecordSchema | None:
    """Return the schema that is named in metadata as servers show it; None where there is none."""
    name, format = metadata.get(f"{SCHEMA_PREFIX}name"), metadata.get(f"{SCHEMA_PREFIX}format")
    found = next((known for known in SchemaFormat if known.name.capitalize() == format), None)
    if not isinstance(name, str) or found is None:
        return None
    try:
        id = UUID(str(metadata.get(f"{SCHEMA_PREFIX}id")))
    except ValueError:
        id = None
    return RecordSchema(name, found, id)


def fold(stream: str) -> str:
    """Return a name as servers tell streams apart within one append: letter by letter without regard to case."""
    return stream.upper() if stream.isascii() else "".join(map(_upper, stream))


def _upper(letter: str) -> str:
    upper = letter.upper()
    # No letter becomes two, and none beyond ASCII becomes one within.
    return upper if len(upper) == 1 and (letter < "\x80" or upper > "\x7f") else letter
