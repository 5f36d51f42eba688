"""PendingAnswers of a consumer, on their way to the server.

Owns: collecting them in the order in which they were given, as few messages, and when they are sent; what may be an
answer, and what becomes of an event whose handler failed. Must not know: what becomes of a call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Union

from esdb_lite._checks import checked_text
from esdb_lite._rpc.shared import retrieved
from esdb_lite._wire.acks import answer_field, encode_answers
from esdb_lite.errors import GrpcError, WrongArgumentType
from esdb_lite.events import RecordedEvent
from esdb_lite.groups import NackAction

if TYPE_CHECKING:
    from esdb_lite.client.groups.call import GroupCall

MAX_IDS = 2_000
"""Ids in one message; a server takes messages of 4 MiB."""

MAX_REASON = 100_000
"""Characters of a reason that are sent."""

Answerable = Union[RecordedEvent, Iterable[RecordedEvent]]  # noqa: UP007
"""One event or several."""


class PendingAnswers:
    """PendingAnswers that were not sent yet, in order."""

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


class AckSender:
    """Sends the answers of a consumer: when there are enough, after a while, and when somebody says so."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, batch_size: int, delay: float) -> None:
        """PendingAnswers are sent when there are `batch_size`, or `delay` seconds after the first."""
        self.sent = 0
        """How many answers have gone to the call that is open."""
        self._loop = loop
        self._batch_size = batch_size
        self._delay = delay
        self._answers = PendingAnswers()
        self._call: GroupCall | None = None
        self._sending: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None

    def attach(self, call: GroupCall) -> None:
        """Send to this call from now on."""
        self._call = call
        self.sent = 0

    def detach(self) -> None:
        """The call has ended: what was not sent is of no use any more."""
        self._call = None
        self._answers.clear()

    def collect(self, action: int, reason: str, events: Answerable) -> bool:
        """Take answers without waiting for anything; True where there are enough to be sent."""
        self._answers.add(action, reason, checked_answerable(events))
        if self._timer is None and self._answers.count:
            self._timer = self._loop.call_later(self._delay, self._due)
        return self._answers.count >= self._batch_size

    async def flush(self) -> None:
        """Send what there is. Returns when it is on its way; it goes there also where this is cancelled."""
        self.cancel_timer()
        if self._sending is None:
            messages = self._taken()
            if self._call is None or not messages or self._call.send_at_once(messages):
                return
            # by a task: a message of which the server has got a part only would spoil all that come after it
            self._sending = asyncio.ensure_future(self._send(messages))
            self._sending.add_done_callback(retrieved)
        await asyncio.shield(self._sending)

    async def _send(self, messages: list[bytes]) -> None:
        """Send these, and what is collected meanwhile."""
        try:
            while self._call is not None and messages:
                with suppress(GrpcError):  # the receiver finds out
                    await self._call.send(messages)
                messages = self._taken()
        finally:
            self._sending = None

    def _taken(self) -> list[bytes]:
        """Return all answers as messages, which are to be sent to the call that is open."""
        if self._call is None:
            return []
        messages, count = self._answers.take()
        self.sent += count
        return messages

    def cancel_timer(self) -> None:
        """Send nothing by itself."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        self._flushing = asyncio.ensure_future(self.flush())


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
    return action.value, checked_text("reason", reason)[:MAX_REASON]


def retry_then_park(event: RecordedEvent, max_retries: int) -> NackAction:
    """What becomes of an event whose handler has failed."""
    return NackAction.RETRY if (event.retry_count or 0) < max_retries else NackAction.PARK


def reason_of(error: Exception) -> str:
    """What the server gets to know about a failed handler, in a text that can be sent."""
    return f"{type(error).__name__}: {error}".encode(errors="backslashreplace").decode()
