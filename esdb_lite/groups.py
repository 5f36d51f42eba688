"""Persistent subscriptions as users see them: settings, answers to events, and what a server says about a group.

Owns: `SubscriptionSettings` with the rules that servers apply to them, `ConsumerStrategy`, `NackAction`,
`SubscriptionInfo`. Must not know: protobuf, calls.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from typing_extensions import TypedDict

from esdb_lite._checks import Duration, OptionalDuration, Seconds, checked_bool, checked_duration, checked_int
from esdb_lite.errors import InvalidArgument, WrongArgumentType
from esdb_lite.events import RecordedEvent

LARGEST_INT32 = 2**31 - 1
_MILLISECOND = timedelta(milliseconds=1)
_LONGEST = LARGEST_INT32 * _MILLISECOND


class ConsumerStrategy(enum.Enum):
    """How a group shares its events among its consumers. The values are the servers' names."""

    DISPATCH_TO_SINGLE = "DispatchToSingle"
    """All to one consumer until its buffer is full, then to the next."""
    ROUND_ROBIN = "RoundRobin"
    """To each consumer in turn."""
    PINNED = "Pinned"
    """Events of one stream to the same consumer, as long as it stays."""
    PINNED_BY_CORRELATION = "PinnedByCorrelation"
    """Events with the same `$correlationId` in their metadata to the same consumer. An update cannot keep it."""


class NackAction(enum.Enum):
    """What the server does with an event that could not be processed. The values are the numbers on the wire."""

    PARK = 1
    """Put it aside, until `replay_parked_events`."""
    RETRY = 2
    """Deliver it again; after `max_retry_count` retries the server parks it."""
    SKIP = 3
    """Forget it, as if it had been processed."""
    STOP = 4
    """The same as SKIP on all current servers; the subscription goes on."""


@dataclass(frozen=True)
class SubscriptionSettings:
    """The settings of a group.

    Servers have no defaults of their own; these are chosen by this client. Times may be given in seconds, too, and are
    held as timedelta. Raises InvalidArgument for wrong values,
    WrongArgumentType for wrong types. The rules are in section 19 of the protocol notes.
    """

    resolve_links: bool = False
    """Deliver the events that links point to."""
    extra_statistics: bool = False
    """Measure how long consumers take to answer (`ConsumerInfo.measurements`)."""
    message_timeout: Duration = Duration(timedelta(seconds=30))
    """An event that is not answered for so long is delivered again; servers look once a second."""
    max_retry_count: int = 10
    """How often an event is retried before it is parked; 0: it is parked at once."""
    checkpoint_after: OptionalDuration = OptionalDuration(timedelta(seconds=2))
    """Time between two checkpoints, once `min_checkpoint_count` events are done; None: only `max_checkpoint_count`
    counts."""
    min_checkpoint_count: int = 10
    """No checkpoint is written for fewer events. With 10, a server that restarts forgets up to 9 acks, and delivers
    these events again; with 1 it forgets none that are older than `checkpoint_after`."""
    max_checkpoint_count: int = 1000
    """After so many done events, a checkpoint is written at once."""
    max_subscriber_count: int = 0
    """How many consumers there may be; 0: any number."""
    live_buffer_size: int = 500
    """How many of the latest events the server keeps at hand while it reads older ones."""
    read_batch_size: int = 200
    """How many events the server reads at once; must be less than `history_buffer_size`."""
    history_buffer_size: int = 500
    """How many events may wait on the server to be delivered."""
    strategy: ConsumerStrategy = ConsumerStrategy.ROUND_ROBIN
    """How events are shared among consumers."""

    def __post_init__(self) -> None:
        for name in ("resolve_links", "extra_statistics"):
            checked_bool(name, getattr(self, name))
        for name, least in _COUNTS.items():
            checked_int(name, getattr(self, name), least, LARGEST_INT32)
        checked_duration("message_timeout", self.message_timeout, timedelta(0), _LONGEST)
        if self.checkpoint_after is not None:
            checked_duration("checkpoint_after", self.checkpoint_after, _MILLISECOND, _LONGEST)
        if not isinstance(self.strategy, ConsumerStrategy):
            raise WrongArgumentType("strategy", self.strategy, "must be a ConsumerStrategy")
        if self.read_batch_size >= self.history_buffer_size:
            raise InvalidArgument("read_batch_size", self.read_batch_size, "must be less than history_buffer_size")
        if self.min_checkpoint_count > self.max_checkpoint_count:
            raise InvalidArgument(
                "min_checkpoint_count", self.min_checkpoint_count, "must not be more than max_checkpoint_count"
            )

    @classmethod
    def from_server(cls, values: Mapping[str, object]) -> SubscriptionSettings:
        """Make settings from what a server says, without checking them: others may have set them."""
        settings = cls()
        for name, value in values.items():
            object.__setattr__(settings, name, value)
        return settings

    def changed(self, changes: SettingsChanges) -> SubscriptionSettings:
        """Return settings with some values replaced. Raises TypeError for names that are not settings."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        return SubscriptionSettings(**{**known, **changes})


class SettingsChanges(TypedDict, total=False):
    """The settings that an update changes; see `SubscriptionSettings`."""

    resolve_links: bool
    extra_statistics: bool
    message_timeout: Seconds
    max_retry_count: int
    checkpoint_after: Seconds | None
    min_checkpoint_count: int
    max_checkpoint_count: int
    max_subscriber_count: int
    live_buffer_size: int
    read_batch_size: int
    history_buffer_size: int
    strategy: ConsumerStrategy


_COUNTS = {
    "max_retry_count": 0,
    "min_checkpoint_count": 0,
    "max_checkpoint_count": 1,
    "max_subscriber_count": 0,
    "live_buffer_size": 1,
    "read_batch_size": 1,
    "history_buffer_size": 1,
}
"""The counts, with the least that makes sense."""


@dataclass(frozen=True)
class ParkedEvent:
    """An event that a group has set aside."""

    position: int
    """Its number among the parked events: `stop_at` of `replay_parked_events` and `truncate_parked_events`."""
    reason: str
    """Why it was parked, in the server's words: with what the consumer said, or that it was retried too often."""
    original: RecordedEvent | None
    """The event; None if it has been deleted since."""
    parked_at: datetime | None
    """When, in UTC; None if the server did not say."""


@dataclass(frozen=True)
class ConsumerInfo:
    """One consumer of a group, as the server sees it."""

    username: str
    """Who it logged in as; `system` without authentication."""
    connection_name: str
    """What it calls itself: `connectionName` of the connection string, with an id."""
    total_items: int
    """Deliveries, repeated ones included."""
    count_since_last_measurement: int
    """Deliveries since these figures were last read."""
    average_items_per_second: int
    """Deliveries a second since these figures were last read."""
    available_slots: int
    """How many more events it takes before it has to answer."""
    in_flight_messages: int
    """Events that it has and has not answered."""
    measurements: Mapping[str, int]
    """Milliseconds that it took to answer (`Mean`, `95%`, ...); empty without `extra_statistics`."""


@dataclass(frozen=True)
class SubscriptionInfo:
    """A group and its state, as the server sees it."""

    stream_name: str | None
    """Name of the stream; None: all events."""
    group_name: str
    """Name of the group."""
    settings: SubscriptionSettings
    """Its settings, as the server has them."""
    start: int | None
    """Where it began, inclusive: a stream position or commit position; None: at the end."""
    status: str
    """`Live`, `Behind`, `NotReady` and others, also several joined by commas."""
    last_checkpoint: int | None
    """Everything up to here is done and will not come again; None: nothing yet."""
    last_known: int | None
    """The last event that the group has seen."""
    total_items: int
    """Deliveries, repeated ones included."""
    count_since_last_measurement: int
    """Deliveries since these figures were last read."""
    average_per_second: int
    """Deliveries a second since these figures were last read."""
    waiting: int
    """Events that wait to be delivered for the first time."""
    retrying: int
    """Events that wait to be delivered again."""
    in_flight: int
    """Events that consumers have and have not answered."""
    parked: int
    """Parked events that are not replayed yet."""
    live_buffer_count: int
    """How many of the latest events the server has at hand; not a backlog."""
    consumers: tuple[ConsumerInfo, ...] = ()
    """Who consumes it now."""

    @property
    def is_live(self) -> bool:
        """Whether the group has read everything stored, and follows new events."""
        return "Live" in self.status.split(", ")
