"""The client for asyncio: everything that can be asked of a server.

Owns: the public methods, their arguments and documentation. Must not know: bytes, connections, threads.
`esdb_lite.sync` has the same methods for everybody else; a test holds the two together. What connects is imported when
a client is made, and what reads when something is read.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Literal, overload

from esdb_lite._checks import Seconds, checked_bool
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._wire.read_request import ReadRequest
from esdb_lite.client.admin.names import AsyncNameApi
from esdb_lite.client.admin.operations import AsyncOperationApi
from esdb_lite.client.admin.streams import AsyncStreamApi
from esdb_lite.client.admin.users import AsyncUserApi
from esdb_lite.client.append.calls import AsyncAppendApi
from esdb_lite.client.arguments import (
    checked_end,
    checked_limit,
    checked_position,
    checked_resume,
    checked_stream,
    checked_timeout,
)
from esdb_lite.client.consumers.calls import AsyncConsumerApi
from esdb_lite.client.credentials import Pem, checked_credentials
from esdb_lite.client.decisions.calls import AsyncDecisionApi
from esdb_lite.client.face import OtherNames, shortens_tracebacks
from esdb_lite.client.groups.calls import AsyncGroupApi
from esdb_lite.client.indexes.calls import AsyncIndexApi
from esdb_lite.client.opening import AsyncOpening, opening
from esdb_lite.client.projections.calls import AsyncProjectionApi
from esdb_lite.client.schemas.calls import AsyncSchemaApi
from esdb_lite.client.topology.need import Need
from esdb_lite.errors import StreamNotFound
from esdb_lite.events import Checkpoint, RecordedEvent, StreamPosition, SubscriptionItem
from esdb_lite.filters import DEFAULT_EXCLUDE, Filter, make_filter
from esdb_lite.positions import ResumeFrom
from esdb_lite.settings import CredentialsLike

if TYPE_CHECKING:
    from typing_extensions import Self

    from esdb_lite.client.append.appender import Appender
    from esdb_lite.client.core import ClientCore
    from esdb_lite.client.read.iterators import AsyncReadResponse, AsyncSubscription
    from esdb_lite.client.read.resuming import HealingReading
    from esdb_lite.event_types.registry import EventTypes
    from esdb_lite.retries import RetryPolicy


@cache
def _of_reads() -> tuple[type[AsyncReadResponse], type[HealingReading]]:
    """Return the classes; a read would notice what it takes to import them again and again."""
    from esdb_lite.client.read.iterators import AsyncReadResponse
    from esdb_lite.client.read.resuming import HealingReading

    return AsyncReadResponse, HealingReading


@shortens_tracebacks
class AsyncEsdbClient(
    AsyncAppendApi,
    AsyncStreamApi,
    AsyncConsumerApi,
    AsyncDecisionApi,
    AsyncGroupApi,
    AsyncIndexApi,
    AsyncNameApi,
    AsyncOperationApi,
    AsyncProjectionApi,
    AsyncSchemaApi,
    AsyncUserApi,
    OtherNames,
):
    """A client of EventStoreDB (21.10 and later) and KurrentDB for asyncio.

    It connects on first use, and belongs to the event loop on which that happens. Close it with `close()` or by
    leaving `async with`.

    Every call takes two options. `timeout` is the budget of the whole call in seconds (default: `defaultDeadline` of
    the connection string, else none). `credentials` replace those of the client for this call.

    Every call raises InvalidArgument for values that no server would accept, before anything is sent; ClientClosed
    after `close()`; WrongContext on another event loop; DeadlineExceeded when its timeout is over; ServiceUnavailable
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
        from esdb_lite.client.parts import parts_of, settings_of

        settings = settings_of(
            uri,
            credentials=credentials,
            root_certificates=root_certificates,
            certificate_chain=certificate_chain,
            private_key=private_key,
            send_credentials_insecurely=send_credentials_insecurely,
            retry=retry,
            event_types=event_types,
        )
        self._core, self._appender = parts_of(settings)

    @classmethod
    def _of(cls, core: ClientCore, appender: Appender) -> Self:
        """Make a client of its parts."""
        client = cls.__new__(cls)
        client._core, client._appender = core, appender
        return client

    @property
    def embedded(self) -> bool:
        """Whether the server runs inside this process, started by this client."""
        return self._core.settings.embedded is not None

    async def connect(self, *, timeout: Seconds | None = None) -> None:
        """Connect now instead of on first use.

        With a `timeout`, it also waits for a server that has not started yet; without one, it raises
        ServiceUnavailable at once.
        """
        await self._core.connect(timeout)

    async def close(self) -> None:
        """Close the connection; open calls fail with ClientClosed. Idempotent.

        On another event loop than before it does not wait: the connection is closed when its own loop runs.
        """
        await self._core.close(self._appender.close)

    def __del__(self) -> None:
        appender = getattr(self, "_appender", None)  # not where __init__ has refused something
        if appender is not None and self._core.abandon(appender.close):
            text = f"{type(self).__name__} was dropped without being closed"
            warnings.warn(text, ResourceWarning, stacklevel=2, source=self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._core}>"

    def __reduce__(self) -> str:
        """Refuse: a pickle would take the connection nowhere, and the password anywhere."""
        raise TypeError(f"{type(self).__name__} cannot be pickled or copied: make one where it is needed")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # --- reading ---

    async def get_stream_position(
        self, stream_name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> int | None:
        """Return the position of the last event of a stream, None if the stream does not exist.

        Raises StreamDeleted if it was tombstoned.
        """
        from esdb_lite.client.read.resuming import last_event

        deadline = self._core.deadline(timeout)
        request = ReadRequest(checked_stream(stream_name), from_end=True, backwards=True, limit=1)
        try:
            last, told = await last_event(self._core, request, deadline, credentials)
        except StreamNotFound:
            return None
        return told if last is None or told is not None else last.stream_position

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
    ) -> AsyncReadResponse:
        """Read events of a stream.

        Reading begins at `position`, inclusive (default: the first event, or the last if `backwards`), and ends after
        `limit` events (default: all). With `resolve_links`, links come as the events that they point to.
        Iterating raises StreamNotFound, StreamDeleted. The rules are in section 11 of the protocol notes.
        """
        backwards = checked_bool("backwards", backwards)
        request = ReadRequest(
            checked_stream(stream_name),
            checked_position(position),
            from_end=backwards,
            backwards=backwards,
            limit=checked_limit(limit),
            resolve_links=checked_bool("resolve_links", resolve_links),
        )
        return self._read(request, timeout, credentials)

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
    ) -> AsyncReadResponse:
        """Read events of all streams in the order in which they were committed.

        `position` is the commit position of an event, included forwards and excluded backwards (default: the
        beginning, or the end if `backwards`). The server filters: `filter_include` selects event types by regular
        expressions for the whole type; otherwise `filter_exclude` leaves types out (default: the server's own, which
        begin with `$`). `filter` replaces both. `limit` counts the events that pass (default: all).
        Iterating raises InvalidPosition if no event begins at `position`. The rules are in sections 12 and 13 of the
        protocol notes.
        """
        backwards = checked_bool("backwards", backwards)
        request = ReadRequest(
            None,
            checked_position(position),
            from_end=backwards,
            backwards=backwards,
            limit=checked_limit(limit),
            resolve_links=checked_bool("resolve_links", resolve_links),
            filter=make_filter(filter_exclude, filter_include, filter),
        )
        return self._read(request, timeout, credentials)

    async def get_commit_position(
        self,
        *,
        filter_exclude: Iterable[str] = (),
        filter_include: Iterable[str] = (),
        filter: Filter | None = None,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> int:
        """Return the commit position of the last event; 0 if there is none.

        The filters are those of `read_all_events`. Without them, the server's own events count, too: a subscription
        that leaves these out, as it does by default, may never reach this position.
        """
        from esdb_lite.client.read.resuming import last_event

        deadline = self._core.deadline(timeout)
        exclude = DEFAULT_EXCLUDE if filter is not None and filter_exclude == () else filter_exclude
        chosen = make_filter(exclude, filter_include, filter)
        request = ReadRequest(None, from_end=True, backwards=True, limit=1, filter=chosen)
        last, _ = await last_event(self._core, request, deadline, credentials)
        return 0 if last is None or last.commit_position is None else last.commit_position

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
    ) -> AsyncOpening[AsyncSubscription[RecordedEvent], RecordedEvent]: ...

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
    ) -> AsyncOpening[AsyncSubscription[SubscriptionItem], SubscriptionItem]: ...

    @opening
    async def subscribe_all_events(
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
    ) -> AsyncSubscription[SubscriptionItem]:
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
        start = checked_resume(position)
        request = ReadRequest(
            None,
            start,
            from_end=checked_end(from_end, start),
            limit=None,
            resolve_links=checked_bool("resolve_links", resolve_links),
            filter=make_filter(filter_exclude, filter_include, filter),
        )
        return await self._subscribe(request, position, include_control, reconnect, timeout, credentials)

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
    ) -> AsyncOpening[AsyncSubscription[RecordedEvent], RecordedEvent]: ...

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
    ) -> AsyncOpening[AsyncSubscription[SubscriptionItem], SubscriptionItem]: ...

    @opening
    async def subscribe_stream_events(
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
    ) -> AsyncSubscription[SubscriptionItem]:
        """Subscribe to the events of one stream, which need not exist yet.

        Returns once the server has confirmed the subscription. It begins after `position` (default: with the first
        event; with `from_end`, with the next one appended). The other options are those of `subscribe_all_events`.
        Raises StreamDeleted, also when the stream is tombstoned later; CheckpointMismatch if `position` is from another
        database. The rules are in section 14 of the protocol notes.
        """
        start = checked_position(position)
        request = ReadRequest(
            checked_stream(stream_name),
            start,
            from_end=checked_end(from_end, start),
            limit=None,
            resolve_links=checked_bool("resolve_links", resolve_links),
        )
        return await self._subscribe(request, position, include_control, reconnect, timeout, credentials)

    # --- inside ---

    def _read(self, request: ReadRequest, timeout: Seconds | None, credentials: CredentialsLike) -> AsyncReadResponse:
        response, healing_reading = _of_reads()
        chosen = checked_timeout(self._core.settings.default_timeout if timeout is None else timeout)
        who = checked_credentials(credentials)
        self._core.check_open()
        reading = healing_reading(self._core, request, chosen, who) if request.limit else None
        return response(reading, owner=self, settings=self._core.settings)

    async def _subscribe(
        self,
        request: ReadRequest,
        position: ResumeFrom,
        control: bool,
        reconnect: bool,
        timeout: Seconds | None,
        credentials: CredentialsLike,
    ) -> AsyncSubscription[SubscriptionItem]:
        from esdb_lite.client.read.iterators import subscribe
        from esdb_lite.client.read.resuming import HealingSubscription

        self._core.check()
        # a subscription has no end, so that the default for calls that have one does not apply
        deadline = Deadline(checked_timeout(timeout))
        if isinstance(position, (Checkpoint, StreamPosition)) and position.event_id is not None:
            await self._check_position(request.stream_name, position, deadline, credentials)
        reading = HealingSubscription(
            self._core,
            request,
            deadline,
            checked_credentials(credentials),
            reconnect=checked_bool("reconnect", reconnect),
        )
        if isinstance(position, Checkpoint):
            reading.remember(position)
        return await subscribe(
            reading, control=checked_bool("include_control", control), owner=self, settings=self._core.settings
        )

    async def _check_position(
        self, stream_name: str | None, position: int | Checkpoint, deadline: Deadline, credentials: CredentialsLike
    ) -> None:
        """Refuse a position that is not from this database. Raises CheckpointMismatch."""
        from esdb_lite.client.read.continuity import check_landmark, landmark_of
        from esdb_lite.client.read.resuming import last_event

        async def ask(request: ReadRequest, need: Need) -> tuple[RecordedEvent | None, int | None]:
            return await last_event(self._core, request, deadline, credentials, need)

        await check_landmark(landmark_of(stream_name, position), ask)
