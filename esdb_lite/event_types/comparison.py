"""Whether a value is still the same when it has been written and read.

Owns: `difference`. Must not know: how values are written and read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from esdb_lite.event_types.models import is_model, model_fields


def difference(value: object, again: object, where: str = "") -> str | None:
    """Say what of a value is another now, and where; None where nothing is.

    Lists and tuples count as the same. Fields that a class does not compare, and values of classes that cannot be
    compared, are not looked at.
    """
    if _are_equal(value, again):
        return None
    parts = _parts(value, again)
    if parts is None:
        same_kind = type(value) is type(again)
        if same_kind and type(value).__eq__ is object.__eq__:
            return None
        return f"{where and f'{where}: '}{value!r} would be read as {again!r}"
    for name, one, other in parts:
        found = difference(one, other, f"{where}.{name}" if where else str(name))
        if found is not None:
            return found
    return None


def _are_equal(value: object, again: object) -> bool:
    try:
        return bool(value == again) or (value != value and again != again)
    except Exception:  # what cannot be compared
        return type(value) is type(again)


def _parts(value: object, again: object) -> Iterable[tuple[object, object, object]] | None:
    """What two values consist of, side by side; None where they cannot be taken apart."""
    if isinstance(value, (list, tuple)) and isinstance(again, (list, tuple)):
        return zip(range(len(value)), value, again, strict=True) if len(value) == len(again) else None
    if isinstance(value, Mapping) and isinstance(again, Mapping):
        return [(key, value[key], again[key]) for key in value] if value.keys() == again.keys() else None
    names = _compared(type(value)) if type(value) is type(again) else None
    if names is None:
        return None
    return [(name, getattr(value, name, None), getattr(again, name, None)) for name in names]


def _compared(kind: type) -> Iterable[str] | None:
    """Names of the fields by which objects of a class are compared; None for a class without fields."""
    if is_model(kind):
        return list(model_fields(kind))
    if hasattr(kind, "__dataclass_fields__"):
        from dataclasses import fields

        return [field.name for field in fields(kind) if field.compare]
    if hasattr(kind, "__attrs_attrs__"):
        return [attribute.name for attribute in kind.__attrs_attrs__ if attribute.eq]
    return getattr(kind, "__struct_fields__", None)
