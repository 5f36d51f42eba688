"""Choices for the user of a server: enums whose values are also accepted as text.

Owns: the choices and their names. Must not know: what comes of them.
"""

from __future__ import annotations

import enum
from typing import TypeVar

from esdb_lite.errors import InvalidArgument

E = TypeVar("E", bound=enum.Enum)


class Durability(str, enum.Enum):
    """What an acknowledged append survives."""

    FULL = "full"
    """A crash of the process, and of the machine: every commit is on the disk before it is answered."""
    RELAXED = "relaxed"
    """A crash of the process. A crash of the machine may lose the last commits, never damage the file."""


class RunProjections(str, enum.Enum):
    """Which projections a server has."""

    NONE = "none"
    """None, and no calls about them."""
    SYSTEM = "system"
    """The five system projections, each of which runs once it has been enabled."""
    ALL = "all"
    """These, and JavaScript projections, which need the extra `projections`."""


def one_of(argument: str, value: object, choices: type[E]) -> E:
    """Return a choice, given as such or as its value. Raises InvalidArgument."""
    try:
        return choices(value)
    except ValueError:
        names = ", ".join(repr(choice.value) for choice in choices)
        raise InvalidArgument(argument, value, f"must be one of {names}") from None
