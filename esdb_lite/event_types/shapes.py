"""Plain JSON values as values of Python, by annotations.

Owns: reading what `plain` has written, for dataclasses, attrs classes and everything that they can be made of. Must
not know: events. A reader is made once for each annotation, and is then a function.
"""

from __future__ import annotations

import base64
import collections.abc
import enum
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from uuid import UUID

import typing_extensions

from esdb_lite.event_types.misfit import Misfit
from esdb_lite.event_types.models import is_model, model_reader
from esdb_lite.event_types.plain import field_names, to_plain

Reader = Callable[[object], object]
Readers = Mapping[type, Reader]

_SEQUENCES: dict[object, Callable[..., object]] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: tuple,
    collections.abc.Iterable: tuple,
    collections.abc.Collection: tuple,
    collections.abc.Set: frozenset,
}
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_ANYTHING: tuple[object, ...] = (typing.Any, typing_extensions.Any, object)


_REST = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_SECONDS = re.compile(r"-?\d{1,14}\.\d{6}")
_FRACTION = re.compile(r"\.\d+")


class Shapes:
    """Readers by annotation. `given` by class come first."""

    def __init__(self, given: Readers) -> None:
        self._given = given
        self._known: dict[object, Reader] = {}

    def reader(self, annotation: object) -> Reader:
        """Return the function that reads values of an annotation. Raises TypeError for one that cannot be read."""
        try:
            known = self._known.get(annotation)
        except TypeError:  # an annotation that cannot be hashed
            return self._make(annotation)
        if known is None:
            known = self._known[annotation] = self._lazily(annotation)
            known = self._known[annotation] = self._make(annotation)
        return known

    def _lazily(self, annotation: object) -> Reader:
        """A reader for an annotation whose own is being made: it may contain itself."""
        return lambda value: self._known[annotation](value)

    def _make(self, annotation: object) -> Reader:
        if annotation in _ANYTHING or isinstance(annotation, typing.TypeVar):
            return lambda value: value
        if annotation is None or annotation is type(None):
            return _nothing
        supertype = getattr(annotation, "__supertype__", None)
        if supertype is not None:
            return self.reader(supertype)
        origin = typing.get_origin(annotation)
        if origin is not None:
            return self._generic(annotation, origin, typing.get_args(annotation))
        if isinstance(annotation, type):
            return self._class(annotation)
        raise TypeError(f"values of {annotation!r} cannot be read from JSON; give EventTypes a converter")

    def _generic(self, annotation: object, origin: object, args: tuple[object, ...]) -> Reader:
        if origin in (typing.Annotated, typing.Final, typing.ClassVar):
            return self.reader(args[0])
        if origin in (typing.Union, types.UnionType):
            return self._union(args)
        if origin is typing.Literal or origin is typing_extensions.Literal:
            return _literal(args)
        if origin is tuple and args[-1:] != (...,):
            return _exact_tuple([self.reader(each) for each in args])
        if origin in _SEQUENCES:
            return _sequence(_SEQUENCES[origin], self.reader(args[0]))
        if origin in _MAPPINGS:
            return _mapping(self.reader(args[0]), self.reader(args[1]))
        if isinstance(origin, type):
            return self._class(origin)
        raise TypeError(f"values of {annotation!r} cannot be read from JSON; give EventTypes a converter")

    def _union(self, args: tuple[object, ...]) -> Reader:
        readers = [self.reader(each) for each in _dates_first(args)]

        def read(value: object) -> object:
            for reader in readers:
                try:
                    return reader(value)
                except Misfit:
                    continue
            raise Misfit(f"must be one of {', '.join(map(_shown, args))}, not {value!r}")

        return read

    def _class(self, kind: type) -> Reader:
        for base in kind.__mro__:
            if base in self._given:
                return _guarded(kind, self._given[base])
        if issubclass(kind, enum.Enum):
            return _guarded(kind, _member(kind))
        if kind in _SCALARS:
            return _SCALARS[kind]
        if kind in _SEQUENCES:
            return _sequence(_SEQUENCES[kind], lambda value: value)
        if kind in _MAPPINGS or typing_extensions.is_typeddict(kind):
            return _mapping(_text, lambda value: value)
        if is_model(kind):
            return _guarded(kind, model_reader(kind))
        if hasattr(kind, "__struct_fields__"):
            return _struct(kind)
        if field_names(kind) is not None:
            return _Fields(kind, self)
        if issubclass(kind, tuple) and hasattr(kind, "_fields"):
            hints, named = _hints(kind), typing.cast("typing.Any", kind)
            return _exact_tuple([self.reader(hints.get(name, object)) for name in named._fields], named._make)
        raise TypeError(f"values of {kind.__qualname__} cannot be read from JSON; give EventTypes a converter")


class _Fields:
    """Reads objects of a class with fields. Names that it does not have are left alone."""

    def __init__(self, kind: type, shapes: Shapes) -> None:
        self._kind = kind
        hints = _hints(kind)
        required = _required(kind)
        self._fields = [
            (name, argument, shapes.reader(hints.get(name, object)), needed) for name, argument, needed in required
        ]

    def __call__(self, value: object) -> object:
        if not isinstance(value, Mapping):
            raise Misfit(f"must be an object with the fields of {self._kind.__qualname__}, not {value!r}")
        arguments = {}
        for name, argument, reader, needed in self._fields:
            if name in value:
                try:
                    arguments[argument] = reader(value[name])
                except Misfit as error:
                    raise Misfit(f"{name}: {error}") from error
            elif needed:
                raise Misfit(f"{name}: is missing")
        try:
            return self._kind(**arguments)
        except (TypeError, ValueError) as error:
            raise Misfit(f"{self._kind.__qualname__} refuses it: {error}") from error


def _hints(kind: type) -> dict[str, object]:
    try:
        return typing_extensions.get_type_hints(kind)
    except NameError as error:
        raise TypeError(f"the annotations of {kind.__qualname__} cannot be resolved: {error}") from error


def _required(kind: type) -> list[tuple[str, str, bool]]:
    """Of the fields that can be passed when an object is made: name, name of the argument, whether it must be there."""
    if hasattr(kind, "__dataclass_fields__"):
        from dataclasses import MISSING, fields

        return [
            (field.name, field.name, field.default is MISSING and field.default_factory is MISSING)
            for field in fields(kind)
            if field.init
        ]
    from attrs import NOTHING
    from attrs import fields as attributes

    return [
        (each.name, each.alias or each.name.lstrip("_"), each.default is NOTHING)
        for each in attributes(kind)
        if each.init
    ]


def foreign_arguments(kind: type) -> list[str]:
    """Names of what a dataclass or an attrs class must be given when it is made, besides its fields."""
    if is_model(kind) or hasattr(kind, "__struct_fields__"):
        return []
    known = {argument for _, argument, _ in _required(kind)}
    return [
        name
        for name, each in inspect.signature(kind).parameters.items()
        if each.default is each.empty and each.kind not in _REST and name not in known
    ]


def _struct(kind: type) -> Reader:
    import msgspec

    def read(value: object) -> object:
        try:
            return msgspec.convert(value, kind, str_keys=True)
        except msgspec.ValidationError as error:
            raise Misfit(str(error)) from error

    return read


def _guarded(kind: type, read: Callable[..., object]) -> Reader:
    """A reader of what may refuse a value."""

    def guarded(value: object) -> object:
        try:
            return read(value)
        except (TypeError, ValueError, LookupError, OverflowError, InvalidOperation) as error:
            raise Misfit(f"is not a {kind.__qualname__}: {error}") from error

    return guarded


def _dates_first(args: tuple[object, ...]) -> tuple[object, ...]:
    """A date before a datetime, which reads dates, too."""
    if not {date, datetime} <= {each for each in args if isinstance(each, type)}:
        return args
    others = [each for each in args if each is not date]
    at = min(args.index(date), others.index(datetime))
    return (*others[:at], date, *others[at:])


def _member(kind: type[enum.Enum]) -> Reader:
    """Reads members of an enumeration, whose values may be such as JSON does not have."""

    def read(value: object) -> object:
        try:
            return kind(value)
        except ValueError:
            for member in kind:
                if to_plain(member.value, {}) == value:
                    return member
            raise

    return read


def _nothing(value: object) -> object:
    if value is not None:
        raise Misfit(f"must be null, not {value!r}")
    return None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Misfit(f"must be a text, not {value!r}")
    return value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise Misfit(f"must be true or false, not {value!r}")
    return value


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        if isinstance(value, float) and value.is_integer():  # other languages write 3 as 3.0
            return int(value)
        raise Misfit(f"must be an integer, not {value!r}")
    return value


def _float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Misfit(f"must be a number, not {value!r}")
    return float(value)


def _decimal(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError(f"{value!r}")
    return Decimal(str(value))


def _duration(value: object) -> timedelta:
    if isinstance(value, str) and _SECONDS.fullmatch(value):
        return timedelta(microseconds=int(value.replace(".", "")))
    return timedelta(seconds=_float(value))


def _moment(value: object) -> datetime:
    """A time as others write it, too: with Z, and with up to seven digits of a second, which Python 3.10 refuses."""
    text = _FRACTION.sub(lambda digits: digits[0][:7].ljust(7, "0"), _text(value))
    return datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith(("Z", "z")) else text)


def _literal(choices: tuple[object, ...]) -> Reader:
    def read(value: object) -> object:
        for choice in choices:
            if type(choice) is type(value) and choice == value:
                return choice
        raise Misfit(f"must be one of {', '.join(map(repr, choices))}, not {value!r}")

    return read


def _exact_tuple(readers: list[Reader], make: Callable[..., object] = tuple) -> Reader:
    def read(value: object) -> object:
        if not isinstance(value, list) or len(value) != len(readers):
            raise Misfit(f"must be an array of {len(readers)}, not {value!r}")
        return make(reader(item) for reader, item in zip(readers, value, strict=True))

    return read


def _sequence(make: Callable[..., object], reader: Reader) -> Reader:
    def read(value: object) -> object:
        if not isinstance(value, list):
            raise Misfit(f"must be an array, not {value!r}")
        return make([reader(item) for item in value])

    return read


def _mapping(names: Reader, reader: Reader) -> Reader:
    def read(value: object) -> object:
        if not isinstance(value, Mapping):
            raise Misfit(f"must be an object, not {value!r}")
        return {names(name): reader(item) for name, item in value.items()}

    return read


def _shown(annotation: object) -> str:
    return annotation.__qualname__ if isinstance(annotation, type) else str(annotation)


_SCALARS: dict[type, Reader] = {
    str: _text,
    bool: _boolean,
    int: _integer,
    float: _float,
    UUID: _guarded(UUID, lambda value: UUID(_text(value))),
    Decimal: _guarded(Decimal, _decimal),
    datetime: _guarded(datetime, _moment),
    date: _guarded(date, lambda value: date.fromisoformat(_text(value))),
    time: _guarded(time, lambda value: time.fromisoformat(_text(value))),
    timedelta: _guarded(timedelta, _duration),
    bytes: _guarded(bytes, lambda value: base64.b64decode(_text(value), validate=True)),
}
