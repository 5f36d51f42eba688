"""JSON for readers: the text that was stored, laid out in lines and with its parts marked.

Owns: layout and markup, of the text itself, so that numbers keep their digits and names that come twice are seen twice.
Must not know: where the text comes from. Everything that comes out is escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from markupsafe import Markup, escape

LONGEST = 200_000
"""Characters that are laid out; what is longer is shown as it is."""
_DEEPEST = 500

_PART = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|([{}\[\],])|([^\s{}\[\],:"]+)', re.DOTALL)
_INDENT = "  "


def laid_out(text: str) -> Markup | None:
    """Return JSON laid out and marked; None if it is none, or too long or deep to be laid out."""
    if len(text) > LONGEST or not is_json(text):
        return None
    return Markup("").join(_pieces(text))


def is_json(text: str) -> bool:
    """Whether a text is a JSON document."""
    try:
        json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return False
    return _depth(text) <= _DEEPEST


def _depth(text: str) -> int:
    depth = deepest = 0
    for found in _PART.finditer(text):
        if found[3] in ("{", "["):
            depth += 1
            deepest = max(deepest, depth)
        elif found[3] in ("}", "]"):
            depth -= 1
    return deepest


def _pieces(text: str) -> Iterator[Markup]:
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
                yield Markup(": ")
        elif bracket is not None:
            yield escape(bracket)
            if bracket == ",":
                yield _line(depth)
        else:
            yield _marked("number" if word[0] in "-0123456789" else "word", word)


def _line(depth: int) -> Markup:
    return Markup("\n" + _INDENT * depth)


def _marked(kind: str, text: str) -> Markup:
    return Markup('<span class="json-{}">{}</span>').format(kind, text)
