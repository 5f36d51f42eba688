"""Persistent subscriptions for code without asyncio: making, changing, describing and reading groups.

Owns: `GroupApi`, the part of the client that does this. Must not know: how anything is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from esdb_lite.client.groups.calls import AsyncGroupApi
from esdb_lite.sync.blocking import FILTERS, Face, blocking, opened

if TYPE_CHECKING:
    from esdb_lite.client.groups.subscription import AsyncPersistentSubscription
    from esdb_lite.sync.group_subscription import PersistentSubscription


class GroupApi(Face):
    """Groups of consumers that share the events of a stream, or all events (persistent subscriptions)."""

    create_subscription = blocking(AsyncGroupApi.create_subscription, **FILTERS)
    update_subscription = blocking(AsyncGroupApi.update_subscription)
    delete_subscription = blocking(AsyncGroupApi.delete_subscription)
    get_subscription_info = blocking(AsyncGroupApi.get_subscription_info)
    list_subscriptions = blocking(AsyncGroupApi.list_subscriptions)
    replay_parked_events = blocking(AsyncGroupApi.replay_parked_events)
    truncate_parked_events = blocking(AsyncGroupApi.truncate_parked_events)
    read_parked_events = blocking(AsyncGroupApi.read_parked_events)
    restart_subscriptions = blocking(AsyncGroupApi.restart_subscriptions)

    @opened(AsyncGroupApi.read_subscription)
    def read_subscription(self, source: AsyncPersistentSubscription) -> PersistentSubscription:
        """Become a consumer of a group; returns once the server has confirmed it."""
        from esdb_lite.sync.group_subscription import PersistentSubscription

        return PersistentSubscription(self, self._live().portal, source)
