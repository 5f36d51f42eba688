"""Cold messages, decoded by generated classes: Google's protobuf is the judge, where it is installed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esdb_lite._wire.messages import decode_message
from esdb_lite._wire.primitives import WireError, block
from tests.wire import strategies as wire
from tests.wire.test_cold_messages import COLD

pytest.importorskip("google.protobuf.message", reason="needs protobuf")
pytest.importorskip("grpc_tools.protoc", reason="needs grpcio-tools, to build proto/")

from tests.wire.test_against_protobuf import google, message_module


def schema(described: Any, depth: int = 0) -> wire.Schema:
    """The fields of a message, for `strategies.messages`."""
    return {
        field.number << 3 | wire_type: what
        for field in described.fields
        if (found := _field(field, depth)) is not None
        for wire_type, what in [found]
    }


def _field(field: Any, depth: int) -> tuple[int, Any] | None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return 2, st.tuples(wire.texts, wire.texts).filter(any).map(_entry)
    if field.message_type is not None:
        return (2, schema(field.message_type, depth + 1)) if depth < 5 else None
    kinds = {field.TYPE_STRING: (2, "text"), field.TYPE_BYTES: (2, "bytes")}
    fixed = {field.TYPE_FLOAT: 4, field.TYPE_DOUBLE: 8}
    return None if field.type in fixed else kinds.get(field.type, (0, "varint"))


def _entry(pair: tuple[str, str]) -> bytes:
    key, value = pair
    return block(0x0A, key.encode()) + block(0x12, value.encode())


def drop_empty_entries(message: Any) -> None:
    """Remove what betterproto does not write: entries of maps in which key and value are empty."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if not field.message_type.GetOptions().map_entry:
            for part in [value] if hasattr(value, "ListFields") else value:
                drop_empty_entries(part)
        elif "" in value and not (value[""] if isinstance(value[""], str) else value[""].ByteSize()):
            del value[""]


def by_us(name: str, data: bytes) -> tuple[bytes | None, str]:
    try:
        return bytes(decode_message(COLD[name], data)), ""
    except WireError as error:
        return None, str(error)


def compare(name: str, data: bytes) -> None:
    """Both find the same, or both nothing that can be used."""
    theirs = google(name)()
    try:
        theirs.ParseFromString(data)
    except (message_module.DecodeError, ValueError):
        theirs = None
    ours, fault = by_us(name, data)
    if ours is None:  # Google allows the field number 0 within groups
        assert theirs is None or "number 0" in fault
    elif theirs is not None:
        theirs.DiscardUnknownFields()
        drop_empty_entries(theirs)
        assert google(name).FromString(ours) == theirs


@pytest.mark.parametrize("name", COLD)
@settings(max_examples=25)
@given(st.data())
def test_every_way_of_writing_a_message(name: str, data: st.DataObject) -> None:
    compare(name, data.draw(wire.messages(schema(google(name).DESCRIPTOR))))


@pytest.mark.parametrize("name", COLD)
@settings(max_examples=25)
@given(st.data())
def test_broken_messages_never_mean_something_else(name: str, data: st.DataObject) -> None:
    compare(name, data.draw(wire.broken(wire.messages(schema(google(name).DESCRIPTOR)))))
