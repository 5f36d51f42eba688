"""JSON that strangers have written, read so that it cannot do harm: whatever it is, it is a value or `NotJson`.

Owns: how deep documents may be nested, how long their numbers may be. Must not know: what they mean, where they come
from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeAlias, Union

Json: TypeAlias = Union[bool, int, float, str, "list[Json]", "dict[str, Json]", None]

DEPTH = 64
"""So deep may a document be nested, as with real servers."""
LONGEST_NUMBER = 400
"""Digits of an integer: more take time, and Python does not write them."""

_BRACKETS = r'(?s)"(?:[^"\\]|\\.?)*(?:"|$)|[][{}]'
_SURROGATES = r"\\u[dD][89a-fA-F]|[\ud800-\udfff]"


class NotJson(ValueError):
    """The text is no JSON document that can be used; the message says why."""


def parse_json(data: bytes | str, *, unique_names: bool = False) -> Json:
    """Read a document. Raises NotJson.

    A name that comes again replaces the one before (`unique_names`: is refused). Texts can be encoded in UTF-8: half a
    surrogate pair is refused. So are bytes that are not UTF-8.
    """
    decoder = _UNIQUE if unique_names else _PLAIN
    try:
        text = data.decode() if isinstance(data, bytes) else data
        check_depth(text)
        value: Json = decoder.decode(text)
        if re.search(_SURROGATES, text):
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except NotJson:
        raise
    except RecursionError as error:
        raise NotJson("it is nested too deeply") from error
    except ValueError as error:
        raise NotJson(str(error)) from error


def load_json(data: bytes | str) -> Json:
    """Read a document as `json.loads` does, which may be nested as deeply as Python can have it. Raises ValueError.

    With msgspec, where that is installed: what it reads, it reads to the same values. Whatever is refused at first is
    for `json.loads` to judge, which knows more spellings (NaN, UTF-16).
    """
    try:
        return _decoder()(data)
    except (ValueError, RecursionError):
        pass
    try:
        value: Json = json.loads(data)
    except RecursionError as error:
        raise NotJson("it is nested too deeply") from error
    return value


@cache
def _decoder() -> Callable[[bytes | str], Json]:
    try:
        from msgspec.json import Decoder
    except ImportError:
        return _read_usual
    return Decoder().decode


def _read_usual(data: bytes | str) -> Json:
    """Read a document without blanks around it, in UTF-8."""
    text = data if isinstance(data, str) else data.decode()
    value: Json
    value, end = _STANDARD.raw_decode(text)
    if end != len(text):
        raise NotJson("there is more behind it")
    return value


_STANDARD = json.JSONDecoder()


def check_depth(text: str) -> None:
    """Refuse what is nested more than DEPTH deep. Raises NotJson."""
    if text.count("[") + text.count("{") <= DEPTH:
        return
    depth = 0
    for found in re.finditer(_BRACKETS, text):
        bracket = found.group()
        if bracket in ("[", "{"):
            depth += 1
            if depth > DEPTH:
                raise NotJson("it is nested too deeply")
        elif bracket in ("]", "}"):
            depth -= 1


def parse_integer(digits: str) -> int:
    """Read an integer of a document. Raises NotJson for one that is too long."""
    if len(digits) > LONGEST_NUMBER:
        raise NotJson(f"a number has {len(digits)} digits")
    return int(digits)


def _unique(pairs: Sequence[tuple[str, Json]]) -> Json:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotJson("a name comes twice")
    return members


_PLAIN = json.JSONDecoder(parse_int=parse_integer)
_UNIQUE = json.JSONDecoder(parse_int=parse_integer, object_pairs_hook=_unique)
