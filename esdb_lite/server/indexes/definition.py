"""What an index is defined as, and how that is written down.

Owns: definitions, their records (section B.6 of the notes on KurrentDB), what may be defined. Must not know: databases,
how JavaScript is read.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from esdb_lite._json import parse_json
from esdb_lite._wire.values import Value
from esdb_lite.server.engine.records.properties import rendered
from esdb_lite.server.storage import Record

ALL_STREAM = "$all-indexes"
CREATED, STARTED, STOPPED, DELETED = "$IndexCreated", "$IndexStarted", "$IndexStopped", "$IndexDeleted"
LONGEST_NAME = 1000
_STREAM = "$UserIndex-"
_NAME = re.compile(r"[a-z0-9_-]+\n?")
_TYPE_PREFIX = "INDEX_FIELD_TYPE_"


def stream_of(name: str) -> str:
    """The stream that holds what has happened to an index."""
    return _STREAM + name


class FieldType(enum.Enum):
    """What of the values of a selector is kept; the values are those of the protocol."""

    STRING = 1
    DOUBLE = 2
    INT_32 = 4
    INT_64 = 5


@dataclass(frozen=True)
class FieldDefinition:
    """A value by which an index can be read."""

    name: str
    selector: str
    type: FieldType


@dataclass(frozen=True)
class IndexDefinition:
    """An index as it was created."""

    name: str
    filter: str = ""
    field: FieldDefinition | None = None


@dataclass(frozen=True)
class IndexEntry:
    """An index, and whether it is filled and can be read."""

    definition: IndexDefinition
    started: bool = False
    id: int = field(default=0, compare=False)
    """The position of the event that has defined it."""


def created_data(definition: IndexDefinition, timestamp: str) -> bytes:
    """The data of the event that creates an index."""
    document: dict[str, Value] = {"name": definition.name, "filter": definition.filter}
    field = definition.field
    if field is not None:
        kind = _TYPE_PREFIX + field.type.name
        document["fields"] = [{"name": field.name, "selector": field.selector, "type": kind}]
    document["timestamp"] = timestamp
    return rendered(document).encode()


def changed_data(name: str, timestamp: str) -> bytes:
    """The data of the other events."""
    return rendered({"name": name, "timestamp": timestamp}).encode()


def note(indexes: dict[str, IndexEntry], record: Record) -> None:
    """Take in what an event of `$all-indexes` tells. Indexes are by name, in order of creation.

    What tells of no index is passed over.
    """
    document = _document(record)
    name = document.get("name")
    if not isinstance(name, str):
        return
    if record.type in (CREATED, DELETED):
        indexes.pop(name, None)
        definition = _definition(name, document) if record.type == CREATED else None
        if definition is not None:
            indexes[name] = IndexEntry(definition, id=record.position)
    elif name in indexes and record.type in (STARTED, STOPPED):
        indexes[name] = replace(indexes[name], started=record.type == STARTED)


def _document(record: Record) -> Mapping[str, object]:
    try:
        document = parse_json(record.data)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _definition(name: str, document: Mapping[str, object]) -> IndexDefinition | None:
    text = document.get("filter")
    fields = document.get("fields") or []
    if not isinstance(text, str) or not isinstance(fields, list):
        return None
    try:
        field = _field(fields[0]) if fields else None
    except (KeyError, TypeError):
        return None
    return IndexDefinition(name, text, field)


def _field(document: Mapping[str, object]) -> FieldDefinition:
    name, selector, kind = document["name"], document["selector"], document["type"]
    if not (isinstance(name, str) and isinstance(selector, str) and isinstance(kind, str)):
        raise TypeError("texts are wanted")
    return FieldDefinition(name, selector, FieldType[kind.removeprefix(_TYPE_PREFIX)])


def name_violations(name: str) -> Iterator[str]:
    """What is wrong with the name of an index or a field, in the words of a real server."""
    if not name:
        yield "The length of 'Name' must be at least 1 characters. You entered 0 characters."
    elif len(name) > LONGEST_NAME:
        yield f"The length of 'Name' must be {LONGEST_NAME} characters or fewer. You entered {len(name)} characters."
    if not _NAME.fullmatch(name):
        yield "Name can contain only lowercase alphanumeric characters, underscores and dashes"
