"""Persistent subscriptions for code without asyncio: making, changing, describing and reading groups.

Owns: `GroupApi`, the part of the client that does this. Must not know: how anything is done.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from esdb_lite._checks import Seconds
from esdb_lite.client.groups.calls import AsyncGroupApi
from esdb_lite.filters import patterns
from esdb_lite.settings import CredentialsLike
from esdb_lite.sync.blocking import Face, blocking

if TYPE_CHECKING:
    from esdb_lite.sync.group_subscription import PersistentSubscription


class GroupApi(Face):
    """Groups of consumers that share the events of a stream, or all events (persistent subscriptions)."""

    create_subscription = blocking(
        AsyncGroupApi.create_subscription,
        filter_exclude=partial(patterns, "filter_exclude"),
        filter_include=partial(patterns, "filter_include"),
    )
    update_subscription = blocking(AsyncGroupApi.update_subscription)
    delete_subscription = blocking(AsyncGroupApi.delete_subscription)
    get_subscription_info = blocking(AsyncGroupApi.get_subscription_info)
    list_subscriptions = blocking(AsyncGroupApi.list_subscriptions)
    replay_parked_events = blocking(AsyncGroupApi.replay_parked_events)
    truncate_parked_events = blocking(AsyncGroupApi.truncate_parked_events)
    read_parked_events = blocking(AsyncGroupApi.read_parked_events)
    restart_subscriptions = blocking(AsyncGroupApi.restart_subscriptions)

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
