"""Models and dataclasses of pydantic as JSON, and back.

Owns: how pydantic is asked, so that what it writes is what it reads: by alias, without computed fields, and read as
JSON, which is what strict models want. Must not know: events, other classes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from inspect import signature
from typing import Any, cast, get_args

from esdb_lite.events import JsonValue


def is_model(kind: type) -> bool:
    """Whether it is a model or a dataclass of pydantic."""
    return hasattr(kind, "__pydantic_complete__") or hasattr(kind, "__pydantic_fields__")


def model_fields(kind: Any) -> dict[str, Any]:
    """Fields by name; models have had them elsewhere before pydantic 2.10."""
    found: dict[str, Any] | None = getattr(kind, "__pydantic_fields__", None)
    return kind.model_fields if found is None else found


def model_json(value: Any) -> bytes:
    """Return a model as JSON."""
    kind: Any = type(value)
    if hasattr(kind, "model_dump_json"):
        return cast("str", value.model_dump_json(**_form(kind))).encode()
    return cast("bytes", _adapter(kind).dump_json(value, **_form(kind)))


def model_plain(value: Any) -> JsonValue:
    """Return a model as JSON values."""
    kind: Any = type(value)
    dump = value.model_dump if hasattr(kind, "model_dump") else lambda **how: _adapter(kind).dump_python(value, **how)
    return cast("JsonValue", dump(mode="json", **_form(kind)))


def model_reader(kind: type) -> Callable[[object], object]:
    """Return the function that makes a model of JSON values. It raises ValueError."""
    from pydantic_core import to_json

    own = getattr(kind, "model_validate_json", None)
    validate: Callable[..., object] = _adapter(kind).validate_json if own is None else own
    how = _also_by_name(kind, validate)
    return lambda value: validate(to_json(value), **how)


def _also_by_name(kind: Any, validate: Callable[..., object]) -> dict[str, bool]:
    """Events may have been stored with the names of fields; pydantic 2.11 can read both.

    Where the name of a field is the alias of another, it has to mean that one.
    """
    fields = model_fields(kind)
    wanted = {name: field.validation_alias for name, field in fields.items()}
    aliases = {alias for name, alias in wanted.items() if isinstance(alias, str) and alias != name}
    both = "by_name" in signature(validate).parameters and not aliases & fields.keys()
    return {"by_alias": True, "by_name": True} if both else {}


@lru_cache(maxsize=1024)
def _form(kind: Any) -> dict[str, bool]:
    """By alias, unless there is one under which nothing is read."""
    return {"by_alias": _reads_aliases(kind, set()), "round_trip": True}


def _reads_aliases(annotation: Any, seen: set[type]) -> bool:
    if not isinstance(annotation, type) or not is_model(annotation):
        return all(_reads_aliases(each, seen) for each in get_args(annotation))
    if annotation in seen:
        return True
    seen.add(annotation)
    fields = model_fields(annotation).items()
    return all(_is_read(name, each) and _reads_aliases(each.annotation, seen) for name, each in fields)


def _is_read(name: str, field: Any) -> bool:
    wanted = field.validation_alias
    return field.serialization_alias in (None, name, *getattr(wanted, "choices", [wanted]))


@lru_cache(maxsize=1024)
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
