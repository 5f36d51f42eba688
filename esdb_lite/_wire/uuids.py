"""UUIDs on the wire: the two forms of `event_store.client.UUID`, and the texts that servers take for one.

Owns: both directions. Must not know: any other message.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Union, cast

from esdb_lite_protos.tags import SHARED_UUID_STRING, SHARED_UUID_STRUCTURED

from esdb_lite._wire.primitives import WireError, block, encode_pair, fields, pair, text

WireUuid = Union[bytes, str]  # noqa: UP007
"""16 big-endian bytes (the structured form, or a text that has been parsed), or the text form as it was sent."""

NO_UUID = b""
"""A UUID message in which neither form is set."""

_TEXT = 36  # length of the usual text
_HYPHENS = (8, 13, 18, 23)
_STRING, _STRUCTURED = SHARED_UUID_STRING, SHARED_UUID_STRUCTURED
_USUAL = bytes((_STRING, _TEXT))
_HALVES = struct.Struct(">QQ")
_PLAIN = r"[0-9a-fA-F]{32}"
_HYPHENATED = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_BRACKETS = {"{": "}", "(": ")"}


def decode_uuid(data: bytes) -> WireUuid:
    """Decode a UUID message: 16 bytes, the text as sent, or NO_UUID."""
    if len(data) == 2 + _TEXT and data.startswith(_USUAL):
        return text(data[2:])
    structured, string = b"", None
    present = False
    for tag, _, raw in fields(data):
        if tag == _STRUCTURED:
            structured, string, present = structured + raw, None, True
        elif tag == _STRING:
            structured, string, present = b"", text(raw), False
    if string is not None:
        return string
    return _HALVES.pack(*pair(structured)) if present else NO_UUID


def encode_uuid(tag: int, value: WireUuid) -> bytes:
    """Encode a UUID message with its tag: 16 bytes as the structured form, a text as the text form."""
    if isinstance(value, str):
        return block(tag, block(_STRING, value.encode()))
    return block(tag, block(_STRUCTURED, encode_pair(*_HALVES.unpack(value))) if value else b"")


def before_text(tag: int) -> bytes:
    """Return what stands before the text of 36 characters in a UUID message with this tag: 4 bytes."""
    return bytes((tag, len(_USUAL) + _TEXT)) + _USUAL


def usual_uuid(value: str) -> bytes | None:
    """Return the 16 bytes of a UUID that is written as most are, hyphenated; None: it is not, or it is none."""
    if len(value) != 36 or not value[8] == value[13] == value[18] == value[23] == "-":
        return None
    try:
        found = bytes.fromhex(value.replace("-", ""))
    except ValueError:
        return None
    return found if len(found) == 16 else None  # there were more hyphens, or blanks


def usual_uuids(values: Sequence[WireUuid | None]) -> list[bytes] | None:
    """Return what `usual_uuid` does for each of many texts, in a third of the time; None: not all of them are such."""
    if set(map(type, values)) != {str}:
        return None
    texts, hyphens = cast("Sequence[str]", values), "-" * len(values)
    joined = "".join(texts)
    if set(map(len, texts)) != {_TEXT} or any(joined[at::_TEXT] != hyphens for at in _HYPHENS):
        return None
    try:
        found = bytes.fromhex(joined.replace("-", ""))
    except ValueError:
        return None
    if len(found) != 16 * len(values):
        return None  # there were more hyphens, or blanks
    return [found[start : start + 16] for start in range(0, len(found), 16)]


def parse_uuid(value: WireUuid) -> bytes:
    """Return the 16 bytes of a UUID. Raises WireError where a server says that it is none.

    Texts may be hyphenated or not, in any case, in braces or (if hyphenated) parentheses, with blanks around.
    """
    if isinstance(value, bytes):
        if len(value) != 16:
            raise WireError("a UUID has neither form set")
        return value
    if (usual := usual_uuid(value)) is not None:
        return usual
    stripped = value.strip()
    bare = stripped
    if len(stripped) > 2 and _BRACKETS.get(stripped[0]) == stripped[-1]:
        bare = stripped[1:-1]
    if not re.fullmatch(_HYPHENATED, bare) and not (bare is stripped and re.fullmatch(_PLAIN, bare)):
        raise WireError(f"{value[:80]!r} is not a UUID")
    return bytes.fromhex(bare.replace("-", ""))


def format_uuid(value: bytes) -> str:
    """Return the text of 16 bytes: lower case, hyphenated."""
    digits = value.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
