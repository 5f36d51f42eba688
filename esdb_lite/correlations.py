"""Which conversation an event belongs to, and which event caused it, kept in its metadata.

Owns: `correlation`, and adding what it says to events. Must not know: clients. A context is that of the task or thread
that has opened it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import NamedTuple
from uuid import UUID, uuid4

from esdb_lite._checks import checked_text
from esdb_lite._event_fields import to_json
from esdb_lite._json import load_json
from esdb_lite.errors import InvalidArgument, WrongArgumentType
from esdb_lite.events import NewEvent, RecordedEvent

CORRELATION, CAUSATION = "$correlationId", "$causationId"
"""Names in the metadata that servers know: `$by_correlation_id` gathers events by the first."""


class Correlation(NamedTuple):
    """What events that are appended now are marked with."""

    correlation_id: str
    """The conversation that they belong to."""
    causation_id: str | None = None
    """Id of the event or command that causes them; None: not known."""

    @property
    def marks(self) -> Mapping[str, str]:
        """What is written into metadata."""
        marks = {CORRELATION: self.correlation_id}
        if self.causation_id is not None:
            marks[CAUSATION] = self.causation_id
        return marks


_current: ContextVar[Correlation | None] = ContextVar("esdb_lite.correlations", default=None)


@contextlib.contextmanager
def correlation(
    cause: RecordedEvent | str | UUID | None = None, *, causation_id: str | UUID | None = None
) -> Iterator[Correlation]:
    """Mark the events that are appended inside: `with correlation(event): client.append_events(...)`.

    `cause` is an event, whose conversation goes on and which is the cause of what follows (an event without a
    conversation begins one: its id names it); or the id of a conversation; None begins a new one, or goes on with that
    of an enclosing `with`. `causation_id` names another cause, such as a command. Metadata that say something of their
    own stay as they are; so do metadata that are no JSON object. Raises WrongArgumentType, InvalidArgument.
    """
    found = _from(cause, causation_id)
    token = _current.set(found)
    try:
        yield found
    finally:
        _current.reset(token)


def _from(cause: RecordedEvent | str | UUID | None, causation_id: str | UUID | None) -> Correlation:
    causation = None if causation_id is None else _id("causation_id", causation_id)
    if isinstance(cause, RecordedEvent):
        known = cause.properties.get(CORRELATION)
        return Correlation(known if isinstance(known, str) and known else str(cause.id), causation or str(cause.id))
    if cause is not None:
        return Correlation(_id("cause", cause), causation)
    outer = _current.get()
    if outer is None:
        return Correlation(str(uuid4()), causation)
    return Correlation(outer.correlation_id, causation or outer.causation_id)


def _id(argument: str, value: str | UUID) -> str:
    if isinstance(value, UUID):
        return str(value)
    if not isinstance(value, str):
        raise WrongArgumentType(argument, value, "must be an id: a text or a UUID")
    if not checked_text(argument, value):
        raise InvalidArgument(argument, value, "must not be empty")
    return value


def correlated(events: list[NewEvent]) -> list[NewEvent]:
    """Return the events with what the context says of them; the very same where there is none."""
    found = _current.get()
    return events if found is None else [marked(event, found.marks) for event in events]


def marked(event: NewEvent, marks: Mapping[str, str]) -> NewEvent:
    """Return an event with more in its metadata: what they say already stays, and so do those that are no object."""
    try:
        said = load_json(event.metadata) if event.metadata else {}
    except ValueError:
        return event
    if not isinstance(said, dict):
        return event
    if all(name in said for name in marks):
        return event
    return NewEvent(event.type, event.data, to_json("metadata", {**marks, **said}), event.content_type, event.id)


def current() -> Correlation | None:
    """What events are marked with here; None outside of `with correlation(...)`."""
    return _current.get()


__all__: Sequence[str] = ("Correlation", "correlated", "correlation", "current")
