"""The answers to AppendSession and AppendRecords, both directions.

Owns: their layout; both say where each stream ends by now, and where the last record is. Must not know: more than that.

    AppendSessionResponse   1 output, repeated {1 stream, 2 stream_revision, 3 position}   2 position
    AppendRecordsResponse   1 revisions, repeated {1 stream, 2 revision}                   2 position   (all zigzag)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from esdb_lite_protos.tags import (
    V2_APPEND_RECORDS_RESPONSE_POSITION,
    V2_APPEND_RECORDS_RESPONSE_REVISIONS,
    V2_APPEND_RESPONSE_STREAM,
    V2_APPEND_RESPONSE_STREAM_REVISION,
    V2_APPEND_SESSION_RESPONSE_OUTPUT,
    V2_APPEND_SESSION_RESPONSE_POSITION,
    V2_STREAM_REVISION_REVISION,
    V2_STREAM_REVISION_STREAM,
)

from esdb_lite._wire.primitives import block, fields, number, position_at, text
from esdb_lite._wire.record_requests import unzigzag, zigzag

# Both answers have the same numbers, so that one function reads and writes them.
_STREAM, _REVISION = V2_STREAM_REVISION_STREAM, V2_STREAM_REVISION_REVISION
_PART, _POSITION = V2_APPEND_RECORDS_RESPONSE_REVISIONS, V2_APPEND_RECORDS_RESPONSE_POSITION
assert (_STREAM, _REVISION) == (V2_APPEND_RESPONSE_STREAM, V2_APPEND_RESPONSE_STREAM_REVISION)
assert (_PART, _POSITION) == (V2_APPEND_SESSION_RESPONSE_OUTPUT, V2_APPEND_SESSION_RESPONSE_POSITION)


class AppendedRecords(NamedTuple):
    """Where records are."""

    revisions: Mapping[str, int]
    """By stream: number of its last record."""
    position: int
    """Of the last record in the log; -1: it cannot be told."""


def encode_appended_records(revisions: Mapping[str, int], position: int) -> bytes:
    """Encode the answer of either call."""
    parts = [
        block(_PART, block(_STREAM, stream.encode()) + number(_REVISION, zigzag(revision)))
        for stream, revision in revisions.items()
    ]
    parts.append(number(_POSITION, zigzag(position)))
    return b"".join(parts)


def decode_appended_records(data: bytes) -> AppendedRecords:
    """Decode the answer of either call."""
    return _usual_answer(data) or _any_answer(data)


def _usual_answer(data: bytes) -> AppendedRecords | None:
    """Decode an answer in the layout in which servers write it: streams with revisions, the position; else None."""
    revisions: dict[str, int] = {}
    at = 0
    try:
        while data[at] == _PART:
            end, name = at + 2 + data[at + 1], at + 4
            revision = name + data[at + 3]
            if data[at + 1] > 127 or data[at + 2] != _STREAM or data[revision] != _REVISION:
                return None
            value, at = position_at(data, revision + 1)
            if at != end:
                return None
            revisions[data[name:revision].decode()] = unzigzag(value)
        position, end = position_at(data, at + 1)
        return AppendedRecords(revisions, unzigzag(position)) if data[at] == _POSITION and end == len(data) else None
    except (IndexError, ValueError):
        return None  # whatever it is, it is said when the answer is read by the rules


def _any_answer(data: bytes) -> AppendedRecords:
    revisions: dict[str, int] = {}
    position = 0
    for tag, value, raw in fields(data):
        if tag == _PART:
            stream, revision = _stream_revision(raw)
            revisions[stream] = revision
        elif tag == _POSITION:
            position = unzigzag(value)
    return AppendedRecords(revisions, position)


def _stream_revision(data: bytes) -> tuple[str, int]:
    stream, revision = "", 0
    for tag, value, raw in fields(data):
        if tag == _STREAM:
            stream = text(raw)
        elif tag == _REVISION:
            revision = unzigzag(value)
    return stream, revision
