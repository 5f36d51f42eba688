"""How data are shown that anybody may have written: as JSON, as text, or byte by byte.

Owns: what is shown of them, and how much. Must not know: pages.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from unicodedata import category

from markupsafe import Markup, escape

from esdb_lite.web.json_text import laid_out

_MOST_TEXT = 100_000
"""Characters of a text that a page shows."""
_MOST_BYTES = 2048
"""Bytes that are shown one by one."""
_PREVIEW = 160
_ROW = 16
_UNSEEN = ("Cc", "Cf", "Cs")


@dataclass(frozen=True)
class Payload:
    """Data, ready to be shown."""

    kind: str
    """`JSON`, `text`, `binary` or `empty`."""
    size: int
    """Bytes."""
    body: Markup
    is_cut: bool
    """Whether only the beginning is shown."""


def payload(data: bytes) -> Payload:
    """Decide how to show data."""
    if not data:
        return Payload("empty", 0, Markup(""), False)
    text = _text_of(data)
    if text is None:
        return Payload("binary", len(data), _dump(data[:_MOST_BYTES]), len(data) > _MOST_BYTES)
    body = laid_out(text)
    if body is not None:
        return Payload("JSON", len(data), body, False)
    return Payload("text", len(data), escape(readable(text[:_MOST_TEXT])), len(text) > _MOST_TEXT)


def preview(data: bytes) -> str:
    """The beginning of data in one line."""
    if not data:
        return ""
    text = _text_of(_whole_characters(data[: 4 * _PREVIEW]))
    if text is None:
        return f"{len(data):,} bytes"
    line = " ".join(readable(_compact(data, text)).split())
    return line if len(line) <= _PREVIEW else line[: _PREVIEW - 1] + "…"


def readable(text: str) -> str:
    """A text with nothing in it that moves the cursor, rings or turns the direction of writing."""
    return "".join(c if c in "\n\t" or category(c) not in _UNSEEN else "\N{REPLACEMENT CHARACTER}" for c in text)


def value_markup(value: object) -> Markup:
    """A JSON value, laid out."""
    text = json.dumps(value, ensure_ascii=False)
    return laid_out(text) or escape(text[:_MOST_TEXT])


def _text_of(data: bytes) -> str | None:
    """Data as a text; None if they are none."""
    try:
        return None if b"\0" in data else data.decode()
    except UnicodeDecodeError:
        return None


def _compact(data: bytes, beginning: str) -> str:
    if len(data) > len(beginning.encode()):
        return beginning
    try:
        return json.dumps(json.loads(data), ensure_ascii=False)
    except (ValueError, RecursionError):
        return beginning


def _whole_characters(data: bytes) -> bytes:
    """Leave out a character at the end that is cut in two."""
    for back in range(1, min(4, len(data)) + 1):
        if data[-back] >= 0xC0:  # the first byte of a character of several
            length = 2 if data[-back] < 0xE0 else 3 if data[-back] < 0xF0 else 4
            return data if length == back else data[:-back]
    return data


def _dump(data: bytes) -> Markup:
    rows = (data[start : start + _ROW] for start in range(0, len(data), _ROW))
    lines = (
        f"{number * _ROW:06x}  {row.hex(' '):<47}  {''.join(chr(b) if 32 <= b < 127 else '.' for b in row)}"
        for number, row in enumerate(rows)
    )
    return escape("\n".join(lines))
