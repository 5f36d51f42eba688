"""Imports/ImportEvents: its requests and its answers, in both directions. Only embedded servers have it.

Owns: ImportReq and ImportResp. Must not know: what an import does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import pack, unpack
from typing import NamedTuple

from esdb_lite_protos import tags

from esdb_lite._wire.append import Proposed, decode_proposed, decode_proposed_fields
from esdb_lite._wire.batch_append import BatchResponse, decode_batch_response
from esdb_lite._wire.primitives import (
    FIXED32,
    FIXED64,
    WireError,
    block,
    fields,
    last_of,
    number,
    read_block,
    submessage,
    tag_byte,
    text,
    varint,
)

IMPORT_EVENTS = tags.PATH_IMPORTS_IMPORT_EVENTS

_STREAMS = tags.IMPORTS_IMPORT_REQ_STREAMS
_EXPECTED = tags.IMPORTS_IMPORT_REQ_EXPECTED
_STREAM_OF = tags.IMPORTS_IMPORT_REQ_STREAM_OF
_EVENTS = tags.IMPORTS_IMPORT_REQ_EVENTS
_POSITION = tags.IMPORTS_IMPORT_RESP_COMMIT_POSITION
_REFUSAL = tags.IMPORTS_IMPORT_RESP_REFUSAL
_EVENTS_BYTE = tag_byte(_EVENTS)
_END = bytes(1)
"""No field begins like this."""
_EXPECTED_ALONE, _STREAM_OF_ALONE = _EXPECTED & ~7 | FIXED64, _STREAM_OF & ~7 | FIXED32
"""Numbers that do not come together."""


class SentImport(NamedTuple):
    """Events that are written together."""

    streams: Sequence[str]
    expected: Sequence[int]
    """Of each stream the number of its last event, or NO_STREAM, ANY, EXISTS."""
    stream_of: Sequence[int]
    """Of each event the place of its stream in `streams`."""
    events: Sequence[Proposed]


class ImportAnswer(NamedTuple):
    """What has become of them."""

    position: int
    """Commit position of the last event; 0: not known."""
    refusal: BatchResponse | None
    """Nothing was written."""


def encode_import_request(
    streams: Iterable[str], expected: Sequence[int], stream_of: Sequence[int], events: Iterable[bytes]
) -> bytes:
    """Encode an ImportReq; `events` are made by `encode_proposed`."""
    parts = [block(_STREAMS, stream.encode()) for stream in streams]
    parts.append(block(_EXPECTED, pack(f"<{len(expected)}q", *expected)))
    parts.append(block(_STREAM_OF, pack(f"<{len(stream_of)}I", *stream_of)))
    for event in events:
        parts += (_EVENTS_BYTE, varint(len(event)), event)
    return b"".join(parts)


def decode_import_request(data: bytes) -> SentImport:
    """Decode an ImportReq."""
    request = _usual_request(data) or _any_request(data)
    if len(request.expected) != len(request.streams) or len(request.stream_of) != len(request.events):
        raise WireError("not every stream has an expectation, or not every event a stream")
    if max(request.stream_of, default=-1) >= len(request.streams):
        raise WireError("an event is of a stream that is not named")
    return request


def _usual_request(data: bytes) -> SentImport | None:
    """Decode a request whose fields are in their order and not in pieces, as `encode_import_request` has them."""
    streams: list[str] = []
    at = 0
    try:
        while data[at] == _STREAMS:
            name, at = read_block(data, at + 1)
            streams.append(name.decode())
        if data[at] != _EXPECTED:
            return None
        expected, at = read_block(data, at + 1)
        if data[at] != _STREAM_OF:
            return None
        stream_of, at = read_block(data, at + 1)
        events, at = decode_proposed_fields(data + _END, at, _EVENTS)
    except (IndexError, ValueError):
        return None  # whatever it is, it is said when the message is read by the rules
    return SentImport(streams, _int64s(expected), _uint32s(stream_of), events) if at == len(data) else None


def _any_request(data: bytes) -> SentImport:
    streams: list[str] = []
    expected: list[int] = []
    stream_of: list[int] = []
    events: list[Proposed] = []
    for tag, _, raw in fields(data):
        if tag == _STREAMS:
            streams.append(text(raw))
        elif tag in (_EXPECTED, _EXPECTED_ALONE):
            expected += _int64s(raw)
        elif tag in (_STREAM_OF, _STREAM_OF_ALONE):
            stream_of += _uint32s(raw)
        elif tag == _EVENTS:
            events.append(decode_proposed(raw))
    return SentImport(streams, expected, stream_of, events)


def _int64s(data: bytes) -> Sequence[int]:
    if len(data) % 8:
        raise WireError("truncated in an expectation")
    return unpack(f"<{len(data) // 8}q", data)


def _uint32s(data: bytes) -> Sequence[int]:
    if len(data) % 4:
        raise WireError("truncated in the place of a stream")
    return unpack(f"<{len(data) // 4}I", data)


def encode_imported(position: int) -> bytes:
    """Encode the answer to events that were written."""
    return number(_POSITION, position) if position else b""


def encode_import_refusal(refusal: bytes) -> bytes:
    """Encode the answer to events that were refused; `refusal` is made by `encode_batch_error`."""
    return block(_REFUSAL, refusal)


def decode_import_answer(data: bytes) -> ImportAnswer:
    """Decode an ImportResp."""
    position, refusal = last_of(data, (_POSITION,)), submessage(data, _REFUSAL)
    return ImportAnswer(
        0 if position is None else position.value, None if refusal is None else decode_batch_response(refusal)
    )
