"""The calls about persistent subscriptions.

Owns: `AsyncGroupApi`, the part of the asynchronous client that makes, changes, describes and reads groups.
Must not know: how a consumer behaves (`client.groups.subscription`), bytes. What translates the messages is imported
when one of the calls is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from esdb_lite import _convert
from esdb_lite._checks import Seconds, checked_bool, checked_int, checked_seconds
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._wire.read_request import ReadRequest
from esdb_lite.client.arguments import (
    checked_filter,
    checked_position,
    checked_source,
    checked_stream,
    checked_timeout,
)
from esdb_lite.client.credentials import checked_credentials
from esdb_lite.client.opening import opening
from esdb_lite.errors import (
    InvalidArgument,
    StreamNotFound,
    SubscriptionExists,
    SubscriptionNotFound,
    WrongArgumentType,
)
from esdb_lite.events import RecordedEvent
from esdb_lite.filters import DEFAULT_EXCLUDE, Filter
from esdb_lite.positions import ALL_STREAM, LARGEST

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from esdb_lite.client.core import ClientCore
    from esdb_lite.client.groups.subscription import AsyncPersistentSubscription
    from esdb_lite.groups import ParkedEvent, SettingsChanges, SubscriptionInfo, SubscriptionSettings
    from esdb_lite.settings import CredentialsLike

MAX_ACK_BATCH = 100


class AsyncGroupApi:
    """Groups of consumers that share the events of a stream, or all events (persistent subscriptions)."""

    _core: ClientCore

    async def create_subscription(
        self,
        group_name: str,
        stream_name: str | None = None,
        *,
        position: int | None = None,
        from_end: bool = False,
        settings: SubscriptionSettings | None = None,
        filter_exclude: Iterable[str] = DEFAULT_EXCLUDE,
        filter_include: Iterable[str] = (),
        filter: Filter | None = None,
        exist_ok: bool = False,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
        **changes: Unpack[SettingsChanges],
    ) -> None:
        """Create a group on a stream, or (without `stream_name`) on all events.

        It begins with the event at `position`, inclusive: a stream position, or a commit position for a group on all
        events (default: the first event; with `from_end`, the next one appended). The stream need not exist. Filters
        are for groups on all events, and cannot be changed later. `settings` default to `SubscriptionSettings()`;
        `changes` replace some of them, by their names. With `exist_ok`, a group that exists stays as it is. Raises
        SubscriptionExists, SubscriptionFailed; OutcomeUnknown when the request was sent and no answer came. The rules
        are in sections 18 and 19 of the protocol notes.
        """
        channel = self._core.channel(self._core.deadline(timeout), credentials)
        request = _convert.groups.GroupRequest(
            _checked_group(group_name),
            checked_source(stream_name),
            _checked_settings(settings).changed(changes),
            _checked_start(position, from_end),
            checked_filter(stream_name, filter_exclude, filter_include, filter),
        )
        ignored = [SubscriptionExists] if checked_bool("exist_ok", exist_ok) else []
        with suppress(*ignored):
            await _convert.groups.create(channel, request)

    async def update_subscription(
        self,
        group_name: str,
        stream_name: str | None = None,
        *,
        position: int | None = None,
        from_end: bool | None = None,
        settings: SubscriptionSettings | None = None,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
        **changes: Unpack[SettingsChanges],
    ) -> None:
        """Change settings of a group; the others stay as they are.

        `changes` are the names in `SubscriptionSettings`; `settings` replace all others. The server drops the group's
        consumers; they come back unless they were made with `reconnect=False`. A group without a checkpoint starts
        again at its start, which `position` and `from_end` change. An update can neither set nor keep the strategy
        PINNED_BY_CORRELATION.
        Raises SubscriptionNotFound, SubscriptionFailed.
        """
        from esdb_lite.groups import ConsumerStrategy

        deadline = self._core.deadline(timeout)
        group, stream = _checked_group(group_name), checked_source(stream_name)
        begin = None
        if position is not None or from_end is not None:
            begin = (_checked_start(position, from_end is not None and from_end),)
        given = None if settings is None else _checked_settings(settings)
        known = await self.get_subscription_info(group, stream, timeout=deadline.remaining(), credentials=credentials)
        settings = (given or known.settings).changed(changes)
        if settings.strategy is ConsumerStrategy.PINNED_BY_CORRELATION:
            raise InvalidArgument("strategy", settings.strategy, "must be one that an update can name")
        request = _convert.groups.GroupRequest(group, stream, settings, known.start if begin is None else begin[0])
        channel = self._core.channel(deadline, credentials, repeatable=True)
        await _convert.groups.update(channel, request)

    async def delete_subscription(
        self,
        group_name: str,
        stream_name: str | None = None,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> None:
        """Delete a group with its checkpoints and parked events. Raises SubscriptionNotFound, OutcomeUnknown."""
        channel = self._core.channel(self._core.deadline(timeout), credentials)
        await _convert.groups.delete(channel, _checked_group(group_name), checked_source(stream_name))

    async def get_subscription_info(
        self,
        group_name: str,
        stream_name: str | None = None,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> SubscriptionInfo:
        """Return the settings and the state of a group. Raises SubscriptionNotFound."""
        channel = self._core.channel(self._core.deadline(timeout), credentials, repeatable=True)
        return await _convert.groups.info(channel, _checked_group(group_name), checked_source(stream_name))

    async def list_subscriptions(
        self,
        stream_name: str | None = None,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> list[SubscriptionInfo]:
        """Return all groups, those on one stream, or (`$all`) those on all events; [] if there are none."""
        channel = self._core.channel(self._core.deadline(timeout), credentials, repeatable=True)
        try:
            return await _convert.groups.infos(channel, None if stream_name is None else checked_stream(stream_name))
        except SubscriptionNotFound:
            return []

    async def replay_parked_events(
        self,
        group_name: str,
        stream_name: str | None = None,
        *,
        stop_at: int | None = None,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> None:
        """Replay the parked events of a group: they are delivered again, with a retry count of 0.

        Returns once the server has begun. `stop_at` is a position in the stream of parked events,
        `$persistentsubscription-STREAM::GROUP-parked`: only those before it are replayed (default: all).
        Raises SubscriptionNotFound; OutcomeUnknown when the request was sent and no answer came.
        """
        channel = self._core.channel(self._core.deadline(timeout), credentials)
        if stop_at is not None:
            checked_int("stop_at", stop_at, 1, LARGEST)
        await _convert.groups.replay_parked(channel, _checked_group(group_name), checked_source(stream_name), stop_at)

    async def truncate_parked_events(
        self,
        group_name: str,
        stream_name: str | None = None,
        *,
        stop_at: int | None = None,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> None:
        """Delete the parked events of a group, without replaying them. (KurrentDB 26.1 and later.)

        `stop_at` is a position in the stream of parked events: only those before it go (default: all).
        Raises SubscriptionNotFound, SubscriptionFailed (they are being replayed), NotSupported; OutcomeUnknown when
        the request was sent and no answer came. The rules are in section B.8 of the notes on KurrentDB.
        """
        needs = "truncating parked events needs a KurrentDB later than 26.1.0"
        channel = self._core.channel(self._core.deadline(timeout), credentials, needs=needs)
        if stop_at is not None:
            checked_int("stop_at", stop_at, 0, LARGEST)
        await _convert.groups.truncate_parked(channel, _checked_group(group_name), checked_source(stream_name), stop_at)

    async def read_parked_events(
        self,
        group_name: str,
        stream_name: str | None = None,
        position: int | None = None,
        limit: int = 100,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> list[ParkedEvent]:
        """Return parked events of a group, the earliest first; [] if there are none.

        `position` is where to begin among them (default: the first); at most `limit` are returned. Events that were
        replayed or deleted are not among them.
        """
        from esdb_lite.client.groups.parked import parked_event
        from esdb_lite.client.read.resuming import HealingReading

        stream = (
            f"$persistentsubscription-{checked_source(stream_name) or ALL_STREAM}::{_checked_group(group_name)}-parked"
        )
        request = ReadRequest(
            stream, checked_position(position), limit=checked_int("limit", limit, 1, LARGEST), resolve_links=True
        )
        deadline = self._core.deadline(timeout)
        reading = HealingReading(self._core, request, deadline, checked_credentials(credentials))
        found: list[ParkedEvent] = []
        try:
            while items := await reading.batch():
                found += [parked_event(item) for item in items if isinstance(item, RecordedEvent)]
        except StreamNotFound:
            return []
        finally:
            reading.close()
        return found

    async def restart_subscriptions(
        self, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Restart all groups of the server: consumers are dropped, and groups continue from their last checkpoints."""
        await _convert.groups.restart(self._core.channel(self._core.deadline(timeout), credentials, repeatable=True))

    @opening
    async def read_subscription(
        self,
        group_name: str,
        stream_name: str | None = None,
        *,
        buffer_size: int = 150,
        ack_batch_size: int | None = None,
        ack_delay: Seconds = 0.1,
        reconnect: bool = True,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> AsyncPersistentSubscription:
        """Become a consumer of a group; returns once the server has confirmed it.

        The server delivers up to `buffer_size` events before it waits for answers. Answers are sent `ack_batch_size`
        at a time (default: a third of the buffer, at most 100), or after `ack_delay` seconds.
        A consumer that is dropped (the group was updated, the server restarted, the connection lost) comes back, and
        `last_drop` says why. With `reconnect=False` it raises SubscriptionDropped or ServiceUnavailable instead.
        `timeout` limits the whole subscription (default: none). Raises SubscriptionNotFound, TooManySubscribers.
        """
        from esdb_lite.client.groups.call import ConsumerOptions
        from esdb_lite.client.groups.subscription import AsyncPersistentSubscription
        from esdb_lite.groups import LARGEST_INT32

        self._core.check()
        checked_int("buffer_size", buffer_size, 1, LARGEST_INT32)
        if ack_batch_size is None:
            ack_batch_size = max(1, min(buffer_size // 3, MAX_ACK_BATCH))
        checked_int("ack_batch_size", ack_batch_size, 1, LARGEST_INT32)
        options = ConsumerOptions(
            group_name=_checked_group(group_name),
            stream_name=checked_source(stream_name),
            buffer_size=buffer_size,
            ack_batch_size=ack_batch_size,
            ack_delay=checked_seconds("ack_delay", ack_delay),
            reconnect=checked_bool("reconnect", reconnect),
        )
        deadline = Deadline(checked_timeout(timeout))
        return await AsyncPersistentSubscription(
            self._core, options, deadline=deadline, credentials=credentials, owner=self
        )._begin()


def _checked_group(value: str) -> str:
    return checked_stream(value, "group_name")


def _checked_settings(value: SubscriptionSettings | None) -> SubscriptionSettings:
    from esdb_lite.groups import SubscriptionSettings

    if value is None:
        return SubscriptionSettings()
    if not isinstance(value, SubscriptionSettings):
        raise WrongArgumentType("settings", value, "must be SubscriptionSettings")
    return replace(value)  # checks those that a server has told, too


def _checked_start(position: int | None, from_end: bool) -> int | None:
    """Where a group begins; None: at the end."""
    if not checked_bool("from_end", from_end):
        return checked_position(position) or 0
    if position is not None:
        raise InvalidArgument("position", position, "cannot be combined with from_end")
    return None
