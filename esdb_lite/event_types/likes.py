"""What can be appended as an event, for annotations.

Owns: `TypedEvent`, `EventsLike`. Must not know: what is done with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Protocol, Union

from esdb_lite.events import NewEvent


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


class _Attrs(Protocol):
    __attrs_attrs__: ClassVar[Any]


class _Struct(Protocol):
    __struct_fields__: ClassVar[tuple[str, ...]]


class _Model(Protocol):
    def model_dump_json(self) -> str: ...


TypedEvent = Union[_Dataclass, _Attrs, _Struct, _Model]  # noqa: UP007 - read at run time by documentation tools on 3.10
"""An object of a registered class: a dataclass, attrs class, msgspec struct or pydantic model."""


EventsLike = Union[NewEvent, TypedEvent, Iterable[Union[NewEvent, TypedEvent]]]  # noqa: UP007
"""One event or several: `NewEvent`s, and objects of registered classes."""
