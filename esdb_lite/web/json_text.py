"""JSON for readers: the text that was stored, laid out in lines and with its parts marked.

Owns: layout and markup, of the text itself, so that numbers keep their digits and names that come twice are seen twice.
Must not know: where the text comes from. Everything that comes out is escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache

from markupsafe import Markup, escape

LONGEST = 200_000
"""Characters that are laid out; what is longer is shown as it is."""
_MOST_PARTS = 30_000
"""Of what is laid out: 40 milliseconds."""
_DEEPEST = 500

_PART = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|([{}\[\],])|([^\s{}\[\],:"]+)', re.DOTALL)
_INDENT = "  "
_SHORT = 50
"""Characters of what is often the same."""


def laid_out(text: str) -> Markup | None:
    """Return JSON laid out and marked; None if it is none, or too long or deep to be laid out."""
    if len(text) > LONGEST or not _is_json(text):
        return None
    return Markup("".join(_pieces(text)))


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return False
    return _is_simple(text)


def _is_simple(text: str) -> bool:
    """Whether it is neither too deep nor of too many parts."""
    depth = 0
    for number, found in enumerate(_PART.finditer(text)):
        if found[3] in ("{", "["):
            depth += 1
        elif found[3] in ("}", "]"):
            depth -= 1
        if depth > _DEEPEST or number > _MOST_PARTS:
            return False
    return True


def _pieces(text: str) -> Iterator[str]:
    depth = 0
    opened = False
    for found in _PART.finditer(text):
        string, colon, bracket, word = found.groups()
        if bracket in ("}", "]"):
            depth -= 1
            if not opened:
                yield _line(depth)
        elif opened:
            yield _line(depth)
        opened = bracket in ("{", "[")
        if opened:
            depth += 1
        if string is not None:
            yield _marked("key" if colon else "string", string)
            if colon:
                yield ": "
        elif bracket is not None:
            yield bracket
            if bracket == ",":
                yield _line(depth)
        else:
            yield _marked("number" if word[0] in "-0123456789" else "word", word)


def _line(depth: int) -> str:
    return "\n" + _INDENT * depth


def _marked(kind: str, text: str) -> str:
    return _marked_short(kind, text) if len(text) <= _SHORT else f'<span class="json-{kind}">{escape(text)}</span>'


@lru_cache(1024)
def _marked_short(kind: str, text: str) -> str:
    return f'<span class="json-{kind}">{escape(text)}</span>'
