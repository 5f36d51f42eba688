"""Events as clients propose them, and what can be wrong with them.

Owns: turning proposed events into those of the engine, sizes, and expected versions as they were sent.
Must not know: which call they came by, how its errors look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from esdb_lite._wire.append import Proposed
from esdb_lite._wire.primitives import WireError
from esdb_lite._wire.uuids import WireUuid, format_uuid, parse_uuid, usual_uuid, usual_uuids
from esdb_lite.events import JSON
from esdb_lite.positions import LARGEST
from esdb_lite.server.engine.model import (
    LONGEST_NAME,
    MOST_EVENTS,
    NO_STREAM,
    ProposedEvent,
    event_size,
    is_too_long,
)
from esdb_lite.server.services.append_room import EVENT_OVERHEAD
from esdb_lite.server.services.unary import MINUS_ONE

NO_UUID = "Value cannot be null. (Parameter 'dto')"
BAD_UUID = "Unrecognized Guid format."
"""What a real server says of UUIDs that are missing, or are none."""

_ZERO = bytes(16)
_SHORT = 256


class InvalidEvent(Exception):
    """The event cannot be written; the text names the field."""

    def __init__(self, message: str, original: str) -> None:
        """`original` is the text of a real server, which it tells in the answers of BatchAppend."""
        super().__init__(message)
        self.original = original


class MissingMetadata(Exception):
    """The event has no `type` or no `content-type`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class EventOverLimit(Exception):
    """The event is larger than one event may be."""

    def __init__(self, id: WireUuid | None, size: int) -> None:
        super().__init__(size)
        self.id = id
        self.size = size


class InvalidExpectation(Exception):
    """The expected revision is no number that a revision can be."""


class Intake:
    """Takes the events of one append and counts their bytes."""

    def __init__(self, max_event_size: int) -> None:
        self.events: list[ProposedEvent] = []
        self.size = 0
        """Of all events so far, as MaxAppendSize counts it."""
        self.count = 0
        self._max_event_size = max_event_size

    @property
    def held(self) -> int:
        """Bytes that they take."""
        return self.size + EVENT_OVERHEAD * self.count

    @property
    def too_many(self) -> str | None:
        """What is wrong if there are more events than an append may have."""
        return f"An append has at most {MOST_EVENTS} events." if self.count > MOST_EVENTS else None

    def measure(self, proposed: Proposed) -> None:
        """Count an event. Raises MissingMetadata, EventTooLarge."""
        id, metadata, custom_metadata, data = proposed
        if "type" not in metadata:
            raise MissingMetadata("type")
        if "content-type" not in metadata:
            raise MissingMetadata("content-type")
        size = event_size(metadata["type"], len(data) + len(custom_metadata))
        if size > self._max_event_size:
            raise EventOverLimit(id, size)
        self.size += size
        self.count += 1

    def take(self, proposed: Proposed) -> None:
        """Add an event that has been measured. Raises InvalidEvent."""
        sent, metadata, custom_metadata, data = proposed
        id, type = _event_id(sent), metadata["type"]
        if not type:
            raise InvalidEvent(
                "proposed_message.metadata: the type is empty.", "Empty eventType provided. (Parameter 'eventType')"
            )
        if len(type) > _SHORT and is_too_long(type):
            text = f"proposed_message.metadata: the type has more than {LONGEST_NAME} bytes."
            raise InvalidEvent(text, text)
        self.events.append(ProposedEvent(id, type, metadata["content-type"] == JSON, data, custom_metadata))

    def take_all(self, events: Sequence[Proposed]) -> None:
        """Measure and add events, one after the other. Raises what these do."""
        most, add = self._max_event_size, self.events.append
        described: Mapping[str, str] | None = None
        type, is_json, usual, own = "", False, False, 0
        for proposed, id in zip(events, _usual_ids(events), strict=True):
            _, metadata, custom_metadata, data = proposed
            if metadata is not described:  # most say the same as the one before
                described, type = metadata, metadata.get("type", "")
                is_json, own = metadata.get("content-type") == JSON, event_size(type, 0)
                usual = 0 < len(type) <= _SHORT and "content-type" in metadata
            size = own + len(data) + len(custom_metadata)
            if id is None or id == _ZERO or not usual or size > most:
                self.measure(proposed)  # slower, and says what is wrong if anything is
                self.take(proposed)
                continue
            self.size += size
            self.count += 1
            add(_new(ProposedEvent, (id, type, is_json, data, custom_metadata, None)))


_new = tuple.__new__  # half of what the constructor of a NamedTuple takes


def _usual_ids(events: Sequence[Proposed]) -> Sequence[bytes | None]:
    """The ids of events, where they are written as most are; None for the others."""
    sent = [event[0] for event in events]
    return usual_uuids(sent) or [usual_uuid(id) if isinstance(id, str) else None for id in sent]


def _event_id(id: WireUuid | None) -> bytes:
    if id is None:
        raise InvalidEvent("proposed_message.id is missing.", NO_UUID)
    try:
        parsed = parse_uuid(id)
    except WireError as error:
        raise InvalidEvent(f"proposed_message.id: {error}.", BAD_UUID) from error
    if parsed == _ZERO:
        raise InvalidEvent("proposed_message.id is the empty UUID.", "Empty eventId provided. (Parameter 'eventId')")
    return parsed


def expected_version(sent: int) -> int:
    """Return the expected version that a number stands for; 2^64-1 is -1, no stream. Raises InvalidExpectation."""
    if sent == MINUS_ONE:
        return NO_STREAM
    if sent > LARGEST:
        raise InvalidExpectation(f"the expected revision {sent} is greater than {LARGEST}.")
    return sent


def writable(stream: str) -> bool:
    """Whether a stream can have this name."""
    return stream not in ("", "$$") and not is_too_long_for_stream(stream)


def is_too_long_for_stream(name: str) -> bool:
    """Whether no stream can have a name because of its length; every stream that there can be can have metadata."""
    return is_too_long(name.removeprefix("$$"))


def id_as_json(id: WireUuid | None) -> str:
    """Return an event id as protobuf's JSON."""
    if not id:
        return "{ }"
    if isinstance(id, str):
        return f'{{ "string": "{id}" }}'
    halves = [int.from_bytes(half, "big", signed=True) for half in (id[:8], id[8:])]
    return f'{{ "structured": {{ "mostSignificantBits": "{halves[0]}", "leastSignificantBits": "{halves[1]}" }} }}'


def id_as_text(id: WireUuid | None) -> str:
    """Return an event id as a hyphenated UUID, or what was sent where it is none."""
    try:
        return format_uuid(parse_uuid(id or ""))
    except WireError:
        return str(id or "")
