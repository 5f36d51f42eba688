"""The client for code without asyncio: the methods of `AsyncEsdbClient`, without `await`.

Owns: the public methods and their documentation, and the life of the thread behind them.
Must not know: how anything is done. A test holds it to the client for asyncio.
"""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Literal, overload

from typing_extensions import Self

from esdb_lite.client._client import AsyncEsdbClient
from esdb_lite.client.arguments import ResumeFrom
from esdb_lite.client.credentials import Pem
from esdb_lite.client.read.iterators import SubscriptionItem
from esdb_lite.errors import ClientClosed, WrongContext
from esdb_lite.events import AppendResult, JsonValue, NewEvent, RecordedEvent, StreamState
from esdb_lite.filters import DEFAULT_EXCLUDE, Filter
from esdb_lite.metadata import StreamMetadata
from esdb_lite.positions import ExpectedPosition
from esdb_lite.retries import RetryPolicy
from esdb_lite.settings import CredentialsLike
from esdb_lite.sync.consumer_calls import ConsumerApi
from esdb_lite.sync.groups import GroupApi
from esdb_lite.sync.portal import Portal
from esdb_lite.sync.read import ReadResponse, Subscription
from esdb_lite.sync.users import UserApi

_numbers = itertools.count(1)


@dataclass(frozen=True)
class _Live:
    """A client at work: the one for asyncio, and the thread that it lives on."""

    client: AsyncEsdbClient
    portal: Portal


_inherited: list[_Live] = []
"""What a forked process has got from its parent: it must not be used, nor closed by the garbage collector."""


class EsdbClient(ConsumerApi, GroupApi, UserApi):
    """A client of EventStoreDB and KurrentDB.

    Connects when it is used first. May be shared by threads. To be closed, by `close()` or by leaving `with`; it also
    closes when it is dropped and when the program ends. A forked process gets a connection of its own.

    All times are in seconds. `timeout` is a budget for a whole call with all that it takes (default: what the
    connection string says, else none); when it is used up, DeadlineExceeded is raised, or ServiceUnavailable where
    there is no connection. `credentials` replace those of the client for one call.
    """

    def __init__(
        self,
        uri: str,
        *,
        credentials: CredentialsLike = None,
        root_certificates: Pem = None,
        certificate_chain: Pem = None,
        private_key: Pem = None,
        send_credentials_insecurely: bool = False,
        retry: RetryPolicy | None = None,
    ) -> None:
        """Make a client for a connection string, without connecting yet. Raises InvalidUri.

        `host:port` (without TLS), `esdb://[user:password@]host[:port][?option=value&...]` (also `kurrentdb:`, `kdb:`,
        `kurrent:`), or `esdb+embedded:` and `esdb+embedded:///path/to/file` for a server inside this process.

        `credentials` replace those of the connection string. In PEM form: `root_certificates`, the authorities to
        trust (default: those of the file `tlsCaFile`, else those that the system trusts), and what the client shows
        of itself, `certificate_chain` and `private_key` (default: the files `userCertFile` and `userKeyFile`).
        Without TLS credentials are not sent, unless `send_credentials_insecurely` says so.

        `retry` says how long calls that have failed on the way are made again, where that is safe.
        """
        self._make = partial(
            AsyncEsdbClient,
            uri,
            credentials=credentials,
            root_certificates=root_certificates,
            certificate_chain=certificate_chain,
            private_key=private_key,
            send_credentials_insecurely=send_credentials_insecurely,
            retry=retry,
        )
        self._make()  # refuses what cannot be meant
        self._lock = threading.Lock()
        self._state: _Live | None = None
        self._closed = False

    def connect(self, *, timeout: float | None = None) -> None:
        """Connect now instead of on first use. Raises ServiceUnavailable."""
        live = self._live()
        live.portal.run(live.client.connect(timeout=timeout))

    def close(self) -> None:
        """Close the connection; whatever is open fails with ClientClosed. May be repeated."""
        with self._lock:
            self._closed = True
            state = self._state
        if state is not None:
            state.portal.close()

    def __reduce__(self) -> str:
        """Refuse: a pickle would take the connection nowhere, and the password anywhere."""
        raise TypeError(f"{type(self).__name__} cannot be pickled or copied: make one where it is needed")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- appending ---

    def append_events(
        self,
        stream_name: str,
        expected_position: ExpectedPosition,
        events: NewEvent | Iterable[NewEvent],
        *,
        timeout: float | None = None,
        credentials: CredentialsLike = None,
    ) -> AppendResult:
        """Append one event or many to a stream, all or none, and return the commit position of the last.

        `expected_position`: None, the stream does not exist; n >= 0, its last event has this position; negative, no
        matter; or a `StreamState`. The result is an int that also has `stream_position`.
        Appending events again that are there already (same ids, same expectation) changes nothing and succeeds.
        Raises ExpectedPositionError, StreamDeleted, AppendTooLarge; and OutcomeUnknown when the events were sent and
        the answer did not come.
        """
        live = self._live()
        return live.portal.run(
            live.client.append_events(stream_name, expected_position, events, timeout=timeout, credentials=credentials)
        )

    # --- reading ---

    def get_stream_position(
        self, stream_name: str, *, timeout: float | None = None, credentials: CredentialsLike = None
    ) -> int | None:
        """Return the position of the last event of a stream, None when the stream does not exist.

        Raises StreamDeleted.
        """
        live = self._live()
        return live.portal.run(live.client.get_stream_position(stream_name, timeout=timeout, credentials=credentials))

    def read_stream_events(
        self,
        stream_name: str,
        position: int | None = None,
        backwards: bool = False,
        limit: int | None = None,
        *,
        resolve_links: bool = False,
        timeout: float | None = None,
        credentials: CredentialsLike = None,
    ) -> ReadResponse:
        """Read events of a stream.

        `position` is where to begin, inclusive (default: the first event, or the last if `backwards`). `limit` is how
        many events to read at most (default: all). With `resolve_links` events that are links come as the events that
        they point to. Iterating raises StreamNotFound, StreamDeleted.
        """
        live = self._live()
        response = live.client.read_stream_events(
            stream_name,
            position,
            backwards,
            limit,
            resolve_links=resolve_links,
            timeout=timeout,
            credentials=credentials,
        )
        return ReadResponse(self, live.portal.run, response)

    def read_all_events(
        self,
        position: int | None = None,
        backwards: bool = False,
        filter_exclude: Iterable[str] = DEFAULT_EXCLUDE,
        filter_include: Iterable[str] = (),
        limit: int | None = None,
        *,
        filter: Filter | None = None,
        resolve_links: bool = False,
        timeout: float | None = None,
        credentials: CredentialsLike = None,
    ) -> ReadResponse:
        """Read events of all streams in the order in which they were committed.

        `position` is the commit position of an event: forwards it is the first to be read, backwards the one before
        it is (default: from the beginning, or the end if `backwards`). The filters are regular expressions for whole
        types of events, applied by the server: `filter_include` selects, else `filter_exclude` leaves out (default:
        the server's own events, which begin with `$`). `filter` replaces both. `limit` counts filtered events.
        """
        live = self._live()
        response = live.client.read_all_events(
            position,
            backwards,
            filter_exclude,
            filter_include,
            limit,
            filter=filter,
            resolve_links=resolve_links,
            timeout=timeout,
            credentials=credentials,
        )
        return ReadResponse(self, live.portal.run, response)

    def get_commit_position(self, *, timeout: float | None = None, credentials: CredentialsLike = None) -> int:
        """Return the commit position of the last event of all, 0 when there is none."""
        live = self._live()
        return live.portal.run(live.client.get_commit_position(timeout=timeout, credentials=credentials))

    # --- subscribing ---

    @overload
    def subscribe_all_events(
        self,
        position: ResumeFrom = None,
        filter_exclude: Iterable[str] = DEFAULT_EXCLUDE,
        filter_include: Iterable[str] = (),
        *,
        from_end: bool = False,
        filter: Filter | None = None,
        resolve_links: bool = False,
        include_control: Literal[False] = False,
        reconnect: bool = True,
        timeout: float | None = None,
        credentials: CredentialsLike = None,
    ) -> Subscription[RecordedEvent]: ...

    @overload
    def subscribe_all_events(
        self,
        position: ResumeFrom = None,
        filter_exclude: Iterable[str] = DEFAULT_EXCLUDE,
        filter_include: Iterable[str] = (),
        *,
        from_end: bool = False,
        filter: Filter | None = None,
        resolve_links: bool = False,
        include_control: Literal[True],
        reconnect: bool = True,
        timeout: float | None = None,
        credentials: CredentialsLike = None,
    ) -> Subscription[SubscriptionItem]: ...

    @overload
    def subscribe_all_events(
        self,
        position: ResumeFrom = None,
        filter_exclude: Iterable[str] = DEFAULT_EXCLUDE,
        filter_include: Iterable[str] = (),
        *,
        from_end: bool = False,
        filter: Filter | None = None,
        resolve_links: bool = False,
        include_control: bool,
        reconnect: bool = True,
        timeout: float | None = None,
        credentials: CredentialsLike = None,
    ) -> Subscription[SubscriptionItem]: ...

    def subscribe_all_events(
        self,
        position: ResumeFrom = None,
        filter_exclude: Iterable[str] = DEFAULT_EXCLUDE,
        filter_include: Iterable[str] = (),
        *,
        from_end: bool = False,
        filter: Filter | None = None,
        resolve_links: bool = False,
        include_control: bool = False,
        reconnect: bool = True,
        timeout: float | None = None,
        credentials: CredentialsLike = None,
    ) -> Subscription[SubscriptionItem]:
        """Subscribe to the events of all streams: those that are stored, then those that are appended, without end.

        Returns when the server has confirmed it. `position` is exclusive: the commit position of the last event that
        is not wanted any more, or a `Checkpoint` or `CaughtUp` (default: from the first event; with `from_end` only
        what is appended from now on). The filters are those of `read_all_events`. With `include_control` also
        `Checkpoint`, `CaughtUp`, `FellBehind` and `Reconnected` are handed out. When its connection is lost, it goes
        on after the last event that it has handed out, for as long as it takes; with `reconnect=False` it raises
        ServiceUnavailable instead. `timeout` ends the whole subscription.
        """
        live = self._live()
        call = live.client.subscribe_all_events(
            position,
            filter_exclude,
            filter_include,
            from_end=from_end,
            filter=filter,
            resolve_links=resolve_links,
            include_control=include_control,
            reconnect=reconnect,
            timeout=timeout,
            credentials=credentials,
        )
        return Subscription(self, live.portal.run, live.portal.run(call))

    @overload
    def subscribe_stream_events(
        self,
        stream_name: str,
        position: int | None = None,
        *,
        from_end: bool = False,
        resolve_links: bool = False,
        include_control: Literal[False] = False,
        reconnect: bool = True,
        timeout: float | None = None,
        credentials: CredentialsLike = None,
    ) -> Subscription[RecordedEvent]: ...

    @overload
    def subscribe_stream_events(
        self,
        stream_name: str,
        position: int | None = None,
        *,
        from_end: bool = False,
        resolve_links: bool = False,
        include_control: Literal[True],
        reconnect: bool = True,
        timeout: float | None = None,
        credentials: CredentialsLike = None,
    ) -> Subscription[SubscriptionItem]: ...

    @overload
    def subscribe_stream_events(
        self,
        stream_name: str,
        position: int | None = None,
        *,
        from_end: bool = False,
        resolve_links: bool = False,
        include_control: bool,
        reconnect: bool = True,
        timeout: float | None = None,
        credentials: CredentialsLike = None,
    ) -> Subscription[SubscriptionItem]: ...

    def subscribe_stream_events(
        self,
        stream_name: str,
        position: int | None = None,
        *,
        from_end: bool = False,
        resolve_links: bool = False,
        include_control: bool = False,
        reconnect: bool = True,
        timeout: float | None = None,
        credentials: CredentialsLike = None,
    ) -> Subscription[SubscriptionItem]:
        """Subscribe to the events of one stream, which need not exist yet.

        Returns when the server has confirmed it. `position` is exclusive: that of the last event that is not wanted
        any more (default: from the first event; with `from_end` only what is appended from now on). The rest is as in
        `subscribe_all_events`. Raises StreamDeleted, also when the stream is tombstoned later.
        """
        live = self._live()
        call = live.client.subscribe_stream_events(
            stream_name,
            position,
            from_end=from_end,
            resolve_links=resolve_links,
            include_control=include_control,
            reconnect=reconnect,
            timeout=timeout,
            credentials=credentials,
        )
        return Subscription(self, live.portal.run, live.portal.run(call))

    # --- managing ---

    def delete_stream(
        self,
        stream_name: str,
        expected_position: ExpectedPosition = StreamState.ANY,
        *,
        timeout: float | None = None,
        credentials: CredentialsLike = None,
    ) -> int | None:
        """Delete a stream; return the commit position of that. It can be written again, and goes on counting.

        Its metadata is replaced. Raises ExpectedPositionError (also for a stream that never was), StreamDeleted.
        """
        live = self._live()
        return live.portal.run(
            live.client.delete_stream(stream_name, expected_position, timeout=timeout, credentials=credentials)
        )

    def tombstone_stream(
        self,
        stream_name: str,
        expected_position: ExpectedPosition = StreamState.ANY,
        *,
        timeout: float | None = None,
        credentials: CredentialsLike = None,
    ) -> int | None:
        """Delete a stream for ever; return the commit position of that. Its name can never be used again.

        Raises ExpectedPositionError, StreamDeleted.
        """
        live = self._live()
        return live.portal.run(
            live.client.tombstone_stream(stream_name, expected_position, timeout=timeout, credentials=credentials)
        )

    def get_stream_metadata(
        self, stream_name: str, *, timeout: float | None = None, credentials: CredentialsLike = None
    ) -> StreamMetadata:
        """Return the metadata of a stream; where there is none, everything in it is None. Raises StreamDeleted."""
        live = self._live()
        return live.portal.run(live.client.get_stream_metadata(stream_name, timeout=timeout, credentials=credentials))

    def set_stream_metadata(
        self,
        stream_name: str,
        metadata: StreamMetadata | Mapping[str, JsonValue],
        *,
        expected_position: ExpectedPosition = StreamState.ANY,
        timeout: float | None = None,
        credentials: CredentialsLike = None,
    ) -> AppendResult:
        """Replace the metadata of a stream, which need not exist yet.

        `metadata` may be the mapping that is its JSON. `expected_position` is that of the metadata as it was read.
        Raises ExpectedPositionError, StreamDeleted.
        """
        live = self._live()
        return live.portal.run(
            live.client.set_stream_metadata(
                stream_name, metadata, expected_position=expected_position, timeout=timeout, credentials=credentials
            )
        )

    # --- inside ---

    def _live(self) -> _Live:
        state = self._state
        if self._closed:
            raise ClientClosed("the client is closed")
        return state if state is not None and state.portal.pid == os.getpid() else self._begin()

    def _begin(self) -> _Live:
        """Start the thread, in this process, unless another thread has just done it."""
        with self._lock:
            state = self._state
            if state is not None:
                if state.portal.pid == os.getpid():
                    return state
                if state.client.embedded:
                    raise WrongContext("the embedded server lives in the process from which this one was forked")
                _inherited.append(state)
            client = self._make()
            portal = Portal(f"esdb-lite-{next(_numbers)}", client.close)
            # also called at the end of the program
            weakref.finalize(self, portal.close)
            self._state = state = _Live(client, portal)
            return state
