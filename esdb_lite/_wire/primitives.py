"""The wire format of protobuf, as far as the hot messages need it: varints, fields, submessages, UUIDs.

Owns: reading and writing single fields, and what counts as malformed. Must not know: any message by name.

Reading follows protobuf to the letter: unknown fields and known ones with another wire type are skipped, groups too;
of a scalar that comes twice the last counts, of a submessage that comes twice the parts are merged (which is the same
as reading its parts joined).
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from esdb_lite_protos.tags import SHARED_STREAM_IDENTIFIER_STREAM_NAME as _STREAM_NAME

VARINT, FIXED64, BYTES, START_GROUP, END_GROUP, FIXED32 = range(6)

Field = tuple[int, int, bytes]
"""The tag of a field (number * 8 + wire type), its value as a varint (else 0), and its value as bytes (else b"")."""

MAX_UINT64 = 2**64 - 1
_MAX_DEPTH = 100
_CACHED = 1024
_SHORT = 256  # bytes of what is worth to be remembered, and no burden
SIZES = {FIXED64: 8, FIXED32: 4}
"""Bytes of values whose size is fixed, by their wire type."""
_FIRST, _SECOND = 1 << 3 | VARINT, 2 << 3 | VARINT
_KEY, _VALUE = 1 << 3 | BYTES, 2 << 3 | BYTES  # of an entry of any map


class WireError(ValueError):
    """These bytes are not the message that they should be."""


def varint(value: int) -> bytes:
    """Encode a uint64; a negative value as the int64 that it is."""
    if 0 <= value < 128:
        return _SMALL[value]
    if value < 0:
        value += 2**64
    elif value < 0x4000:
        return bytes((value & 127 | 128, value >> 7))
    elif value < 0x20_0000:
        return bytes((value & 127 | 128, value >> 7 & 127 | 128, value >> 14))
    elif value < 0x1000_0000:
        return bytes((value & 127 | 128, value >> 7 & 127 | 128, value >> 14 & 127 | 128, value >> 21))
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


_SMALL = [bytes((value,)) for value in range(128)]


def block(tag: int, value: bytes) -> bytes:
    """Encode a field whose value is bytes, a text or a message; `tag` is number * 8 + BYTES, below 128."""
    size = len(value)
    return (bytes((tag, size)) if size < 128 else _SMALL[tag] + varint(size)) + value


def tag_byte(tag: int) -> bytes:
    """Return a tag below 128 as it is written."""
    return _SMALL[tag]


def empty(tag: int) -> bytes:
    """Encode a field whose value is a message in which nothing is set."""
    return block(tag, b"")


def number(tag: int, value: int) -> bytes:
    """Encode a varint field; `tag` is number * 8, below 128. Zero is written too: a caller leaves out defaults."""
    return _SMALL[tag] + varint(value)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the uint64 that begins at `at`, and where the next thing begins."""
    value = shift = 0
    try:
        while (byte := data[at]) > 127:
            value |= (byte & 127) << shift
            shift += 7
            at += 1
            if shift > 63:
                raise WireError("a varint of more than ten bytes")
    except IndexError:
        raise WireError("truncated in a varint") from None
    return (value | byte << shift) & MAX_UINT64, at + 1


def position_at(data: bytes, at: int) -> tuple[int, int]:
    """Do what `read_varint` does, unrolled for what positions below 2**35 take. Raises IndexError at the end."""
    a = data[at]
    if a < 128:
        return a, at + 1
    b = data[at + 1]
    if b < 128:
        return a + (b << 7) - 0x80, at + 2
    c = data[at + 2]
    if c < 128:
        return a + (b << 7) + (c << 14) - 0x4080, at + 3
    d = data[at + 3]
    if d < 128:
        return a + (b << 7) + (c << 14) + (d << 21) - 0x204080, at + 4
    e = data[at + 4]
    if e < 128:
        return a + (b << 7) + (c << 14) + (d << 21) + (e << 28) - 0x10204080, at + 5
    return read_varint(data, at)


def read_block(data: bytes, at: int) -> tuple[bytes, int]:
    """Return the bytes whose length is at `at`, and where the next thing begins: beyond the end where they are cut off.

    Raises IndexError where there is no length.
    """
    size = data[at]
    if size < 128:
        at += 1
    elif data[at + 1] < 128:
        size += (data[at + 1] << 7) - 0x80
        at += 2
    else:
        size, at = read_varint(data, at)
    return data[at : at + size], at + size


def fields(data: bytes) -> Iterator[Field]:
    """Yield the fields of a message in the order in which they were written; groups are checked and left out."""
    at, end = 0, len(data)
    while at < end:
        tag = data[at]
        if 7 < tag < 128:  # the usual: it has one byte
            at += 1
        else:
            tag, at = _tag(data, at)
        kind = tag & 7
        if kind == BYTES and at < end and data[at] < 128:  # and so has its length
            start = at + 1
            at = start + data[at]
            if at > end:
                raise WireError("truncated in a field")
            yield tag, 0, data[start:at]
        elif kind == VARINT:
            value, at = read_varint(data, at)
            yield tag, value, b""
        elif kind == START_GROUP:
            at = _skip_group(data, at, tag >> 3)
        else:
            start, at = _span(data, at, kind)
            yield tag, 0, data[start:at]


def _tag(data: bytes, at: int) -> tuple[int, int]:
    tag, at = read_varint(data, at)
    if not 8 <= tag < 2**32:
        raise WireError(f"a field has the number {tag >> 3}")
    return tag, at


def _span(data: bytes, at: int, kind: int) -> tuple[int, int]:
    """Return where the value of a field of bytes begins and ends."""
    if kind == BYTES:
        size, at = read_varint(data, at)
    elif kind in SIZES:
        size = SIZES[kind]
    else:
        raise WireError(f"a field has the wire type {kind}")
    if at + size > len(data):
        raise WireError("truncated in a field")
    return at, at + size


def _skip_group(data: bytes, at: int, group: int) -> int:
    """Return where the group ends that began just before `at`."""
    open_groups = [group]
    while open_groups:
        if at >= len(data):
            raise WireError("truncated in a group")
        tag, at = _tag(data, at)
        kind = tag & 7
        if kind == START_GROUP:
            open_groups.append(tag >> 3)
            if len(open_groups) > _MAX_DEPTH:
                raise WireError("groups are nested too deeply")
        elif kind == END_GROUP:
            if open_groups.pop() != tag >> 3:
                raise WireError("a group ends that has not begun")
        elif kind == VARINT:
            _, at = read_varint(data, at)
        else:
            _, at = _span(data, at, kind)
    return at


def text(data: bytes) -> str:
    """Decode a string field."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise WireError("a text is not UTF-8") from None


def signed(value: int) -> int:
    """Turn a uint64 off the wire into the int64 that it stands for."""
    return value - 2**64 if value >> 63 else value


def int32(value: int) -> int:
    """Turn a uint64 off the wire into the int32 (or enum) that it stands for: its low 32 bits."""
    value = uint32(value)
    return value - 2**32 if value >> 31 else value


def uint32(value: int) -> int:
    """Turn a uint64 off the wire into the uint32 that it stands for: its low 32 bits."""
    return value & 0xFFFFFFFF


def pair(data: bytes) -> tuple[int, int]:
    """Decode a message of two varints numbered 1 and 2: positions, timestamps, halves of a UUID."""
    first = second = 0
    for tag, value, _ in fields(data):
        if tag == _FIRST:
            first = value
        elif tag == _SECOND:
            second = value
    return first, second


def encode_pair(first: int, second: int) -> bytes:
    """Encode what `pair` decodes."""
    return (number(_FIRST, first) if first else b"") + (number(_SECOND, second) if second else b"")


def entry(data: bytes) -> tuple[str, str]:
    """Decode one entry of a map<string, string>."""
    return _remembered_entry(data) if len(data) <= _SHORT else _entry(data)


def _entry(data: bytes) -> tuple[str, str]:
    key = value = ""
    for tag, _, raw in fields(data):
        if tag == _KEY:
            key = text(raw)
        elif tag == _VALUE:
            value = text(raw)
    return key, value


_remembered_entry = lru_cache(_CACHED)(_entry)


def encode_entry(tag: int, key: bytes, value: str) -> bytes:
    """Encode one entry of a map<string, string>, with the tag of the map."""
    return block(tag, block(_KEY, key) + block(_VALUE, value.encode()))


def stream_identifier(data: bytes) -> str:
    """Decode a StreamIdentifier to the name in it."""
    return text(last_field(data, _STREAM_NAME))


def encode_stream_identifier(tag: int, name: str) -> bytes:
    """Encode a StreamIdentifier, with its tag in the message that it is part of."""
    encoded = name.encode()
    return block(tag, block(_STREAM_NAME, encoded) if encoded else b"")


@lru_cache(_CACHED)
def remembered_identifier(name: str) -> bytes:
    """Encode a StreamIdentifier as the field after its tag; for names that are no burden."""
    return encode_stream_identifier(0, name)[1:]


def last_field(data: bytes, wanted: int) -> bytes:
    """Return the value of one field of bytes of a message of which nothing else matters; b"" where it is absent."""
    found = b""
    for tag, _, raw in fields(data):
        if tag == wanted:
            found = raw
    return found


def submessage(data: bytes, wanted: int) -> bytes | None:
    """Return one field of a message that is a message itself, its parts merged; None where it is absent."""
    found = last_of(data, (wanted,))
    return None if found is None else found.raw


class OneofField(NamedTuple):
    """The member of a oneof that is set: its tag, and its value as in `Field`."""

    tag: int
    value: int
    raw: bytes


def last_of(data: bytes, tags: Container[int]) -> OneofField | None:
    """Return the member of a oneof that counts: the last one, merged with what came before it of the same member."""
    found: OneofField | None = None
    for tag, value, raw in fields(data):
        if tag in tags:
            found = _merged(found, tag, value, raw)
    return found


def last_of_each(data: bytes, groups: Mapping[int, int]) -> dict[int, OneofField]:
    """Return the members of several oneofs that count, by the number that `groups` gives to each oneof and its tags."""
    found: dict[int, OneofField] = {}
    for tag, value, raw in fields(data):
        group = groups.get(tag)
        if group is not None:
            found[group] = _merged(found.get(group), tag, value, raw)
    return found


def _merged(before: OneofField | None, tag: int, value: int, raw: bytes) -> OneofField:
    return OneofField(tag, value, raw if before is None or before.tag != tag else before.raw + raw)
