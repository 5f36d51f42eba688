"""The client for code without asyncio: the methods of `AsyncEsdbClient`, without `await`.

Owns: the public methods, and the life of the thread behind them. Must not know: how anything is done.
Most methods are made of those for asyncio (`blocking`); a test compares the others with theirs.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, overload

from esdb_lite._checks import Seconds
from esdb_lite.client._client import AsyncEsdbClient
from esdb_lite.client.admin.names import AsyncNameApi
from esdb_lite.client.admin.operations import AsyncOperationApi
from esdb_lite.client.admin.streams import AsyncStreamApi
from esdb_lite.client.admin.users import AsyncUserApi
from esdb_lite.client.arguments import checked_metadata
from esdb_lite.client.credentials import Pem
from esdb_lite.client.face import OtherNames
from esdb_lite.client.projections.calls import AsyncProjectionApi
from esdb_lite.client.schemas.arguments import checked_numbers
from esdb_lite.client.schemas.calls import AsyncSchemaApi
from esdb_lite.events import RecordedEvent, SubscriptionItem
from esdb_lite.filters import DEFAULT_EXCLUDE, Filter
from esdb_lite.positions import ResumeFrom
from esdb_lite.settings import CredentialsLike
from esdb_lite.sync.appends import AppendApi
from esdb_lite.sync.blocking import FILTERS, MEANT, blocking, here, opened, opened_overload, reading
from esdb_lite.sync.consumer_calls import ConsumerApi
from esdb_lite.sync.decisions import DecisionApi
from esdb_lite.sync.groups import GroupApi
from esdb_lite.sync.indexes import IndexApi

if TYPE_CHECKING:
    from typing_extensions import Self

    from esdb_lite.client.admin.statistics import AsyncStatisticsFeed
    from esdb_lite.client.read.iterators import AsyncSubscription
    from esdb_lite.event_types.registry import EventTypes
    from esdb_lite.retries import RetryPolicy
    from esdb_lite.sync.live import Live
    from esdb_lite.sync.read import Subscription
    from esdb_lite.sync.statistics import StatisticsFeed


class EsdbClient(AppendApi, ConsumerApi, DecisionApi, GroupApi, IndexApi, OtherNames):
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
        # here and not with the first call, which may be that of a signal handler
        from esdb_lite.client.parts import parts_of, settings_of
        from esdb_lite.sync.live import LiveClients

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
        self._event_types = event_types
        self._clients = LiveClients(
            lambda: AsyncEsdbClient._of(*parts_of(settings)), [(node.host, node.port) for node in settings.nodes]
        )
        # also at the end of the program: before what was registered to be called there before the client was made
        weakref.finalize(self, self._clients.end, weakref.ref(self))

    connect = blocking(AsyncEsdbClient.connect)

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

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- reading ---

    read_stream_events = reading(AsyncEsdbClient.read_stream_events)
    read_all_events = reading(AsyncEsdbClient.read_all_events)
    get_stream_position = blocking(AsyncEsdbClient.get_stream_position)
    get_commit_position = blocking(AsyncEsdbClient.get_commit_position, **FILTERS)

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

    @opened_overload(AsyncEsdbClient.subscribe_all_events, **FILTERS)
    def subscribe_all_events(self, source: AsyncSubscription[SubscriptionItem]) -> Subscription[SubscriptionItem]:
        """Subscribe to the events of all streams: first the stored ones, then new ones as they are appended."""
        from esdb_lite.sync.read import Subscription

        return Subscription(self, self._live().portal.run, source)

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

    @opened_overload(AsyncEsdbClient.subscribe_stream_events)
    def subscribe_stream_events(self, source: AsyncSubscription[SubscriptionItem]) -> Subscription[SubscriptionItem]:
        """Subscribe to the events of one stream, which need not exist yet."""
        from esdb_lite.sync.read import Subscription

        return Subscription(self, self._live().portal.run, source)

    # --- streams ---

    delete_stream = blocking(AsyncStreamApi.delete_stream, expected_position=MEANT)
    tombstone_stream = blocking(AsyncStreamApi.tombstone_stream, expected_position=MEANT)
    get_stream_metadata = blocking(AsyncStreamApi.get_stream_metadata)
    set_stream_metadata = blocking(
        AsyncStreamApi.set_stream_metadata, metadata=here(checked_metadata), expected_position=MEANT
    )
    get_default_access = blocking(AsyncStreamApi.get_default_access)
    set_default_access = blocking(AsyncStreamApi.set_default_access)

    # --- what there is ---

    list_streams = blocking(AsyncNameApi.list_streams)
    list_categories = blocking(AsyncNameApi.list_categories)
    list_event_types = blocking(AsyncNameApi.list_event_types)

    # --- projections ---

    create_projection = blocking(AsyncProjectionApi.create_projection)
    update_projection = blocking(AsyncProjectionApi.update_projection)
    delete_projection = blocking(AsyncProjectionApi.delete_projection)
    enable_projection = blocking(AsyncProjectionApi.enable_projection)
    disable_projection = blocking(AsyncProjectionApi.disable_projection)
    abort_projection = blocking(AsyncProjectionApi.abort_projection)
    reset_projection = blocking(AsyncProjectionApi.reset_projection)
    restart_projections = blocking(AsyncProjectionApi.restart_projections)
    get_projection = blocking(AsyncProjectionApi.get_projection)
    list_projections = blocking(AsyncProjectionApi.list_projections)
    get_projection_state = blocking(AsyncProjectionApi.get_projection_state)
    get_projection_result = blocking(AsyncProjectionApi.get_projection_result)
    wait_for_projection = blocking(AsyncProjectionApi.wait_for_projection)
    run_query = blocking(AsyncProjectionApi.run_query)

    # --- schemas ---

    create_schema = blocking(AsyncSchemaApi.create_schema)
    update_schema = blocking(AsyncSchemaApi.update_schema)
    delete_schema = blocking(AsyncSchemaApi.delete_schema)
    get_schema = blocking(AsyncSchemaApi.get_schema)
    list_schemas = blocking(AsyncSchemaApi.list_schemas)
    lookup_schema_name = blocking(AsyncSchemaApi.lookup_schema_name)
    register_schema_version = blocking(AsyncSchemaApi.register_schema_version)
    delete_schema_versions = blocking(AsyncSchemaApi.delete_schema_versions, numbers=here(checked_numbers))
    get_schema_version = blocking(AsyncSchemaApi.get_schema_version)
    get_schema_version_by_id = blocking(AsyncSchemaApi.get_schema_version_by_id)
    list_schema_versions = blocking(AsyncSchemaApi.list_schema_versions)
    list_registered_schemas = blocking(AsyncSchemaApi.list_registered_schemas)
    check_schema_compatibility = blocking(AsyncSchemaApi.check_schema_compatibility)

    # --- users ---

    create_user = blocking(AsyncUserApi.create_user)
    update_user = blocking(AsyncUserApi.update_user)
    delete_user = blocking(AsyncUserApi.delete_user)
    enable_user = blocking(AsyncUserApi.enable_user)
    disable_user = blocking(AsyncUserApi.disable_user)
    get_user = blocking(AsyncUserApi.get_user)
    list_users = blocking(AsyncUserApi.list_users)
    change_password = blocking(AsyncUserApi.change_password)
    reset_password = blocking(AsyncUserApi.reset_password)

    # --- the node ---

    server_info = blocking(AsyncOperationApi.server_info)
    read_gossip = blocking(AsyncOperationApi.read_gossip)
    ping = blocking(AsyncOperationApi.ping)
    read_statistics = blocking(AsyncOperationApi.read_statistics)
    start_scavenge = blocking(AsyncOperationApi.start_scavenge)
    stop_scavenge = blocking(AsyncOperationApi.stop_scavenge)
    shutdown_server = blocking(AsyncOperationApi.shutdown_server)
    merge_indexes = blocking(AsyncOperationApi.merge_indexes)
    resign_leader = blocking(AsyncOperationApi.resign_leader)
    set_node_priority = blocking(AsyncOperationApi.set_node_priority)

    @opened(AsyncOperationApi.subscribe_statistics)
    def subscribe_statistics(self, source: AsyncStatisticsFeed) -> StatisticsFeed:
        """Return the statistics now, and then every `interval` seconds, without end."""
        from esdb_lite.sync.statistics import StatisticsFeed

        return StatisticsFeed(self, self._live().portal.run, source)

    # --- inside ---

    def _live(self) -> Live:
        return self._clients.get()
