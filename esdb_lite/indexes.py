"""Indexes: what to read by, and what users define.

Owns: the names of indexes, built safely, and the values of index commands. Must not know: how they are sent.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import TypeAlias

from esdb_lite._checks import checked_text
from esdb_lite.errors import InvalidArgument, WrongArgumentType

__all__ = ["IndexField", "IndexFieldType", "IndexInfo", "IndexLike", "IndexQuery", "IndexState"]

_PREFIX = "$idx-"
_EXACT = 2**53


@dataclass(frozen=True)
class IndexQuery:
    """Which events to read by index. Needs KurrentDB 25.1, indexes of users 26.0.

    Events of the server's own streams, or of types that begin with `$`, are in no index.
    """

    name: str
    """The name that servers know it by, such as `$idx-ce-order`."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise WrongArgumentType("index", self.name, "must be a str or an IndexQuery")
        if not checked_text("index", self.name).startswith(_PREFIX):
            raise InvalidArgument("index", self.name, f"must begin with {_PREFIX}, as IndexQuery makes it")

    @classmethod
    def all(cls) -> IndexQuery:
        """All events but the server's own."""
        return cls(f"{_PREFIX}all")

    @classmethod
    def category(cls, category: str) -> IndexQuery:
        """The events of all streams of a category: what stands before the first hyphen of a name, or all of it.

        Raises InvalidArgument for a category with a hyphen, which no stream can have.
        """
        if "-" in checked_text("category", category):
            raise InvalidArgument("category", category, "must have no hyphen")
        return cls(f"{_PREFIX}ce-{category}")

    @classmethod
    def type(cls, type: str) -> IndexQuery:
        """The events of a type. Raises InvalidArgument for an empty one."""
        if not checked_text("type", type):
            raise InvalidArgument("type", type, "must not be empty")
        return cls(f"{_PREFIX}et-{type}")

    @classmethod
    def user(cls, name: str, value: IndexValue | None = None, **fields: IndexValue) -> IndexQuery:
        """The events of an index that a user has defined, or those with one value: `user("by-country", country="DE")`.

        Servers up to 26.1 know one field of an index, and are asked for its value alone, whatever it is called here;
        values of several fields take KurrentDB 26.2. Raises InvalidArgument.
        """
        if not checked_text("name", name) or ":" in name:
            raise InvalidArgument("name", name, "must be the name of an index")
        if value is not None and fields:
            raise InvalidArgument("value", value, "must not be given with values of fields")
        values = {"value": value} if value is not None else fields
        texts = {field: _checked_value(field, given) for field, given in values.items()}
        if len(texts) > 1:
            asked = ";".join(f"{field}={_constraint(values[field], text)}" for field, text in texts.items())
        else:
            asked = "".join(texts.values())
        return cls(f"{_PREFIX}user-{name}:{asked}" if texts else f"{_PREFIX}user-{name}")


IndexValue: TypeAlias = str | int | float
"""A value by which an index is read."""


def _checked_value(field: str, value: IndexValue) -> str:
    """The text of a value; of a whole number, one that every type of field can be."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise WrongArgumentType(field, value, "must be a str, an int or a float")
    if isinstance(value, str):
        return checked_text(field, value)
    if isinstance(value, int) or not math.isfinite(value):
        return str(value).replace("inf", "Infinity").replace("nan", "NaN")
    return str(int(value)) if value.is_integer() and abs(value) < _EXACT else str(value)


def _constraint(value: IndexValue, text: str) -> str:
    """A value among others: texts in quotation marks."""
    if not isinstance(value, str):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


IndexLike: TypeAlias = IndexQuery | str
"""An index query, or the name of an index as servers know it."""


def checked_index(index: object) -> str:
    """Return the name of an index. Raises InvalidArgument."""
    return index.name if isinstance(index, IndexQuery) else IndexQuery(index).name  # type: ignore[arg-type]


class IndexFieldType(enum.Enum):
    """The type of a selector's values; events with a value of another type are left out of the index."""

    STRING = 1
    DOUBLE = 2
    INT_32 = 4
    """Numbers, cut towards zero; those that do not fit leave their event out."""
    INT_64 = 5


class IndexState(enum.Enum):
    """Whether an index can be read."""

    STARTED = 1
    STOPPED = 2


@dataclass(frozen=True)
class IndexField:
    """A value by which an index can be read."""

    name: str
    """Lower-case letters, digits, `_` and `-`; at most 1,000."""
    selector: str
    """A JavaScript function of one argument, the record, such as `rec => rec.value.country`."""
    type: IndexFieldType = IndexFieldType.STRING
    """What of the values is kept."""


@dataclass(frozen=True)
class IndexInfo:
    """An index that a user has defined."""

    name: str
    """As in `create_index`."""
    filter: str | None
    """The JavaScript function that says which records are in it; None: all."""
    fields: tuple[IndexField, ...]
    """By which it can be read."""
    state: IndexState
    """Whether it can be read."""
