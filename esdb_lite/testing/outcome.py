"""What a projection has made of the events that it was given.

Owns: the values that tests look at, and how they show themselves. Must not know: how they came about.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from esdb_lite.events import JsonValue


@dataclass(frozen=True)
class EmittedEvent:
    """An event that `emit` has written. `metadata` are those that the handler gave."""

    stream: str
    type: str
    data: JsonValue
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True)
class LinkedEvent:
    """A link that `linkTo` has written, to event `number` of `target`; or one of `linkStreamTo`, with no number."""

    stream: str
    target: str
    number: int | None
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, repr=False)
class ProjectionOutcome:
    """What has become of a projection after the last event, or the one that it could not handle.

    Values are those of JSON; None stands for no state, no result. A state that is a text, but no JSON, comes as it is.
    """

    state: JsonValue = None
    """Of a projection without partitions; of a bi-state one: what all partitions share."""
    states: Mapping[str, JsonValue] = field(default_factory=dict)
    """By partition."""
    result: JsonValue = None
    """What the transforms have made of the state; without any, the state."""
    results: Mapping[str, JsonValue] = field(default_factory=dict)
    """By partition."""
    emitted: list[EmittedEvent] = field(default_factory=list)
    linked: list[LinkedEvent] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)
    handled: int = 0
    """How many events it has handled."""
    fault: str | None = None
    """Why it went no further: the words that a server would show; None: it has handled everything."""

    def emitted_to(self, stream: str) -> list[EmittedEvent]:
        """What has been emitted into a stream, in order."""
        return [event for event in self.emitted if event.stream == stream]

    def linked_to(self, stream: str) -> list[str]:
        """The links in a stream, in order, as they are written: `NUMBER@STREAM`."""
        return [
            link.target if link.number is None else f"{link.number}@{link.target}"
            for link in self.linked
            if link.stream == stream
        ]

    def __repr__(self) -> str:
        shown = [f"{name}={value!r}" for name, value in self._shown()]
        return f"ProjectionOutcome({', '.join(shown)})"

    def _shown(self) -> list[tuple[str, object]]:
        """What there is to be said; a fault comes first."""
        values = {part.name: getattr(self, part.name) for part in fields(self)}
        told = [(name, value) for name, value in values.items() if value not in (None, [], {}, 0) or name == "state"]
        return sorted(told, key=lambda pair: pair[0] != "fault")


def value_of(text: str) -> JsonValue:
    """What a kept text stands for."""
    if not text:
        return None
    try:
        value: JsonValue = json.loads(text)
    except ValueError:
        return text
    return value
