"""Persistent subscriptions of kurrentdbclient: what is known of groups, and their consumers.

Owns: the names. Must not know: how anything is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from typing_extensions import Unpack

from esdb_lite.compat.kurrentdbclient._elsewhere import elsewhere
from esdb_lite.compat.kurrentdbclient._signatures import CHANGES, GroupChanges, taking
from esdb_lite.compat.kurrentdbclient._signatures import ConsumerStrategy as ConsumerStrategy

if TYPE_CHECKING:
    from esdb_lite.compat.kurrentdbclient._consumers import AsyncPersistentSubscription as AsyncPersistentSubscription
    from esdb_lite.compat.kurrentdbclient._consumers import PersistentSubscription as PersistentSubscription


class SubscriptionUpdateKwargs(GroupChanges, total=False):
    """The arguments with which a group is updated."""

    from_end: bool | None


class SubscriptionUpdateAllKwargs(SubscriptionUpdateKwargs, total=False):
    """Those for a group on all events."""

    commit_position: int | None


class SubscriptionUpdateStreamKwargs(SubscriptionUpdateKwargs, total=False):
    """Those for a group on a stream."""

    stream_position: int | None


@dataclass
class Measurement:
    """How long a consumer took to answer."""

    key: str
    value: int


@dataclass
class ConnectionInfo:
    """One consumer of a group. `from_` is empty: our client does not read it."""

    from_: str
    username: str
    average_items_per_second: int
    total_items: int
    count_since_last_measurement: int
    observed_measurements: list[Measurement]
    available_slots: int
    in_flight_messages: int
    connection_name: str


@dataclass
class SubscriptionInfo:
    """A group and its state, as the server sees it."""

    event_source: str
    group_name: str
    status: str
    average_per_second: int
    total_items: int
    count_since_last_measurement: int
    last_checkpointed_event_position: str
    last_known_event_position: str
    resolve_links: bool
    start_from: str
    message_timeout: float
    extra_statistics: bool
    max_retry_count: int
    live_buffer_size: int
    history_buffer_size: int
    read_batch_size: int
    checkpoint_after: float
    min_checkpoint_count: int
    max_checkpoint_count: int
    read_buffer_count: int
    live_buffer_count: int
    retry_buffer_count: int
    total_in_flight_messages: int
    outstanding_messages_count: int
    consumer_strategy: ConsumerStrategy
    max_subscriber_count: int
    parked_message_count: int
    connections: list[ConnectionInfo]

    @taking(CHANGES)
    def update_all_kwargs(
        self, from_end: bool | None = None, commit_position: int | None = None, **changes: Unpack[GroupChanges]
    ) -> SubscriptionUpdateAllKwargs:
        """Return the arguments with which a group on all events is updated."""
        start = self._start(from_end, commit_position, self.start_from.partition("/")[0].rpartition(":")[2])
        return {"from_end": start == -1, "commit_position": start if start > 0 else None, **self._changed(changes)}

    @taking(CHANGES)
    def update_stream_kwargs(
        self, from_end: bool | None = None, stream_position: int | None = None, **changes: Unpack[GroupChanges]
    ) -> SubscriptionUpdateStreamKwargs:
        """Return the arguments with which a group on a stream is updated."""
        start = self._start(from_end, stream_position, self.start_from)
        return {"from_end": start == -1, "stream_position": start if start > 0 else None, **self._changed(changes)}

    def _start(self, from_end: bool | None, position: int | None, known: str) -> int:
        """The position; -1: the end."""
        if position is not None:
            return position
        return int(known) if from_end is None else -1 if from_end else 0

    def _changed(self, changes: GroupChanges) -> GroupChanges:
        values = {name: getattr(self, name) for name in CHANGES}
        values.update((name, value) for name, value in changes.items() if value is not None)
        return cast("GroupChanges", values)


if not TYPE_CHECKING:

    def __getattr__(name):
        """What is behind the values, which must not be imported before them, and what is at home elsewhere."""
        if name in ("PersistentSubscription", "AsyncPersistentSubscription"):
            from esdb_lite.compat.kurrentdbclient import _consumers

            return getattr(_consumers, name)
        return elsewhere(__name__)(name)
