"""Consumers that remember their position: their options, and what they report.

Owns: `ConsumerProgress`, `ErrorAction`, `ConsumeOptions`, and what a position is. Must not know: how events come, how
positions are kept.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

from typing_extensions import TypedDict

from esdb_lite.events import Checkpoint, RecordedEvent

if TYPE_CHECKING:
    from esdb_lite._checks import Seconds
    from esdb_lite.decisions import AtomicDecisionResult, DecisionResult
    from esdb_lite.events import AppendResult
    from esdb_lite.filters import Filter
    from esdb_lite.indexes import IndexLike
    from esdb_lite.positions import ResumeFrom
    from esdb_lite.records import RecordsResult
    from esdb_lite.settings import CredentialsLike

ConsumerPosition = int | Checkpoint
"""Up to where events were handled: a stream position, or a `Checkpoint` in all events."""

EventHandler = Callable[[RecordedEvent], object]
"""A function for one event."""

BatchHandler = Callable[[list[RecordedEvent]], object]
"""A function for the events of a batch, with a `batch_size` of more than 1."""

AsyncEventHandler = Callable[[RecordedEvent], Awaitable[object]]
"""A coroutine function for one event."""

AsyncBatchHandler = Callable[[list[RecordedEvent]], Awaitable[object]]
"""A coroutine function for the events of a batch, with a `batch_size` of more than 1."""

WrittenLike = Union[
    "AppendResult", "RecordsResult", "DecisionResult[object]", "AtomicDecisionResult[object]", int, Checkpoint
]
"""What an append, or a decision, has returned; or a position."""


class ErrorAction(enum.Enum):
    """What a consumer does when its handler failed."""

    STOP = "stop"
    """End with the handler's exception. The events come again when a consumer resumes from the checkpoint."""
    SKIP = "skip"
    """Leave out the event (or the whole batch), and go on after it."""
    RETRY = "retry"
    """Call the handler again with the same events, after a pause."""


HandlerError = Callable[[RecordedEvent, Exception, int], ErrorAction]
"""Decides about a failure. It gets the event, the handler's exception, and the number of attempts."""

BatchHandlerError = Callable[[list[RecordedEvent], Exception, int], ErrorAction]
"""Decides about the failure of a batch: the same, with its events."""


class ConsumeOptions(TypedDict, total=False):
    """The options of `consume` that one event and a batch have in common; `consumer()` says their defaults."""

    stream_name: str | None
    index: IndexLike | None
    filter_exclude: Iterable[str]
    filter_include: Iterable[str]
    filter: Filter | None
    position: ResumeFrom
    from_end: bool
    resolve_links: bool
    checkpoint_every: int | None
    checkpoint_interval: Seconds | None
    retry_pause: Seconds
    timeout: Seconds | None
    credentials: CredentialsLike


@dataclass(frozen=True)
class ConsumerHealth:
    """The health of a consumer of a `ConsumerGroup`."""

    running: bool
    """Whether it runs: not before the group does, and not after its end."""
    failure: BaseException | None
    """What it has ended with; None as long as nothing is wrong."""
    progress: ConsumerProgress
    """How far it has come."""


@dataclass(frozen=True)
class ConsumerProgress:
    """How far a consumer has come."""

    position: ConsumerPosition | None
    """Everything up to here was handled; None: nothing yet."""
    stored: ConsumerPosition | None
    """The position in the checkpoint store; None: none yet."""
    handled: int
    """How many events this consumer handled since `run()`."""
    rate: float
    """Events handled a second, smoothed over the last ten seconds or so."""
    lag: float | None
    """Seconds since the last handled event was recorded; 0 if nothing is left to do; None before the first event. It
    compares two clocks: the server's and this machine's."""
    lag_events: int | None
    """How many events of the stream are left, as far as its end is known; None for a consumer of all events."""
    caught_up: bool
    """Whether everything stored was handled, so that new events are handled as they are appended."""
