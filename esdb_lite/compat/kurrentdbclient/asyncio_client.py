"""`AsyncKurrentDBClient`: the names and signatures of kurrentdbclient 1.3, over `esdb_lite.AsyncEsdbClient`.

Owns: the life of a client, and which call is which method. Must not know: what a call does (`_stream_calls`,
`_group_calls`, `_projection_calls`).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import esdb_lite
from esdb_lite.compat.kurrentdbclient import _group_calls as group_calls
from esdb_lite.compat.kurrentdbclient import _projection_calls as projection_calls
from esdb_lite.compat.kurrentdbclient import _stream_calls as stream_calls
from esdb_lite.compat.kurrentdbclient._choosing import discovering, wanted_targets
from esdb_lite.compat.kurrentdbclient._consumers import AsyncPersistentSubscription
from esdb_lite.compat.kurrentdbclient._elsewhere import elsewhere
from esdb_lite.compat.kurrentdbclient._faces import Ours, async_opening, asynchronous
from esdb_lite.compat.kurrentdbclient._failures import translated
from esdb_lite.compat.kurrentdbclient._reads import AsyncCatchupSubscription, AsyncReadResponse
from esdb_lite.compat.kurrentdbclient.client import DEFAULT_EXCLUDE_FILTER as DEFAULT_EXCLUDE_FILTER
from esdb_lite.compat.kurrentdbclient.client import BaseKurrentDBClient
from esdb_lite.compat.kurrentdbclient.connection import AsyncKurrentDBConnection, same
from esdb_lite.compat.kurrentdbclient.exceptions import NodeIsNotLeaderError, ServiceUnavailableError

if TYPE_CHECKING:
    from typing_extensions import Self

K = TypeVar("K")


class AsyncKurrentDBClient(BaseKurrentDBClient):
    """A client of KurrentDB and EventStoreDB for asyncio, for programs that were written for kurrentdbclient.

    `connect()`, or entering `async with`, raises DiscoveryFailedError where it finds no node of the kind that is
    wanted. Without, it connects on first use.
    """

    def __init__(
        self,
        uri: str,
        root_certificates: str | bytes | None = None,
        private_key: str | bytes | None = None,
        certificate_chain: str | bytes | None = None,
    ) -> None:
        """Certificates are in PEM form; files that the connection string names come first. Raises ValueError."""
        super().__init__(
            uri, root_certificates=root_certificates, private_key=private_key, certificate_chain=certificate_chain
        )
        self._connection: AsyncKurrentDBConnection | None = None

    @property
    def connection(self) -> AsyncKurrentDBConnection:
        """What there is of a server."""
        if self._connection is None:
            self._connection = self._construct_esdb_connection()
        return self._connection

    async def connect(self) -> None:
        """Find a node, where the connection string names more than one or has `+discover`."""
        old, self._connection = self._connection, await self._connect()
        if old is not None:
            await old.close()

    async def reconnect(self, grpc_target: str | None = None, connection_id: UUID | None = None) -> None:
        """Connect anew, unless that was done since there was the connection with this id."""
        if same(self.connection, connection_id):
            old, self._connection = self.connection, await self._connect(grpc_target)
            await old.close()
            self._is_closed = False

    async def close(self) -> None:
        """Close the connection; what is open ends with CancelledByClientError. Idempotent."""
        self._is_closed = True
        if self._connection is not None:
            await self._connection.close()

    async def __aenter__(self) -> Self:
        if self._connection is None:
            await self.connect()
        return self

    async def __aexit__(self, *args: object) -> None:
        await self.close()

    # --- inside ---

    async def _connect(self, grpc_target: str | None = None) -> AsyncKurrentDBConnection:
        connection = self._construct_esdb_connection(grpc_target)
        if grpc_target is None and self.connection_spec.discovers:
            try:
                await self._discover(connection)
            except BaseException:
                await connection.close()
                raise
        return connection

    async def _discover(self, connection: AsyncKurrentDBConnection) -> None:
        with discovering(self.connection_spec):
            ours = connection.ours
            await ours.connect()
            nodes = await ours.read_gossip()
            targets = wanted_targets(self.connection_spec, nodes)
            leader = (await ours.server_info()).address  # as it is reached, which a node alone need not know
            connection.settle(leader if leader in targets or len(nodes) == 1 else targets[0])

    def _construct_esdb_connection(self, grpc_target: str | None = None) -> AsyncKurrentDBConnection:
        return AsyncKurrentDBConnection(
            esdb_lite.AsyncEsdbClient, self.connection_spec, self._certificates(), grpc_target, self
        )

    async def _perform(self, name: str, call: Callable[[Ours], Coroutine[Any, Any, K]], timeout: float | None) -> K:
        if not self.connection.is_usable:
            await self.reconnect()
        connection, target = self.connection, None
        try:
            with translated(name, timeout):
                return await call(connection.ours)
        except NodeIsNotLeaderError as error:
            if not self.connection_spec.follows_leader:
                raise
            target = error.leader_grpc_target
        except ServiceUnavailableError:
            if not connection.is_one_of_several:
                raise
        await self.reconnect(target, connection_id=connection.connection_id)
        with translated(name, timeout):
            return await call(self.connection.ours)

    # --- streams ---

    append_to_stream = asynchronous(stream_calls.append_to_stream)
    append_events = asynchronous(stream_calls.append_events)
    multi_append_to_stream = asynchronous(stream_calls.multi_append_to_stream)
    append_records = asynchronous(stream_calls.append_records)
    delete_stream = asynchronous(stream_calls.delete_stream)
    tombstone_stream = asynchronous(stream_calls.tombstone_stream)
    get_stream = asynchronous(stream_calls.get_stream)
    get_current_version = asynchronous(stream_calls.get_current_version)
    get_commit_position = asynchronous(stream_calls.get_commit_position)
    get_stream_metadata = asynchronous(stream_calls.get_stream_metadata)
    set_stream_metadata = asynchronous(stream_calls.set_stream_metadata)
    read_stream = async_opening(stream_calls.read_stream, AsyncReadResponse)
    read_all = async_opening(stream_calls.read_all, AsyncReadResponse)
    read_index = async_opening(stream_calls.read_index, AsyncReadResponse)
    subscribe_to_all = async_opening(stream_calls.subscribe_to_all, AsyncCatchupSubscription)
    subscribe_to_index = async_opening(stream_calls.subscribe_to_index, AsyncCatchupSubscription)
    subscribe_to_stream = async_opening(stream_calls.subscribe_to_stream, AsyncCatchupSubscription)

    # --- persistent subscriptions ---

    create_subscription_to_all = asynchronous(group_calls.create_subscription_to_all)
    create_subscription_to_stream = asynchronous(group_calls.create_subscription_to_stream)
    update_subscription_to_all = asynchronous(group_calls.update_subscription_to_all)
    update_subscription_to_stream = asynchronous(group_calls.update_subscription_to_stream)
    delete_subscription = asynchronous(group_calls.delete_subscription)
    replay_parked_events = asynchronous(group_calls.replay_parked_events)
    get_subscription_info = asynchronous(group_calls.get_subscription_info)
    list_subscriptions = asynchronous(group_calls.list_subscriptions)
    list_subscriptions_to_stream = asynchronous(group_calls.list_subscriptions_to_stream)
    read_subscription_to_all = async_opening(group_calls.read_subscription_to_all, AsyncPersistentSubscription)
    read_subscription_to_stream = async_opening(group_calls.read_subscription_to_stream, AsyncPersistentSubscription)

    # --- projections ---

    create_projection = asynchronous(projection_calls.create_projection)
    update_projection = asynchronous(projection_calls.update_projection)
    delete_projection = asynchronous(projection_calls.delete_projection)
    enable_projection = asynchronous(projection_calls.enable_projection)
    disable_projection = asynchronous(projection_calls.disable_projection)
    abort_projection = asynchronous(projection_calls.abort_projection)
    reset_projection = asynchronous(projection_calls.reset_projection)
    restart_projections_subsystem = asynchronous(projection_calls.restart_projections_subsystem)
    get_projection_state = asynchronous(projection_calls.get_projection_state)
    get_projection_statistics = asynchronous(projection_calls.get_projection_statistics)
    list_all_projection_statistics = asynchronous(projection_calls.list_all_projection_statistics)
    list_continuous_projection_statistics = asynchronous(projection_calls.list_continuous_projection_statistics)


if not TYPE_CHECKING:
    __getattr__ = elsewhere(__name__)
