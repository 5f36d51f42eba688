"""`KurrentDBClient`: the names and signatures of kurrentdbclient 1.3, over `esdb_lite.EsdbClient`.

Owns: the life of a client, and which call is which method. Must not know: what a call does (`_stream_calls`,
`_group_calls`, `_projection_calls`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import esdb_lite
from esdb_lite.compat.kurrentdbclient import _group_calls as group_calls
from esdb_lite.compat.kurrentdbclient import _projection_calls as projection_calls
from esdb_lite.compat.kurrentdbclient import _stream_calls as stream_calls
from esdb_lite.compat.kurrentdbclient._choosing import discovering, wanted_targets
from esdb_lite.compat.kurrentdbclient._consumers import PersistentSubscription
from esdb_lite.compat.kurrentdbclient._elsewhere import elsewhere
from esdb_lite.compat.kurrentdbclient._faces import Consuming, Ours, Reading, opening, sync
from esdb_lite.compat.kurrentdbclient._failures import translated
from esdb_lite.compat.kurrentdbclient._reads import CatchupSubscription, ReadResponse
from esdb_lite.compat.kurrentdbclient._services import Service
from esdb_lite.compat.kurrentdbclient._stream_calls import DEFAULT_EXCLUDE_FILTER as DEFAULT_EXCLUDE_FILTER
from esdb_lite.compat.kurrentdbclient._stream_calls import (
    KDB_PERSISTENT_CONFIG_EVENTS_REGEX as KDB_PERSISTENT_CONFIG_EVENTS_REGEX,
)
from esdb_lite.compat.kurrentdbclient._stream_calls import KDB_RESULT_EVENTS_REGEX as KDB_RESULT_EVENTS_REGEX
from esdb_lite.compat.kurrentdbclient._stream_calls import KDB_SYSTEM_EVENTS_REGEX as KDB_SYSTEM_EVENTS_REGEX
from esdb_lite.compat.kurrentdbclient.connection import BaseKurrentDBConnection, Certificates, KurrentDBConnection, same
from esdb_lite.compat.kurrentdbclient.connection_spec import ConnectionSpec
from esdb_lite.compat.kurrentdbclient.exceptions import NodeIsNotLeaderError, ServiceUnavailableError

if TYPE_CHECKING:
    from typing_extensions import Self

K = TypeVar("K")
Pem = str | bytes | None


def _content(given: Pem, path: str | None) -> bytes | None:
    if path is not None:
        return Path(path).read_bytes()
    return given.encode() if isinstance(given, str) else given


class BaseKurrentDBClient(ABC):
    """What both clients have."""

    def __init__(
        self,
        uri: str | None = None,
        *,
        root_certificates: Pem = None,
        private_key: Pem = None,
        certificate_chain: Pem = None,
    ) -> None:
        """Certificates are in PEM form; files that the connection string names come first. Raises ValueError."""
        self.connection_spec = ConnectionSpec(uri)
        options = self.connection_spec.options
        self.root_certificates = _content(root_certificates, options.tls_ca_file)
        self.private_key = _content(private_key, options.user_key_file)
        self.certificate_chain = _content(certificate_chain, options.user_cert_file)
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether `close()` was called. A call connects anew, as there."""
        return self._is_closed

    @property
    @abstractmethod
    def connection(self) -> BaseKurrentDBConnection[Any]:
        """What there is of a server."""

    @property
    def connection_target(self) -> str:
        """The server, as `host:port`; of several followers one, which need not be the one that answers."""
        return self.connection.grpc_target

    @property
    def connection_id(self) -> UUID:
        """Another one after every `reconnect()`."""
        return self.connection.connection_id

    def _opened(self, kind: Callable[..., K], source: object, reading: Reading | Consuming) -> K:
        more = (reading.kinds, reading.timeout) if isinstance(reading, Reading) else ()
        return kind(source, *more, self.connection.open_ones)

    def construct_call_credentials(self, username: str | None, password: str | None) -> esdb_lite.Credentials | None:
        """Return credentials for a call; None without TLS, where they are not sent."""
        if username and password and self.connection_spec.options.tls:
            return esdb_lite.Credentials(username, password)
        return None

    @property
    def _call_credentials(self) -> esdb_lite.Credentials | None:
        return self.construct_call_credentials(self.connection_spec.username, self.connection_spec.password)

    _call_metadata = ()

    def _certificates(self) -> Certificates:
        return Certificates(self.root_certificates, self.private_key, self.certificate_chain)


class KurrentDBClient(BaseKurrentDBClient):
    """A client of KurrentDB and EventStoreDB, for programs that were written for kurrentdbclient.

    With several servers in the connection string, or `+discover`, it connects at once, and raises
    DiscoveryFailedError where it finds no node of the kind that is wanted. Without, it connects on first use.
    """

    def __init__(
        self,
        uri: str | None = None,
        *,
        root_certificates: Pem = None,
        private_key: Pem = None,
        certificate_chain: Pem = None,
    ) -> None:
        """Certificates are in PEM form; files that the connection string names come first. Raises ValueError."""
        super().__init__(
            uri, root_certificates=root_certificates, private_key=private_key, certificate_chain=certificate_chain
        )
        self._connection = self._connect()

    @property
    def connection(self) -> KurrentDBConnection:
        """What there is of a server."""
        return self._connection

    @property
    def streams(self) -> Service:
        """Other names for the calls about streams."""
        return self._connection.streams

    @property
    def v2streams(self) -> Service:
        """Other names for the calls about several streams."""
        return self._connection.v2streams

    @property
    def persistent_subscriptions(self) -> Service:
        """Other names for the calls about groups."""
        return self._connection.persistent_subscriptions

    @property
    def projections(self) -> Service:
        """Other names for the calls about projections."""
        return self._connection.projections

    @property
    def gossip(self) -> Service:
        """Another name for `read_gossip`."""
        return self._connection.gossip

    def reconnect(self, grpc_target: str | None = None, *, connection_id: UUID | None = None) -> None:
        """Connect anew, unless that was done since there was the connection with this id."""
        if same(self._connection, connection_id):
            old, self._connection = self._connection, self._connect(grpc_target)
            old.close()
            self._is_closed = False

    def close(self) -> None:
        """Close the connection; what is open ends with CancelledByClientError. Idempotent."""
        self._is_closed = True
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    # --- inside ---

    def _connect(self, grpc_target: str | None = None) -> KurrentDBConnection:
        connection = self._construct_esdb_connection(grpc_target)
        if grpc_target is None and self.connection_spec.discovers:
            try:
                self._discover(connection)
            except BaseException:
                connection.close()
                raise
        return connection

    def _discover(self, connection: KurrentDBConnection) -> None:
        with discovering(self.connection_spec):
            ours = connection.ours
            ours.connect()
            nodes = ours.read_gossip()
            targets = wanted_targets(self.connection_spec, nodes)
            leader = ours.server_info().address  # as it is reached, which a node alone need not know
            connection.settle(leader if leader in targets or len(nodes) == 1 else targets[0])

    def _construct_esdb_connection(self, grpc_target: str | None = None) -> KurrentDBConnection:
        return KurrentDBConnection(esdb_lite.EsdbClient, self.connection_spec, self._certificates(), grpc_target, self)

    def _perform(self, name: str, call: Callable[[Ours], K], timeout: float | None) -> K:
        if not self._connection.is_usable:
            self.reconnect()
        connection, target = self._connection, None
        try:
            with translated(name, timeout):
                return call(connection.ours)
        except NodeIsNotLeaderError as error:
            if not self.connection_spec.follows_leader:
                raise
            target = error.leader_grpc_target
        except ServiceUnavailableError:
            if not connection.is_one_of_several:
                raise
        self.reconnect(target, connection_id=connection.connection_id)
        with translated(name, timeout):
            return call(self._connection.ours)

    # --- streams ---

    append_to_stream = sync(stream_calls.append_to_stream)
    append_events = sync(stream_calls.append_events)
    append_event = sync(stream_calls.append_event)
    multi_append_to_stream = sync(stream_calls.multi_append_to_stream)
    append_records = sync(stream_calls.append_records)
    delete_stream = sync(stream_calls.delete_stream)
    tombstone_stream = sync(stream_calls.tombstone_stream)
    get_stream = sync(stream_calls.get_stream)
    get_current_version = sync(stream_calls.get_current_version)
    get_commit_position = sync(stream_calls.get_commit_position)
    get_stream_metadata = sync(stream_calls.get_stream_metadata)
    set_stream_metadata = sync(stream_calls.set_stream_metadata)
    read_stream = opening(stream_calls.read_stream, ReadResponse)
    read_all = opening(stream_calls.read_all, ReadResponse)
    read_index = opening(stream_calls.read_index, ReadResponse)
    subscribe_to_all = opening(stream_calls.subscribe_to_all, CatchupSubscription)
    subscribe_to_index = opening(stream_calls.subscribe_to_index, CatchupSubscription)
    subscribe_to_stream = opening(stream_calls.subscribe_to_stream, CatchupSubscription)

    # --- persistent subscriptions ---

    create_subscription_to_all = sync(group_calls.create_subscription_to_all)
    create_subscription_to_stream = sync(group_calls.create_subscription_to_stream)
    update_subscription_to_all = sync(group_calls.update_subscription_to_all)
    update_subscription_to_stream = sync(group_calls.update_subscription_to_stream)
    delete_subscription = sync(group_calls.delete_subscription)
    replay_parked_events = sync(group_calls.replay_parked_events)
    get_subscription_info = sync(group_calls.get_subscription_info)
    list_subscriptions = sync(group_calls.list_subscriptions)
    list_subscriptions_to_stream = sync(group_calls.list_subscriptions_to_stream)
    read_subscription_to_all = opening(group_calls.read_subscription_to_all, PersistentSubscription)
    read_subscription_to_stream = opening(group_calls.read_subscription_to_stream, PersistentSubscription)

    # --- projections and nodes ---

    create_projection = sync(projection_calls.create_projection)
    update_projection = sync(projection_calls.update_projection)
    delete_projection = sync(projection_calls.delete_projection)
    enable_projection = sync(projection_calls.enable_projection)
    disable_projection = sync(projection_calls.disable_projection)
    abort_projection = sync(projection_calls.abort_projection)
    reset_projection = sync(projection_calls.reset_projection)
    restart_projections_subsystem = sync(projection_calls.restart_projections_subsystem)
    get_projection_state = sync(projection_calls.get_projection_state)
    get_projection_statistics = sync(projection_calls.get_projection_statistics)
    list_all_projection_statistics = sync(projection_calls.list_all_projection_statistics)
    list_continuous_projection_statistics = sync(projection_calls.list_continuous_projection_statistics)
    read_gossip = sync(projection_calls.read_gossip)


if not TYPE_CHECKING:
    __getattr__ = elsewhere(__name__)
