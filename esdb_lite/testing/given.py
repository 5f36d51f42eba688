"""The events that a test gives a projection, and the forms in which it may write them.

Owns: `GivenEvent` and how tuples, mappings, lines of a file and events of a client become one. Must not know: queries.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, Union, cast
from uuid import UUID, uuid4

from esdb_lite import InvalidArgument, NewEvent, RecordedEvent, WrongArgumentType

if TYPE_CHECKING:
    from esdb_lite import AsyncEsdbClient, EsdbClient
    from esdb_lite.events import JsonValue

_MEMBERS = ("stream", "type", "data", "metadata", "id", "is_json")
_JSON = "application/json"
_CREATED = "2020-01-01T00:00:00.0000000"


@dataclass(frozen=True)
class GivenEvent:
    """An event as it stands in the database that the projection is thought to run on.

    `data` and `metadata` are JSON values, or bytes that are taken as they are. `is_json` says how the event is flagged.
    `number` is its place in its stream; None: the next one.
    """

    stream: str
    type: str
    data: JsonValue | bytes = field(default_factory=dict)
    metadata: JsonValue | bytes = b""
    is_json: bool = True
    id: UUID | None = None
    number: int | None = None
    created: str = _CREATED
    link: RecordedEvent | None = None
    """The link through which it was read."""
    is_deletion: bool = False
    """It stands for the deletion of the stream."""


EventLike: TypeAlias = Union[
    GivenEvent, NewEvent, RecordedEvent, Mapping[str, "JsonValue"], "tuple[str, str]",
    "tuple[str, str, JsonValue | bytes]", "tuple[str, str, JsonValue | bytes, JsonValue | bytes]",
]  # fmt: skip
"""What a test may give: `("orders-1", "Placed", {"total": 5})`, the same as a mapping with the names of
`GivenEvent`, or an event of a client. A `NewEvent` goes into the stream that the test names."""


def deletion(stream: str) -> GivenEvent:
    """The deletion of a stream, which `$deleted` handles."""
    return GivenEvent(stream, "$metadata", is_deletion=True)


def from_file(path: str | os.PathLike[str]) -> list[GivenEvent]:
    """Read events from a file of JSON lines, objects with the names of `GivenEvent`; blank lines are left out.

    Raises InvalidArgument, which tells the line, and OSError.
    """
    lines = read_text(path).split("\n")
    return [_line(os.fspath(path), number, line) for number, line in enumerate(lines, 1) if line.strip()]


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a file of UTF-8, with or without a mark of byte order. Raises InvalidArgument, OSError."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise InvalidArgument("path", os.fspath(path), f"must hold UTF-8 ({error})") from error


def _line(path: str, number: int, line: str) -> GivenEvent:
    try:
        value = json.loads(line)
        if not isinstance(value, dict):
            raise ValueError("it is not a JSON object")
        return given(value, None)
    except ValueError as error:
        raise InvalidArgument("path", path, f"must hold events only, and line {number} is not one ({error})") from error


def from_server(client: EsdbClient, *, stream: str, limit: int | None = None) -> list[GivenEvent]:
    """Read the events of a stream, its links resolved, from a server. Raises what `read_stream_events` raises."""
    events = client.read_stream_events(stream, limit=limit, resolve_links=True)
    return [given(event, None) for event in events]


async def from_async_server(client: AsyncEsdbClient, *, stream: str, limit: int | None = None) -> list[GivenEvent]:
    """Do the same as `from_server` with an asynchronous client."""
    return [given(event, None) async for event in client.read_stream_events(stream, limit=limit, resolve_links=True)]


def all_given(events: Iterable[EventLike], stream: str | None) -> list[GivenEvent]:
    """Bring events into one form; `stream` is for those that name none. Raises InvalidArgument."""
    if not isinstance(events, Iterable):
        raise WrongArgumentType("events", events, "must be events, one after the other")
    return [given(event, stream) for event in events]


def given(event: EventLike, stream: str | None) -> GivenEvent:
    """Bring an event into the one form. Raises InvalidArgument."""
    if isinstance(event, GivenEvent):
        return event
    if isinstance(event, RecordedEvent):
        return _recorded(event)
    if isinstance(event, NewEvent):
        into = _named(stream, event)
        return GivenEvent(into, event.type, event.data, event.metadata, event.content_type == _JSON, event.id)
    if isinstance(event, Mapping):
        return _mapping(event, stream)
    return _tuple(event)


def _recorded(event: RecordedEvent) -> GivenEvent:
    recorded = event.recorded_at
    return GivenEvent(
        event.stream_name,
        event.type,
        event.data,
        event.metadata,
        event.content_type == _JSON,
        event.id,
        event.stream_position,
        _CREATED if recorded is None else f"{recorded:%Y-%m-%dT%H:%M:%S.%f}0",
        event.link,
    )


def _named(stream: str | None, event: object) -> str:
    if stream is None:
        raise InvalidArgument("stream", None, f"must name the stream of {event!r}")
    return stream


def _mapping(event: Mapping[str, JsonValue], stream: str | None) -> GivenEvent:
    unknown = sorted(set(event) - set(_MEMBERS))
    if unknown:
        raise InvalidArgument("events", unknown[0], f"must have no other members than {', '.join(_MEMBERS)}")
    into, type, is_json = event.get("stream", stream), event.get("type"), event.get("is_json", True)
    if not isinstance(type, str):
        raise InvalidArgument("events", event, "must name its type")
    if not isinstance(is_json, bool):
        raise InvalidArgument("events", event, "must say with true or false whether it is_json")
    return GivenEvent(
        into if isinstance(into, str) else _named(None, event),
        type,
        event.get("data", {}),
        event.get("metadata", b""),
        is_json,
        _id(event),
    )


def _id(event: Mapping[str, JsonValue]) -> UUID | None:
    id = event.get("id")
    try:
        return None if id is None else UUID(cast("str", id))
    except (ValueError, AttributeError, TypeError) as error:
        raise InvalidArgument("events", event, "must have a UUID as its id") from error


def _tuple(event: object) -> GivenEvent:
    if not isinstance(event, tuple) or not 2 <= len(event) <= 4 or not all(isinstance(text, str) for text in event[:2]):
        raise InvalidArgument("events", event, "must be an event, or (stream, type, data, metadata)")
    return GivenEvent(*cast("tuple[str, str]", event))


def id_of(event: GivenEvent) -> str:
    """The id of an event, which is made up where there is none."""
    return str(event.id or uuid4())
