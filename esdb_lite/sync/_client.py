"""The client for code without asyncio: the methods of `AsyncEsdbClient`, without `await`.

Owns: the public methods and their documentation, and the life of the thread behind them.
Must not know: how anything is done. A test holds it to the client for asyncio.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Literal, overload

from esdb_lite._checks import Seconds
from esdb_lite.client._client import AsyncEsdbClient
from esdb_lite.client.arguments import checked_metadata
from esdb_lite.client.credentials import Pem, with_arguments
from esdb_lite.client.face import OtherNames
from esdb_lite.events import AppendResult, JsonValue, RecordedEvent, StreamState, SubscriptionItem
from esdb_lite.filters import DEFAULT_EXCLUDE, Filter, patterns
from esdb_lite.positions import ExpectedPosition, ResumeFrom, meant
from esdb_lite.retries import RetryPolicy
from esdb_lite.settings import CredentialsLike, parse_uri
from esdb_lite.sync.appends import AppendApi
from esdb_lite.sync.consumer_calls import ConsumerApi
from esdb_lite.sync.decisions import DecisionApi
from esdb_lite.sync.groups import GroupApi
from esdb_lite.sync.indexes import IndexApi
from esdb_lite.sync.live import Live, LiveClients
from esdb_lite.sync.names import NameApi
from esdb_lite.sync.operations import OperationApi
from esdb_lite.sync.projections import ProjectionApi
from esdb_lite.sync.read import ReadResponse, Subscription
from esdb_lite.sync.schemas import SchemaApi
from esdb_lite.sync.users import UserApi

if TYPE_CHECKING:
    from typing_extensions import Self

    from esdb_lite.event_types.registry import EventTypes
    from esdb_lite.metadata import DefaultAccess, StreamMetadata


class EsdbClient(
    AppendApi,
    ConsumerApi,
    DecisionApi,
    GroupApi,
    IndexApi,
    NameApi,
    OperationApi,
    ProjectionApi,
    SchemaApi,
    UserApi,
    OtherNames,
):
    """A client of EventStoreDB (21.10 and later) and KurrentDB.

    It connects on first use, and threads may share it. Close it with `close()` or by leaving `with`; it also closes
    when it is dropped and when the program ends. A forked process gets a connection of its own.

    Every call takes two options. `timeout` is the budget of the whole call in seconds (default: `defaultDeadline` of
    the connection string, else none). `credentials` replace those of the client for this call.

    Every call raises InvalidArgument for values that no server would accept, before anything is sent; ClientClosed
    after `close()`; WrongContext where it cannot work; DeadlineExceeded when its timeout is over; ServiceUnavailable
    when the server cannot be reached (its subclasses say why); AccessDenied and Unauthenticated when the server
    refuses the caller; NotSupported when it lacks the call. Methods name only what else they raise.
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
        event_types: EventTypes | None = None,
    ) -> None:
        """Make a client for a connection string, without connecting yet. Raises InvalidUri.

        `host:port` (without TLS), `esdb://[user:password@]host[:port][?option=value&...]` (also `kurrentdb:`, `kdb:`,
        `kurrent:`), or `esdb+embedded:` and `esdb+embedded:///path/to/file` for a server inside this process.

        `credentials` replace those of the connection string: a name and password, `Credentials` or a `BearerToken`.
        Without TLS they are not sent, unless `send_credentials_insecurely` is True.
        `root_certificates` are the authorities to trust (default: the file `tlsCaFile`, else the system's);
        `certificate_chain` and `private_key` are the client certificate (default: the files `userCertFile` and
        `userKeyFile`). All three are in PEM form.
        `retry` says how long failed calls are retried, where that is safe (default: `RetryPolicy()`).
        `event_types` are the classes of the application's events: `append_events` takes their objects, and
        `event.value` gives them.
        """
        settings = with_arguments(
            parse_uri(uri),
            credentials=credentials,
            root_certificates=root_certificates,
            certificate_chain=certificate_chain,
            private_key=private_key,
            send_credentials_insecurely=send_credentials_insecurely,
            retry=retry,
            event_types=event_types,
        )
        self._event_types = event_types
        self._clients = LiveClients(
            partial(AsyncEsdbClient._of, settings), [(node.host, node.port) for node in settings.nodes]
        )
        # also at the end of the program: before what was registered to be called there before the client was made
        weakref.finalize(self, self._clients.end, weakref.ref(self))

    def connect(self, *, timeout: Seconds | None = None) -> None:
        """Connect now instead of on first use."""
        live = self._live()
        live.portal.run(live.client.connect, timeout=timeout)

    def close(self) -> None:
        """Close the connection; open calls fail with ClientClosed. Idempotent."""
        self._clients.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._clients}>"

    def __reduce__(self) -> str:
        """Refuse: a pickle would take the connection nowhere, and the password anywhere."""
        raise TypeError(f"{type(self).__name__} cannot be pickled or copied: make one where it is needed")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- reading ---

    def get_stream_position(
        self, stream_name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> int | None:
        """Return the position of the last event of a stream, None if the stream does not exist.

        Raises StreamDeleted if it was tombstoned.
        """
        live = self._live()
        return live.portal.run(live.client.get_stream_position, stream_name, timeout=timeout, credentials=credentials)

    def read_stream_events(
        self,
        stream_name: str,
        position: int | None = None,
        backwards: bool = False,
        limit: int | None = None,
        *,
        resolve_links: bool = False,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> ReadResponse:
        """Read events of a stream.

        Reading begins at `position`, inclusive (default: the first event, or the last if `backwards`), and ends after
        `limit` events (default: all). With `resolve_links`, links come as the events that they point to.
        Iterating raises StreamNotFound, StreamDeleted. The rules are in section 11 of the protocol notes.
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
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> ReadResponse:
        """Read events of all streams in the order in which they were committed.

        `position` is the commit position of an event, included forwards and excluded backwards (default: the
        beginning, or the end if `backwards`). The server filters: `filter_include` selects event types by regular
        expressions for the whole type; otherwise `filter_exclude` leaves types out (default: the server's own, which
        begin with `$`). `filter` replaces both. `limit` counts the events that pass (default: all).
        Iterating raises InvalidPosition if no event begins at `position`. The rules are in sections 12 and 13 of the
        protocol notes.
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

    def get_commit_position(
        self,
        *,
        filter_exclude: Iterable[str] = (),
        filter_include: Iterable[str] = (),
        filter: Filter | None = None,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> int:
        """Return the commit position of the last event; 0 if there is none.

        Without filters, which are those of `read_all_events`, events count that the server has written for itself: a
        subscription that leaves these out (as by default) may never come to this position.
        """
        live = self._live()
        return live.portal.run(
            live.client.get_commit_position,
            filter_exclude=patterns("filter_exclude", filter_exclude),  # here: they may be generators
            filter_include=patterns("filter_include", filter_include),
            filter=filter,
            timeout=timeout,
            credentials=credentials,
        )

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
        timeout: Seconds | None = None,
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
        include_control: bool,
        reconnect: bool = True,
        timeout: Seconds | None = None,
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
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> Subscription[SubscriptionItem]:
        """Subscribe to the events of all streams: first the stored ones, then new ones as they are appended.

        Returns once the server has confirmed the subscription. It begins after `position`, the commit position of an
        event, or a `Checkpoint` or `CaughtUp` (default: with the first event; with `from_end`, with the next one
        appended). The filters are those of `read_all_events`. With `include_control` the subscription also hands out
        `Checkpoint`, `CaughtUp`, `FellBehind` and `Reconnected`.
        If the connection is lost, the subscription resumes after the last event it handed out, for as long as that
        takes; with `reconnect=False` it raises ServiceUnavailable instead. `timeout` limits the whole subscription
        (default: none). Raises InvalidPosition if no event begins at `position`, CheckpointMismatch if it is from
        another database. The rules are in sections 15 and 16 of the protocol notes.
        """
        live = self._live()
        source = live.portal.run(
            live.client.subscribe_all_events,
            position,
            patterns("filter_exclude", filter_exclude),  # here: they may be generators
            patterns("filter_include", filter_include),
            from_end=from_end,
            filter=filter,
            resolve_links=resolve_links,
            include_control=include_control,
            reconnect=reconnect,
            timeout=timeout,
            credentials=credentials,
        )
        return Subscription(self, live.portal.run, source)

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
        timeout: Seconds | None = None,
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
        include_control: bool,
        reconnect: bool = True,
        timeout: Seconds | None = None,
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
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> Subscription[SubscriptionItem]:
        """Subscribe to the events of one stream, which need not exist yet.

        Returns once the server has confirmed the subscription. It begins after `position` (default: with the first
        event; with `from_end`, with the next one appended). The other options are those of `subscribe_all_events`.
        Raises StreamDeleted, also when the stream is tombstoned later; CheckpointMismatch if `position` is from another
        database. The rules are in section 14 of the protocol notes.
        """
        live = self._live()
        source = live.portal.run(
            live.client.subscribe_stream_events,
            stream_name,
            position,
            from_end=from_end,
            resolve_links=resolve_links,
            include_control=include_control,
            reconnect=reconnect,
            timeout=timeout,
            credentials=credentials,
        )
        return Subscription(self, live.portal.run, source)

    # --- managing ---

    def delete_stream(
        self,
        stream_name: str,
        expected_position: ExpectedPosition = StreamState.ANY,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> int | None:
        """Delete a stream and return the commit position of that. It can be written again, and goes on counting.

        The events are hidden, and the metadata is replaced. Raises ExpectedPositionError (also for a stream that
        never existed), StreamDeleted; OutcomeUnknown when the request was sent and no answer came. The rules are in
        section 9 of the protocol notes.
        """
        expected = meant(expected_position)
        live = self._live()
        return live.portal.run(
            live.client.delete_stream, stream_name, expected, timeout=timeout, credentials=credentials
        )

    def tombstone_stream(
        self,
        stream_name: str,
        expected_position: ExpectedPosition = StreamState.ANY,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> int | None:
        """Delete a stream for ever and return the commit position of that. Its name can never be used again.

        Raises ExpectedPositionError, StreamDeleted; OutcomeUnknown when the request was sent and no answer came. The
        rules are in section 9 of the protocol notes.
        """
        live = self._live()
        return live.portal.run(
            live.client.tombstone_stream,
            stream_name,
            meant(expected_position),
            timeout=timeout,
            credentials=credentials,
        )

    def get_stream_metadata(
        self, stream_name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> StreamMetadata:
        """Return the metadata of a stream; without metadata, everything in it is None. Raises StreamDeleted."""
        live = self._live()
        return live.portal.run(live.client.get_stream_metadata, stream_name, timeout=timeout, credentials=credentials)

    def set_stream_metadata(
        self,
        stream_name: str,
        metadata: StreamMetadata | Mapping[str, JsonValue],
        *,
        expected_position: ExpectedPosition = StreamState.ANY,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> AppendResult:
        """Replace the metadata of a stream, which need not exist yet.

        `metadata` may also be the mapping that is its JSON. `expected_position` is the `position` of the metadata that
        it replaces (default: any). Raises ExpectedPositionError, StreamDeleted; OutcomeUnknown when the request was
        sent and no answer came. The rules are in section 5 of the protocol notes.
        """
        given = checked_metadata(metadata)  # here: it may be any mapping
        live = self._live()
        return live.portal.run(
            live.client.set_stream_metadata,
            stream_name,
            given,
            expected_position=meant(expected_position),
            timeout=timeout,
            credentials=credentials,
        )

    def get_default_access(
        self, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> DefaultAccess:
        """Return who may do what with streams whose metadata does not say it. The stream `$settings` has it."""
        live = self._live()
        return live.portal.run(live.client.get_default_access, timeout=timeout, credentials=credentials)

    def set_default_access(
        self, access: DefaultAccess, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Say who may do what with streams whose metadata does not say it. Only administrators may.

        All of it is replaced. Raises OutcomeUnknown when the request was sent and no answer came. The rules are in
        section 2.3 of the protocol notes.
        """
        live = self._live()
        live.portal.run(live.client.set_default_access, access, timeout=timeout, credentials=credentials)

    # --- inside ---

    def _live(self) -> Live:
        return self._clients.get()
