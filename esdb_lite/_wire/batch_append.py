"""Streams/BatchAppend: its requests and its answers, in both directions.

Owns: BatchAppendReq, BatchAppendResp and the details of an error in it. Must not know: what an append does.
What a server must tell apart stays apart: None is a field that is not there.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple, TypeGuard

from esdb_lite._wire.append import (
    ANY,
    EXISTS,
    NO_STREAM,
    AppendAnswer,
    Conflict,
    Proposed,
    decode_options,
    decode_proposed,
    decode_success,
    encode_expected,
    encode_success,
)
from esdb_lite._wire.primitives import (
    block,
    encode_pair,
    encode_stream_identifier,
    fields,
    int32,
    last_field,
    number,
    pair,
    read_block,
    remembered_identifier,
    signed,
    stream_identifier,
    text,
    varint,
)
from esdb_lite._wire.read_response import last_of
from esdb_lite._wire.uuids import WireUuid, decode_uuid, encode_uuid

BATCH_APPEND = "/event_store.client.streams.Streams/BatchAppend"

_TYPE_URL = "type.googleapis.com/"
_PACKAGE = "event_store.client."
_NANOS = 1_000_000_000
_SHORT = 256  # bytes of what is worth to be remembered, and no burden
_TEXT_ID = b"\n&\x12$"  # field 1, 38 bytes: a UUID as a text of 36 bytes
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
    """The detail itself; the `decode_` functions of this module read it."""


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
        options = b"\n" + _identifier(stream) + encode_expected(expected)
        parts.append(block(0x12, options if deadline is None else options + _duration(deadline)))
    for event in events:
        parts += (b"\x1a", _length(len(event)), event)
    if is_final:
        parts.append(b" \x01")
    return b"".join(parts)


def _is_usual(id: WireUuid | None) -> TypeGuard[str]:
    return isinstance(id, str) and len(id) == 36 and id.isascii()


def _uuid(id: WireUuid) -> bytes:
    if _is_usual(id):
        return _TEXT_ID + id.encode()
    return encode_uuid(0x0A, id)


def _identifier(name: str) -> bytes:
    """Encode a StreamIdentifier as the field after its tag."""
    return remembered_identifier(name) if len(name) <= _SHORT else encode_stream_identifier(0x0A, name)[1:]


def _duration(seconds: float) -> bytes:
    """Encode a google.protobuf.Duration; seconds and nanoseconds have the same sign."""
    nanos = round(abs(seconds) * _NANOS)
    sign = -1 if seconds < 0 else 1
    return block(0x3A, encode_pair(sign * (nanos // _NANOS), sign * (nanos % _NANOS)))


def decode_batch_request(data: bytes) -> BatchRequest:
    """Decode a BatchAppendReq."""
    return _usual_request(data) or _any_request(data)


def _usual_request(data: bytes) -> BatchRequest | None:
    """Decode a whole batch in the layout in which clients write it: an id as text, short options, events; else None."""
    try:
        if not data.startswith(_TEXT_ID) or data[40] != 0x12 or data[41] > 127:
            return None
        at = 42 + data[41]
        options = data[42:at]
        events = []
        while data[at] == 0x1A:
            event, at = read_block(data, at + 1)
            events.append(decode_proposed(event))
        if data[at:] != b" \x01":
            return None
        return BatchRequest(data[4:40].decode(), _remembered_options(options), events, True)
    except (IndexError, ValueError):
        return None  # whatever it is, it is said when the message is read by the rules


def _any_request(data: bytes) -> BatchRequest:
    correlation_id: bytes | None = None
    options: bytes | None = None
    events = []
    final = False
    for tag, value, raw in fields(data):
        if tag == 0x0A:
            correlation_id = raw if correlation_id is None else correlation_id + raw
        elif tag == 0x12:
            options = raw if options is None else options + raw
        elif tag == 0x1A:
            events.append(decode_proposed(raw))
        elif tag == 0x20:
            final = bool(value)
    return BatchRequest(
        None if correlation_id is None else decode_uuid(correlation_id),
        None if options is None else (_remembered_options if len(options) <= _SHORT else _decode_options)(options),
        events,
        final,
    )


def _decode_options(data: bytes) -> BatchOptions:
    deadline = last_of(data, {0x32, 0x3A})
    at = within = None
    if deadline is not None:
        seconds, nanos = pair(deadline.raw)
        value = signed(seconds) + int32(nanos) / _NANOS
        at, within = (value, None) if deadline.tag == 0x32 else (None, value)
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
                _TEXT_ID,
                correlation_id.encode(),
                b"\x1a",
                _SMALL[size + places],
                b"\x08",
                number_of,
                b"\x1a",
                _SMALL[size],
                b"\x08",
                place,
                b"\x10",
                place,
                b'"',
                _identifier(stream),
            )
        )
    return _response(correlation_id, block(0x1A, encode_success(revision, position)), stream)


def encode_batch_error(
    correlation_id: WireUuid | None,
    stream: str | None,
    *,
    code: int,
    message: str,
    detail: str,
    value: bytes = b"",
) -> bytes:
    """Encode the answer to a batch that was refused; `detail` names its type, `value` is made by `encode_...` below."""
    package = "google.protobuf." if detail == "Empty" else _PACKAGE
    status = b"".join(
        (
            number(0x08, code) if code else b"",
            block(0x12, message.encode()) if message else b"",
            block(0x1A, block(0x0A, f"{_TYPE_URL}{package}{detail}".encode()) + (block(0x12, value) if value else b"")),
        )
    )
    return _response(correlation_id, block(0x12, status), stream)


def _response(correlation_id: WireUuid | None, result: bytes, stream: str | None) -> bytes:
    return b"".join(
        (
            _uuid(correlation_id) if correlation_id is not None else b"",
            result,
            b'"' + _identifier(stream) if stream is not None else b"",
        )
    )


def decode_batch_response(data: bytes) -> BatchResponse:
    """Decode a BatchAppendResp."""
    return _usual_response(data) or _any_response(data)


def _usual_response(data: bytes) -> BatchResponse | None:
    """Decode a success in the layout in which servers write it: an id as text, positions, a short name; else None."""
    try:
        if not data.startswith(_TEXT_ID) or data[40] != 0x1A or data[41] > 127:
            return None
        at = 42 + data[41]
        if data[at] != 0x22 or data[at + 1] != len(data) - at - 2:
            return None
        result = decode_success(data[42:at])
        return BatchResponse(data[4:40].decode(), result, _remembered_name(data[at + 2 :]))
    except (IndexError, ValueError):
        return None  # whatever it is, it is said when the message is read by the rules


def _any_response(data: bytes) -> BatchResponse:
    parts: dict[int, bytes] = {}
    result = 0
    for tag, _, raw in fields(data):
        if tag in (0x12, 0x1A):
            if tag != result:
                parts.pop(result, None)
            result = tag
        parts[tag] = parts[tag] + raw if tag in parts else raw
    correlation_id, stream = parts.get(0x0A), parts.get(0x22)
    return BatchResponse(
        None if correlation_id is None else decode_uuid(correlation_id),
        _decode_result(result, parts.get(result, b"")),
        None if stream is None else stream_identifier(stream),
    )


_remembered_name = lru_cache(1024)(stream_identifier)


def _decode_result(tag: int, raw: bytes) -> AppendAnswer | BatchError | None:
    if not tag:
        return None
    return decode_success(raw) if tag == 0x1A else _decode_status(raw)


def _decode_status(data: bytes) -> BatchError:
    code, message, detail = 0, "", b""
    for tag, value, raw in fields(data):
        if tag == 0x08:
            code = int32(value)
        elif tag == 0x12:
            message = text(raw)
        elif tag == 0x1A:
            detail += raw
    url = text(last_field(detail, 0x0A))
    return BatchError(code, message, url.rpartition("/")[2].rpartition(".")[2], last_field(detail, 0x12))


# --- the details of errors ------------------------------------------------------------------------------------------


def encode_wrong_expected_version(current: int | None, expected: int) -> bytes:
    """Encode the detail `WrongExpectedVersion`; `expected` is as in the request."""
    state = b"\x12\0" if current is None else number(0x08, current)
    return state + (number(0x18, expected) if expected >= 0 else _EXPECTED[expected])


_EXPECTED = {ANY: b'"\0', EXISTS: b"*\0", NO_STREAM: b"2\0"}
_EXPECTED_TAGS = {0x22: ANY, 0x2A: EXISTS, 0x32: NO_STREAM}


def decode_wrong_expected_version(value: bytes) -> Conflict:
    """Decode the detail `WrongExpectedVersion`."""
    current = expected = None
    for tag, revision, _ in fields(value):
        if tag == 0x08:
            current = revision
        elif tag == 0x12:
            current = None
        elif tag == 0x18:
            expected = revision
        elif tag in _EXPECTED_TAGS:
            expected = _EXPECTED_TAGS[tag]
    return Conflict(current, expected)


def encode_stream_deleted(stream: str) -> bytes:
    """Encode the detail `StreamDeleted`."""
    return encode_stream_identifier(0x0A, stream)


def decode_stream_deleted(value: bytes) -> str:
    """Decode the name of the stream in the detail `StreamDeleted`."""
    return stream_identifier(last_field(value, 0x0A))


def encode_maximum_append_size(limit: int) -> bytes:
    """Encode the detail `MaximumAppendSizeExceeded`."""
    return number(0x08, limit)


def decode_maximum_append_size(value: bytes) -> int:
    """Decode the limit in the detail `MaximumAppendSizeExceeded`."""
    return pair(value)[0] & 0xFFFFFFFF


def encode_maximum_event_size(event_id: str, size: int, limit: int) -> bytes:
    """Encode the detail `MaximumAppendEventSizeExceeded`."""
    return block(0x0A, event_id.encode()) + number(0x10, size) + number(0x18, limit)


def decode_maximum_event_size(value: bytes) -> tuple[str, int, int]:
    """Decode the event's id, its size and the limit in the detail `MaximumAppendEventSizeExceeded`."""
    numbers = {0x10: 0, 0x18: 0}
    for tag, size, _ in fields(value):
        if tag in numbers:
            numbers[tag] = size & 0xFFFFFFFF
    return text(last_field(value, 0x0A)), numbers[0x10], numbers[0x18]


def encode_bad_request(message: str) -> bytes:
    """Encode the detail `BadRequest`."""
    return block(0x0A, message.encode())


def decode_bad_request(value: bytes) -> str:
    """Decode the text in the detail `BadRequest`."""
    return text(last_field(value, 0x0A))
