"""Choices for the user of a server: enums whose values are also accepted as text.

Owns: the choices and their names. Must not know: what comes of them.
"""

from __future__ import annotations

import enum
from typing import TypeVar

from esdb_lite._checks import checked_int
from esdb_lite.errors import InvalidArgument

E = TypeVar("E", bound=enum.Enum)


class Durability(str, enum.Enum):
    """What an acknowledged append survives."""

    FULL = "full"
    """A crash of the process, and of the machine: every commit is on the disk before it is answered."""
    RELAXED = "relaxed"
    """A crash of the process. A crash of the machine may lose the last commits, never damage the file."""


class Compatibility(str, enum.Enum):
    """The server that this one passes for: its version, its methods, how much it takes, what differs in its answers."""

    V24_10 = "24.10"
    """EventStoreDB 24.10."""
    V25_1 = "25.1"
    """KurrentDB 25.1: appends to several streams."""
    V26_1 = "26.1"
    """KurrentDB 26.1: with checks of other streams, and indexes that users define."""


DEFAULT_COMPATIBILITY = Compatibility.V26_1


class RunProjections(str, enum.Enum):
    """Which projections a server has."""

    NONE = "none"
    """None, and no calls about them."""
    SYSTEM = "system"
    """The five system projections, each of which runs once it has been enabled."""
    ALL = "all"
    """These, and JavaScript projections, which need the extra `projections`."""


def checked_size(argument: str, value: int | None) -> int | None:
    """Return a number of bytes, from 1 to 2^31 - 1, or None. Raises InvalidArgument."""
    return None if value is None else checked_int(argument, value, 1, 2**31 - 1)


def one_of(argument: str, value: object, choices: type[E]) -> E:
    """Return a choice, given as such or as its value. Raises InvalidArgument."""
    try:
        return choices(value)
    except ValueError:
        names = ", ".join(repr(choice.value) for choice in choices)
        raise InvalidArgument(argument, value, f"must be one of {names}") from None
