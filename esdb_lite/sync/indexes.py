"""The calls about indexes, for code without asyncio.

Owns: `IndexApi`, the part of the client for threads that has them. Must not know: how anything is done. A test holds it
to the part of the client for asyncio.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, overload

from esdb_lite._checks import Seconds
from esdb_lite.client.indexes.calls import checked_fields
from esdb_lite.settings import CredentialsLike
from esdb_lite.sync.read import ReadResponse, Subscription

if TYPE_CHECKING:
    from esdb_lite.events import RecordedEvent, SubscriptionItem
    from esdb_lite.indexes import IndexField, IndexInfo, IndexLike
    from esdb_lite.positions import ResumeFrom
    from esdb_lite.sync.live import Live


class IndexApi:
    """Reads by index, and indexes that users define. Needs KurrentDB 25.1, the latter 26.0; else NotSupported."""

    def _live(self) -> Live:
        raise AssertionError("the client says where it lives")

    def read_index_events(
        self,
        index: IndexLike,
        position: int | None = None,
        backwards: bool = False,
        limit: int | None = None,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> ReadResponse:
        """Read the events of an index in the order in which they were committed.

        `index`: an `IndexQuery`, or the name of an index. `position` is a commit position, inclusive in both
        directions; no event need be there (default: the beginning, or the end if `backwards`). `limit` counts events
        (default: all). Deleted and truncated events are in indexes until they are scavenged. Who reads needs the right
        to read all events. Iterating raises IndexNotFound, also for an index that is stopped; NotSupported before
        KurrentDB 25.1. The rules are in section B.5 of the notes on KurrentDB.
        """
        live = self._live()
        response = live.client.read_index_events(
            index, position, backwards, limit, timeout=timeout, credentials=credentials
        )
        return ReadResponse(self, live.portal.run, response)

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

    def subscribe_index_events(
        self,
        index: IndexLike,
        position: ResumeFrom = None,
        *,
        from_end: bool = False,
        include_control: bool = False,
        reconnect: bool = True,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> Subscription[SubscriptionItem]:
        """Subscribe to the events of an index: first the stored ones, then new ones as they are appended.

        It begins after `position`, a commit position (default: with the first event; with `from_end`, with the next
        one appended). There are no checkpoints. The other options are those of `subscribe_all_events`.
        Raises IndexNotFound, also when the index is stopped or deleted later; NotSupported before KurrentDB 25.1. The
        rules are in section B.5 of the notes on KurrentDB.
        """
        live = self._live()
        source = live.portal.run(
            live.client.subscribe_index_events,
            index,
            position,
            from_end=from_end,
            include_control=include_control,
            reconnect=reconnect,
            timeout=timeout,
            credentials=credentials,
        )
        return Subscription(self, live.portal.run, source)

    def create_index(
        self,
        name: str,
        *,
        filter: str | None = None,
        fields: IndexField | Iterable[IndexField] = (),
        start: bool = True,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> None:
        """Define an index of the events for which a JavaScript function is true. Does nothing if it is there like this.

        `filter`: a function of one argument, such as `rec => rec.schema.name === 'OrderPlaced'` (None: all events).
        `fields`: a value by which it can be read; servers up to 26.1 take one. `start`: whether it is filled and can
        be read at once. Raises IndexExists if there is one of this name that is defined otherwise; InvalidRequest if
        a function is none. The rules are in section B.6 of the notes on KurrentDB.
        """
        given = checked_fields(fields)  # here: it may be a generator
        live = self._live()
        live.portal.run(
            live.client.create_index,
            name,
            filter=filter,
            fields=given,
            start=start,
            timeout=timeout,
            credentials=credentials,
        )

    def start_index(self, name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None) -> None:
        """Have a stopped index filled, and read. Idempotent. Raises IndexNotFound."""
        live = self._live()
        live.portal.run(live.client.start_index, name, timeout=timeout, credentials=credentials)

    def stop_index(self, name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None) -> None:
        """Let nobody read an index until it is started again. Idempotent. Raises IndexNotFound."""
        live = self._live()
        live.portal.run(live.client.stop_index, name, timeout=timeout, credentials=credentials)

    def delete_index(self, name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None) -> None:
        """Delete an index. Idempotent. Raises IndexNotFound for one that never was."""
        live = self._live()
        live.portal.run(live.client.delete_index, name, timeout=timeout, credentials=credentials)

    def get_index(self, name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None) -> IndexInfo:
        """Return an index that a user has defined. Raises IndexNotFound."""
        live = self._live()
        return live.portal.run(live.client.get_index, name, timeout=timeout, credentials=credentials)

    def list_indexes(self, *, timeout: Seconds | None = None, credentials: CredentialsLike = None) -> list[IndexInfo]:
        """Return all indexes that users have defined, in order of creation."""
        live = self._live()
        return live.portal.run(live.client.list_indexes, timeout=timeout, credentials=credentials)
