"""What everybody can import: complete, documented, and free of what is behind it."""

from __future__ import annotations

import ast
import builtins
import enum
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import get_origin

import pytest
from typing_extensions import get_overloads

import esdb_lite
from esdb_lite import errors
from esdb_lite._homes import HOME

NAMES = [name for name in esdb_lite.__all__ if not name.startswith("__")]
VALUES = {name: getattr(esdb_lite, name) for name in NAMES}
# In Python 3.10 aliases of generic types pass for classes.
CLASSES = [name for name, value in VALUES.items() if inspect.isclass(value) and get_origin(value) is None]

FROM_THE_FIRST_README = (
    "EsdbClient",
    "NewEvent",
    "RecordedEvent",
    "ESDB_EVENTS_REGEX",
    "EsdbClientException",
    "GrpcError",
    "ServiceUnavailable",
    "DeadlineExceeded",
    "StreamNotFound",
    "ExpectedPositionError",
)

BEHIND = ("grpclib", "betterproto", "esdb_lite_protos", "h2.", "Any")
DECODED = {"RecordedEvent.json", "RecordedEvent.metadata_json", "EventTypes.converter"}
DRIVERS = {"DbApiConnection.cursor", "PsycopgCheckpoint.__init__"}
"""What connections are generic in is not of our business."""
COROUTINES = {f"AsyncOpening.{name}" for name in ("__init__", "send", "throw", "close")}
"""Where Any is what is meant: JSON values that a program takes apart, as with `json.loads`."""


MADE_FOR_YOU = {"AsyncOpening", "Fault"} | {
    f"{face}{name}"
    for face in ("", "Async")
    for name in ("Consumer", "PersistentSubscription", "ReadResponse", "StatisticsFeed", "Subscription")
}
"""Classes that only the package itself makes, so that nobody writes down what they are made of."""

OF_OTHERS = (
    *("datetime", "timedelta", "UUID", "os", "sqlite3"),
    *("Any", "Awaitable", "Callable", "Iterable", "Literal", "Mapping", "Self", "Sequence", "TypeGuard", "Unpack"),
    *("AsyncConnection", "AsyncSession", "Connection", "Session", "aiosqlite", "asyncpg", "psycopg"),
)
"""Names in annotations that are those of the standard library, and of drivers."""

IN_FIELDS = {"Duration", "OptionalDuration", "Pause"}
"""What a field takes is `Seconds`; what it holds is something else."""


@pytest.mark.parametrize("name", NAMES)
def test_names_can_be_imported(name: str) -> None:
    assert getattr(esdb_lite, name) is not None
    assert name in dir(esdb_lite)


def test_the_names_that_there_have_always_been() -> None:
    assert set(FROM_THE_FIRST_README) <= set(NAMES)
    assert import_module("esdb_lite.events").RecordedEvent is esdb_lite.RecordedEvent


def test_names_that_there_are_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        esdb_lite.Nothing  # noqa: B018
    with pytest.raises(ImportError):
        from esdb_lite import Nothing  # noqa: F401


def test_what_type_checkers_see_is_what_there_is() -> None:
    tree = ast.parse(Path(esdb_lite.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname or alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == HOME
    assert sorted([*seen, "__version__"]) == sorted(esdb_lite.__all__)


@pytest.mark.parametrize("name", CLASSES)
def test_everything_is_documented(name: str) -> None:
    cls = getattr(esdb_lite, name)
    assert cls.__doc__, name
    for member, value in public_members(cls):
        assert inspect.getdoc(value), f"{name}.{member}"


@pytest.mark.parametrize("name", CLASSES)
def test_signatures_do_not_show_what_is_behind(name: str) -> None:
    cls = getattr(esdb_lite, name)
    if issubclass(cls, enum.Enum):
        return
    for member, value in [("__init__", cls.__init__), *public_members(cls)]:
        function = value.fget if isinstance(value, property) else value
        annotations = getattr(function, "__annotations__", {})
        for overload in get_overloads(function) if inspect.isfunction(function) else []:
            annotations = {**annotations, **{f"{id(overload)}{k}": v for k, v in overload.__annotations__.items()}}
        behind_it = BEHIND[:-1] if f"{name}.{member}" in DECODED | COROUTINES | DRIVERS else BEHIND
        for annotation in map(str, annotations.values()):
            assert not any(behind in annotation for behind in behind_it), f"{name}.{member}: {annotation}"


@pytest.mark.parametrize("name", CLASSES)
def test_what_signatures_name_can_be_imported(name: str) -> None:
    """A program can annotate its own functions with what ours take and return."""
    known = {*esdb_lite.__all__, *OF_OTHERS, *IN_FIELDS, *vars(builtins)}
    for member, annotation in annotations_of(name):
        text = re.sub(r"Literal\[[^\]]*\]", "Literal", annotation)
        names = {node.id for node in ast.walk(ast.parse(text, mode="eval")) if isinstance(node, ast.Name)}
        unknown = {each for each in names - known if not re.fullmatch(r"[A-Z](_co)?", each)}
        assert not unknown, f"{name}.{member}: {annotation}"


@pytest.mark.parametrize("name", CLASSES)
def test_every_time_is_a_number_or_a_timedelta(name: str) -> None:
    """Whatever takes a time takes both; what is a number and no time is named here."""
    no_times = {"chance", "progress", "rate"}
    told = {"retry_after", "lag"}
    for member, annotation in annotations_of(name):
        argument = member.rpartition(".")[2]
        if argument != "return" and argument not in no_times | told:
            assert not re.search(r"\b(float|timedelta)\b", annotation), f"{name}.{member}: {annotation}"


def annotations_of(name: str) -> Iterator[tuple[str, str]]:
    """Annotations in what a class has for everybody: of arguments, results and fields."""
    cls = getattr(esdb_lite, name)
    if issubclass(cls, enum.Enum):
        return
    of_itself = [] if name in MADE_FOR_YOU else [("__init__", cls.__init__)]
    for member, value in [*of_itself, *public_members(cls)]:
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        for each in [function, *(get_overloads(function) if inspect.isfunction(function) else [])]:
            for argument, annotation in getattr(each, "__annotations__", {}).items():
                yield f"{member}.{argument}", as_text(annotation)
    for base in cls.__mro__:
        if base.__module__.startswith("esdb_lite"):
            fields = {key: value for key, value in vars(base).get("__annotations__", {}).items() if key[0] != "_"}
            yield from ((field, as_text(annotation)) for field, annotation in fields.items())


def as_text(annotation: object) -> str:
    """An annotation as it is written."""
    found = annotation if isinstance(annotation, str) else getattr(annotation, "__forward_arg__", None)
    return found if isinstance(found, str) else getattr(annotation, "__name__", str(annotation))


def public_members(cls: type) -> list[tuple[str, object]]:
    """Methods and properties that the package itself has written."""
    return [
        (name, value)
        for base in cls.__mro__
        if base.__module__.startswith("esdb_lite")
        for name, value in vars(base).items()
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, (property, classmethod)))
    ]


def test_all_exceptions_that_can_be_caught_by_name_are_there() -> None:
    """All but those that only group others, and those that only say why an outcome is unknown."""
    classes = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, Exception)]
    hidden = {kind for kind in classes if kind.__name__ not in NAMES}
    for kind in hidden:
        assert kind.__subclasses__() or errors.OutcomeUnknown in kind.__mro__, kind
