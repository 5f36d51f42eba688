"""Streams/Append: its requests and its answer, in both directions.

Owns: AppendReq, AppendResp, and the proposed event, which BatchAppend has as well. Must not know: what an append does.
What a server must tell apart stays apart: None is a field that is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from esdb_lite_protos import tags

from esdb_lite._wire.primitives import (
    MAX_UINT64,
    WireError,
    block,
    empty,
    encode_entry,
    encode_pair,
    encode_stream_identifier,
    entry,
    fields,
    last_of,
    number,
    pair,
    position_at,
    read_block,
    read_varint,
    stream_identifier,
    tag_byte,
    text,
    varint,
)
from esdb_lite._wire.uuids import WireUuid, before_text, decode_uuid, encode_uuid

APPEND = tags.PATH_STREAMS_APPEND

NO_STREAM, ANY, EXISTS = -1, -2, -4
"""What a stream is expected to be, where that is not the number of its last event."""


_OPTIONS, _PROPOSED = tags.STREAMS_APPEND_REQ_OPTIONS, tags.STREAMS_APPEND_REQ_PROPOSED_MESSAGE
# of the options, the proposed message and the success, which BatchAppend has with the same tags
_STREAM = tags.STREAMS_APPEND_REQ_OPTIONS_STREAM_IDENTIFIER
_REVISION = tags.STREAMS_APPEND_REQ_OPTIONS_REVISION
_STATES = {
    tags.STREAMS_APPEND_REQ_OPTIONS_NO_STREAM: NO_STREAM,
    tags.STREAMS_APPEND_REQ_OPTIONS_ANY: ANY,
    tags.STREAMS_APPEND_REQ_OPTIONS_STREAM_EXISTS: EXISTS,
}
_ID = tags.STREAMS_APPEND_REQ_PROPOSED_MESSAGE_ID
_METADATA = tags.STREAMS_APPEND_REQ_PROPOSED_MESSAGE_METADATA
_CUSTOM_METADATA = tags.STREAMS_APPEND_REQ_PROPOSED_MESSAGE_CUSTOM_METADATA
_DATA = tags.STREAMS_APPEND_REQ_PROPOSED_MESSAGE_DATA
_CURRENT_REVISION = tags.STREAMS_APPEND_RESP_SUCCESS_CURRENT_REVISION
_CURRENT_NO_STREAM = tags.STREAMS_APPEND_RESP_SUCCESS_NO_STREAM
_POSITION = tags.STREAMS_APPEND_RESP_SUCCESS_POSITION
_NO_POSITION = tags.STREAMS_APPEND_RESP_SUCCESS_NO_POSITION
_COMMIT = tags.STREAMS_APPEND_RESP_POSITION_COMMIT_POSITION
_PREPARE = tags.STREAMS_APPEND_RESP_POSITION_PREPARE_POSITION

_SUCCESS = tags.STREAMS_APPEND_RESP_SUCCESS
_CONFLICT = tags.STREAMS_APPEND_RESP_WRONG_EXPECTED_VERSION
_CONFLICT_REVISION = tags.STREAMS_APPEND_RESP_WRONG_EXPECTED_VERSION_CURRENT_REVISION
_CONFLICT_NO_STREAM = tags.STREAMS_APPEND_RESP_WRONG_EXPECTED_VERSION_CURRENT_NO_STREAM
_CONFLICT_EXPECTED = tags.STREAMS_APPEND_RESP_WRONG_EXPECTED_VERSION_EXPECTED_REVISION
_CONFLICT_STATES = {
    tags.STREAMS_APPEND_RESP_WRONG_EXPECTED_VERSION_EXPECTED_ANY: ANY,
    tags.STREAMS_APPEND_RESP_WRONG_EXPECTED_VERSION_EXPECTED_STREAM_EXISTS: EXISTS,
    tags.STREAMS_APPEND_RESP_WRONG_EXPECTED_VERSION_EXPECTED_NO_STREAM: NO_STREAM,
}
# the same before 20.6: no stream is the revision -1
_OLD_REVISION = tags.STREAMS_APPEND_RESP_WRONG_EXPECTED_VERSION_CURRENT_REVISION_20_6_0
_OLD_NO_STREAM = tags.STREAMS_APPEND_RESP_WRONG_EXPECTED_VERSION_NO_STREAM_20_6_0
_OLD_EXPECTED = tags.STREAMS_APPEND_RESP_WRONG_EXPECTED_VERSION_EXPECTED_REVISION_20_6_0
_OLD_STATES = {
    tags.STREAMS_APPEND_RESP_WRONG_EXPECTED_VERSION_ANY_20_6_0: ANY,
    tags.STREAMS_APPEND_RESP_WRONG_EXPECTED_VERSION_STREAM_EXISTS_20_6_0: EXISTS,
}

_SHORT = 256  # characters or bytes of what is worth to be remembered, and no burden
_BEFORE_ID = before_text(_ID)
_ID_END = len(_BEFORE_ID) + 36
_CUSTOM_METADATA_BYTE, _DATA_BYTE = tag_byte(_CUSTOM_METADATA), tag_byte(_DATA)
_REVISION_BYTE, _POSITION_BYTE = tag_byte(_CURRENT_REVISION), tag_byte(_POSITION)
_COMMIT_BYTE, _PREPARE_BYTE = tag_byte(_COMMIT), tag_byte(_PREPARE)
_STATE_FIELDS = {state: empty(tag) for tag, state in _STATES.items()}


class AppendOptions(NamedTuple):
    """The first request of an append."""

    stream: str | None
    expected: int | None
    """The number as sent (any uint64), or NO_STREAM, ANY, EXISTS."""


class Proposed(NamedTuple):
    """An event to be appended, as sent."""

    id: WireUuid | None
    metadata: Mapping[str, str]
    """What the system is to know: `type`, `content-type`. Of events that say the same it may be the same object."""
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
    return block(_OPTIONS, encode_stream_identifier(_STREAM, stream) + encode_expected(expected))


def encode_expected(expected: int) -> bytes:
    """Encode the oneof of expectations of AppendReq.Options and of BatchAppendReq.Options."""
    return number(_REVISION, expected) if expected >= 0 else _STATE_FIELDS[expected]


def encode_proposed(*, id: WireUuid, type: str, content_type: str, metadata: bytes, data: bytes) -> bytes:
    """Encode an event to be appended: the part that Append and BatchAppend have in common."""
    described = _described if len(type) + len(content_type) <= _SHORT else _describe
    uuid = _BEFORE_ID + id.encode() if isinstance(id, str) and len(id) == 36 and id.isascii() else encode_uuid(_ID, id)
    return b"".join(
        (
            uuid,
            described(type, content_type),
            _CUSTOM_METADATA_BYTE + _length(len(metadata)) if metadata else b"",
            metadata,
            _DATA_BYTE + _length(len(data)) if data else b"",
            data,
        )
    )


def _describe(type: str, content_type: str) -> bytes:
    return encode_entry(_METADATA, b"type", type) + encode_entry(_METADATA, b"content-type", content_type)


_described = lru_cache(1024)(_describe)
_length = lru_cache(4096)(varint)
_new = tuple.__new__  # where it matters: half of what the constructor of a NamedTuple takes


def encode_append_proposed(proposed: bytes) -> bytes:
    """Encode the request that carries an event, given what `encode_proposed` has made."""
    return block(_PROPOSED, proposed)


def decode_append_request(data: bytes) -> AppendOptions | Proposed | None:
    """Decode an AppendReq; None when it has no content."""
    content = last_of(data, (_OPTIONS, _PROPOSED))
    if content is None:
        return None
    return decode_options(content.raw) if content.tag == _OPTIONS else decode_proposed(content.raw)


def decode_options(data: bytes) -> AppendOptions:
    """Decode AppendReq.Options, and of BatchAppendReq.Options all but the deadline."""
    stream: bytes | None = None
    expected: int | None = None
    for tag, value, raw in fields(data):
        if tag == _STREAM:
            stream = raw if stream is None else stream + raw
        elif tag == _REVISION:
            expected = value
        elif tag in _STATES:
            expected = _STATES[tag]
    return AppendOptions(None if stream is None else stream_identifier(stream), expected)


def decode_proposed(data: bytes) -> Proposed:
    """Decode a ProposedMessage of Append or BatchAppend."""
    return _usual_proposed(data) or _any_proposed(data)


def _usual_proposed(data: bytes) -> Proposed | None:
    """Decode an event in the layout in which clients write it: id as text, two entries, and payloads; else None."""
    try:
        if not data.startswith(_BEFORE_ID) or data[_ID_END] != _METADATA:
            return None
        second = _ID_END + 2 + data[_ID_END + 1]
        at = second + 2 + data[second + 1]
        if data[second] != _METADATA or at > _ID_END + _SHORT:
            return None
        metadata = _two_entries(data[_ID_END:at], second - _ID_END)
        id, end = text(data[len(_BEFORE_ID) : _ID_END]), len(data)
        custom_metadata, at = read_block(data, at + 1) if at < end and data[at] == _CUSTOM_METADATA else (b"", at)
        body, at = read_block(data, at + 1) if at < end and data[at] == _DATA else (b"", at)
    except (IndexError, WireError):
        return None  # whatever it is, it is said when the message is read by the rules
    return _new(Proposed, (id, metadata, custom_metadata, body)) if at == end else None


def decode_proposed_fields(data: bytes, at: int, tag: int) -> tuple[list[Proposed], int]:
    """Decode the ProposedMessages that follow each other from `at`, with this tag; return them, and where they end.

    Raises IndexError or ValueError where they do not end where they say.
    """
    events: list[Proposed] = []
    described, metadata = b"", _NOTHING
    before, id_end = len(_BEFORE_ID), _ID_END  # from the start of an event
    after = id_end
    while data[at] == tag:
        # Lengths of one or two bytes are read here and not by calls, which would take a quarter of the time.
        size, start = data[at + 1], at + 2
        if size > 127:
            more = data[start]
            size, start = (size + (more << 7) - 128, start + 1) if more < 128 else read_varint(data, at + 1)
        end = start + size
        # Most say the same of themselves as the one before.
        if described and data.startswith(_BEFORE_ID, start) and data.startswith(described, start + id_end):
            custom_metadata = body = b""
            at = start + after
            if at < end and data[at] == _CUSTOM_METADATA:
                size, at = data[at + 1], at + 2
                if size > 127:
                    more = data[at]
                    size, at = (size + (more << 7) - 128, at + 1) if more < 128 else read_varint(data, at - 1)
                custom_metadata = data[at : at + size]
                at += size
            if at < end and data[at] == _DATA:
                size, at = data[at + 1], at + 2
                if size > 127:
                    more = data[at]
                    size, at = (size + (more << 7) - 128, at + 1) if more < 128 else read_varint(data, at - 1)
                body = data[at : at + size]
                at += size
            if at == end:
                id = data[start + before : start + id_end].decode()
                events.append(_new(Proposed, (id, metadata, custom_metadata, body)))
                continue
        event = data[start:end]
        proposed = decode_proposed(event)
        events.append(proposed)
        described, metadata = _described_in(event, proposed), proposed.metadata
        after = id_end + len(described)
        at = end
    return events, at


_NOTHING: Mapping[str, str] = MappingProxyType({})


def _described_in(event: bytes, proposed: Proposed) -> bytes:
    """The two entries of an event in the usual layout; of others, nothing."""
    if not isinstance(proposed.metadata, MappingProxyType):
        return b""
    second = _ID_END + 2 + event[_ID_END + 1]
    return event[_ID_END : second + 2 + event[second + 1]]


@lru_cache(1024)
def _two_entries(data: bytes, second: int) -> Mapping[str, str]:
    """Decode two fields that are entries of the metadata, with lengths of one byte; the other one begins there."""
    if max(data[1], data[second + 1]) > 127 or second + 2 + data[second + 1] != len(data):
        raise WireError("not the usual fields")
    return MappingProxyType(dict((entry(data[2:second]), entry(data[second + 2 :]))))


def _any_proposed(data: bytes) -> Proposed:
    id: bytes | None = None
    metadata: dict[str, str] = {}
    custom_metadata = body = b""
    for tag, _, raw in fields(data):
        if tag == _ID:
            id = raw if id is None else id + raw
        elif tag == _METADATA:
            metadata.update((entry(raw),))
        elif tag == _CUSTOM_METADATA:
            custom_metadata = raw
        elif tag == _DATA:
            body = raw
    return Proposed(None if id is None else decode_uuid(id), metadata, custom_metadata, body)


def encode_appended(revision: int | None, position: int | None) -> bytes:
    """Encode the answer to an append that succeeded."""
    return block(_SUCCESS, encode_success(revision, position))


def encode_success(revision: int | None, position: int | None) -> bytes:
    """Encode the Success of AppendResp and of BatchAppendResp."""
    if revision is not None and position:
        place = varint(position)
        size = varint(2 + 2 * len(place))
        return b"".join(
            (_REVISION_BYTE, varint(revision), _POSITION_BYTE, size, _COMMIT_BYTE, place, _PREPARE_BYTE, place)
        )
    place = empty(_NO_POSITION) if position is None else block(_POSITION, encode_pair(position, position))
    return (empty(_CURRENT_NO_STREAM) if revision is None else number(_CURRENT_REVISION, revision)) + place


def decode_success(data: bytes) -> AppendAnswer:
    """Decode the Success of AppendResp and of BatchAppendResp."""
    return _usual_success(data) or _any_success(data)


def _usual_success(data: bytes) -> AppendAnswer | None:
    """Decode a success that consists of a revision and a position, both in two numbers; else None."""
    try:
        if data[0] != _CURRENT_REVISION:
            return None
        revision, start = position_at(data, 1)
        if data[start] != _POSITION or data[start + 1] != len(data) - start - 2 or data[start + 2] != _COMMIT:
            return None
        position, at = position_at(data, start + 3)
        # both positions are the same: commit and prepare
        if data[at] != _PREPARE or data[at + 1 :] != data[start + 3 : at]:
            return None
    except (IndexError, WireError):
        return None
    return AppendAnswer(revision, position)


def _any_success(data: bytes) -> AppendAnswer:
    revision: int | None = None
    position: bytes | None = None
    for tag, value, raw in fields(data):
        if tag == _CURRENT_REVISION:
            revision = value
        elif tag == _CURRENT_NO_STREAM:
            revision = None
        elif tag == _POSITION:
            position = raw if position is None else position + raw
        elif tag == _NO_POSITION:
            position = None
    return AppendAnswer(revision, None if position is None else pair(position)[0])


def encode_conflict(current: int | None, expected: int) -> bytes:
    """Encode the answer to an append that was refused, in its new and its old (20.6) fields.

    `expected` is as in the request.
    """
    return block(
        _CONFLICT,
        b"".join(
            (
                empty(_OLD_NO_STREAM) if current is None else number(_OLD_REVISION, current),
                _OLD_STATE_FIELDS[expected] if expected < 0 else number(_OLD_EXPECTED, expected),
                empty(_CONFLICT_NO_STREAM) if current is None else number(_CONFLICT_REVISION, current),
                _CONFLICT_STATE_FIELDS[expected] if expected < 0 else number(_CONFLICT_EXPECTED, expected),
            )
        ),
    )


_CONFLICT_STATE_FIELDS = {state: empty(tag) for tag, state in _CONFLICT_STATES.items()}
_OLD_STATE_FIELDS = {
    NO_STREAM: number(_OLD_EXPECTED, MAX_UINT64),
    **{state: empty(tag) for tag, state in _OLD_STATES.items()},
}


def decode_append_response(data: bytes) -> AppendAnswer | Conflict | None:
    """Decode an AppendResp; None when it has no result."""
    result = last_of(data, (_SUCCESS, _CONFLICT))
    if result is None:
        return None
    return decode_success(result.raw) if result.tag == _SUCCESS else _decode_conflict(result.raw)


def _decode_conflict(data: bytes) -> Conflict:
    current = last_of(data, (_CONFLICT_REVISION, _CONFLICT_NO_STREAM)) or last_of(data, (_OLD_REVISION, _OLD_NO_STREAM))
    expected = last_of(data, (_CONFLICT_EXPECTED, *_CONFLICT_STATES)) or last_of(data, (_OLD_EXPECTED, *_OLD_STATES))
    return Conflict(
        current.value if current is not None and current.tag in (_CONFLICT_REVISION, _OLD_REVISION) else None,
        None if expected is None else {**_CONFLICT_STATES, **_OLD_STATES}.get(expected.tag, expected.value),
    )
