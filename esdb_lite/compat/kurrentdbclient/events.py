"""The events of kurrentdbclient: its names, fields and defaults.

Owns: the values. Must not know: what they are made of (`_values`), calls.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Literal
from uuid import UUID, uuid4

ContentType = Literal["application/json", "application/octet-stream"]

_NIL = UUID(int=0)


class StreamState(Enum):
    """What is expected of a stream where that is not a position."""

    ANY = "ANY"
    NO_STREAM = "NO_STREAM"
    EXISTS = "EXISTS"


@dataclass(frozen=True)
class NewEvent:
    """An event to append. Equal to a new or recorded event with the same id."""

    type: str
    data: bytes
    metadata: bytes = b""
    content_type: ContentType = "application/json"
    id: UUID = field(default_factory=uuid4)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (NewEvent, RecordedEvent)) and self.id == other.id


@dataclass(frozen=True)
class NewEvents:
    """Events for one stream of an append to several."""

    stream_name: str
    events: Iterable[NewEvent]
    current_version: int | StreamState


@dataclass(frozen=True)
class NewRecord:
    """One record of an append to several streams. Equal to a record with the same id."""

    stream_name: str
    type: str
    data: bytes
    metadata: bytes = b""
    content_type: ContentType = "application/json"
    id: UUID = field(default_factory=uuid4)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NewRecord) and self.id == other.id


@dataclass(frozen=True)
class StreamStateCheck:
    """A stream must be in a state for records to be appended."""

    stream_name: str
    expected_state: StreamState | int


ConsistencyCheck = StreamStateCheck


@dataclass(frozen=True)
class RecordedEvent:
    """An event in the database."""

    type: str
    data: bytes
    metadata: bytes
    content_type: str
    id: UUID
    stream_name: str
    stream_position: int
    commit_position: int
    prepare_position: int
    recorded_at: datetime | None = None
    link: RecordedEvent | None = None
    retry_count: int | None = None

    @property
    def ack_id(self) -> UUID:
        """The id by which a persistent subscription knows the event."""
        return self.id if self.link is None else self.link.id

    @property
    def is_system_event(self) -> bool:
        """Whether the server wrote it for itself."""
        return self.type.startswith("$")

    @property
    def is_link_event(self) -> bool:
        """Whether it is a link."""
        return self.type == "$>"

    @property
    def is_resolved_event(self) -> bool:
        """Whether it was reached through a link."""
        return self.link is not None

    @property
    def is_checkpoint(self) -> bool:
        """Whether it is no event but a `Checkpoint`."""
        return isinstance(self, Checkpoint)

    @property
    def is_caught_up(self) -> bool:
        """Whether it is no event but a `CaughtUp`."""
        return isinstance(self, CaughtUp)

    @property
    def is_fell_behind(self) -> bool:
        """Whether it is no event but a `FellBehind`."""
        return isinstance(self, FellBehind)


class _Control(RecordedEvent):
    """What a subscription says of itself, in the shape of an event."""

    def __init__(
        self,
        stream_position: int = 0,
        commit_position: int = 0,
        prepare_position: int = 0,
        recorded_at: datetime | None = None,
    ) -> None:
        super().__init__(
            type="",
            data=b"",
            metadata=b"",
            content_type="",
            id=_NIL,
            stream_name="",
            stream_position=stream_position,
            commit_position=commit_position,
            prepare_position=prepare_position,
            recorded_at=recorded_at,
        )


class Checkpoint(_Control):
    """A filtered subscription has come so far without finding anything."""

    CHECKPOINT_ID = _NIL

    def __init__(self, commit_position: int, prepare_position: int, recorded_at: datetime | None = None) -> None:
        super().__init__(0, commit_position, prepare_position, recorded_at)


class CaughtUp(_Control):
    """A subscription has handed out everything that was stored."""

    CAUGHT_UP_ID = _NIL


class FellBehind(_Control):
    """A subscription reads from storage again."""

    FELL_BEHIND_ID = _NIL
