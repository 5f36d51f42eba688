"""Which class stands for which type of event, in which version, and how older versions become the newest.

Owns: `EventTypes`: events of objects, and objects of events. Must not know: clients, how events are sent and read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard, TypeVar, cast
from uuid import UUID

from esdb_lite._checks import checked_int
from esdb_lite._event_fields import checked_type, to_json
from esdb_lite._json import load_json
from esdb_lite.errors import InvalidArgument, WrongArgumentType
from esdb_lite.event_types.comparison import difference
from esdb_lite.event_types.likes import TypedEvent
from esdb_lite.event_types.misfit import EventValueError, Misfit
from esdb_lite.event_types.models import is_model, model_json
from esdb_lite.event_types.plain import field_names, to_plain
from esdb_lite.event_types.shapes import Reader, Shapes, foreign_arguments
from esdb_lite.events import JSON, JsonValue, NewEvent, RecordedEvent

_CLASS = type
VERSION = "eventVersion"
"""Name in an event's metadata under which its version is, if it is not 1."""

_MOST = 1_000_000

K = TypeVar("K", bound=type)
T = TypeVar("T")
Upcaster = Callable[[dict[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class _Registration:
    kind: type
    type: str
    version: int


class EventTypes:
    """The classes of an application's events: `client.append_events` takes their objects, `event.value` gives them.

    A class is a dataclass, an attrs class, a pydantic model or a msgspec struct. Its fields become a JSON object.
    Dates and times are in ISO 8601, `timedelta`s are seconds, UUIDs and `Decimal`s texts, bytes are in base 64,
    enumerations are their values, sets and tuples arrays. Fields with a default may be missing in what is stored, and
    names that the class does not have are left alone, so that classes can grow. `converter` is for other values.

    May be shared by clients and threads. Register everything before it is used.
    """

    def __init__(self) -> None:
        self._by_class: dict[type, _Registration] = {}
        self._by_type: dict[str, _Registration] = {}
        self._upcasters: dict[tuple[str, int], Upcaster] = {}
        self._converters: dict[type, Callable[[Any], JsonValue]] = {}
        self._readers: dict[type, Reader] = {}
        self._shapes = Shapes(self._readers)

    def register(self, type: str, *, version: int = 1, aliases: Iterable[str] = ()) -> Callable[[K], K]:
        """Class decorator: the class stands for events of this type, which are written in this version.

        `aliases` are types under which such events were written before. A version above 1 is noted in the event's
        metadata (`eventVersion`), and needs an `upcaster` from every older one. Raises InvalidArgument for a type or
        class that is registered already, WrongArgumentType for a class without fields.
        """
        names = [checked_type(type), *map(checked_type, aliases)]
        number = checked_int("version", version, 1, _MOST)

        def add(kind: K) -> K:
            if not isinstance(kind, _CLASS) or not _has_fields(kind):
                raise WrongArgumentType("class", kind, "must be a dataclass, attrs class, pydantic model or struct")
            if missing := foreign_arguments(kind):
                raise WrongArgumentType("class", kind, f"must be made of its fields alone, and wants {missing[0]}, too")
            if kind in self._by_class:
                raise InvalidArgument("class", kind, "must be a class that is not registered yet")
            for name in names:
                if name in self._by_type:
                    other = self._by_type[name].kind.__qualname__
                    raise InvalidArgument("type", name, f"must be a type that {other} does not stand for already")
            registration = _Registration(kind, names[0], number)
            self._by_class[kind] = registration
            self._by_type.update(dict.fromkeys(names, registration))
            return kind

        return add

    def upcaster(self, type: str, *, version: int) -> Callable[[Upcaster], Upcaster]:
        """Function decorator: it makes the data of a version those of the next: JSON values by name.

        It may change the mapping that it gets. `type` is the one that the class is registered with.
        """
        key = checked_type(type), checked_int("version", version, 1, _MOST)
        if key in self._upcasters:
            raise InvalidArgument("version", version, f"must be a version of {type} that has no upcaster yet")

        def add(upcast: Upcaster) -> Upcaster:
            self._upcasters[key] = upcast
            return upcast

        return add

    def converter(self, kind: type[T], *, to_json: Callable[[T], JsonValue], from_json: Callable[[Any], T]) -> None:
        """Say how values of a class, in whatever field, become JSON and come back. Replaces the default.

        Pydantic models and msgspec structs convert their fields themselves.
        """
        for name, function in (("to_json", to_json), ("from_json", from_json)):
            if not callable(function):
                raise WrongArgumentType(name, function, "must be a function")
        if not isinstance(kind, _CLASS):
            raise WrongArgumentType("kind", kind, "must be a class")
        self._converters[kind] = to_json
        self._readers[kind] = from_json

    def new_event(
        self, value: TypedEvent, *, metadata: Mapping[str, JsonValue] | None = None, id: UUID | None = None
    ) -> NewEvent:
        """Make the event that an object stands for.

        It is read again to see that it comes back as it is. Raises InvalidArgument where it does not,
        WrongArgumentType for a class that is not registered.
        """
        registration = self._by_class.get(type(value))
        if registration is None:
            reason = f"must be of a registered class: {type(value).__qualname__} is not"
            raise WrongArgumentType("events", value, reason)
        added = dict(metadata or {})
        if registration.version > 1:
            added[VERSION] = registration.version
        encoded = to_json("metadata", added) if added else b""
        data = self._encoded(value)
        self._check_readable(value, data)
        return NewEvent(registration.type, data, encoded, JSON, id)

    def value(self, event: RecordedEvent | NewEvent) -> object:
        """Return the object that an event stands for.

        For an event of another type it is the data as JSON values, or the bytes where they are not JSON. Raises
        EventValueError where data of a known type do not fit their class.
        """
        registration = self._by_type.get(event.type)
        if registration is None:
            return plain_value(event)
        try:
            return self._decoded(registration, event)
        except EventValueError:
            raise
        except (TypeError, ValueError) as error:
            raise EventValueError(event, f"{error}") from error

    def to_plain(self, value: object) -> JsonValue:
        """Return a value as JSON values, as a field of an event. Raises WrongArgumentType."""
        try:
            return to_plain(value, self._converters)
        except TypeError as error:
            raise WrongArgumentType("value", value, str(error)) from error

    def from_plain(self, kind: type[T], value: JsonValue) -> T:
        """Return JSON values as a value of a class. Raises ValueError where they do not fit it."""
        found: Any = self._shapes.reader(kind)(value)
        return cast("T", found)

    def types_of(self, kind: type) -> list[str]:
        """Return the types of events that a class stands for, aliases included. Raises InvalidArgument."""
        found = [name for name, registration in self._by_type.items() if registration.kind is kind]
        if not found:
            raise InvalidArgument("kind", kind, "must be a registered class")
        return found

    def has(self, value: object) -> TypeGuard[TypedEvent]:
        """Whether a value is an object of a registered class."""
        return type(value) in self._by_class

    def _encoded(self, value: Any) -> bytes:
        kind = type(value)
        if hasattr(kind, "__struct_fields__"):
            import msgspec

            return msgspec.json.encode(value)
        try:
            if is_model(kind):
                return model_json(value)
            return to_json("events", to_plain(value, self._converters))
        except (TypeError, ValueError) as error:
            if isinstance(error, (InvalidArgument, WrongArgumentType)):
                raise
            raise WrongArgumentType("events", value, str(error)) from error

    def _check_readable(self, value: object, data: bytes) -> None:
        """What is stored stays, so that it has to come back as it is. Raises InvalidArgument."""
        kind = type(value)
        try:
            changed = difference(value, self._shapes.reader(kind)(load_json(data)))
        except Exception as error:
            raise InvalidArgument("events", value, f"must be readable ({kind.__qualname__}: {error})") from error
        if changed is not None:
            raise InvalidArgument("events", value, f"must come back as it is ({kind.__qualname__}: {changed})")

    def _decoded(self, registration: _Registration, event: RecordedEvent | NewEvent) -> object:
        version = _version(event.metadata)
        data: Any = load_json(event.data)
        if version > registration.version:
            raise EventValueError(event, f"it is of version {version}, and {registration.version} is the newest known")
        while version < registration.version:
            upcast = self._upcasters.get((registration.type, version))
            if upcast is None:
                raise EventValueError(event, f"there is no upcaster for version {version} of {registration.type}")
            try:
                data, version = upcast(data), version + 1
            except Exception as error:
                raise EventValueError(event, f"the upcaster of version {version} has failed: {error!r}") from error
        try:
            return self._shapes.reader(registration.kind)(data)
        except Misfit as error:
            raise EventValueError(event, f"{registration.kind.__qualname__}: {error}") from error


def plain_value(event: RecordedEvent | NewEvent) -> object:
    """Return the data of an event as JSON values, or as they are."""
    if event.content_type != JSON:
        return event.data
    try:
        return load_json(event.data)
    except ValueError:
        return event.data


def _has_fields(kind: type) -> bool:
    return field_names(kind) is not None or is_model(kind)


def _version(metadata: bytes) -> int:
    if VERSION.encode() not in metadata:
        return 1
    try:
        found = json.loads(metadata).get(VERSION, 1)
    except (ValueError, AttributeError, RecursionError):
        return 1
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise ValueError(f"{VERSION} in its metadata must be an integer from 1, not {found!r}")
    return found
