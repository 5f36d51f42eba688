"""Messages as trees of fields, written to the wire in every way that protobuf allows.

A schema maps tags to what the field holds: "varint", "bytes", "text", a strategy of bytes, or a schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Union

from hypothesis import strategies as st

Schema = Mapping[int, Union[str, "st.SearchStrategy[bytes]", "Schema"]]

numbers = st.one_of(
    st.integers(0, 300),
    st.sampled_from([2**k + d for k in (7, 14, 21, 28, 31, 32, 35, 42, 49, 56, 63, 64) for d in (-2, -1, 0)]).filter(
        lambda n: n < 2**64
    ),
    st.integers(0, 2**64 - 1),
)
texts = st.text(st.characters(codec="utf-8"), max_size=12)
payloads = st.one_of(st.binary(max_size=20), st.binary(min_size=120, max_size=140), st.just(bytes(17_000)))
unknown_numbers = st.sampled_from([15, 16, 99, 2**29 - 1])


def varint(value: int, width: int = 0) -> bytes:
    """Encode a varint in at least `width` bytes, of which the last ones then add nothing."""
    out = bytearray()
    while value > 127 or len(out) < width - 1:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def block(tag: int, value: bytes, width: int = 0) -> bytes:
    return varint(tag) + varint(len(value), width) + value


@st.composite
def varints(draw: st.DrawFn, tag: int) -> bytes:
    value = draw(numbers)
    return varint(tag) + varint(value, draw(st.sampled_from([0, 0, 0, 3, 9] if value < 2**63 else [0])))


@st.composite
def strangers(draw: st.DrawFn) -> bytes:
    """A field that no message has, of any wire type, groups included."""
    number = draw(unknown_numbers) << 3
    kind = draw(st.sampled_from([0, 1, 2, 3, 5]))
    if kind == 0:
        return varint(number) + varint(draw(numbers))
    if kind == 2:
        return block(number | 2, draw(st.binary(max_size=5)))
    if kind == 3:
        return varint(number | 3) + draw(st.just(b"") | strangers()) + varint(number | 4)
    return varint(number | kind) + draw(st.binary(min_size=8 if kind == 1 else 4, max_size=8 if kind == 1 else 4))


@st.composite
def fields(draw: st.DrawFn, tag: int, what: Any) -> bytes:
    """One field of a schema."""
    if what == "varint":
        return draw(varints(tag))
    if what == "bytes":
        value = draw(payloads)
    elif what == "text":
        value = draw(texts).encode()
    elif isinstance(what, Mapping):
        value = draw(messages(what))
    else:
        value = draw(what)
    return block(tag, value, draw(st.sampled_from([0, 0, 0, 5])))


@st.composite
def messages(draw: st.DrawFn, schema: Schema) -> bytes:
    """A message: any of its fields, any number of times, in any order, between fields that are not known."""
    known = st.lists(st.sampled_from(sorted(schema)), max_size=2 * len(schema)) if schema else st.just([])
    tags = draw(known | st.just(sorted(schema)))
    parts = [draw(fields(tag, schema[tag])) for tag in tags]
    for stranger in draw(st.lists(strangers(), max_size=2)):
        parts.insert(draw(st.integers(0, len(parts))), stranger)
    return b"".join(parts)


@st.composite
def canonical(draw: st.DrawFn, schema: Schema) -> bytes:
    """A message as an encoder writes it, with one of its fields or a few."""
    parts = []
    for tag in sorted(draw(st.sets(st.sampled_from(sorted(schema)), min_size=1))) if schema else []:
        what = schema[tag]
        if isinstance(what, Mapping):
            parts.append(block(tag, draw(canonical(what))))
        else:
            parts.append(draw(fields(tag, what)))
    return b"".join(parts)


@st.composite
def broken(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """A message with some bytes changed, left out, put in or repeated."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        change = draw(st.sampled_from(["set", "cut", "drop", "put", "repeat"]))
        if change == "set" and data:
            data[at] = draw(st.integers(0, 255) | st.sampled_from([0x0A, 0x12, 0x7F, 0x80, 0xFF]))
        elif change == "cut":
            del data[at:]
        elif change == "drop":
            del data[at : at + draw(st.integers(1, 5))]
        elif change == "put":
            data[at:at] = draw(st.binary(min_size=1, max_size=3))
        else:
            data[at:at] = data[at : at + draw(st.integers(1, 60))]
    return bytes(data)


# --- the messages ---------------------------------------------------------------------------------------------------

uuid_texts = st.uuids().map(lambda id: str(id).encode())
HALVES: Schema = {0x08: "varint", 0x10: "varint"}
UUID_: Schema = {0x0A: HALVES, 0x12: uuid_texts}
STREAM: Schema = {0x1A: "text"}
EMPTY: Schema = {}
KEYS = st.sampled_from([b"type", b"content-type", b"created"]) | texts.map(str.encode)
VALUES = st.sampled_from([b"application/json", b"17954746331234567"]) | texts.map(str.encode)
ENTRIES = (
    st.tuples(KEYS, VALUES).map(lambda each: block(0x0A, each[0]) + block(0x12, each[1]))
    | KEYS.map(lambda key: block(0x0A, key))
    | VALUES.map(lambda value: block(0x12, value))
    | st.just(b"")
)
"""Of a map; without unknown fields, for which protobuf would throw the whole entry away."""
RECORD: Schema = {
    0x0A: UUID_,
    0x12: STREAM,
    0x18: "varint",
    0x20: "varint",
    0x28: "varint",
    0x32: ENTRIES,
    0x3A: "bytes",
    0x42: "bytes",
}
EVENT: Schema = {0x0A: RECORD, 0x12: RECORD, 0x18: "varint", 0x22: EMPTY}
EXPRESSION: Schema = {0x0A: "text", 0x12: "text"}
READ_REQ: Schema = {
    0x0A: {
        0x0A: {0x0A: STREAM, 0x10: "varint", 0x1A: EMPTY, 0x22: EMPTY},
        0x12: {0x0A: HALVES, 0x12: EMPTY, 0x1A: EMPTY},
        0x18: "varint",
        0x20: "varint",
        0x28: "varint",
        0x32: EMPTY,
        0x3A: {0x0A: EXPRESSION, 0x12: EXPRESSION, 0x18: "varint", 0x22: EMPTY, 0x28: "varint"},
        0x42: EMPTY,
        0x4A: {0x0A: EMPTY, 0x12: EMPTY},
        0x52: {0x08: "varint"},
    }
}
PROGRESS: Schema = {0x0A: HALVES, 0x10: "varint", 0x1A: HALVES}
READ_RESP: Schema = {
    0x0A: EVENT,
    0x12: {0x0A: "text"},
    0x1A: {0x08: "varint", 0x10: "varint", 0x1A: HALVES},
    0x22: {0x0A: STREAM},
    0x28: "varint",
    0x30: "varint",
    0x3A: HALVES,
    0x42: PROGRESS,
    0x4A: PROGRESS,
}
PERSISTENT_READ_RESP: Schema = {0x0A: {**EVENT, 0x28: "varint", 0x32: EMPTY}, 0x12: {0x0A: "text"}}
PERSISTENT_READ_REQ: Schema = {
    0x0A: {0x0A: STREAM, 0x12: "text", 0x18: "varint", 0x22: {0x0A: EMPTY, 0x12: EMPTY}, 0x2A: EMPTY},
    0x12: {0x0A: "bytes", 0x12: UUID_},
    0x1A: {0x0A: "bytes", 0x12: UUID_, 0x18: "varint", 0x22: "text"},
}
PROPOSED: Schema = {0x0A: UUID_, 0x12: ENTRIES, 0x1A: "bytes", 0x22: "bytes"}
EXPECTED: Schema = {0x10: "varint", 0x1A: EMPTY, 0x22: EMPTY, 0x2A: EMPTY}
APPEND_REQ: Schema = {0x0A: {0x0A: STREAM, **EXPECTED}, 0x12: PROPOSED}
IMPORT_REQ: Schema = {
    0x0A: "text",
    0x12: st.lists(st.binary(min_size=8, max_size=8), max_size=3).map(b"".join),
    0x1A: st.lists(st.binary(min_size=4, max_size=4), max_size=3).map(b"".join),
    0x22: PROPOSED,
}
BATCH_REQ: Schema = {
    0x0A: UUID_,
    0x12: {0x0A: STREAM, **EXPECTED, 0x32: HALVES, 0x3A: HALVES},
    0x1A: PROPOSED,
    0x20: "varint",
}
SUCCESS: Schema = {0x08: "varint", 0x12: EMPTY, 0x1A: HALVES, 0x22: EMPTY}
APPEND_RESP: Schema = {
    0x0A: SUCCESS,
    0x12: {
        0x08: "varint",
        0x12: EMPTY,
        0x18: "varint",
        0x22: EMPTY,
        0x2A: EMPTY,
        0x30: "varint",
        0x3A: EMPTY,
        0x40: "varint",
        0x4A: EMPTY,
        0x52: EMPTY,
        0x5A: EMPTY,
    },
}
TYPE_URLS = st.just(b"type.googleapis.com/event_store.client.WrongExpectedVersion") | texts.map(str.encode)
BATCH_RESP: Schema = {
    0x0A: UUID_,
    0x12: {0x08: "varint", 0x12: "text", 0x1A: {0x0A: TYPE_URLS, 0x12: "bytes"}},
    0x1A: SUCCESS,
    0x22: STREAM,
}
IMPORT_RESP: Schema = {0x08: "varint", 0x12: BATCH_RESP}
