"""Answers of a consumer, on their way to the server.

Owns: collecting them in the order in which they were given, as few messages; what may be an answer, and what becomes
of an event whose handler has failed. Must not know: calls, time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Union

from esdb_lite._wire.acks import answer_field, encode_answers
from esdb_lite.errors import InvalidArgument, WrongArgumentType
from esdb_lite.events import RecordedEvent
from esdb_lite.groups import NackAction

MAX_IDS = 2_000
"""Ids in one message; a server takes messages of 4 MiB."""

MAX_REASON = 100_000
"""Characters of a reason that are sent."""

Answerable = Union[RecordedEvent, Iterable[RecordedEvent]]  # noqa: UP007
"""One event or several."""


class Answers:
    """Answers that were not sent yet, in order."""

    def __init__(self) -> None:
        self._parts: deque[tuple[int, str, list[bytes]]] = deque()
        self.count = 0

    def add(self, action: int, reason: str, events: Iterable[RecordedEvent]) -> None:
        """Add the same answer for some events; `action` 0 acknowledges."""
        for id_ in map(answer_field, events):
            self.count += 1
            last = self._parts[-1] if self._parts else None
            if last is not None and last[0] == action and last[1] == reason and len(last[2]) < MAX_IDS:
                last[2].append(id_)
            else:
                self._parts.append((action, reason, [id_]))

    def take(self) -> tuple[list[bytes], int]:
        """Return all as messages, and how many answers they hold."""
        parts, self._parts = self._parts, deque()
        count, self.count = self.count, 0
        return [encode_answers(ids, action, reason) for action, reason, ids in parts], count

    def clear(self) -> None:
        """Forget them."""
        self._parts.clear()
        self.count = 0


def checked_answerable(events: Answerable) -> Iterable[RecordedEvent]:
    """One event or several, as something to go through."""
    if isinstance(events, RecordedEvent):
        return (events,)
    if isinstance(events, (str, bytes, dict)) or not isinstance(events, Iterable):
        raise WrongArgumentType("events", events, "must be a RecordedEvent or several")
    found = list(events)
    for event in found:
        if not isinstance(event, RecordedEvent):
            raise WrongArgumentType("events", event, "must be a RecordedEvent or several")
    return found


def checked_nack(action: NackAction, reason: str) -> tuple[int, str]:
    """What the server should do with events, and why, as it goes on the wire."""
    if not isinstance(action, NackAction):
        raise WrongArgumentType("action", action, "must be a NackAction")
    if not isinstance(reason, str):
        raise WrongArgumentType("reason", reason, "must be a str")
    return action.value, reason[:MAX_REASON]


def retry_then_park(event: RecordedEvent, max_retries: int) -> NackAction:
    """What becomes of an event whose handler has failed."""
    return NackAction.RETRY if (event.retry_count or 0) < max_retries else NackAction.PARK


def reason_of(error: Exception) -> str:
    """What the server gets to know about a failed handler."""
    return f"{type(error).__name__}: {error}"


def checked_number(argument: str, value: int, least: int) -> int:
    """An int that is not too small."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise WrongArgumentType(argument, value, "must be an int")
    if value < least:
        raise InvalidArgument(argument, value, f"must be at least {least}")
    return value
