"""Streams/BatchAppend: its requests and its answers, in both directions.

Owns: BatchAppendReq, BatchAppendResp and the details of an error that a client reads. Must not know: what an append
does.
What a server must tell apart stays apart: None is a field that is not there.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple, TypeGuard

from esdb_lite_protos import tags

from esdb_lite._wire.append import (
    ANY,
    EXISTS,
    NO_STREAM,
    AppendAnswer,
    Conflict,
    Proposed,
    decode_options,
    decode_proposed,
    decode_proposed_fields,
    decode_success,
    encode_expected,
    encode_success,
)
from esdb_lite._wire.primitives import (
    block,
    empty,
    encode_pair,
    encode_stream_identifier,
    fields,
    int32,
    last_field,
    last_of,
    number,
    pair,
    remembered_identifier,
    signed,
    stream_identifier,
    tag_byte,
    text,
    uint32,
    varint,
)
from esdb_lite._wire.uuids import WireUuid, before_text, decode_uuid, encode_uuid

BATCH_APPEND = tags.PATH_STREAMS_BATCH_APPEND

_ID = tags.STREAMS_BATCH_APPEND_REQ_CORRELATION_ID  # in the answer, too
_OPTIONS = tags.STREAMS_BATCH_APPEND_REQ_OPTIONS
_EVENTS = tags.STREAMS_BATCH_APPEND_REQ_PROPOSED_MESSAGES
_IS_FINAL = tags.STREAMS_BATCH_APPEND_REQ_IS_FINAL
_OPTIONS_STREAM = tags.STREAMS_BATCH_APPEND_REQ_OPTIONS_STREAM_IDENTIFIER
_DEADLINE_AT = tags.STREAMS_BATCH_APPEND_REQ_OPTIONS_DEADLINE_21_10_0
_DEADLINE_IN = tags.STREAMS_BATCH_APPEND_REQ_OPTIONS_DEADLINE

_ERROR, _SUCCESS = tags.STREAMS_BATCH_APPEND_RESP_ERROR, tags.STREAMS_BATCH_APPEND_RESP_SUCCESS
_STREAM = tags.STREAMS_BATCH_APPEND_RESP_STREAM_IDENTIFIER
_REVISION = tags.STREAMS_BATCH_APPEND_RESP_SUCCESS_CURRENT_REVISION
_POSITION = tags.STREAMS_BATCH_APPEND_RESP_SUCCESS_POSITION
_COMMIT = tags.SHARED_ALL_STREAM_POSITION_COMMIT_POSITION
_PREPARE = tags.SHARED_ALL_STREAM_POSITION_PREPARE_POSITION

_CODE, _MESSAGE, _DETAILS = tags.RPC_STATUS_CODE, tags.RPC_STATUS_MESSAGE, tags.RPC_STATUS_DETAILS
_URL, _VALUE = tags.PROTOBUF_ANY_TYPE_URL, tags.PROTOBUF_ANY_VALUE
_CURRENT = tags.SHARED_WRONG_EXPECTED_VERSION_CURRENT_STREAM_REVISION
_CURRENT_NO_STREAM = tags.SHARED_WRONG_EXPECTED_VERSION_CURRENT_NO_STREAM
_EXPECTED = tags.SHARED_WRONG_EXPECTED_VERSION_EXPECTED_STREAM_POSITION
_STATES = {
    tags.SHARED_WRONG_EXPECTED_VERSION_EXPECTED_ANY: ANY,
    tags.SHARED_WRONG_EXPECTED_VERSION_EXPECTED_STREAM_EXISTS: EXISTS,
    tags.SHARED_WRONG_EXPECTED_VERSION_EXPECTED_NO_STREAM: NO_STREAM,
}
_EVENT_ID = tags.SHARED_MAXIMUM_APPEND_EVENT_SIZE_EXCEEDED_EVENT_ID
_EVENT_SIZE = tags.SHARED_MAXIMUM_APPEND_EVENT_SIZE_EXCEEDED_PROPOSED_EVENT_SIZE
_MAX_EVENT_SIZE = tags.SHARED_MAXIMUM_APPEND_EVENT_SIZE_EXCEEDED_MAX_APPEND_EVENT_SIZE

_TYPE_URL = "type.googleapis.com/"
_PACKAGE = "event_store.client."
_NANOS = 1_000_000_000
_SHORT = 256  # bytes of what is worth to be remembered, and no burden
_BEFORE_ID = before_text(_ID)
_ID_AT, _ID_END = len(_BEFORE_ID), len(_BEFORE_ID) + 36
_FINAL = number(_IS_FINAL, 1)
_OPTIONS_STREAM_BYTE, _EVENTS_BYTE, _SUCCESS_BYTE = map(tag_byte, (_OPTIONS_STREAM, _EVENTS, _SUCCESS))
_REVISION_BYTE, _POSITION_BYTE, _STREAM_BYTE = map(tag_byte, (_REVISION, _POSITION, _STREAM))
_COMMIT_BYTE, _PREPARE_BYTE = map(tag_byte, (_COMMIT, _PREPARE))
_SMALL = [bytes((value,)) for value in range(64)]
_length = lru_cache(4096)(varint)


class BatchOptions(NamedTuple):
    """What a batch is for; its first chunk carries it."""

    stream: str | None
    expected: int | None
    """The number as sent (any uint64), or NO_STREAM, ANY, EXISTS."""
    deadline_at: float | None
    """Seconds since 1970 (what 21.10 understands)."""
    deadline_in: float | None
    """Seconds from now."""


class BatchRequest(NamedTuple):
    """One chunk of a batch."""

    correlation_id: WireUuid | None
    options: BatchOptions | None
    events: list[Proposed]
    is_final: bool


class BatchError(NamedTuple):
    """A batch was refused: google.rpc.Status with one detail."""

    code: int
    message: str
    detail: str
    """Name of the detail's type without its package: `WrongExpectedVersion`, `StreamDeleted`, ...; "" for none."""
    value: bytes
    """The detail itself; the `decode_` functions of this module read those that say more than their name."""


class BatchResponse(NamedTuple):
    """The answer to a batch."""

    correlation_id: WireUuid | None
    result: AppendAnswer | BatchError | None
    stream: str | None


def encode_batch_request(
    correlation_id: WireUuid,
    events: Iterable[bytes],
    *,
    stream: str | None = None,
    expected: int = ANY,
    deadline: float | None = None,
    is_final: bool = True,
) -> bytes:
    """Encode one chunk of a batch; `stream` (with `expected` and `deadline`, in seconds) belongs to the first.

    `events` are made by `encode_proposed`.
    """
    parts = [_uuid(correlation_id)]
    if stream is not None:
        options = _OPTIONS_STREAM_BYTE + _identifier(stream) + encode_expected(expected)
        parts.append(block(_OPTIONS, options if deadline is None else options + _duration(deadline)))
    for event in events:
        parts += (_EVENTS_BYTE, _length(len(event)), event)
    if is_final:
        parts.append(_FINAL)
    return b"".join(parts)


def _is_usual(id: WireUuid | None) -> TypeGuard[str]:
    return isinstance(id, str) and len(id) == 36 and id.isascii()


def _uuid(id: WireUuid) -> bytes:
    if _is_usual(id):
        return _BEFORE_ID + id.encode()
    return encode_uuid(_ID, id)


def _identifier(name: str) -> bytes:
    """Encode a StreamIdentifier as the field after its tag."""
    return remembered_identifier(name) if len(name) <= _SHORT else encode_stream_identifier(_OPTIONS_STREAM, name)[1:]


def _duration(seconds: float) -> bytes:
    """Encode a google.protobuf.Duration; seconds and nanoseconds have the same sign."""
    nanos = round(abs(seconds) * _NANOS)
    sign = -1 if seconds < 0 else 1
    return block(_DEADLINE_IN, encode_pair(sign * (nanos // _NANOS), sign * (nanos % _NANOS)))


def decode_batch_request(data: bytes) -> BatchRequest:
    """Decode a BatchAppendReq."""
    return _usual_request(data) or _any_request(data)


def _usual_request(data: bytes) -> BatchRequest | None:
    """Decode a whole batch in the layout in which clients write it: an id as text, short options, events; else None."""
    try:
        if not data.startswith(_BEFORE_ID) or data[_ID_END] != _OPTIONS or data[_ID_END + 1] > 127:
            return None
        at = _ID_END + 2 + data[_ID_END + 1]
        options = data[_ID_END + 2 : at]
        events, at = decode_proposed_fields(data, at, _EVENTS)
        if data[at:] != _FINAL:
            return None
        return BatchRequest(data[_ID_AT:_ID_END].decode(), _remembered_options(options), events, True)
    except (IndexError, ValueError):
        return None  # whatever it is, it is said when the message is read by the rules


def _any_request(data: bytes) -> BatchRequest:
    correlation_id: bytes | None = None
    options: bytes | None = None
    events = []
    final = False
    for tag, value, raw in fields(data):
        if tag == _ID:
            correlation_id = raw if correlation_id is None else correlation_id + raw
        elif tag == _OPTIONS:
            options = raw if options is None else options + raw
        elif tag == _EVENTS:
            events.append(decode_proposed(raw))
        elif tag == _IS_FINAL:
            final = bool(value)
    return BatchRequest(
        None if correlation_id is None else decode_uuid(correlation_id),
        None if options is None else (_remembered_options if len(options) <= _SHORT else _decode_options)(options),
        events,
        final,
    )


def _decode_options(data: bytes) -> BatchOptions:
    deadline = last_of(data, (_DEADLINE_AT, _DEADLINE_IN))
    at = within = None
    if deadline is not None:
        seconds, nanos = pair(deadline.raw)
        value = signed(seconds) + int32(nanos) / _NANOS
        at, within = (value, None) if deadline.tag == _DEADLINE_AT else (None, value)
    return BatchOptions(*decode_options(data), at, within)


_remembered_options = lru_cache(1024)(_decode_options)


def encode_batch_success(
    correlation_id: WireUuid | None, stream: str | None, revision: int | None, position: int | None
) -> bytes:
    """Encode the answer to a batch that was appended."""
    if revision is not None and position and stream and _is_usual(correlation_id):
        # what `_response` comes to, in one go
        number_of, place = varint(revision), varint(position)
        size, places = 2 * len(place) + 2, len(number_of) + 3
        return b"".join(
            (
                _BEFORE_ID,
                correlation_id.encode(),
                _SUCCESS_BYTE,
                _SMALL[size + places],
                _REVISION_BYTE,
                number_of,
                _POSITION_BYTE,
                _SMALL[size],
                _COMMIT_BYTE,
                place,
                _PREPARE_BYTE,
                place,
                _STREAM_BYTE,
                _identifier(stream),
            )
        )
    return _response(correlation_id, block(_SUCCESS, encode_success(revision, position)), stream)


def encode_batch_error(
    correlation_id: WireUuid | None,
    stream: str | None,
    *,
    code: int,
    message: str,
    detail: str,
    value: bytes = b"",
) -> bytes:
    """Encode the answer to a batch that was refused; `detail` names its type, `value` is the detail itself."""
    package = "google.protobuf." if detail == "Empty" else _PACKAGE
    url = block(_URL, f"{_TYPE_URL}{package}{detail}".encode())
    status = b"".join(
        (
            number(_CODE, code) if code else b"",
            block(_MESSAGE, message.encode()) if message else b"",
            block(_DETAILS, url + (block(_VALUE, value) if value else b"")),
        )
    )
    return _response(correlation_id, block(_ERROR, status), stream)


def _response(correlation_id: WireUuid | None, result: bytes, stream: str | None) -> bytes:
    return b"".join(
        (
            _uuid(correlation_id) if correlation_id is not None else b"",
            result,
            _STREAM_BYTE + _identifier(stream) if stream is not None else b"",
        )
    )


def decode_batch_response(data: bytes) -> BatchResponse:
    """Decode a BatchAppendResp."""
    return _usual_response(data) or _any_response(data)


def _usual_response(data: bytes) -> BatchResponse | None:
    """Decode a success in the layout in which servers write it: an id as text, positions, a short name; else None."""
    try:
        if not data.startswith(_BEFORE_ID) or data[_ID_END] != _SUCCESS or data[_ID_END + 1] > 127:
            return None
        at = _ID_END + 2 + data[_ID_END + 1]
        if data[at] != _STREAM or data[at + 1] != len(data) - at - 2:
            return None
        result = decode_success(data[_ID_END + 2 : at])
        return BatchResponse(data[_ID_AT:_ID_END].decode(), result, _remembered_name(data[at + 2 :]))
    except (IndexError, ValueError):
        return None  # whatever it is, it is said when the message is read by the rules


def _any_response(data: bytes) -> BatchResponse:
    parts: dict[int, bytes] = {}
    result = 0
    for tag, _, raw in fields(data):
        if tag in (_ERROR, _SUCCESS):
            if tag != result:
                parts.pop(result, None)
            result = tag
        parts[tag] = parts[tag] + raw if tag in parts else raw
    correlation_id, stream = parts.get(_ID), parts.get(_STREAM)
    return BatchResponse(
        None if correlation_id is None else decode_uuid(correlation_id),
        _decode_result(result, parts.get(result, b"")),
        None if stream is None else stream_identifier(stream),
    )


_remembered_name = lru_cache(1024)(stream_identifier)


def _decode_result(tag: int, raw: bytes) -> AppendAnswer | BatchError | None:
    if not tag:
        return None
    return decode_success(raw) if tag == _SUCCESS else _decode_status(raw)


def _decode_status(data: bytes) -> BatchError:
    code, message, detail = 0, "", b""
    for tag, value, raw in fields(data):
        if tag == _CODE:
            code = int32(value)
        elif tag == _MESSAGE:
            message = text(raw)
        elif tag == _DETAILS:
            detail += raw
    url = text(last_field(detail, _URL))
    return BatchError(code, message, url.rpartition("/")[2].rpartition(".")[2], last_field(detail, _VALUE))


# --- the details of errors ------------------------------------------------------------------------------------------


def encode_wrong_expected_version(current: int | None, expected: int) -> bytes:
    """Encode the detail `WrongExpectedVersion`; `expected` is as in the request."""
    state = empty(_CURRENT_NO_STREAM) if current is None else number(_CURRENT, current)
    return state + (number(_EXPECTED, expected) if expected >= 0 else _STATE_FIELDS[expected])


_STATE_FIELDS = {state: empty(tag) for tag, state in _STATES.items()}


def decode_wrong_expected_version(value: bytes) -> Conflict:
    """Decode the detail `WrongExpectedVersion`."""
    current, expected = last_of(value, (_CURRENT, _CURRENT_NO_STREAM)), last_of(value, (_EXPECTED, *_STATES))
    return Conflict(
        current.value if current is not None and current.tag == _CURRENT else None,
        None if expected is None else _STATES.get(expected.tag, expected.value),
    )


def decode_bad_request(value: bytes) -> str:
    """Decode what is wrong with a request from the detail `BadRequest`."""
    return text(last_field(value, tags.SHARED_BAD_REQUEST_MESSAGE))


def decode_maximum_append_size(value: bytes) -> int:
    """Decode the limit in the detail `MaximumAppendSizeExceeded`."""
    return uint32(pair(value)[0])  # the limit is the only field, and the first


def decode_maximum_event_size(value: bytes) -> tuple[str, int, int]:
    """Decode the event's id, its size and the limit in the detail `MaximumAppendEventSizeExceeded`."""
    numbers = {_EVENT_SIZE: 0, _MAX_EVENT_SIZE: 0}
    for tag, size, _ in fields(value):
        if tag in numbers:
            numbers[tag] = uint32(size)
    return text(last_field(value, _EVENT_ID)), numbers[_EVENT_SIZE], numbers[_MAX_EVENT_SIZE]
