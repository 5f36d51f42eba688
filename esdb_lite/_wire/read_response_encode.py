"""What a server answers to a read: ReadResp of Streams and of PersistentSubscriptions, encoded.

Owns: the bytes of every kind of content, laid out as EventStoreDB does. Must not know: the database, calls.
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Iterable
from functools import lru_cache
from struct import Struct
from typing import TypeAlias

from esdb_lite_protos import tags

from esdb_lite._wire.framing import PREFIX
from esdb_lite._wire.primitives import (
    block,
    encode_entry,
    encode_pair,
    encode_stream_identifier,
    number,
    tag_byte,
    varint,
)
from esdb_lite._wire.uuids import before_text, encode_uuid, format_uuid
from esdb_lite.events import JSON, OCTET_STREAM

_STRUCTURED = tags.SHARED_UUID_STRUCTURED
# both services have these with the same tags
_EVENT, _CONFIRMATION = tags.STREAMS_READ_RESP_EVENT, tags.STREAMS_READ_RESP_CONFIRMATION
_SUBSCRIPTION_ID = tags.STREAMS_READ_RESP_SUBSCRIPTION_CONFIRMATION_SUBSCRIPTION_ID
_RECORD, _LINK = tags.STREAMS_READ_RESP_READ_EVENT_EVENT, tags.STREAMS_READ_RESP_READ_EVENT_LINK
_POSITION = tags.STREAMS_READ_RESP_READ_EVENT_COMMIT_POSITION
_RETRY_COUNT = tags.PERSISTENT_READ_RESP_READ_EVENT_RETRY_COUNT
_ID = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_ID
_STREAM = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_STREAM_IDENTIFIER
_REVISION = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_STREAM_REVISION
_PREPARE = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_PREPARE_POSITION
_COMMIT = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_COMMIT_POSITION
_METADATA = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_METADATA
_CUSTOM_METADATA = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_CUSTOM_METADATA
_DATA = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_DATA
_KEY = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_METADATA_ENTRY_KEY
_VALUE = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_METADATA_ENTRY_VALUE

_CHECKPOINT, _CHECKPOINT_TIME = tags.STREAMS_READ_RESP_CHECKPOINT, tags.STREAMS_READ_RESP_CHECKPOINT_TIMESTAMP
_NOT_FOUND = tags.STREAMS_READ_RESP_STREAM_NOT_FOUND
_MISSING_STREAM = tags.STREAMS_READ_RESP_STREAM_NOT_FOUND_STREAM_IDENTIFIER
_FIRST_POSITION = tags.STREAMS_READ_RESP_FIRST_STREAM_POSITION
_LAST_POSITION = tags.STREAMS_READ_RESP_LAST_STREAM_POSITION
_CAUGHT_UP, _FELL_BEHIND = tags.STREAMS_READ_RESP_CAUGHT_UP, tags.STREAMS_READ_RESP_FELL_BEHIND
# of both
_PROGRESS_TIME = tags.STREAMS_READ_RESP_CAUGHT_UP_TIMESTAMP
_PROGRESS_REVISION = tags.STREAMS_READ_RESP_CAUGHT_UP_STREAM_REVISION
_PROGRESS_POSITION = tags.STREAMS_READ_RESP_CAUGHT_UP_POSITION

_CACHED = 4096
_DIGITS = 17  # of the usual time of creation
_BEFORE_ID = before_text(_ID)
_CREATED = block(_KEY, b"created")
_USUAL_CREATED = block(_METADATA, _CREATED + block(_VALUE, bytes(_DIGITS)))[:-_DIGITS]
_CONTENT_TYPES = {
    True: encode_entry(_METADATA, b"content-type", JSON),
    False: encode_entry(_METADATA, b"content-type", OCTET_STREAM),
}
_EVENT_BYTE, _RECORD_BYTE, _POSITION_BYTE, _RETRY_BYTE = map(tag_byte, (_EVENT, _RECORD, _POSITION, _RETRY_COUNT))
_REVISION_BYTE, _PREPARE_BYTE, _COMMIT_BYTE = map(tag_byte, (_REVISION, _PREPARE, _COMMIT))
_METADATA_BYTE, _DATA_BYTE = map(tag_byte, (_CUSTOM_METADATA, _DATA))
_TICKS = 10_000_000
_SHORT = 1 << 14
_ID_SIZE = len(_BEFORE_ID) + 36
_USUAL_HEAD = Struct(f">BIB2sB2s{len(_BEFORE_ID)}s4s24s4s4s")
"""gRPC's prefix, tags and lengths of event and record, both of which have two bytes, and the id as text."""
_HALVES = Struct(">QQ")
_HIGH_BYTE = tag_byte(tags.SHARED_UUID_STRUCTURED_MOST_SIGNIFICANT_BITS)
_LOW_BYTE = tag_byte(tags.SHARED_UUID_STRUCTURED_LEAST_SIGNIFICANT_BITS)
_LARGE = 1 << 56
_GROUPS = Struct("4sx24sx4sx4s")
"""Of 39 characters, a hyphen after each four: without those three that a UUID does not have."""
_LENGTHS = [varint(value) for value in range(_SHORT)]
_LOW = [bytes((value & 127 | 128, value >> 7 | 128)) for value in range(_SHORT)]
"""The low 14 bits of a varint that has more."""

StoredEvent: TypeAlias = tuple[int, str, int, bytes, str, bool, int, bytes, bytes, object]
"""Position, stream, revision, id, type, whether it is JSON, ticks of creation, data, metadata, and what is not sent."""


def encode_record(
    *,
    id: bytes,
    structured: bool,
    stream: str,
    revision: int,
    position: int,
    type: str,
    is_json: bool,
    created: int,
    metadata: bytes,
    data: bytes,
) -> bytes:
    """Encode one RecordedEvent. `id` is 16 bytes, `structured` says in which form to write it.

    `created` is a number of 100-ns ticks since 1970; `position` is both commit and prepare position.
    """
    place = varint(position)
    return b"".join(
        (
            encode_uuid(_ID, id) if structured else _BEFORE_ID + format_uuid(id).encode(),
            _stream(stream),
            number(_REVISION, revision) if revision else b"",
            _PREPARE_BYTE + place + _COMMIT_BYTE + place if position else b"",
            _type(type),
            block(_METADATA, _CREATED + block(_VALUE, b"%d" % created)),
            _CONTENT_TYPES[is_json],
            block(_CUSTOM_METADATA, metadata) if metadata else b"",
            block(_DATA, data) if data else b"",
        )
    )


def frame_events(records: Iterable[StoredEvent], *, structured: bool) -> bytes:
    """Encode the messages for events that are no resolved links, as they stand in a gRPC stream.

    Each is what `encode_record` and `encode_event` give together. This is where a server that is read from spends its
    time, hence the shape: one pass that only counts, and one join.
    """
    parts: list[bytes] = []
    length, low, number_of, short = _LENGTHS, _LOW, _quick_varint, _SHORT
    seen, named, typed, content_type, seen_at, alike, common = ("", "", False), b"", b"", b"", -1, b"", 0
    head_of, groups_of, before_id, text_size = _USUAL_HEAD.pack, _GROUPS.unpack, _BEFORE_ID, _ID_SIZE
    revision_tag, prepare_tag, commit_tag, metadata_tag = _REVISION_BYTE, _PREPARE_BYTE, _COMMIT_BYTE, _METADATA_BYTE
    data_tag, position_tag = _DATA_BYTE, _POSITION_BYTE
    for position, stream, revision, id, type, is_json, created, data, metadata, _ in records:
        if (stream, type, is_json) != seen:  # most have them in common
            seen, seen_at = (stream, type, is_json), -1
            named, typed, content_type = _stream(stream), _type(type) + _USUAL_CREATED, _CONTENT_TYPES[is_json]
        if created != seen_at:
            seen_at, ticks = created, b"%d" % created
            before = typed if len(ticks) == _DIGITS else _type(type) + _created_prefix(len(ticks))
            alike = before + ticks + content_type
            common = len(named) + len(alike) + 2 + (0 if structured else text_size)
        # what `number_of` does for the usual ones
        place = low[position & 16383] + length[position >> 14] if short <= position < 1 << 28 else number_of(position)
        numbered = revision_tag + (length[revision] if revision < short else number_of(revision)) if revision else b""
        more, size = len(metadata), len(data)
        before_metadata = metadata_tag + (length[more] if more < short else varint(more)) if more else b""
        before_data = data_tag + (length[size] if size < short else varint(size)) if size else b""
        identity = _structured_id(id) if structured else b""
        places = len(place)
        inner = common + len(identity) + len(numbered) + 2 * places + len(before_metadata) + more
        inner += len(before_data) + size
        whole = inner + places + 4
        if structured or inner < 128 or whole >= short:
            head = _head(inner, places) + (identity or before_id + format_uuid(id).encode())
        else:
            first, middle, fourth, last = groups_of(hexlify(id, "-", 2))
            head = head_of(
                0, whole + 3, _EVENT, length[whole], _RECORD, length[inner], before_id, first, middle, fourth, last
            )
        parts += (
            head,
            named,
            numbered,
            prepare_tag,
            place,
            commit_tag,
            place,
            alike,
            before_metadata,
            metadata,
            before_data,
            data,
            position_tag,
            place,
        )
    return b"".join(parts)


def _head(inner: int, places: int) -> bytes:
    """Return what stands before a record of `inner` bytes, behind which its position is written in `places` bytes."""
    record = _RECORD_BYTE + _quick_varint(inner)
    whole = len(record) + inner + 1 + places
    event = _EVENT_BYTE + _quick_varint(whole)
    return PREFIX.pack(0, len(event) + whole) + event + record


def _quick_varint(value: int) -> bytes:
    """Encode as `varint` does, without a loop for the numbers that positions are."""
    if value < _SHORT:
        return _LENGTHS[value]
    low, high = _LOW[value & _SHORT - 1], value >> 14
    return low + (_LENGTHS[high] if high < _SHORT else _quick_varint(high))


def _structured_id(id: bytes) -> bytes:
    """Encode an id as `encode_uuid` does, without a loop for halves of more than 56 bits, as most are."""
    high, low = _HALVES.unpack(id)
    if high < _LARGE or low < _LARGE:
        return encode_uuid(_ID, id)
    halves = _HIGH_BYTE + _large_varint(high) + _LOW_BYTE + _large_varint(low)
    return bytes((_ID, len(halves) + 2, _STRUCTURED, len(halves))) + halves


def _large_varint(value: int) -> bytes:
    """Encode what has more than 56 bits."""
    most, low = _SHORT - 1, _LOW
    before = low[value & most] + low[value >> 14 & most] + low[value >> 28 & most] + low[value >> 42 & most]
    return before + _LENGTHS[value >> 56]


def _created_prefix(size: int) -> bytes:
    """Return what stands before the digits of `created`, given how many there are."""
    return bytes((_METADATA, len(_CREATED) + 2 + size)) + _CREATED + bytes((_VALUE, size))


@lru_cache(_CACHED)
def _stream(name: str) -> bytes:
    return encode_stream_identifier(_STREAM, name)


@lru_cache(_CACHED)
def _type(name: str) -> bytes:
    return encode_entry(_METADATA, b"type", name)


def encode_event(event: bytes | None, link: bytes | None, position: int, *, retry_count: int | None = None) -> bytes:
    """Encode the message that holds an event, given its record, that of the link to it, or both.

    `position` is that of the link where there is one. `retry_count` belongs to persistent subscriptions.
    """
    return block(
        _EVENT,
        b"".join(
            (
                block(_RECORD, event) if event is not None else b"",
                block(_LINK, link) if link is not None else b"",
                number(_POSITION, position),
                number(_RETRY_COUNT, retry_count) if retry_count is not None else b"",
            )
        ),
    )


def encode_delivery(
    id: bytes,
    stream: str,
    revision: int,
    position: int,
    type: str,
    is_json: bool,
    created: int,
    metadata: bytes,
    data: bytes,
    retry_count: int,
) -> bytes:
    """Encode an event of a persistent subscription that is no resolved link, its id as text, in one go.

    It is what `encode_record` and `encode_event` give together.
    """
    digits, place = hexlify(id), varint(position)
    ticks = b"%d" % created
    body = b"".join(
        (
            _BEFORE_ID,
            b"-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])),
            _stream(stream),
            _REVISION_BYTE + varint(revision) if revision else b"",
            _PREPARE_BYTE + place + _COMMIT_BYTE + place if position else b"",
            _type(type),
            _USUAL_CREATED + ticks if len(ticks) == _DIGITS else block(_METADATA, _CREATED + block(_VALUE, ticks)),
            _CONTENT_TYPES[is_json],
            block(_CUSTOM_METADATA, metadata) if metadata else b"",
            _DATA_BYTE + varint(len(data)) if data else b"",
            data,
        )
    )
    size = varint(len(body))
    tail = _POSITION_BYTE + place + _RETRY_BYTE + varint(retry_count)
    whole = varint(1 + len(size) + len(body) + len(tail))
    return b"".join((_EVENT_BYTE, whole, _RECORD_BYTE, size, body, tail))


def encode_confirmation(subscription_id: str) -> bytes:
    """Encode the confirmation of a subscription (of either service)."""
    return block(_CONFIRMATION, block(_SUBSCRIPTION_ID, subscription_id.encode()))


def encode_checkpoint(commit_position: int, prepare_position: int, *, now: int) -> bytes:
    """Encode a checkpoint; `now` is a number of 100-ns ticks since 1970."""
    return block(_CHECKPOINT, encode_pair(commit_position, prepare_position) + _timestamp(_CHECKPOINT_TIME, now))


def encode_stream_missing(stream: str) -> bytes:
    """Encode the answer to a read of a stream that does not exist."""
    return block(_NOT_FOUND, encode_stream_identifier(_MISSING_STREAM, stream))


def encode_first_position(stream_position: int) -> bytes:
    """Encode where the readable events of a stream begin."""
    return number(_FIRST_POSITION, stream_position)


def encode_last_position(stream_position: int) -> bytes:
    """Encode the number of the last event of a stream."""
    return number(_LAST_POSITION, stream_position)


def encode_caught_up(*, now: int, stream_position: int | None = None, position: tuple[int, int] | None = None) -> bytes:
    """Encode that a subscription goes live; `now` in 100-ns ticks since 1970, `position` as commit and prepare."""
    return block(_CAUGHT_UP, _progress(now, stream_position, position))


def _progress(now: int, stream_position: int | None, position: tuple[int, int] | None) -> bytes:
    return b"".join(
        (
            _timestamp(_PROGRESS_TIME, now),
            number(_PROGRESS_REVISION, stream_position) if stream_position is not None else b"",
            block(_PROGRESS_POSITION, encode_pair(*position)) if position is not None else b"",
        )
    )


def _timestamp(tag: int, ticks: int) -> bytes:
    return block(tag, encode_pair(ticks // _TICKS, ticks % _TICKS * 100))
