"""What an argument must be, wherever one is taken: an int, a bool, a time, within a range; a text, a sequence.

Owns: the rules that have nothing to do with what an argument means, and the words in which they refuse.
Must not know: what is asked with the arguments.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import timedelta
from typing import TypeVar, Union, cast

from esdb_lite.errors import InvalidArgument, WrongArgumentType

Seconds = Union[float, timedelta]  # noqa: UP007 - read at run time by documentation tools on 3.10
"""A time: a number of seconds, or a timedelta."""

_T = TypeVar("_T")


def checked_int(argument: str, value: int, least: int | None = None, most: int | None = None) -> int:
    """An int within a range, both ends included. Raises WrongArgumentType, InvalidArgument."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise WrongArgumentType(argument, value, "must be an int")
    if least is not None and most is not None and not least <= value <= most:
        raise InvalidArgument(argument, value, f"must be between {least} and {most}")
    if least is not None and value < least:
        raise InvalidArgument(argument, value, f"must be at least {least}")
    if most is not None and value > most:
        raise InvalidArgument(argument, value, f"must be at most {most}")
    return value


def checked_bool(argument: str, value: bool) -> bool:
    """True or False. Raises WrongArgumentType."""
    if not isinstance(value, bool):
        raise WrongArgumentType(argument, value, "must be a bool")
    return value


def checked_text(argument: str, value: str) -> str:
    """A text that can be sent. Raises WrongArgumentType, InvalidArgument."""
    if not isinstance(value, str):
        raise WrongArgumentType(argument, value, "must be a str")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(argument, value, "must be encodable as UTF-8") from error
    return value


def checked_hidden(argument: str, value: str) -> str:
    """The same, of which nothing is shown. Raises WrongArgumentType, InvalidArgument."""
    if not isinstance(value, str):
        raise WrongArgumentType(argument, None, "what is given must be of class str")
    if any("\ud800" <= letter <= "\udfff" for letter in value):  # not tried: the error of a codec has the text in it
        raise InvalidArgument(argument, None, "what is given must be encodable as UTF-8")
    if "\0" in value:
        raise InvalidArgument(argument, None, "what is given must have no NUL (character 0) in it")
    return value


def checked_items(argument: str, value: object, kind: type[_T], reason: str) -> list[_T]:
    """Everything in something that can be gone through, all of one kind. Raises WrongArgumentType."""
    if isinstance(value, (str, bytes, dict)) or not isinstance(value, Iterable):
        raise WrongArgumentType(argument, value, reason)
    items = list(value)
    for item in items:
        if not isinstance(item, kind):
            raise WrongArgumentType(argument, item, reason)
    return items


def checked_seconds(argument: str, value: Seconds, *, endless: bool = False) -> float:
    """A time in seconds, from 0; `endless`: it may be infinite. Raises WrongArgumentType, InvalidArgument."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise WrongArgumentType(argument, value, "must be a number of seconds or a timedelta")
    else:
        seconds = _as_float(value)
    if math.isnan(seconds) or seconds < 0 or (math.isinf(seconds) and not endless):
        raise InvalidArgument(argument, value, "must be 0 or more" if endless else "must be 0 or more, and finite")
    return seconds


def checked_duration(argument: str, value: Seconds, least: timedelta, most: timedelta) -> timedelta:
    """A time within a range, both ends included. Raises WrongArgumentType, InvalidArgument."""
    checked_seconds(argument, value, endless=True)
    duration = as_timedelta(value)
    if not isinstance(duration, timedelta) or not least <= duration <= most:
        raise InvalidArgument(argument, value, f"must be between {least} and {most}")
    return duration


def as_timedelta(value: object) -> object:
    """Return a number of seconds as a timedelta; anything else, and what no timedelta can hold, as it is."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return timedelta(seconds=value)
        except (OverflowError, ValueError):
            pass
    return value


class _TimeField:
    """A field of a dataclass: it converts, and refuses nothing; the dataclass checks what it holds."""

    def __init__(self, default: object) -> None:
        self._default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def _read(self, instance: object) -> object:
        # a dataclass asks the class for the default of a field
        return self._default if instance is None else instance.__dict__[self._name]

    def _write(self, instance: object, value: object) -> None:
        instance.__dict__[self._name] = as_timedelta(value)


class Duration(_TimeField):
    """A field of a dataclass that takes a number of seconds or a timedelta, and holds a timedelta."""

    def __get__(self, instance: object, owner: type) -> timedelta:
        return cast(timedelta, self._read(instance))

    def __set__(self, instance: object, value: Seconds) -> None:
        self._write(instance, value)


class OptionalDuration(_TimeField):
    """The same for a field that may be None."""

    def __get__(self, instance: object, owner: type) -> timedelta | None:
        return cast("timedelta | None", self._read(instance))

    def __set__(self, instance: object, value: Seconds | None) -> None:
        self._write(instance, value)


class Pause(_TimeField):
    """A field that takes the same, and holds a number of seconds."""

    def __get__(self, instance: object, owner: type) -> float:
        return cast(float, self._read(instance))

    def __set__(self, instance: object, value: Seconds) -> None:
        instance.__dict__[self._name] = value.total_seconds() if isinstance(value, timedelta) else value


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an int of more than 308 digits
        return math.inf if value > 0 else -math.inf
