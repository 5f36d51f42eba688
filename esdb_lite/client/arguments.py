"""What the arguments of the client's methods may be.

Owns: refusing, with the name of the argument, what no server would take. Must not know: calls.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from esdb_lite._checks import Seconds, checked_bool, checked_int, checked_items, checked_seconds, checked_text
from esdb_lite._wire.read_request import UNLIMITED
from esdb_lite.correlations import correlated
from esdb_lite.errors import InvalidArgument, WrongArgumentType
from esdb_lite.events import CaughtUp, Checkpoint, JsonValue, NewEvent
from esdb_lite.filters import DEFAULT_EXCLUDE, Filter, make_filter
from esdb_lite.positions import ALL_STREAM, LARGEST, ResumeFrom

if TYPE_CHECKING:
    from esdb_lite.event_types.likes import EventsLike
    from esdb_lite.event_types.registry import EventTypes
    from esdb_lite.metadata import StreamMetadata


_LONGEST_NAME = 65_536
"""Characters; a request with a longer name may be too long for a server, which says no more than that."""


def checked_stream(value: str, argument: str = "stream_name") -> str:
    """A name of a stream."""
    if not checked_text(argument, value):
        raise InvalidArgument(argument, value, "must not be empty")
    if len(value) > _LONGEST_NAME:
        raise InvalidArgument(argument, value, f"must have at most {_LONGEST_NAME:,} characters")
    return value


def checked_timeout(value: Seconds | None) -> float | None:
    """Seconds, from 0; None and infinity: without end."""
    if value is None:
        return None
    seconds = checked_seconds("timeout", value, endless=True)
    return None if math.isinf(seconds) else seconds


def checked_limit(value: int | None) -> int:
    """How many events are read at most."""
    if value is None:
        return UNLIMITED
    return checked_int("limit", value, 0, UNLIMITED)


def checked_position(value: int | None) -> int | None:
    """A position in a stream, or a commit position."""
    return None if value is None else checked_int("position", value, 0, LARGEST)


def checked_resume(value: ResumeFrom) -> int | tuple[int, int] | None:
    """Where a subscription to all events goes on.

    A checkpoint may lie just before the event at its commit position, so that both of its numbers count.
    """
    if isinstance(value, (Checkpoint, CaughtUp)):
        if value.commit_position is None or value.prepare_position is None:
            raise InvalidArgument("position", value, "must have a commit position")
        return value.commit_position, value.prepare_position
    return checked_position(value)


def checked_events(value: EventsLike, types: EventTypes | None) -> list[NewEvent]:
    """One event or many, marked with what `correlation` says; with `types`, also objects of registered classes."""
    if isinstance(value, NewEvent):
        return correlated([value])
    given: Any = [value] if hasattr(type(value), "__pydantic_complete__") else value  # models can be iterated over
    if types is None:
        return correlated(checked_items("events", given, NewEvent, "must be a NewEvent or a sequence of them"))
    if types.has(value):
        return correlated([types.new_event(value)])
    items: list[Any] = checked_items("events", given, object, "must be an event or a sequence of them")
    return correlated([item if isinstance(item, NewEvent) else types.new_event(item) for item in items])


def checked_metadata(value: StreamMetadata | Mapping[str, JsonValue]) -> StreamMetadata:
    """Metadata of a stream, with values that are JSON, whatever kinds of mappings and sequences they were."""
    from esdb_lite.metadata import StreamMetadata, encode_metadata

    if not isinstance(value, StreamMetadata):
        if not isinstance(value, Mapping):
            raise WrongArgumentType("metadata", value, "must be StreamMetadata or a mapping")
        value = StreamMetadata(custom=value)
    return replace(value, custom=json.loads(encode_metadata(StreamMetadata(custom=value.custom))))


def checked_source(value: str | None) -> str | None:
    """A name of a stream; None: all events."""
    if value is None:
        return None
    if checked_stream(value) == ALL_STREAM:
        raise InvalidArgument("stream_name", value, "must be left out for all events")
    return value


def checked_filter(
    stream_name: str | None, exclude: Iterable[str], include: Iterable[str], given: Filter | None
) -> Filter | None:
    """Which events are meant; those of a stream cannot be filtered."""
    chosen = make_filter(exclude, include, given)
    if stream_name is None:
        return chosen
    if given is not None or tuple(include) or tuple(exclude) != tuple(DEFAULT_EXCLUDE):
        raise InvalidArgument("filter", given, "works for all events only, not for a stream")
    return None


def checked_end(from_end: bool, start: object) -> bool:
    """Whether only what is appended from now on is wanted; then there can be no position."""
    if checked_bool("from_end", from_end) and start is not None:
        raise InvalidArgument("position", start, "cannot be combined with from_end")
    return from_end
