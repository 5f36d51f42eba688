"""`google.protobuf.Value`: JSON values on the wire, as the properties of records are.

Owns: both directions, and the number of bytes that a value takes. Must not know: what the values are for.

    Value   1 null (varint)   2 number (double)   3 text   4 bool (varint)   5 Struct   6 ListValue
    Struct  1 entry {1 name, 2 Value}, repeated         ListValue  1 Value, repeated
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Union

from esdb_lite_protos.tags import (
    PROTOBUF_LIST_VALUE_VALUES,
    PROTOBUF_STRUCT_FIELDS,
    PROTOBUF_STRUCT_FIELDS_ENTRY_KEY,
    PROTOBUF_STRUCT_FIELDS_ENTRY_VALUE,
    PROTOBUF_VALUE_BOOL_VALUE,
    PROTOBUF_VALUE_LIST_VALUE,
    PROTOBUF_VALUE_NULL_VALUE,
    PROTOBUF_VALUE_NUMBER_VALUE,
    PROTOBUF_VALUE_STRING_VALUE,
    PROTOBUF_VALUE_STRUCT_VALUE,
)

from esdb_lite._wire.primitives import WireError, block, fields, number, text
from esdb_lite.events import JsonValue


class NoKind:
    """A value of which the sender did not say what it is."""

    def __repr__(self) -> str:
        return "NO_KIND"


NO_KIND = NoKind()

Value = Union[None, bool, int, float, str, Sequence["Value"], Mapping[str, "Value"], NoKind]  # noqa: UP007
"""A JSON value, or one that is none."""

_DEEPEST = 100
_SHORT = 64  # of what is worth to be remembered, and no burden
_double = struct.Struct("<d")
_NUMBER = bytes((PROTOBUF_VALUE_NUMBER_VALUE,))
_NULL = number(PROTOBUF_VALUE_NULL_VALUE, 0)
_TRUE, _FALSE = number(PROTOBUF_VALUE_BOOL_VALUE, 1), number(PROTOBUF_VALUE_BOOL_VALUE, 0)


def encode_value(value: JsonValue) -> bytes:
    """Encode a value: every number as a double."""
    if isinstance(value, str):
        return block(PROTOBUF_VALUE_STRING_VALUE, value.encode())
    if value is None:
        return _NULL
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    if isinstance(value, (int, float)):
        return _NUMBER + _double.pack(value)
    if isinstance(value, Mapping):
        return block(PROTOBUF_VALUE_STRUCT_VALUE, encode_entries(PROTOBUF_STRUCT_FIELDS, value))
    items = (block(PROTOBUF_LIST_VALUE_VALUES, encode_value(item)) for item in value)
    return block(PROTOBUF_VALUE_LIST_VALUE, b"".join(items))


def encode_entries(tag: int, values: Mapping[str, JsonValue]) -> bytes:
    """Encode a map<string, Value> with its tag: the fields of a Struct, properties."""
    return b"".join(
        [
            block(
                tag,
                (_remembered_key if len(name) <= _SHORT else _key)(name)
                + block(PROTOBUF_STRUCT_FIELDS_ENTRY_VALUE, encode_value(value)),
            )
            for name, value in values.items()
        ]
    )


def _key(name: str) -> bytes:
    return block(PROTOBUF_STRUCT_FIELDS_ENTRY_KEY, name.encode())


_remembered_key = lru_cache(1024)(_key)


def decode_value(data: bytes, depth: int = 0) -> Value:
    """Decode a value; the last kind that is set counts. Raises WireError."""
    if depth > _DEEPEST:
        raise WireError("values are nested too deeply")
    found: Value = NO_KIND
    kind, raws = 0, b""
    for tag, value, raw in fields(data):
        # of a submessage that comes twice in a row the parts are merged
        raws = raws + raw if tag == kind else raw
        kind = tag
        if tag == PROTOBUF_VALUE_STRING_VALUE:
            found = text(raw)
        elif tag == PROTOBUF_VALUE_NUMBER_VALUE:
            (found,) = _double.unpack(raw)
        elif tag == PROTOBUF_VALUE_NULL_VALUE:
            found = None
        elif tag == PROTOBUF_VALUE_BOOL_VALUE:
            found = value != 0
        elif tag == PROTOBUF_VALUE_STRUCT_VALUE:
            found = _struct(raws, depth)
        elif tag == PROTOBUF_VALUE_LIST_VALUE:
            items = fields(raws)
            found = [decode_value(raw, depth + 1) for tag, _, raw in items if tag == PROTOBUF_LIST_VALUE_VALUES]
    return found


def _struct(data: bytes, depth: int) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for tag, _, raw in fields(data):
        if tag == PROTOBUF_STRUCT_FIELDS:
            name, value = decode_entry(raw, depth + 1)
            found[name] = value
    return found


def decode_entry(data: bytes, depth: int = 0) -> tuple[str, Value]:
    """Decode one entry of a map<string, Value>."""
    name, value = "", b""
    for tag, _, raw in fields(data):
        if tag == PROTOBUF_STRUCT_FIELDS_ENTRY_KEY:
            name = text(raw)
        elif tag == PROTOBUF_STRUCT_FIELDS_ENTRY_VALUE:
            value += raw
    return name, decode_value(value, depth)


def size_of_entries(values: Mapping[str, Value]) -> int:
    """Bytes that a Struct with these fields takes."""
    total = 0
    for name, value in values.items():
        total += _framed(_framed(_length(name)) + _framed(_size(value)))
    return total


def _size(value: Value) -> int:
    if isinstance(value, str):
        return _framed(_length(value))
    if value is None or isinstance(value, bool):
        return 2
    if isinstance(value, (int, float)):
        return 9
    if isinstance(value, NoKind):
        return 0
    if isinstance(value, Mapping):
        return _framed(size_of_entries(value))
    return _framed(sum(_framed(_size(item)) for item in value))


def _length(value: str) -> int:
    return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))


def _framed(size: int) -> int:
    """Bytes of a field of bytes whose tag has one."""
    return 2 + size if size < 128 else 1 + max(1, (size.bit_length() + 6) // 7) + size
