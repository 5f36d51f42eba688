"""Requests without the fields that are not of their declared type, as protobuf reads them; betterproto would keep them.

Owns: this one rule. Must not know: any message by name.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple, cast

import betterproto

from esdb_lite._wire.primitives import BYTES, FIXED32, FIXED64, VARINT, WireError, fields, varint

_DEPTH = 64
_WIRE_TYPES = {
    **dict.fromkeys(betterproto.WIRE_VARINT_TYPES, VARINT),
    **dict.fromkeys(betterproto.WIRE_FIXED_32_TYPES, FIXED32),
    **dict.fromkeys(betterproto.WIRE_FIXED_64_TYPES, FIXED64),
    **dict.fromkeys(betterproto.WIRE_LEN_DELIM_TYPES, BYTES),
}
_MESSAGES = (betterproto.TYPE_MESSAGE, betterproto.TYPE_MAP)
_OF_32_BITS = (betterproto.TYPE_UINT32, betterproto.TYPE_ENUM)


class _Declared(NamedTuple):
    wire_types: tuple[int, ...]
    message: type[betterproto.Message] | None
    short: bool
    """Only 32 bits of it count."""


def well_typed(kind: type[betterproto.Message], data: bytes, depth: int = _DEPTH) -> bytes:
    """Return a message without what is not of its declared type, and without unknown fields. Raises WireError."""
    if depth == 0:
        raise WireError("messages are nested too deeply")
    declared = _declared(kind)
    parts: list[bytes] = []
    for tag, number, raw in fields(data):
        field = declared.get(tag >> 3)
        if field is None or tag & 7 not in field.wire_types:
            continue
        parts.append(varint(tag))
        if tag & 7 == VARINT:
            parts.append(varint(number & 0xFFFFFFFF if field.short else number))
        elif tag & 7 == BYTES:
            value = raw if field.message is None else well_typed(field.message, raw, depth - 1)
            parts += (varint(len(value)), value)
        else:
            parts.append(raw)
    return b"".join(parts)


@cache
def _declared(kind: type[betterproto.Message]) -> dict[int, _Declared]:
    about: Any = cast(Any, kind())._betterproto
    found: dict[int, _Declared] = {}
    for name, meta in about.meta_by_field_name.items():
        wire_types: tuple[int, ...] = (_WIRE_TYPES[meta.proto_type],)
        if about.default_gen[name] is list and meta.proto_type in betterproto.PACKED_TYPES:
            wire_types += (BYTES,)
        message = about.cls_by_field.get(name) if meta.proto_type in _MESSAGES and not meta.wraps else None
        # Some of google.protobuf are types of Python's.
        known = isinstance(message, type) and issubclass(message, betterproto.Message)
        found[meta.number] = _Declared(wire_types, message if known else None, meta.proto_type in _OF_32_BITS)
    return found
