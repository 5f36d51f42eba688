"""JSON as leniently as the real server reads stream metadata: single quotes, bare names, what follows the document.

Owns: the grammar; what both grammars have in common with strict JSON is in `_json`. Must not know: what the document
means.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from esdb_lite._json import DEPTH, Json, NotJson, parse_integer

LONGEST = 16 * 1024
"""Characters of a document that is no proper JSON: reading it takes a microsecond for each."""
_STANDARD = json.JSONDecoder(strict=False, parse_int=parse_integer)
_BLANK = re.compile(r"[ \t\r\n]*")
_WORD = re.compile(r"[A-Za-z0-9_$.+-]+")
_STRING = {quote: re.compile(rf"{quote}((?:[^{quote}\\]|\\.)*){quote}", re.DOTALL) for quote in "'\""}
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_WORDS: dict[str, Json] = {"true": True, "false": False, "null": None}


def parse_first(data: bytes) -> Json:
    """Read the document at the start; what follows it is ignored, as is a byte order mark. Raises ValueError."""
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    return _parse(text)[0]


def parse_whole(data: bytes) -> Json:
    """Read a document that has nothing but blanks around it. Raises ValueError."""
    text = data.decode("utf-8", "replace")
    value, end = _parse(text)
    if text[end:].strip():
        raise ValueError("text after the document")
    return value


def _parse(text: str) -> tuple[Json, int]:
    start = _blank(text, 0)
    try:
        value: Json
        value, end = _STANDARD.raw_decode(text, start)
        return value, end
    except RecursionError as error:
        raise NotJson("nested too deeply") from error
    except NotJson:
        raise
    except ValueError:
        if len(text) > LONGEST:
            raise
        return _value(text, start, DEPTH)


def _blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _value(text: str, at: int, depth: int) -> tuple[Json, int]:
    if depth == 0:
        raise ValueError("nested too deeply")
    first = text[at : at + 1]
    if first == "{":
        return _object(text, at + 1, depth)
    if first == "[":
        return _array(text, at + 1, depth)
    if first in ("'", '"') and first:
        return _string(text, at)
    return _literal(text, at)


def _object(text: str, at: int, depth: int) -> tuple[Json, int]:
    members: dict[str, Json] = {}

    def member(at: int) -> int:
        name, at = _name(text, at)
        at = _blank(text, at)
        if text[at : at + 1] != ":":
            raise ValueError("no colon after a name")
        members[name], at = _value(text, _blank(text, at + 1), depth - 1)
        return at

    return members, _items(text, at, "}", member)


def _array(text: str, at: int, depth: int) -> tuple[Json, int]:
    values: list[Json] = []

    def item(at: int) -> int:
        value, at = _value(text, at, depth - 1)
        values.append(value)
        return at

    return values, _items(text, at, "]", item)


def _items(text: str, at: int, closing: str, item: Callable[[int], int]) -> int:
    at = _blank(text, at)
    while text[at : at + 1] != closing:
        at = _blank(text, item(at))
        if text[at : at + 1] == ",":
            at = _blank(text, at + 1)
        elif text[at : at + 1] != closing:
            raise ValueError("no comma between items")
    return at + 1


def _name(text: str, at: int) -> tuple[str, int]:
    if text[at : at + 1] in ("'", '"'):
        return _string(text, at)
    found = _WORD.match(text, at)
    if found is None:
        raise ValueError("no name")
    return found.group(), found.end()


def _string(text: str, at: int) -> tuple[str, int]:
    found = _STRING[text[at]].match(text, at)
    if found is None:
        raise ValueError("unterminated string")
    content = found.group(1)
    if text[at] == "'":
        content = re.sub(r'\\.|"', _requote, content, flags=re.DOTALL)
    value = _STANDARD.decode(f'"{content}"')
    return str(value), found.end()


def _requote(found: re.Match[str]) -> str:
    return {"\\'": "'", '"': '\\"'}.get(found.group(), found.group())


def _literal(text: str, at: int) -> tuple[Json, int]:
    number = _NUMBER.match(text, at)
    if number is not None:
        digits = number.group()
        return (parse_integer(digits) if number.group(2) is number.group(3) is None else float(digits)), number.end()
    word = _WORD.match(text, at)
    if word is None or word.group() not in _WORDS:
        raise ValueError("no value")
    return _WORDS[word.group()], word.end()
