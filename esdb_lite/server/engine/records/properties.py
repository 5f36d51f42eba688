"""Properties of a record as v1 readers see them: custom metadata, in the spelling of a real server.

Owns: the JSON text, and the keys that the server adds. Must not know: the wire, where they are kept.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from esdb_lite._wire.values import NoKind, Value
from esdb_lite.records import SchemaFormat

SCHEMA_NAME, SCHEMA_FORMAT, SCHEMA_ID = "$schema.name", "$schema.format", "$schema.id"
FORMAT_NAMES: Mapping[SchemaFormat, str] = {
    SchemaFormat.JSON: "Json",
    SchemaFormat.PROTOBUF: "Protobuf",
    SchemaFormat.AVRO: "Avro",
    SchemaFormat.BYTES: "Bytes",
}

# Control and format characters, `<` and `>`, and everything beyond the BMP (which becomes two surrogates).
_ESCAPED = re.compile(
    '["\\\\\x00-\x1f<>\x7f-\x9f\xad\u0600-\u0603\u06dd\u070f\u17b4\u17b5\u200b-\u200f\u2028-\u202e\u2060-\u2064'
    "\u206a-\u206f\ufeff\ufff9-\ufffb\U00010000-\U0010ffff]"
)
_USUAL_NAME = 64  # characters of what is worth to be remembered, and no burden
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def shown(stored: Mapping[str, Value], name: str, format: SchemaFormat) -> bytes:
    """The custom metadata of a record. `stored`: its properties as they are in the log."""
    own = _own_keys(name, format)
    if any(key in stored for key in own.keys):
        return rendered({**stored, **own.keys}).encode("utf-8", "replace")
    members = [f"{_name(key)}: {rendered(value)}, " for key, value in stored.items()]
    return f"{{ {''.join(members)}{own.text}".encode("utf-8", "replace")


class _OwnKeys(NamedTuple):
    """What the server adds."""

    keys: Mapping[str, Value]
    text: str
    """The same as it stands at the end of a document."""


@lru_cache(1024)
def _own_keys(name: str, format: SchemaFormat) -> _OwnKeys:
    keys = {SCHEMA_NAME: name}
    if format is SchemaFormat.JSON:
        keys[SCHEMA_FORMAT] = FORMAT_NAMES[format]
    return _OwnKeys(keys, rendered(keys).removeprefix("{ "))


def rendered(value: Value) -> str:
    """A value as JSON: one blank within braces and brackets, after colons and commas."""
    if isinstance(value, str):
        return _quoted(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return _number(float(value))
    if isinstance(value, Mapping):
        members = ", ".join([f"{_name(key)}: {rendered(item)}" for key, item in value.items()])
        return f"{{ {members} }}" if members else "{ }"
    if isinstance(value, NoKind):
        raise ValueError("a value without a kind has no JSON")
    items = ", ".join(map(rendered, value))
    return f"[ {items} ]" if items else "[ ]"


def _name(key: str) -> str:
    return (_remembered if len(key) <= _USUAL_NAME else _quoted)(key)


def _quoted(value: str) -> str:
    return f'"{_ESCAPED.sub(_escape, value)}"'


_remembered = lru_cache(1024)(_quoted)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    short = _SHORT.get(character)
    if short is not None:
        return short
    return json.dumps(character)[1:-1] if character > "\uffff" else f"\\u{ord(character):04x}"


def _number(value: float) -> str:
    if not math.isfinite(value):
        return '"NaN"' if math.isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'
    digits = repr(value)
    if "e" not in digits:
        return digits.removesuffix(".0")
    mantissa, _, power = digits.partition("e")
    # 1e16 is the only power for which Python has an exponent and a real server has none
    return str(int(value)) if power == "+16" else f"{mantissa.removesuffix('.0')}e{power}"
