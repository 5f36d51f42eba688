"""What a caller can say of records, checks and properties."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from esdb_lite import InvalidArgument, NewEvent, NewRecord, StreamAppend, StreamCheck, StreamState, WrongArgumentType
from esdb_lite.events import RecordedEvent
from esdb_lite.records import RecordSchema, SchemaFormat


@pytest.mark.parametrize(
    ("make", "argument", "kind"),
    [
        (lambda: NewRecord("", "T"), "stream_name", InvalidArgument),
        (lambda: NewRecord("$$", "T"), "stream_name", InvalidArgument),
        (lambda: NewRecord("\ud800", "T"), "stream_name", InvalidArgument),
        (lambda: NewRecord(1, "T"), "stream_name", WrongArgumentType),  # type: ignore[arg-type]
        (lambda: NewRecord("s", ""), "type", InvalidArgument),
        (lambda: NewRecord("s", "a b"), "type", InvalidArgument),
        (lambda: NewRecord("s", "e\u0301"), "type", InvalidArgument),
        (lambda: NewRecord("s", "\U0001f600"), "type", InvalidArgument),
        (lambda: NewRecord("s", "T", "text"), "data", WrongArgumentType),  # type: ignore[arg-type]
        (lambda: NewRecord("s", "T", b"", []), "properties", WrongArgumentType),  # type: ignore[arg-type]
        (lambda: NewRecord("s", "T", b"", {"": 1}), "properties", InvalidArgument),
        (lambda: NewRecord("s", "T", b"", {"$schema.name": 1}), "properties", InvalidArgument),
        (lambda: NewRecord("s", "T", b"", {1: 1}), "properties", WrongArgumentType),  # type: ignore[dict-item]
        (lambda: NewRecord("s", "T", b"", {"a": b"1"}), "properties", WrongArgumentType),
        (lambda: NewRecord("s", "T", b"", {"a": {"b": [{1}]}}), "properties", WrongArgumentType),  # type: ignore
        (lambda: NewRecord("s", "T", b"", {"a": float("nan")}), "properties", InvalidArgument),
        (lambda: NewRecord("s", "T", b"", {"a": 2**53 + 1}), "properties", InvalidArgument),
        (lambda: NewRecord("s", "T", b"", {"a": 10**400}), "properties", InvalidArgument),
        (lambda: NewRecord("s", "T", format="json"), "format", WrongArgumentType),  # type: ignore[arg-type]
        (lambda: NewRecord("s", "T", schema_id="id"), "schema_id", WrongArgumentType),  # type: ignore[arg-type]
        (lambda: NewRecord("s", "T", id=UUID(int=0)), "id", InvalidArgument),
        (lambda: StreamAppend("s", StreamState.DELETED, []), "expected_position", InvalidArgument),
        (lambda: StreamAppend("s", None, ["e"]), "events", WrongArgumentType),  # type: ignore[list-item]
        (lambda: StreamCheck("s", StreamState.ANY), "state", InvalidArgument),
        (lambda: StreamCheck("s", -2), "state", InvalidArgument),
        (lambda: StreamCheck("", 0), "stream_name", InvalidArgument),
    ],
)
def test_what_is_refused(make: Any, argument: str, kind: type[InvalidArgument]) -> None:
    with pytest.raises(kind) as caught:
        make()
    assert caught.value.argument == argument


def test_what_is_taken() -> None:
    properties = {"n": 2**53, "large": 2**60, "x": 1e308, "l": ({"a": None},), "$custom": "x"}
    record = NewRecord("s", "Größe_1.$:-²日", bytearray(b"1"), properties)
    assert (record.data, record.properties) == (b"1", properties)
    assert record.id != NewRecord("s", "T").id
    event = NewEvent("T", b"")
    assert StreamAppend("s", -2, event).events == StreamAppend("s", None, iter([event])).events == (event,)


@pytest.mark.parametrize(
    ("metadata", "properties", "schema"),
    [
        (b"", {}, None),
        (b"{", {}, None),
        (b"[1]", {}, None),
        (b'{"a": 1}', {"a": 1}, None),
        (b'{ "a": 1, "$schema.name": "T" }', {"a": 1}, None),
        (
            b'{ "a": 1, "$schema.name": "T", "$schema.format": "Json" }',
            {"a": 1},
            RecordSchema("T", SchemaFormat.JSON),
        ),
        (
            b'{ "$schema.format": "Bytes", "$schema.id": "{01234567-89AB-cdef-0123-456789abcdef}",'
            b' "$schema.name": "T" }',
            {},
            RecordSchema("T", SchemaFormat.BYTES, UUID("01234567-89ab-cdef-0123-456789abcdef")),
        ),
        (b'{ "$schema.name": "T", "$schema.format": "Xml" }', {}, None),
    ],
)
def test_what_an_event_says_of_itself(metadata: bytes, properties: object, schema: object) -> None:
    event = RecordedEvent("T", b"", metadata, "s", 0, 0)
    assert (event.properties, event.schema) == (properties, schema)
