"""Whether data that is flagged as JSON is JSON in the eyes of projections, which never see it otherwise.

Owns: the test: comments and commas before a closing bracket are allowed, more than 64 levels are not. Must not know:
what the documents mean.
"""

from __future__ import annotations

import json
import re

_DEPTH = 64
_STRING = r'"(?:[^"\\]|\\(?:.|\Z))*(?:"|\Z)'
"""One without an end goes to the end: to look for the end from each quote in it would take the square of its length."""
_COMMENT = re.compile(rf"{_STRING}|//[^\n]*|/\*(?:.*?\*/|.*\Z)", re.DOTALL)
_COMMA = re.compile(rf"({_STRING}|[^\s,\[{{\"])(\s*),(?=\s*[\]}}])|({_STRING})", re.DOTALL)
"""A comma before a closing bracket and behind the end of a value; or a string, in which no comma counts."""
_BRACKET = re.compile(rf"{_STRING}|([\[{{])|([\]}}])", re.DOTALL)


def _refuse(constant: str) -> object:
    raise ValueError(constant)


# Integers as floats: of those with more than 4300 digits Python makes nothing else.
_decoder = json.JSONDecoder(parse_constant=_refuse, parse_int=float)


def is_valid(data: bytes) -> bool:
    """Whether projections see an event with this data, flagged as JSON."""
    text = data.decode("utf-8", "replace")
    if data.count(b"{") + data.count(b"[") > _DEPTH and _depth(text) > _DEPTH:
        return False
    return _is_json(text) or (bool(data) and _is_json(_standard(text)))


def _is_json(text: str) -> bool:
    try:
        # Nearly all are objects without blanks around, which take half as long like this.
        if text[:1] != "{" or _decoder.raw_decode(text)[1] != len(text):
            _decoder.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def _depth(text: str) -> int:
    deepest = depth = 0
    for found in _BRACKET.finditer(text):
        depth += (found.group(1) is not None) - (found.group(2) is not None)
        deepest = max(deepest, depth)
    return deepest


def _standard(text: str) -> str:
    """Leave out comments, and commas before a closing bracket."""
    return _COMMA.sub(r"\1\2\3", _COMMENT.sub(_without_comment, text))


def _without_comment(found: re.Match[str]) -> str:
    text = found.group()
    closed = text.startswith("//") or (len(text) > 3 and text.endswith("*/"))
    return "" if text.startswith("/") and closed else text
