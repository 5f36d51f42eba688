"""ReadResp of Streams and of PersistentSubscriptions, one message at a time, by the rules of protobuf.

Owns: every field of these messages. Must not know: batches (`read_response_fast` has them, and a shortcut for the
usual event).
A field that comes again is merged or replaced as protobuf says; see `primitives`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Union
from uuid import UUID

from esdb_lite_protos import tags

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
    OneofField,
    WireError,
    entry,
    fields,
    int32,
    last_field,
    last_of,
    pair,
    signed,
    stream_identifier,
    submessage,
    text,
)
from esdb_lite._wire.uuids import decode_uuid
from esdb_lite.events import OCTET_STREAM, CaughtUp, Checkpoint, FellBehind, RecordedEvent

ReadItem = Union[RecordedEvent, Control]  # noqa: UP007

# of an event, which both services have with the same tags; the last two have persistent subscriptions alone
_EVENT, _LINK = tags.PERSISTENT_READ_RESP_READ_EVENT_EVENT, tags.PERSISTENT_READ_RESP_READ_EVENT_LINK
_RETRY_COUNT = tags.PERSISTENT_READ_RESP_READ_EVENT_RETRY_COUNT
_NO_RETRY_COUNT = tags.PERSISTENT_READ_RESP_READ_EVENT_NO_RETRY_COUNT

_ID = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_ID
_STREAM = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_STREAM_IDENTIFIER
_REVISION = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_STREAM_REVISION
_PREPARE = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_PREPARE_POSITION
_COMMIT = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_COMMIT_POSITION
_METADATA = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_METADATA
_CUSTOM_METADATA = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_CUSTOM_METADATA
_DATA = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_DATA

_SUBSCRIPTION_ID = tags.STREAMS_READ_RESP_SUBSCRIPTION_CONFIRMATION_SUBSCRIPTION_ID
_CHECKPOINT_TIME = tags.STREAMS_READ_RESP_CHECKPOINT_TIMESTAMP
_MISSING_STREAM = tags.STREAMS_READ_RESP_STREAM_NOT_FOUND_STREAM_IDENTIFIER
# of CaughtUp and FellBehind
_PROGRESS_TIME = tags.STREAMS_READ_RESP_CAUGHT_UP_TIMESTAMP
_PROGRESS_REVISION = tags.STREAMS_READ_RESP_CAUGHT_UP_STREAM_REVISION
_PROGRESS_POSITION = tags.STREAMS_READ_RESP_CAUGHT_UP_POSITION

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NIL = UUID(int=0)


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
        if tag == _EVENT:
            event = raw if event is None else event + raw
        elif tag == _LINK:
            link = raw if link is None else link + raw
        elif tag == _RETRY_COUNT and persistent:
            retry_count = int32(value)
        elif tag == _NO_RETRY_COUNT and persistent:
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
    numbers = {_REVISION: 0, _PREPARE: 0, _COMMIT: 0}
    blocks = {_ID: b"", _STREAM: b"", _CUSTOM_METADATA: b"", _DATA: b""}
    metadata: dict[str, str] = {}
    for tag, value, raw in fields(data):
        if tag in numbers:
            numbers[tag] = value
        elif tag in (_ID, _STREAM):
            blocks[tag] += raw
        elif tag in blocks:
            blocks[tag] = raw
        elif tag == _METADATA:
            metadata.update((entry(raw),))
    event._id = _id(blocks[_ID])
    event._created = metadata.get("created", "").encode() or None
    event.type = metadata.get("type", "")
    event.content_type = metadata.get("content-type", OCTET_STREAM)
    event.stream_name = stream_identifier(blocks[_STREAM])
    event.metadata, event.data = blocks[_CUSTOM_METADATA], blocks[_DATA]
    event.stream_position = numbers[_REVISION]
    event.prepare_position, event.commit_position = _position(numbers[_PREPARE]), _position(numbers[_COMMIT])
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


def _confirmation(content: OneofField) -> SubscriptionConfirmed:
    return SubscriptionConfirmed(text(last_field(content.raw, _SUBSCRIPTION_ID)))


def _checkpoint(content: OneofField) -> Checkpoint:
    return Checkpoint(*pair(content.raw), _time(submessage(content.raw, _CHECKPOINT_TIME)))


def _stream_missing(content: OneofField) -> StreamMissing:
    return StreamMissing(stream_identifier(submessage(content.raw, _MISSING_STREAM) or b""))


def _progress(data: bytes) -> tuple[datetime | None, int | None, int | None, int | None]:
    revision, position = last_of(data, (_PROGRESS_REVISION,)), submessage(data, _PROGRESS_POSITION)
    commit, prepare = (None, None) if position is None else pair(position)
    number = None if revision is None else signed(revision.value)
    return _time(submessage(data, _PROGRESS_TIME)), number, commit, prepare


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
    tags.STREAMS_READ_RESP_EVENT: lambda content: decode_event(content.raw, False),
    tags.STREAMS_READ_RESP_CONFIRMATION: _confirmation,
    tags.STREAMS_READ_RESP_CHECKPOINT: _checkpoint,
    tags.STREAMS_READ_RESP_STREAM_NOT_FOUND: _stream_missing,
    tags.STREAMS_READ_RESP_FIRST_STREAM_POSITION: lambda content: FirstStreamPosition(content.value),
    tags.STREAMS_READ_RESP_LAST_STREAM_POSITION: lambda content: LastStreamPosition(content.value),
    tags.STREAMS_READ_RESP_LAST_ALL_STREAM_POSITION: lambda content: LastAllPosition(*pair(content.raw)),
    tags.STREAMS_READ_RESP_CAUGHT_UP: lambda content: CaughtUp(*_progress(content.raw)),
    tags.STREAMS_READ_RESP_FELL_BEHIND: lambda content: FellBehind(*_progress(content.raw)),
}

_PERSISTENT_CONTENTS: dict[int, Callable[[OneofField], ReadItem]] = {
    tags.PERSISTENT_READ_RESP_EVENT: lambda content: decode_event(content.raw, True),
    tags.PERSISTENT_READ_RESP_SUBSCRIPTION_CONFIRMATION: _confirmation,
}
