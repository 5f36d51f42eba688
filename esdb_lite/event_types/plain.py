"""Values of Python as plain JSON values.

Owns: what becomes of dates, numbers, enumerations and objects with fields. Must not know: events, the way back
(`shapes`).
"""

from __future__ import annotations

import base64
import enum
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import cast
from uuid import UUID

from esdb_lite.event_types.models import is_model, model_plain
from esdb_lite.events import JsonValue

Converters = Mapping[type, Callable[[object], JsonValue]]

_AS_THEY_ARE = frozenset({str, int, float, bool, type(None)})


def to_plain(value: object, converters: Converters) -> JsonValue:
    """Return a value as JSON values; `converters` by class come first. Raises TypeError for what has no such form."""
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value  # type: ignore[return-value]
    for base in kind.__mro__ if converters else ():
        if base in converters:
            return converters[base](value)
    for classes, convert in _FORMS:
        if isinstance(value, classes):
            return convert(value)
    if isinstance(value, Mapping):
        return {_name(key, converters): to_plain(item, converters) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item, converters) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((to_plain(item, converters) for item in value), key=repr)
    return _object(value, converters)


def _object(value: object, converters: Converters) -> JsonValue:
    kind = type(value)
    if is_model(kind):
        return model_plain(value)
    if hasattr(kind, "__struct_fields__"):
        import msgspec

        return cast("JsonValue", msgspec.to_builtins(value, str_keys=True))
    names = field_names(kind)
    if names is None:
        raise TypeError(f"{value!r} has no form in JSON; give EventTypes a converter for {kind.__qualname__}")
    return {name: to_plain(getattr(value, name), converters) for name in names}


def field_names(kind: type) -> list[str] | None:
    """Names of the fields of a dataclass, an attrs class or a msgspec struct; None for another class."""
    if hasattr(kind, "__dataclass_fields__"):
        from dataclasses import fields

        return [field.name for field in fields(kind)]
    if hasattr(kind, "__attrs_attrs__"):
        return [attribute.name for attribute in kind.__attrs_attrs__]
    if hasattr(kind, "__struct_fields__"):
        return list(kind.__struct_fields__)
    return None


def _name(key: object, converters: Converters) -> str:
    name = to_plain(key, converters)
    if not isinstance(name, str):
        raise TypeError(f"{key!r} cannot be a name in JSON")
    return name


def _isoformat(value: datetime | date | time) -> str:
    return value.isoformat()


def _seconds(value: timedelta) -> float | str:
    """A number, or a text where a number is not exact: a float has no microseconds after 285 years."""
    seconds = value.total_seconds()
    if abs(value).days < timedelta.max.days and timedelta(seconds=seconds) == value:
        return seconds
    whole, rest = divmod(abs(value) // timedelta(microseconds=1), 1_000_000)
    return f"{'-' if value.days < 0 else ''}{whole}.{rest:06}"


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


_FORMS: tuple[tuple[type | tuple[type, ...], Callable[..., JsonValue]], ...] = (
    (enum.Enum, lambda value: to_plain(value.value, {})),
    ((str, int, float), lambda value: value),
    ((datetime, date, time), _isoformat),
    (timedelta, _seconds),
    ((UUID, Decimal), str),
    ((bytes, bytearray), _base64),
)
"""What becomes of values, first match first: an enumeration of texts is an enumeration."""
