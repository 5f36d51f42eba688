"""ReadResp of Streams and of PersistentSubscriptions, one message at a time, by the rules of protobuf.

Owns: every field of these messages. Must not know: batches (`read_response_fast` has them, and a shortcut for the
usual event).
A field that comes again is merged or replaced as protobuf says; see `primitives`.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from datetime import datetime, timedelta, timezone
from typing import NamedTuple, Union
from uuid import UUID

from esdb_lite._wire.controls import (
    Control,
    FirstStreamPosition,
    LastAllPosition,
    LastStreamPosition,
    StreamMissing,
    SubscriptionConfirmed,
)
from esdb_lite._wire.primitives import (
    MAX_UINT64,
    WireError,
    entry,
    fields,
    int32,
    last_field,
    pair,
    signed,
    stream_identifier,
    text,
)
from esdb_lite._wire.uuids import decode_uuid
from esdb_lite.events import OCTET_STREAM, CaughtUp, Checkpoint, FellBehind, RecordedEvent

ReadItem = Union[RecordedEvent, Control]  # noqa: UP007

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NIL = UUID(int=0)


class OneofField(NamedTuple):
    """The member of a oneof that is set: its tag, and its value as in `primitives.Field`."""

    tag: int
    value: int
    raw: bytes


def last_of(data: bytes, tags: Container[int]) -> OneofField | None:
    """Return the member of a oneof that counts: the last one, merged with what came before it of the same member."""
    found: OneofField | None = None
    for tag, value, raw in fields(data):
        if tag in tags:
            same = found is not None and found.tag == tag
            found = OneofField(tag, value, found.raw + raw if same and found else raw)
    return found


def decode_response(data: bytes) -> ReadItem | None:
    """Decode a ReadResp of Streams; None when it has no content, or one that is not known here."""
    content = last_of(data, _CONTENTS)
    return None if content is None else _CONTENTS[content.tag](content)


def decode_persistent_response(data: bytes) -> ReadItem | None:
    """Decode a ReadResp of PersistentSubscriptions; None when it has no content, or one that is not known here."""
    content = last_of(data, _PERSISTENT_CONTENTS)
    return None if content is None else _PERSISTENT_CONTENTS[content.tag](content)


def decode_event(data: bytes, persistent: bool) -> RecordedEvent:
    """Decode a ReadEvent. A link that has no event is handed out in its place."""
    event = link = None
    retry_count = None
    for tag, value, raw in fields(data):
        if tag == 0x0A:
            event = raw if event is None else event + raw
        elif tag == 0x12:
            link = raw if link is None else link + raw
        elif tag == 0x28 and persistent:
            retry_count = int32(value)
        elif tag == 0x32 and persistent:
            retry_count = None
    linked = None if link is None else decode_record(link)
    if event is not None:
        result = decode_record(event)
        result.link = linked
    elif linked is not None:
        result = linked
    else:
        raise WireError("an event has neither a record nor a link")
    result.retry_count = retry_count
    return result


def decode_record(data: bytes) -> RecordedEvent:
    """Decode a RecordedEvent. A field that is absent has its default, as in protobuf."""
    event = RecordedEvent.__new__(RecordedEvent)
    numbers = {0x18: 0, 0x20: 0, 0x28: 0}
    blocks = {0x0A: b"", 0x12: b"", 0x3A: b"", 0x42: b""}
    metadata: dict[str, str] = {}
    for tag, value, raw in fields(data):
        if tag in numbers:
            numbers[tag] = value
        elif tag in (0x0A, 0x12):
            blocks[tag] += raw
        elif tag in blocks:
            blocks[tag] = raw
        elif tag == 0x32:
            metadata.update((entry(raw),))
    event._id = _id(blocks[0x0A])
    event._created = metadata.get("created", "").encode() or None
    event.type = metadata.get("type", "")
    event.content_type = metadata.get("content-type", OCTET_STREAM)
    event.stream_name = stream_identifier(blocks[0x12])
    event.metadata, event.data = blocks[0x3A], blocks[0x42]
    event.stream_position = numbers[0x18]
    event.prepare_position, event.commit_position = _position(numbers[0x20]), _position(numbers[0x28])
    event.link = event.retry_count = None
    return event


def _id(data: bytes) -> UUID | bytes:
    raw = decode_uuid(data)
    if isinstance(raw, bytes):
        return raw or _NIL
    try:
        return UUID(raw)
    except ValueError:
        raise WireError(f"the id of an event is {raw[:80]!r}") from None


def _position(value: int) -> int | None:
    return None if value == MAX_UINT64 else value


def _event(content: OneofField) -> RecordedEvent:
    return decode_event(content.raw, False)


def _persistent_event(content: OneofField) -> RecordedEvent:
    return decode_event(content.raw, True)


def _confirmation(content: OneofField) -> SubscriptionConfirmed:
    return SubscriptionConfirmed(text(last_field(content.raw, 0x0A)))


def _checkpoint(content: OneofField) -> Checkpoint:
    timestamp = None
    for tag, _, raw in fields(content.raw):
        if tag == 0x1A:
            timestamp = raw if timestamp is None else timestamp + raw
    return Checkpoint(*pair(content.raw), _time(timestamp))


def _stream_missing(content: OneofField) -> StreamMissing:
    identifier = b""
    for tag, _, raw in fields(content.raw):
        if tag == 0x0A:
            identifier += raw
    return StreamMissing(stream_identifier(identifier))


def _first_position(content: OneofField) -> FirstStreamPosition:
    return FirstStreamPosition(content.value)


def _last_position(content: OneofField) -> LastStreamPosition:
    return LastStreamPosition(content.value)


def _last_all_position(content: OneofField) -> LastAllPosition:
    return LastAllPosition(*pair(content.raw))


def _caught_up(content: OneofField) -> CaughtUp:
    return CaughtUp(*_progress(content.raw))


def _fell_behind(content: OneofField) -> FellBehind:
    return FellBehind(*_progress(content.raw))


def _progress(data: bytes) -> tuple[datetime | None, int | None, int | None, int | None]:
    timestamp = revision = position = None
    for tag, value, raw in fields(data):
        if tag == 0x0A:
            timestamp = raw if timestamp is None else timestamp + raw
        elif tag == 0x10:
            revision = signed(value)
        elif tag == 0x1A:
            position = raw if position is None else position + raw
    commit, prepare = (None, None) if position is None else pair(position)
    return _time(timestamp), revision, commit, prepare


def _time(timestamp: bytes | None) -> datetime | None:
    """Decode a google.protobuf.Timestamp; None for what is no time that Python has."""
    if timestamp is None:
        return None
    seconds, nanos = pair(timestamp)
    try:
        return _EPOCH + timedelta(seconds=signed(seconds), microseconds=int32(nanos) // 1000)
    except OverflowError:
        return None


_CONTENTS: dict[int, Callable[[OneofField], ReadItem]] = {
    0x0A: _event,
    0x12: _confirmation,
    0x1A: _checkpoint,
    0x22: _stream_missing,
    0x28: _first_position,
    0x30: _last_position,
    0x3A: _last_all_position,
    0x42: _caught_up,
    0x4A: _fell_behind,
}

_PERSISTENT_CONTENTS: dict[int, Callable[[OneofField], ReadItem]] = {0x0A: _persistent_event, 0x12: _confirmation}
