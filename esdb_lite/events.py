"""The events that are written and read, and what else a read or subscription can hand out.

Owns: `NewEvent`, `RecordedEvent`, `AppendResult`, `StreamState` and the control objects of subscriptions.
Must not know: gRPC, protobuf, asyncio. `RecordedEvent` is made once for every event that is read, so it keeps what
has come off the wire as it is and converts `id` and `recorded_at` when somebody asks for them.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Union
from uuid import UUID

from esdb_lite._event_fields import (
    checked_bytes,
    checked_id,
    checked_type,
    datetime_of,
    event_id,
    noted,
    random_id,
    shown,
    shown_id,
    to_json,
)
from esdb_lite._json import load_json
from esdb_lite._log_positions import place_of_token, place_token
from esdb_lite._texts import add_note
from esdb_lite.errors import InvalidArgument, WrongArgumentType

if TYPE_CHECKING:
    from esdb_lite.event_types.registry import EventTypes
    from esdb_lite.records import RecordSchema

JSON = "application/json"
OCTET_STREAM = "application/octet-stream"
CONTENT_TYPES = (JSON, OCTET_STREAM)

JsonValue = Union[None, bool, int, float, str, Sequence["JsonValue"], Mapping[str, "JsonValue"]]  # noqa: UP007


_NIL = UUID(int=0)


class StreamState(enum.Enum):
    """What a stream is, or is expected to be before an append, where that is not a position."""

    ANY = "any"
    """Nothing is expected."""
    NO_STREAM = "no_stream"
    """It has no events; the same as `None`."""
    EXISTS = "exists"
    """It has events or metadata, and is not deleted."""
    DELETED = "deleted"
    """It was deleted, and has not been written since. Only for checks of `append_records`."""
    TOMBSTONED = "tombstoned"
    """It was deleted for ever. Only for checks of `append_records`."""


class NewEvent:
    """An event to append. `NewEvent.json` makes one from a JSON value.

    `type` is any text that is not empty. The content type is `application/json` (default), which servers show as JSON
    and hand to projections without checking it, or `application/octet-stream`. `id` makes appending idempotent
    (default: a random UUID). Raises InvalidArgument for wrong values, WrongArgumentType for wrong types.
    """

    __slots__ = ("_id", "content_type", "data", "metadata", "type")

    type: str
    """What happened."""
    data: bytes
    """The content."""
    metadata: bytes
    """More about the event, usually JSON; empty by default."""
    content_type: str
    """`application/json` or `application/octet-stream`."""
    _id: UUID | str

    def __init__(
        self,
        type: str,
        data: bytes,
        metadata: bytes = b"",
        content_type: str = JSON,
        id: UUID | None = None,
    ) -> None:
        if content_type not in CONTENT_TYPES:
            kind = InvalidArgument if isinstance(content_type, str) else WrongArgumentType
            raise kind("content_type", content_type, f"must be {JSON} or {OCTET_STREAM}")
        self.type = checked_type(type)
        self.data = data if data.__class__ is bytes else checked_bytes("data", data)
        self.metadata = metadata if metadata.__class__ is bytes else checked_bytes("metadata", metadata)
        self.content_type = content_type
        self._id = random_id() if id is None else checked_id(id)

    @property
    def id(self) -> UUID:
        """The identity of the event, by which a server recognises it."""
        return self._id if isinstance(self._id, UUID) else UUID(self._id)

    @id.setter
    def id(self, value: UUID) -> None:
        self._id = checked_id(value)

    @classmethod
    def json(cls, type: str, data: JsonValue, metadata: JsonValue | bytes = b"", *, id: UUID | None = None) -> NewEvent:
        """Make an event from a JSON value; `metadata` may be one, too, or bytes.

        Raises InvalidArgument for values that are not JSON.
        """
        encoded = metadata if isinstance(metadata, bytes) else to_json("metadata", metadata)
        return cls(type, to_json("data", data), encoded, JSON, id)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NewEvent):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        metadata = noted(self.metadata)
        return f"NewEvent(type={self.type!r}, data={shown(self.data)}{metadata}, id={str(self.id)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), self._values()

    def _values(self) -> tuple[str, bytes, bytes, str, UUID]:
        return self.type, self.data, self.metadata, self.content_type, self.id


class RecordedEvent:
    """An event in the database. Treat it as read-only.

    If a link (`$>`) was resolved, the attributes are those of the event that it points to, and `link` is the link
    itself. A link whose target is gone comes as it is: an event of type `$>`. The rules are in section 10 of the
    protocol notes.
    """

    __slots__ = (
        "_created",
        "_id",
        "_types",
        "commit_position",
        "content_type",
        "data",
        "link",
        "metadata",
        "prepare_position",
        "retry_count",
        "stream_name",
        "stream_position",
        "type",
    )

    type: str
    """What happened, as the event was appended."""
    data: bytes
    """The content; `json()` decodes it."""
    metadata: bytes
    """What was appended with it; empty if nothing was."""
    stream_name: str
    """The stream that it is in."""
    stream_position: int
    """Its number in the stream, from 0."""
    commit_position: int | None
    """Its position in the order of all events; None in stream reads of servers before 22.10."""
    prepare_position: int | None
    """The same as `commit_position` on all current servers."""
    content_type: str
    """`application/json` or `application/octet-stream`."""
    link: RecordedEvent | None
    """The link through which the event was reached; None without one."""
    retry_count: int | None
    """How often a persistent subscription delivered the event before; None elsewhere."""
    _id: UUID | bytes | str
    _created: datetime | bytes | int | None
    _types: EventTypes
    """Set where the client has any."""

    def __init__(
        self,
        type: str,
        data: bytes,
        metadata: bytes,
        stream_name: str,
        stream_position: int,
        commit_position: int | None,
        *,
        id: UUID = _NIL,
        content_type: str = JSON,
        recorded_at: datetime | None = None,
        link: RecordedEvent | None = None,
        retry_count: int | None = None,
        prepare_position: int | None = None,
    ) -> None:
        self.type = type
        self.data = data
        self.metadata = metadata
        self.stream_name = stream_name
        self.stream_position = stream_position
        self.commit_position = commit_position
        self.prepare_position = commit_position if prepare_position is None else prepare_position
        self.content_type = content_type
        self.link = link
        self.retry_count = retry_count
        self._id = id
        self._created = recorded_at

    @property
    def id(self) -> UUID:
        """The id that the event was appended with. Raises ValueError if the server sent something else."""
        self._id = id = event_id(self._id)
        return id

    @property
    def recorded_at(self) -> datetime | None:
        """When the server recorded the event, in UTC, to the microsecond; None if that is not known."""
        raw = self._created
        if raw is None or isinstance(raw, datetime):
            return raw
        self._created = created = datetime_of(raw)
        return created

    @property
    def original(self) -> RecordedEvent:
        """The link if there is one, else the event itself: its positions are the ones to resume from."""
        return self if self.link is None else self.link

    @property
    def checkpoint(self) -> Checkpoint | None:
        """Where a subscription to all events resumes after this one; None where an old server (21.10) does not say it.

        Of an event that came through a link it is the link's place.
        """
        original = self.original
        if original.commit_position is None:
            return None
        prepare = original.prepare_position
        commit = original.commit_position
        return Checkpoint(commit, commit if prepare is None else prepare, event_id=original.id)

    @property
    def ack_id(self) -> UUID:
        """The id by which a persistent subscription knows this delivery: that of the original."""
        return self.original.id

    @property
    def properties(self) -> Mapping[str, JsonValue]:
        """The metadata as JSON values by name; of a record (KurrentDB 25.1 and later), its properties.

        Without what the server has added (`$schema.…`), which is in `schema`. Empty where the metadata are no JSON
        object. Decoded each time.
        """
        return {name: value for name, value in self._metadata().items() if not name.startswith("$schema.")}

    @property
    def schema(self) -> RecordSchema | None:
        """What a record says of its data; None for an event that was appended in the older way."""
        from esdb_lite.records import read_schema

        return read_schema(self._metadata()) if b'"$schema.' in self.metadata else None

    def _metadata(self) -> Mapping[str, JsonValue]:
        try:
            found = load_json(self.metadata) if self.metadata else None
        except ValueError:
            found = None
        return found if isinstance(found, dict) else {}

    @property
    def value(self) -> object:
        """The object that the event stands for, of the class that the client's `event_types` have for its type.

        For other types, and of a client without them, it is the data as JSON values, or the bytes where they are not
        JSON. Made anew each time. A copied or pickled event has lost the classes. Raises EventValueError where data
        do not fit their class.
        """
        types: EventTypes | None = getattr(self, "_types", None)
        if types is not None:
            return types.value(self)
        from esdb_lite.event_types.registry import plain_value

        return plain_value(self)

    def json(self) -> Any:
        """Return the data, decoded as JSON. Raises ValueError if it is not JSON, with a note that says which event."""
        return self._decoded(self.data, "data")

    def metadata_json(self) -> Any:
        """Return the metadata, decoded as JSON; None where there is none. Raises ValueError as `json()` does."""
        return self._decoded(self.metadata, "metadata") if self.metadata else None

    def _decoded(self, content: bytes, what: str) -> Any:
        try:
            return load_json(content)
        except ValueError as error:
            add_note(error, f"in the {what} of {self.type} {self.stream_position}@{self.stream_name}")
            raise

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RecordedEvent):
            return NotImplemented
        same: bool = _values(self) == _values(other)
        return same

    def __hash__(self) -> int:
        return hash((self.stream_name, self.stream_position))

    def __repr__(self) -> str:
        link = "" if self.link is None else f", link={self.link!r}"
        retries = "" if self.retry_count is None else f", retry_count={self.retry_count}"
        return (
            f"RecordedEvent(type={self.type!r}, data={shown(self.data)}{noted(self.metadata)}, "
            f"stream_name={self.stream_name!r}, stream_position={self.stream_position}, "
            f"commit_position={self.commit_position}, id={shown_id(self._id)}, "
            f"recorded_at={str(self.recorded_at)!r}{link}{retries})"
        )

    def _repr_html_(self) -> str:
        """As notebooks show it: a table of what one looks for, and nothing that could run."""
        from esdb_lite._notebooks import as_html

        return as_html(self)

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), _values(self))


_FIELDS = (
    *("type", "data", "metadata", "stream_name", "stream_position", "commit_position", "prepare_position"),
    *("content_type", "link", "retry_count"),
)
_values = attrgetter(*_FIELDS, "id", "recorded_at")


def _restored(cls: type[RecordedEvent], values: Sequence[object]) -> RecordedEvent:
    event = cls.__new__(cls)
    for name, value in zip((*_FIELDS, "_id", "_created"), values, strict=True):
        setattr(event, name, value)
    return event


class AppendResult(int):
    """The result of an append: the commit position of its last event, as an int.

    A server may recognise events that it has, and not know where they are any more (deleted or truncated meanwhile).
    Then `commit_position` is None, and the int is 0, which is before every event.
    """

    commit_position: int | None
    """Position of the last event in the order of all events; None if the server does not know it."""
    stream_position: int | None
    """Number of the last event in its stream; None if the stream has none (nothing was appended)."""
    stream_name: str | None
    """The stream; None for a result that somebody has made without saying it."""

    def __new__(
        cls, commit_position: int | None, stream_position: int | None, stream_name: str | None = None
    ) -> AppendResult:
        self = super().__new__(cls, commit_position or 0)
        self.commit_position = commit_position
        self.stream_position = stream_position
        self.stream_name = stream_name
        return self

    def __repr__(self) -> str:
        stream = "" if self.stream_name is None else f", stream_name={self.stream_name!r}"
        return f"AppendResult(commit_position={self.commit_position}, stream_position={self.stream_position}{stream})"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.commit_position, self.stream_position, self.stream_name)

    def __str__(self) -> str:
        return int.__repr__(self)


@dataclass(frozen=True)
class Checkpoint:
    """A place in the order of all events: resume from this object, and nothing is missed.

    A filtered subscription hands them out where it has searched without finding anything; `RecordedEvent.checkpoint`
    is the place of an event. Resume from the object, or store its `token`: a checkpoint may stand just before the
    event at its `commit_position` (`prepare_position` is then smaller), and the bare number stands for the event
    itself. The rules are in section 16 of the protocol notes.
    """

    commit_position: int
    """Position in the order of all events."""
    prepare_position: int
    """Equal to `commit_position`, or 0 for "just before"."""
    timestamp: datetime | None = None
    """When the server sent it, in UTC; None before server 24.10.5."""
    event_id: UUID | None = field(default=None, compare=False)
    """Id of the event at this place, by which another database is told from this one; None: not known."""
    event_position: int | None = field(default=None, compare=False)
    """Where the event with `event_id` is, if not at this place: the last one that was seen before it."""

    @property
    def token(self) -> str:
        """The place as a text of ASCII that can be stored: `from_token` makes a checkpoint of it again."""
        return place_token(self.commit_position, self.prepare_position, self.event_id, self.event_position)

    @classmethod
    def from_token(cls, token: str) -> Checkpoint:
        """Return the checkpoint that a token stands for. Raises InvalidArgument, WrongArgumentType."""
        if not isinstance(token, str):
            raise WrongArgumentType("token", token, "must be a str")
        found = place_of_token(token)
        if found is None:
            raise InvalidArgument("token", token, "must be the token of a Checkpoint")
        commit, prepare, event_id, event_position = found
        return cls(commit, prepare, event_id=event_id, event_position=event_position)


class StreamPosition(int):
    """A position in a stream, as an int that also knows which event is there."""

    event_id: UUID | None
    """Id of the event at this position, by which another database is told from this one; None: not known."""

    def __new__(cls, position: int, event_id: UUID | None = None) -> StreamPosition:
        self = super().__new__(cls, position)
        self.event_id = event_id
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (int(self), self.event_id)


@dataclass(frozen=True)
class CaughtUp:
    """A subscription has handed out everything that was stored; from now on it hands out new events.

    Servers send it since 23.10. Everything in it is None before server 24.10.5.
    """

    timestamp: datetime | None = None
    """When the server sent it, in UTC."""
    stream_position: int | None = None
    """In a subscription to a stream: the last event handed out, or the starting position."""
    commit_position: int | None = None
    """In a subscription to all events: the last position seen."""
    prepare_position: int | None = None
    """The other half of that position; usually equal."""


@dataclass(frozen=True)
class FellBehind:
    """A subscription could not keep up with new events, and reads from storage again. No current server sends it."""

    timestamp: datetime | None = None
    """When the server sent it, in UTC."""
    stream_position: int | None = None
    """In a subscription to a stream: the last event handed out."""
    commit_position: int | None = None
    """In a subscription to all events: the last position seen."""
    prepare_position: int | None = None
    """The other half of that position; usually equal."""


@dataclass(frozen=True)
class Reconnected:
    """A subscription was resumed after it lost its connection; no event is missing or comes twice."""

    from_: str | None
    """`host:port` of the node that served it before; None if that is not known."""
    to: str
    """`host:port` of the node that serves it now."""
    reason: str
    """Why it was resumed."""


SubscriptionItem = Union[RecordedEvent, Checkpoint, CaughtUp, FellBehind, Reconnected]  # noqa: UP007
"""What a subscription hands out with `include_control=True`."""
