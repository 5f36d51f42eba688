"""The requests of AppendSession and AppendRecords, both directions.

Owns: their layout. Must not know: what a stream, a state or a property may be.

    AppendRecord          1 record_id   2 properties, repeated {1 name, 2 Value}   3 schema   4 data   5 stream
    SchemaInfo            1 format (varint)   2 name   3 id
    AppendRequest         1 stream   2 records, repeated   3 expected_revision (zigzag)
    AppendRecordsRequest  1 records, repeated   2 checks, repeated {1 stream_state}
    StreamStateCheck      1 stream   2 expected_state (zigzag)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from esdb_lite_protos.tags import (
    V2_APPEND_RECORD_DATA,
    V2_APPEND_RECORD_PROPERTIES,
    V2_APPEND_RECORD_RECORD_ID,
    V2_APPEND_RECORD_SCHEMA,
    V2_APPEND_RECORD_STREAM,
    V2_APPEND_RECORDS_REQUEST_CHECKS,
    V2_APPEND_RECORDS_REQUEST_RECORDS,
    V2_APPEND_REQUEST_EXPECTED_REVISION,
    V2_APPEND_REQUEST_RECORDS,
    V2_APPEND_REQUEST_STREAM,
    V2_CONSISTENCY_CHECK_STREAM_STATE,
    V2_CONSISTENCY_CHECK_STREAM_STATE_CHECK_EXPECTED_STATE,
    V2_CONSISTENCY_CHECK_STREAM_STATE_CHECK_STREAM,
    V2_SCHEMA_INFO_FORMAT,
    V2_SCHEMA_INFO_ID,
    V2_SCHEMA_INFO_NAME,
)

from esdb_lite._wire.primitives import block, fields, int32, number, submessage, text
from esdb_lite._wire.values import Value, decode_entry, encode_entries
from esdb_lite.events import JsonValue

_SHORT = 256  # bytes of what is worth to be remembered, and no burden


class SentSchema(NamedTuple):
    """The schema of a record, as it was sent."""

    format: int = 0
    name: str = ""
    id: str | None = None


class SentRecord(NamedTuple):
    """A record, as it was sent; None: it was not."""

    id: str | None
    schema: SentSchema | None
    properties: Mapping[str, Value]
    """Of a name that comes twice: its first place, and its last value."""
    data: bytes
    stream: str | None


class SentAppend(NamedTuple):
    """One request of AppendSession: the records of one stream."""

    stream: str
    records: Sequence[SentRecord]
    expected: int | None


class SentCheck(NamedTuple):
    """A check of AppendRecords."""

    stream: str
    expected: int


class SentRecords(NamedTuple):
    """The request of AppendRecords."""

    records: Sequence[SentRecord]
    checks: Sequence[SentCheck | None]
    """None: a check without a type."""


def zigzag(value: int) -> int:
    """Turn an sint64 into the uint64 that stands for it on the wire."""
    return (value << 1) ^ (value >> 63)


def unzigzag(value: int) -> int:
    """Turn a uint64 off the wire into the sint64 that it stands for."""
    return (value >> 1) ^ -(value & 1)


# --- the client's side ------------------------------------------------------------------------------------------------


def encode_new_record(
    *,
    id: str,
    format: int,
    type: str,
    properties: Mapping[str, JsonValue],
    data: bytes,
    schema_id: str | None = None,
    stream: str | None = None,
) -> bytes:
    """Encode one record; `stream` is for AppendRecords only."""
    return b"".join(
        (
            block(V2_APPEND_RECORD_RECORD_ID, id.encode()),
            encode_entries(V2_APPEND_RECORD_PROPERTIES, properties) if properties else b"",
            (_remembered_info if len(type) <= _SHORT else _schema_info)(format, type, schema_id),
            block(V2_APPEND_RECORD_DATA, data) if data else b"",
            (_remembered_stream if stream is None or len(stream) <= _SHORT else _stream)(stream),
        )
    )


def _schema_info(format: int, type: str, id: str | None) -> bytes:
    schema = number(V2_SCHEMA_INFO_FORMAT, format) + block(V2_SCHEMA_INFO_NAME, type.encode())
    return block(V2_APPEND_RECORD_SCHEMA, schema if id is None else schema + block(V2_SCHEMA_INFO_ID, id.encode()))


_remembered_info = lru_cache(1024)(_schema_info)


def _stream(name: str | None) -> bytes:
    return b"" if name is None else block(V2_APPEND_RECORD_STREAM, name.encode())


_remembered_stream = lru_cache(1024)(_stream)


def encode_session_request(stream: str, expected: int, records: Iterable[bytes]) -> bytes:
    """Encode the records of one stream for AppendSession."""
    return b"".join(
        (
            block(V2_APPEND_REQUEST_STREAM, stream.encode()),
            *(block(V2_APPEND_REQUEST_RECORDS, record) for record in records),
            number(V2_APPEND_REQUEST_EXPECTED_REVISION, zigzag(expected)),
        )
    )


def encode_records_request(records: Iterable[bytes], checks: Iterable[tuple[str, int]]) -> bytes:
    """Encode records of any streams, and streams with their expected states, for AppendRecords."""
    parts = [block(V2_APPEND_RECORDS_REQUEST_RECORDS, record) for record in records]
    for stream, expected in checks:
        state = block(V2_CONSISTENCY_CHECK_STREAM_STATE_CHECK_STREAM, stream.encode()) + number(
            V2_CONSISTENCY_CHECK_STREAM_STATE_CHECK_EXPECTED_STATE, zigzag(expected)
        )
        parts.append(block(V2_APPEND_RECORDS_REQUEST_CHECKS, block(V2_CONSISTENCY_CHECK_STREAM_STATE, state)))
    return b"".join(parts)


# --- the server's side ------------------------------------------------------------------------------------------------


def decode_session_request(data: bytes) -> SentAppend:
    """Decode one request of AppendSession."""
    stream, expected, records = "", None, []
    for tag, value, raw in fields(data):
        if tag == V2_APPEND_REQUEST_RECORDS:
            records.append(_record(raw))
        elif tag == V2_APPEND_REQUEST_STREAM:
            stream = text(raw)
        elif tag == V2_APPEND_REQUEST_EXPECTED_REVISION:
            expected = unzigzag(value)
    return SentAppend(stream, records, expected)


def decode_records_request(data: bytes) -> SentRecords:
    """Decode the request of AppendRecords."""
    records: list[SentRecord] = []
    checks: list[SentCheck | None] = []
    for tag, _, raw in fields(data):
        if tag == V2_APPEND_RECORDS_REQUEST_RECORDS:
            records.append(_record(raw))
        elif tag == V2_APPEND_RECORDS_REQUEST_CHECKS:
            checks.append(_check(raw))
    return SentRecords(records, checks)


def _record(data: bytes) -> SentRecord:
    id = stream = schema = None
    properties: dict[str, Value] = {}
    content = b""
    for tag, _, raw in fields(data):
        if tag == V2_APPEND_RECORD_RECORD_ID:
            id = text(raw)
        elif tag == V2_APPEND_RECORD_PROPERTIES:
            name, value = decode_entry(raw)
            properties[name] = value
        elif tag == V2_APPEND_RECORD_SCHEMA:
            schema = raw if schema is None else schema + raw
        elif tag == V2_APPEND_RECORD_DATA:
            content = raw
        elif tag == V2_APPEND_RECORD_STREAM:
            stream = text(raw)
    sent = None
    if schema is not None:
        sent = (_remembered_schema if len(schema) <= _SHORT else _schema)(schema)
    return SentRecord(id, sent, properties, content, stream)


def _schema(data: bytes) -> SentSchema:
    format, name, id = 0, "", None
    for tag, value, raw in fields(data):
        if tag == V2_SCHEMA_INFO_FORMAT:
            format = int32(value)
        elif tag == V2_SCHEMA_INFO_NAME:
            name = text(raw)
        elif tag == V2_SCHEMA_INFO_ID:
            id = text(raw)
    return SentSchema(format, name, id)


_remembered_schema = lru_cache(1024)(_schema)


def _check(data: bytes) -> SentCheck | None:
    state = submessage(data, V2_CONSISTENCY_CHECK_STREAM_STATE)
    if state is None:
        return None
    stream, expected = "", 0
    for tag, value, raw in fields(state):
        if tag == V2_CONSISTENCY_CHECK_STREAM_STATE_CHECK_STREAM:
            stream = text(raw)
        elif tag == V2_CONSISTENCY_CHECK_STREAM_STATE_CHECK_EXPECTED_STATE:
            expected = unzigzag(value)
    return SentCheck(stream, expected)
