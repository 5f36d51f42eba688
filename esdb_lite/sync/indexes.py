"""The calls about indexes, for code without asyncio.

Owns: `IndexApi`, the part of the client for threads that has them. Must not know: how anything is done. A test holds it
to the part of the client for asyncio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

from esdb_lite._checks import Seconds
from esdb_lite.client.indexes.calls import AsyncIndexApi, checked_fields
from esdb_lite.settings import CredentialsLike
from esdb_lite.sync.blocking import Face, blocking, here, opened_overload, reading

if TYPE_CHECKING:
    from esdb_lite.client.read.iterators import AsyncSubscription
    from esdb_lite.events import RecordedEvent, SubscriptionItem
    from esdb_lite.indexes import IndexLike
    from esdb_lite.positions import ResumeFrom
    from esdb_lite.sync.read import Subscription


class IndexApi(Face):
    """Reads by index, and indexes that users define. Needs KurrentDB 25.1, the latter 26.0; else NotSupported."""

    read_index_events = reading(AsyncIndexApi.read_index_events)

    @overload
    def subscribe_index_events(
        self,
        index: IndexLike,
        position: ResumeFrom = None,
        *,
        from_end: bool = False,
        include_control: Literal[False] = False,
        reconnect: bool = True,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> Subscription[RecordedEvent]: ...

    @overload
    def subscribe_index_events(
        self,
        index: IndexLike,
        position: ResumeFrom = None,
        *,
        from_end: bool = False,
        include_control: bool,
        reconnect: bool = True,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> Subscription[SubscriptionItem]: ...

    @opened_overload(AsyncIndexApi.subscribe_index_events)
    def subscribe_index_events(self, source: AsyncSubscription[SubscriptionItem]) -> Subscription[SubscriptionItem]:
        """Subscribe to the events of an index: first the stored ones, then new ones as they are appended."""
        from esdb_lite.sync.read import Subscription

        return Subscription(self, self._live().portal.run, source)

    create_index = blocking(AsyncIndexApi.create_index, fields=here(checked_fields))
    start_index = blocking(AsyncIndexApi.start_index)
    stop_index = blocking(AsyncIndexApi.stop_index)
    delete_index = blocking(AsyncIndexApi.delete_index)
    get_index = blocking(AsyncIndexApi.get_index)
    list_indexes = blocking(AsyncIndexApi.list_indexes)
