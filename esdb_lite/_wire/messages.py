"""Cold messages: decoding by their generated classes, by the rules of protobuf.

Owns: what betterproto's parser does otherwise. Must not know: any message; betterproto, but for how a class describes
its fields.
betterproto takes what is cut off for whole, values of a wrong wire type for right ones, and the last part of a message
that comes in parts for all of it. So a message is first rewritten as everybody writes it: every field once, in one
piece; what is unknown or has another wire type is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, TypeVar

from esdb_lite._wire.primitives import (
    BYTES,
    FIXED32,
    FIXED64,
    SIZES,
    VARINT,
    WireError,
    fields,
    read_varint,
    text,
    uint32,
    varint,
)


class _Generated(Protocol):
    def parse(self, data: bytes) -> Any: ...


M = TypeVar("M", bound=_Generated)

_WIRE_TYPES = {
    **dict.fromkeys(("double", "fixed64", "sfixed64"), FIXED64),
    **dict.fromkeys(("float", "fixed32", "sfixed32"), FIXED32),
    **dict.fromkeys(("string", "bytes", "message", "map"), BYTES),
}
"""By the names that betterproto has for types; all others are varints."""
_SHORT_NUMBERS = ("int32", "uint32", "enum")


def decode_message(kind: type[M], data: bytes) -> M:
    """Decode a message by its generated class. Raises WireError."""
    try:
        message: M = kind().parse(_rewritten(kind, data))
    except WireError:
        raise
    except Exception as error:  # whatever betterproto trips over
        raise WireError(f"{kind.__name__}: {error}") from error
    return message


def _rewritten(kind: Any, data: bytes) -> bytes:
    about = kind._betterproto
    found: dict[int, list[bytes]] = {}
    for tag, value, raw in fields(data):
        name = about.field_name_by_number.get(tag >> 3)
        if name is None:
            continue
        meta = about.meta_by_field_name[name]
        repeated = about.default_gen[name] in (list, dict)
        values = _values(meta.proto_type, tag & 7, value, raw, repeated=repeated)
        if values is None:
            continue
        for other in about.oneof_field_by_group.get(meta.group, ()):
            if other.name != name:
                found.pop(about.meta_by_field_name[other.name].number, None)
        if repeated or meta.proto_type == "message":
            found.setdefault(meta.number, []).extend(values)
        else:
            found[meta.number] = values
    return b"".join(part for number in found for part in _parts(about, number, found[number]))


def _values(type_: str, wire_type: int, value: int, raw: bytes, *, repeated: bool) -> list[bytes] | None:
    """Return the values in a field as they are written one by one; None where it has the wrong wire type."""
    wanted = _WIRE_TYPES.get(type_, VARINT)
    if wire_type == wanted:
        if wanted == VARINT:
            return [_number(type_, value)]
        if type_ == "string":
            text(raw)
        return [raw]
    if not repeated or wire_type != BYTES:
        return None
    if wanted == VARINT:
        return [_number(type_, each) for each in _packed(raw)]
    size = SIZES[wanted]
    if len(raw) % size:
        raise WireError("truncated in packed numbers")
    return [raw[at : at + size] for at in range(0, len(raw), size)]


def _number(type_: str, value: int) -> bytes:
    return varint(uint32(value) if type_ in _SHORT_NUMBERS else value)


def _packed(raw: bytes) -> Iterator[int]:
    at = 0
    while at < len(raw):
        value, at = read_varint(raw, at)
        yield value


def _parts(about: Any, number: int, values: list[bytes]) -> Iterator[bytes]:
    """Yield the fields of one number, messages in them rewritten, and those that are not repeated merged."""
    name = about.field_name_by_number[number]
    type_ = about.meta_by_field_name[name].proto_type
    wire_type = _WIRE_TYPES.get(type_, VARINT)
    if type_ == "message" and about.default_gen[name] is not list:
        values = [b"".join(values)]
    inner = about.cls_by_field[name] if type_ in ("message", "map") else None
    for value in values:
        if inner is not None and hasattr(inner, "_betterproto"):
            value = _rewritten(inner, value)
        yield varint(number << 3 | wire_type)
        if wire_type == BYTES:
            yield varint(len(value))
        yield value
