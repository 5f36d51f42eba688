"""Persistent subscriptions for code without asyncio: making, changing, describing and reading groups.

Owns: `GroupApi`, the part of the client that does this. Must not know: how anything is done.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from esdb_lite._checks import Seconds
from esdb_lite.filters import DEFAULT_EXCLUDE, Filter, patterns
from esdb_lite.settings import CredentialsLike

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from esdb_lite.groups import ParkedEvent, SettingsChanges, SubscriptionInfo, SubscriptionSettings
    from esdb_lite.sync.group_subscription import PersistentSubscription
    from esdb_lite.sync.live import Live


class GroupApi:
    """Groups of consumers that share the events of a stream, or all events (persistent subscriptions)."""

    def _live(self) -> Live:
        raise AssertionError("the client says where it lives")

    def create_subscription(
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
        live = self._live()
        live.portal.run(
            live.client.create_subscription,
            group_name,
            stream_name,
            position=position,
            from_end=from_end,
            settings=settings,
            filter_exclude=patterns("filter_exclude", filter_exclude),  # here: they may be generators
            filter_include=patterns("filter_include", filter_include),
            filter=filter,
            exist_ok=exist_ok,
            timeout=timeout,
            credentials=credentials,
            **changes,
        )

    def update_subscription(
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
        live = self._live()
        live.portal.run(
            live.client.update_subscription,
            group_name,
            stream_name,
            position=position,
            from_end=from_end,
            settings=settings,
            timeout=timeout,
            credentials=credentials,
            **changes,
        )

    def delete_subscription(
        self,
        group_name: str,
        stream_name: str | None = None,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> None:
        """Delete a group with its checkpoints and parked events. Raises SubscriptionNotFound, OutcomeUnknown."""
        live = self._live()
        live.portal.run(
            live.client.delete_subscription, group_name, stream_name, timeout=timeout, credentials=credentials
        )

    def get_subscription_info(
        self,
        group_name: str,
        stream_name: str | None = None,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> SubscriptionInfo:
        """Return the settings and the state of a group. Raises SubscriptionNotFound."""
        live = self._live()
        return live.portal.run(
            live.client.get_subscription_info, group_name, stream_name, timeout=timeout, credentials=credentials
        )

    def list_subscriptions(
        self,
        stream_name: str | None = None,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> list[SubscriptionInfo]:
        """Return all groups, those on one stream, or (`$all`) those on all events; [] if there are none."""
        live = self._live()
        return live.portal.run(live.client.list_subscriptions, stream_name, timeout=timeout, credentials=credentials)

    def replay_parked_events(
        self,
        group_name: str,
        stream_name: str | None = None,
        *,
        stop_at: int | None = None,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> None:
        """Deliver the parked events of a group again, with a retry count of 0.

        Returns once the server has begun. `stop_at` is a position in the stream of parked events,
        `$persistentsubscription-STREAM::GROUP-parked`: only those before it are replayed (default: all).
        Raises SubscriptionNotFound; OutcomeUnknown when the request was sent and no answer came.
        """
        live = self._live()
        live.portal.run(
            live.client.replay_parked_events,
            group_name,
            stream_name,
            stop_at=stop_at,
            timeout=timeout,
            credentials=credentials,
        )

    def truncate_parked_events(
        self,
        group_name: str,
        stream_name: str | None = None,
        *,
        stop_at: int | None = None,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> None:
        """Throw away the parked events of a group, without replaying them. (KurrentDB 26.1 and later.)

        `stop_at` is a position in the stream of parked events: only those before it go (default: all).
        Raises SubscriptionNotFound, SubscriptionFailed (they are being replayed), NotSupported; OutcomeUnknown when
        the request was sent and no answer came. The rules are in section B.8 of the notes on KurrentDB.
        """
        live = self._live()
        live.portal.run(
            live.client.truncate_parked_events,
            group_name,
            stream_name,
            stop_at=stop_at,
            timeout=timeout,
            credentials=credentials,
        )

    def read_parked_events(
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

        `position` is where to begin among them (default: the first); at most `limit` are returned. What has been
        replayed or thrown away is gone.
        """
        live = self._live()
        return live.portal.run(
            live.client.read_parked_events,
            group_name,
            stream_name,
            position,
            limit,
            timeout=timeout,
            credentials=credentials,
        )

    def restart_subscriptions(self, *, timeout: Seconds | None = None, credentials: CredentialsLike = None) -> None:
        """Restart all groups of the server: their consumers are dropped, and go on from the last checkpoints."""
        live = self._live()
        live.portal.run(live.client.restart_subscriptions, timeout=timeout, credentials=credentials)

    def read_subscription(
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
    ) -> PersistentSubscription:
        """Become a consumer of a group; returns once the server has confirmed it.

        The server delivers up to `buffer_size` events before it waits for answers. Answers are sent `ack_batch_size`
        at a time (default: a third of the buffer, at most 100), or after `ack_delay` seconds.
        A consumer that is dropped (the group was updated, the server restarted, the connection lost) comes back, and
        `last_drop` says why. With `reconnect=False` it raises SubscriptionDropped or ServiceUnavailable instead.
        `timeout` limits the whole subscription (default: none). Raises SubscriptionNotFound, TooManySubscribers.
        """
        from esdb_lite.sync.group_subscription import PersistentSubscription

        live = self._live()
        source = live.portal.run(
            live.client.read_subscription,
            group_name,
            stream_name,
            buffer_size=buffer_size,
            ack_batch_size=ack_batch_size,
            ack_delay=ack_delay,
            reconnect=reconnect,
            timeout=timeout,
            credentials=credentials,
        )
        return PersistentSubscription(self, live.portal, source)
