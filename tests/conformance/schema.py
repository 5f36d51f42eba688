"""Messages between proto3 JSON (as the recordings have them) and bytes, by reading `proto/`: no generated code is used.

Only what these files use: scalars, enums, messages, maps, oneofs, `optional`, and some of the well-known types.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Json = Any

_TOKEN = re.compile(r'//[^\n]*|"[^"]*"|-?[\w.]+|[{}=;<>,()\[\]]')
_SIGNED = {"int32", "int64", "sint32", "sint64"}
_LONG = {"int64", "uint64", "sint64"}
_VARINT = {*_SIGNED, "uint32", "uint64", "bool"}
_DEFAULTS: dict[str, Json] = {"string": "", "bytes": "", "bool": False}
_WELL_KNOWN = """
package google.protobuf;
message Empty {} message Any { string type_url = 1; bytes value = 2; }
message Value {}
message FieldMask { repeated string paths = 1; }
message Timestamp { int64 seconds = 1; int32 nanos = 2; } message Duration { int64 seconds = 1; int32 nanos = 2; }
"""


@dataclass
class Field:
    """One field of a message."""

    name: str
    number: int
    type: str
    repeated: bool = False
    presence: bool = False
    map_of: tuple[str, str] | None = None


@dataclass
class Message:
    """A message type."""

    name: str
    fields: list[Field] = field(default_factory=list)


@dataclass
class Method:
    """A method as the recordings name it: `Streams/Read`."""

    path: str
    request: str
    response: str
    client_streaming: bool


class Schema:
    """All types and methods of a folder of .proto files."""

    def __init__(self, folder: Path) -> None:
        self.messages: dict[str, Message] = {}
        self.enums: dict[str, dict[str, int]] = {}
        self.methods: dict[str, Method] = {}
        for text in [_WELL_KNOWN, *(path.read_text("utf-8") for path in sorted(folder.glob("*.proto")))]:
            tokens = [token for token in _TOKEN.findall(text) if not token.startswith("//")]
            _Parser(self, tokens).parse()

    def resolve(self, name: str, scope: str) -> str:
        """Return the full name of a type mentioned within a scope; scalars are their own."""
        while name not in _VARINT and name not in _DEFAULTS and name not in ("double", "float"):
            full = f"{scope}.{name}" if scope else name
            if full in self.messages or full in self.enums or not scope:
                return full
            scope = scope.rpartition(".")[0]
        return name

    # --- JSON to bytes ---

    def encode(self, kind: str, value: Mapping[str, Json]) -> bytes:
        """Encode a message."""
        fields = {f.name: f for f in self.messages[kind].fields}
        return b"".join(self._encode_field(kind, fields[name], item) for name, item in value.items())

    def _encode_field(self, kind: str, f: Field, value: Json) -> bytes:
        if f.map_of:
            entries = [{"key": key, "value": item} for key, item in value.items()]
            return b"".join(self._tagged(f, self._entry(kind, f, entry)) for entry in entries)
        return b"".join(self._one(kind, f, item) for item in (value if f.repeated else [value]))

    def _entry(self, kind: str, f: Field, entry: Mapping[str, Json]) -> bytes:
        key, value = f.map_of or ("", "")
        return self._one(kind, Field("key", 1, key), entry["key"]) + self._one(
            kind, Field("value", 2, value), entry["value"]
        )

    @staticmethod
    def _tagged(f: Field, data: bytes) -> bytes:
        return _varint(f.number << 3 | 2) + _varint(len(data)) + data

    def _one(self, kind: str, f: Field, value: Json) -> bytes:
        of = self.resolve(f.type, kind)
        if of == "google.protobuf.Value":
            return self._tagged(f, _value_bytes(value))
        if of in self.messages:
            return self._tagged(f, self.encode(of, _duration(value) if of.endswith("Duration") else value))
        if of in ("string", "bytes"):
            return self._tagged(f, value.encode() if of == "string" else base64.b64decode(value))
        number = self.enums[of].get(value, value) if of in self.enums else int(value)
        return _varint(f.number << 3) + _varint(_zigzag(int(number)) if of == "sint64" else int(number))

    # --- bytes to JSON ---

    def decode(self, kind: str, data: bytes) -> dict[str, Json]:
        """Decode a message, leaving out what has its default."""
        if kind == "google.protobuf.Any":
            return self._any(data)
        fields = {f.number: f for f in self.messages[kind].fields}
        found: dict[str, Json] = {}
        for number, raw in _parts(data):
            f = fields[number]
            value = self._value(kind, f, raw)
            if f.map_of:
                found.setdefault(f.name, {})[value.get("key", "")] = value.get("value", "")
            elif f.repeated:
                found.setdefault(f.name, []).append(value)
            elif (
                f.presence
                or isinstance(value, dict)
                or value not in (("",) if f.type == "string" else ("", "0", 0, False))
            ):
                found[f.name] = value
        return found

    def _any(self, data: bytes) -> dict[str, Json]:
        parts = dict(_parts(data))
        url = bytes(parts[1]).decode()
        return {"@type": url, **self.decode(url.rpartition("/")[2], bytes(parts.get(2, b"")))}

    def _value(self, kind: str, f: Field, raw: Json) -> Json:
        if f.map_of:
            entry = {number: self._value(kind, Field("", number, f.map_of[number - 1]), v) for number, v in _parts(raw)}
            return {"key": entry.get(1, ""), "value": entry.get(2, "")}
        of = self.resolve(f.type, kind)
        if of == "google.protobuf.Value":
            return _json_value(raw)
        if of in self.messages:
            return self.decode(of, raw)
        if of in self.enums:
            names = {number: name for name, number in self.enums[of].items()}
            return names.get(raw, raw) if raw or f.presence else 0
        if of == "string":
            return raw.decode()
        if of == "bytes":
            return base64.b64encode(raw).decode()
        if of == "sint64":
            raw = raw >> 1 ^ -(raw & 1)
        elif of in _SIGNED and raw >= 2**63:
            raw -= 2**64
        return bool(raw) if of == "bool" else str(raw) if of in _LONG else raw


class _Parser:
    """One file."""

    def __init__(self, schema: Schema, tokens: list[str]) -> None:
        self._schema = schema
        self._tokens = iter(tokens)

    def parse(self) -> None:
        self._package = ""
        handlers: dict[str, Callable[[], None]] = {
            "package": self._set_package,
            "message": lambda: self._message(self._package),
            "enum": lambda: self._enum(self._package),
            "service": self._service,
        }
        for token in self._tokens:
            handlers.get(token, lambda: None)()

    def _until(self, end: str) -> list[str]:
        found = []
        while (token := next(self._tokens)) != end:
            found.append(token)
        return found

    def _set_package(self) -> None:
        self._package = self._until(";")[0]

    def _enum(self, scope: str) -> None:
        name = next(self._tokens)
        assert next(self._tokens) == "{"
        words = [word for word in self._until("}") if word not in ("=", ";")]
        self._schema.enums[f"{scope}.{name}"] = dict(zip(words[::2], map(int, words[1::2]), strict=True))

    def _message(self, scope: str) -> None:
        message = Message(f"{scope}.{next(self._tokens)}")
        self._schema.messages[message.name] = message
        assert next(self._tokens) == "{"
        in_oneof = False
        while True:
            token = next(self._tokens)
            if token == "}":
                if not in_oneof:
                    return
                in_oneof = False
            elif token == "message":
                self._message(message.name)
            elif token == "enum":
                self._enum(message.name)
            elif token == "oneof":
                self._until("{")
                in_oneof = True
            elif token not in ("reserved", "option", ";"):
                message.fields.append(self._field(token, in_oneof))
            elif token != ";":
                self._until(";")

    def _field(self, first: str, in_oneof: bool) -> Field:
        words = [first, *self._until(";")]
        if words[0] == "map":
            key, value = words[2], words[4]
            return Field(words[6], int(words[8]), "", map_of=(key, value))
        modifier = words.pop(0) if words[0] in ("repeated", "optional") else ""
        return Field(words[1], int(words[3]), words[0], modifier == "repeated", in_oneof or modifier == "optional")

    def _service(self) -> None:
        service = next(self._tokens)
        while (token := next(self._tokens)) != "}":
            if token == "rpc":
                name = self._until("(")[0]
                request, _, response = self._until(")"), self._until("("), self._until(")")
                full = [
                    words[-1] if "." in words[-1] else f"{self._package}.{words[-1]}" for words in (request, response)
                ]
                path = f"/{self._package}.{service}/{name}"
                self._schema.methods[f"{service}/{name}"] = Method(path, full[0], full[1], len(request) == 2)


def _varint(value: int) -> bytes:
    value %= 2**64
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _parts(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = varint()
        if tag & 7 == 0:
            yield tag >> 3, varint()
        elif tag & 7 == 2:
            size = varint()
            at += size
            yield tag >> 3, data[at - size : at]
        else:
            size, form = (4, "<f") if tag & 7 == 5 else (8, "<d")
            yield tag >> 3, struct.unpack(form, data[at : at + size])[0]
            at += size


def repeated(data: bytes, wanted: int) -> list[bytes]:
    """The values of a repeated field of bytes."""
    return [raw for number, raw in _parts(data) if number == wanted]


def _json_value(data: bytes) -> Json:
    """Decode a google.protobuf.Value."""
    ((number, raw),) = _parts(data)
    if number == 5:
        entries = [dict(_parts(entry)) for _, entry in _parts(raw)]
        return {entry[1].decode(): _json_value(entry[2]) for entry in entries}
    if number == 6:
        return [_json_value(value) for _, value in _parts(raw)]
    return {1: None, 3: bytes(raw).decode() if number == 3 else "", 4: bool(raw)}.get(number, raw)


def _value_bytes(value: Json) -> bytes:
    """Encode a google.protobuf.Value."""
    if value is None or isinstance(value, bool):
        return _varint(0x08 if value is None else 0x20) + _varint(bool(value))
    if isinstance(value, (int, float)):
        return _varint(0x11) + struct.pack("<d", value)
    if isinstance(value, str):
        return _sized(0x1A, value.encode())
    if isinstance(value, list):
        return _sized(0x32, b"".join(_sized(0x0A, _value_bytes(item)) for item in value))
    entries = (_sized(0x0A, name.encode()) + _sized(0x12, _value_bytes(item)) for name, item in value.items())
    return _sized(0x2A, b"".join(_sized(0x0A, entry) for entry in entries))


def _sized(tag: int, data: bytes) -> bytes:
    return _varint(tag) + _varint(len(data)) + data


def _zigzag(number: int) -> int:
    return number << 1 ^ number >> 63


def _duration(text: str) -> dict[str, Json]:
    seconds = float(text.rstrip("s"))
    return {"seconds": int(seconds), "nanos": round(seconds % 1 * 1e9)} if seconds >= 0 else {"seconds": int(seconds)}
