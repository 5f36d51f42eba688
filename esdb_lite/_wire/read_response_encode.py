"""What a server answers to a read: ReadResp of Streams and of PersistentSubscriptions, encoded.

Owns: the bytes of every kind of content, laid out as EventStoreDB does. Must not know: the database, calls.
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

from esdb_lite._wire.primitives import block, encode_entry, encode_pair, encode_stream_identifier, number, varint
from esdb_lite._wire.uuids import encode_uuid, format_uuid
from esdb_lite.events import JSON, OCTET_STREAM

_CACHED = 4096
_CREATED = block(0x0A, b"created")
_USUAL_CREATED = b"2\x1c" + _CREATED + b"\x12\x11"
_CONTENT_TYPES = {
    True: encode_entry(0x32, b"content-type", JSON),
    False: encode_entry(0x32, b"content-type", OCTET_STREAM),
}
_TICKS = 10_000_000
_SHORT = 1 << 14
_LENGTHS = [varint(value) for value in range(_SHORT)]

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
            encode_uuid(0x0A, id) if structured else b"\n&\x12$" + format_uuid(id).encode(),
            _stream(stream),
            number(0x18, revision) if revision else b"",
            b" " + place + b"(" + place if position else b"",
            _type(type),
            block(0x32, _CREATED + block(0x12, b"%d" % created)),
            _CONTENT_TYPES[is_json],
            block(0x3A, metadata) if metadata else b"",
            block(0x42, data) if data else b"",
        )
    )


def encode_events(records: Iterable[StoredEvent], *, structured: bool) -> list[bytes]:
    """Encode the messages for events that are no resolved links: what `encode_record` and `encode_event` give together.

    This is where a server that is read from spends its time, hence the shape: one pass, one join for each event.
    """
    messages: list[bytes] = []
    add, join, length = messages.append, b"".join, _LENGTHS
    stream_of, type_of, number_of = _stream, _type, _quick_varint
    for position, stream, revision, id, type, is_json, created, data, metadata, _ in records:
        place = number_of(position)
        digits = id.hex()
        ticks = b"%d" % created
        size = len(data)
        event = join(
            (
                _structured_id(id)
                if structured
                else f"\n&\x12${digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}".encode(),
                stream_of(stream),
                b"\x18" + number_of(revision) if revision else b"",
                b" ",
                place,
                b"(",
                place,
                type_of(type),
                _USUAL_CREATED if len(ticks) == 17 else _created_prefix(len(ticks)),
                ticks,
                _CONTENT_TYPES[is_json],
                block(0x3A, metadata) if metadata else b"",
                (b"B" + (length[size] if size < _SHORT else varint(size))) if size else b"",
                data,
            )
        )
        size = len(event)
        inner = length[size] if size < _SHORT else varint(size)
        size += 2 + len(inner) + len(place)
        add(join((b"\n", length[size] if size < _SHORT else varint(size), b"\n", inner, event, b"\x18", place)))
    return messages


def _quick_varint(value: int) -> bytes:
    """Encode as `varint` does, without a loop for the numbers that positions are."""
    if value < _SHORT:
        return _LENGTHS[value]
    if value < 1 << 21:
        return bytes((value & 127 | 128, value >> 7 & 127 | 128, value >> 14))
    if value < 1 << 28:
        return bytes((value & 127 | 128, value >> 7 & 127 | 128, value >> 14 & 127 | 128, value >> 21))
    return varint(value)


def _structured_id(id: bytes) -> bytes:
    return encode_uuid(0x0A, id)


def _created_prefix(size: int) -> bytes:
    """Return what stands before the digits of `created`, given how many there are."""
    return bytes((0x32, 11 + size)) + _CREATED + bytes((0x12, size))


@lru_cache(_CACHED)
def _stream(name: str) -> bytes:
    return encode_stream_identifier(0x12, name)


@lru_cache(_CACHED)
def _type(name: str) -> bytes:
    return encode_entry(0x32, b"type", name)


def encode_event(event: bytes | None, link: bytes | None, position: int, *, retry_count: int | None = None) -> bytes:
    """Encode the message that holds an event, given its record, that of the link to it, or both.

    `position` is that of the link where there is one. `retry_count` belongs to persistent subscriptions.
    """
    return block(
        0x0A,
        b"".join(
            (
                block(0x0A, event) if event is not None else b"",
                block(0x12, link) if link is not None else b"",
                number(0x18, position),
                number(0x28, retry_count) if retry_count is not None else b"",
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
            b"\n&\x12$",
            b"-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])),
            _stream(stream),
            b"\x18" + varint(revision) if revision else b"",
            b" " + place + b"(" + place if position else b"",
            _type(type),
            _USUAL_CREATED + ticks if len(ticks) == 17 else block(0x32, _CREATED + block(0x12, ticks)),
            _CONTENT_TYPES[is_json],
            block(0x3A, metadata) if metadata else b"",
            b"B" + varint(len(data)) if data else b"",
            data,
        )
    )
    size = varint(len(body))
    tail = b"\x18" + place + b"(" + varint(retry_count)
    return b"".join((b"\n", varint(1 + len(size) + len(body) + len(tail)), b"\n", size, body, tail))


def encode_confirmation(subscription_id: str) -> bytes:
    """Encode the confirmation of a subscription (of either service)."""
    return block(0x12, block(0x0A, subscription_id.encode()))


def encode_checkpoint(commit_position: int, prepare_position: int, *, now: int) -> bytes:
    """Encode a checkpoint; `now` is a number of 100-ns ticks since 1970."""
    return block(0x1A, encode_pair(commit_position, prepare_position) + _timestamp(0x1A, now))


def encode_stream_missing(stream: str) -> bytes:
    """Encode the answer to a read of a stream that does not exist."""
    return block(0x22, encode_stream_identifier(0x0A, stream))


def encode_first_position(stream_position: int) -> bytes:
    """Encode where the readable events of a stream begin."""
    return number(0x28, stream_position)


def encode_last_position(stream_position: int) -> bytes:
    """Encode the number of the last event of a stream."""
    return number(0x30, stream_position)


def encode_caught_up(*, now: int, stream_position: int | None = None, position: tuple[int, int] | None = None) -> bytes:
    """Encode that a subscription goes live; `now` in 100-ns ticks since 1970, `position` as commit and prepare."""
    return block(0x42, _progress(now, stream_position, position))


def encode_fell_behind(
    *, now: int, stream_position: int | None = None, position: tuple[int, int] | None = None
) -> bytes:
    """Encode that a subscription reads from storage again; arguments as for `encode_caught_up`."""
    return block(0x4A, _progress(now, stream_position, position))


def _progress(now: int, stream_position: int | None, position: tuple[int, int] | None) -> bytes:
    return b"".join(
        (
            _timestamp(0x0A, now),
            number(0x10, stream_position) if stream_position is not None else b"",
            block(0x1A, encode_pair(*position)) if position is not None else b"",
        )
    )


def _timestamp(tag: int, ticks: int) -> bytes:
    return block(tag, encode_pair(ticks // _TICKS, ticks % _TICKS * 100))
