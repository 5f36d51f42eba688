"""Streams/Append: its requests and its answer, in both directions.

Owns: AppendReq, AppendResp, and the proposed event, which BatchAppend has as well. Must not know: what an append does.
What a server must tell apart stays apart: None is a field that is not there.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from esdb_lite._wire.primitives import (
    MAX_UINT64,
    WireError,
    block,
    encode_entry,
    encode_pair,
    encode_stream_identifier,
    entry,
    fields,
    number,
    pair,
    position_at,
    read_block,
    stream_identifier,
    text,
    varint,
)
from esdb_lite._wire.read_response import last_of
from esdb_lite._wire.uuids import WireUuid, decode_uuid, encode_uuid

APPEND = "/event_store.client.streams.Streams/Append"

_SHORT = 256  # characters or bytes of what is worth to be remembered, and no burden
_TEXT_ID = b"\n&\x12$"  # field 1, 38 bytes: a UUID as a text of 36 bytes

NO_STREAM, ANY, EXISTS = -1, -2, -4
"""What a stream is expected to be, where that is not the number of its last event."""


class AppendOptions(NamedTuple):
    """The first request of an append."""

    stream: str | None
    expected: int | None
    """The number as sent (any uint64), or NO_STREAM, ANY, EXISTS."""


class Proposed(NamedTuple):
    """An event to be appended, as sent."""

    id: WireUuid | None
    metadata: dict[str, str]
    """What the system is to know: `type`, `content-type`."""
    custom_metadata: bytes
    data: bytes


class AppendAnswer(NamedTuple):
    """An append has succeeded."""

    revision: int | None
    """Number of the last event; None: the stream has none."""
    position: int | None
    """Commit position of the last event; None: not known."""


class Conflict(NamedTuple):
    """An append was refused because the stream is not as expected."""

    current: int | None
    """Number of the last event; None: there is none."""
    expected: int | None
    """As in `AppendOptions`; None: the server did not say."""


def encode_append_options(stream: str, expected: int) -> bytes:
    """Encode the first request of an append."""
    return block(0x0A, encode_stream_identifier(0x0A, stream) + encode_expected(expected))


def encode_expected(expected: int) -> bytes:
    """Encode the oneof of expectations, numbered 2 to 5 in AppendReq.Options and in BatchAppendReq.Options."""
    return number(0x10, expected) if expected >= 0 else _EXPECTED[expected]


_EXPECTED = {NO_STREAM: b"\x1a\0", ANY: b'"\0', EXISTS: b"*\0"}
_EXPECTED_TAGS = {0x10: None, 0x1A: NO_STREAM, 0x22: ANY, 0x2A: EXISTS}


def encode_proposed(*, id: WireUuid, type: str, content_type: str, metadata: bytes, data: bytes) -> bytes:
    """Encode an event to be appended: the part that Append and BatchAppend have in common."""
    described = _described if len(type) + len(content_type) <= _SHORT else _describe
    uuid = _TEXT_ID + id.encode() if isinstance(id, str) and len(id) == 36 and id.isascii() else encode_uuid(0x0A, id)
    return b"".join(
        (
            uuid,
            described(type, content_type),
            b"\x1a" + _length(len(metadata)) if metadata else b"",
            metadata,
            b'"' + _length(len(data)) if data else b"",
            data,
        )
    )


def _describe(type: str, content_type: str) -> bytes:
    return encode_entry(0x12, b"type", type) + encode_entry(0x12, b"content-type", content_type)


_described = lru_cache(1024)(_describe)
_length = lru_cache(4096)(varint)
_new = tuple.__new__  # where it matters: half of what the constructor of a NamedTuple takes


def encode_append_proposed(proposed: bytes) -> bytes:
    """Encode the request that carries an event, given what `encode_proposed` has made."""
    return block(0x12, proposed)


def decode_append_request(data: bytes) -> AppendOptions | Proposed | None:
    """Decode an AppendReq; None when it has no content."""
    content = last_of(data, {0x0A, 0x12})
    if content is None:
        return None
    return decode_options(content.raw) if content.tag == 0x0A else decode_proposed(content.raw)


def decode_options(data: bytes) -> AppendOptions:
    """Decode AppendReq.Options, and of BatchAppendReq.Options all but the deadline."""
    stream: bytes | None = None
    expected: int | None = None
    for tag, value, raw in fields(data):
        if tag == 0x0A:
            stream = raw if stream is None else stream + raw
        elif tag in _EXPECTED_TAGS:
            kind = _EXPECTED_TAGS[tag]
            expected = value if kind is None else kind
    return AppendOptions(None if stream is None else stream_identifier(stream), expected)


def decode_proposed(data: bytes) -> Proposed:
    """Decode a ProposedMessage of Append or BatchAppend."""
    return _usual_proposed(data) or _any_proposed(data)


def _usual_proposed(data: bytes) -> Proposed | None:
    """Decode an event in the layout in which clients write it: id as text, two entries, and payloads; else None."""
    try:
        if not data.startswith(_TEXT_ID) or data[40] != 0x12:
            return None
        second = 42 + data[41]
        at = second + 2 + data[second + 1]
        if data[second] != 0x12 or at > 40 + _SHORT:
            return None
        metadata = _two_entries(data[40:at], second - 40)
        id, end = text(data[4:40]), len(data)
        custom_metadata, at = read_block(data, at + 1) if at < end and data[at] == 0x1A else (b"", at)
        body, at = read_block(data, at + 1) if at < end and data[at] == 0x22 else (b"", at)
    except (IndexError, WireError):
        return None  # whatever it is, it is said when the message is read by the rules
    return _new(Proposed, (id, metadata.copy(), custom_metadata, body)) if at == end else None


@lru_cache(1024)
def _two_entries(data: bytes, second: int) -> dict[str, str]:
    """Decode two fields that are entries of the metadata, with lengths of one byte; the other one begins there."""
    if max(data[1], data[second + 1]) > 127 or second + 2 + data[second + 1] != len(data):
        raise WireError("not the usual fields")
    return dict((entry(data[2:second]), entry(data[second + 2 :])))


def _any_proposed(data: bytes) -> Proposed:
    id: bytes | None = None
    metadata: dict[str, str] = {}
    custom_metadata = body = b""
    for tag, _, raw in fields(data):
        if tag == 0x0A:
            id = raw if id is None else id + raw
        elif tag == 0x12:
            metadata.update((entry(raw),))
        elif tag == 0x1A:
            custom_metadata = raw
        elif tag == 0x22:
            body = raw
    return Proposed(None if id is None else decode_uuid(id), metadata, custom_metadata, body)


def encode_appended(revision: int | None, position: int | None) -> bytes:
    """Encode the answer to an append that succeeded."""
    return block(0x0A, encode_success(revision, position))


def encode_success(revision: int | None, position: int | None) -> bytes:
    """Encode the Success of AppendResp and of BatchAppendResp."""
    if revision is not None and position:
        place = varint(position)
        return b"".join(
            (b"\x08", varint(revision), b"\x1a", varint(2 + 2 * len(place)), b"\x08", place, b"\x10", place)
        )
    place = b'"\0' if position is None else block(0x1A, encode_pair(position, position))
    return (b"\x12\0" if revision is None else number(0x08, revision)) + place


def decode_success(data: bytes) -> AppendAnswer:
    """Decode the Success of AppendResp and of BatchAppendResp."""
    return _usual_success(data) or _any_success(data)


def _usual_success(data: bytes) -> AppendAnswer | None:
    """Decode a success that consists of a revision and a position, both in two numbers; else None."""
    try:
        if data[0] != 0x08:
            return None
        revision, start = position_at(data, 1)
        if data[start] != 0x1A or data[start + 1] != len(data) - start - 2 or data[start + 2] != 0x08:
            return None
        position, at = position_at(data, start + 3)
        # both positions are the same: commit and prepare
        if data[at] != 0x10 or data[at + 1 :] != data[start + 3 : at]:
            return None
    except (IndexError, WireError):
        return None
    return AppendAnswer(revision, position)


def _any_success(data: bytes) -> AppendAnswer:
    revision: int | None = None
    position: bytes | None = None
    for tag, value, raw in fields(data):
        if tag == 0x08:
            revision = value
        elif tag == 0x12:
            revision = None
        elif tag == 0x1A:
            position = raw if position is None else position + raw
        elif tag == 0x22:
            position = None
    return AppendAnswer(revision, None if position is None else pair(position)[0])


def encode_conflict(current: int | None, expected: int) -> bytes:
    """Encode the answer to an append that was refused, in its new and its old (20.6) fields.

    `expected` is as in the request.
    """
    return block(
        0x12,
        b"".join(
            (
                b"\x12\0" if current is None else number(0x08, current),
                _OLD_EXPECTED[expected] if expected < 0 else number(0x18, expected),
                b":\0" if current is None else number(0x30, current),
                _NEW_EXPECTED[expected] if expected < 0 else number(0x40, expected),
            )
        ),
    )


_OLD_EXPECTED = {NO_STREAM: number(0x18, MAX_UINT64), ANY: b'"\0', EXISTS: b"*\0"}
_NEW_EXPECTED = {NO_STREAM: b"Z\0", ANY: b"J\0", EXISTS: b"R\0"}
_EXPECTATIONS = {0x40: None, 0x4A: ANY, 0x52: EXISTS, 0x5A: NO_STREAM}
_OLD_EXPECTATIONS = {0x18: None, 0x22: ANY, 0x2A: EXISTS}


def decode_append_response(data: bytes) -> AppendAnswer | Conflict | None:
    """Decode an AppendResp; None when it has no result."""
    result = last_of(data, {0x0A, 0x12})
    if result is None:
        return None
    return decode_success(result.raw) if result.tag == 0x0A else _decode_conflict(result.raw)


def _decode_conflict(data: bytes) -> Conflict:
    current = last_of(data, {0x30, 0x3A}) or last_of(data, {0x08, 0x12})
    expected = last_of(data, _EXPECTATIONS) or last_of(data, _OLD_EXPECTATIONS)
    return Conflict(
        current.value if current is not None and current.tag in (0x30, 0x08) else None,
        None if expected is None else _expectation(expected.tag, expected.value),
    )


def _expectation(tag: int, value: int) -> int:
    kind = {**_EXPECTATIONS, **_OLD_EXPECTATIONS}[tag]
    return value if kind is None else kind
