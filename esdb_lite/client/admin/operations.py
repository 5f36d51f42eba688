"""The calls about a node and its cluster.

Owns: `AsyncOperationApi`, the part of the asynchronous client that asks what a node is and how it does, and that runs
it. Must not know: bytes. What translates the messages is imported when one of the calls is made: few programs need it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from esdb_lite import _convert
from esdb_lite._checks import Seconds, checked_int, checked_seconds, checked_text
from esdb_lite._rpc.deadline import Deadline
from esdb_lite.client.arguments import checked_timeout
from esdb_lite.client.credentials import checked_credentials
from esdb_lite.client.opening import opening
from esdb_lite.client.topology.need import Need
from esdb_lite.errors import InvalidArgument, NotSupported

if TYPE_CHECKING:
    from grpclib.client import Channel

    from esdb_lite.administration import ClusterNode, ScavengeInfo, ServerInfo, Statistics
    from esdb_lite.client.admin.statistics import AsyncStatisticsFeed
    from esdb_lite.client.core import ClientCore
    from esdb_lite.settings import CredentialsLike

_INT32 = 2**31


class AsyncOperationApi:
    """Asking and running a node: the one that the settings prefer, of a cluster."""

    _core: ClientCore

    # --- what it is ---

    async def server_info(self, *, timeout: Seconds | None = None, credentials: CredentialsLike = None) -> ServerInfo:
        """Return the version of the server, and the calls that it supports. Requires EventStoreDB 21.10."""
        from esdb_lite.administration import ServerInfo

        deadline = self._core.deadline(timeout)
        checked_credentials(credentials)  # this, everybody may know
        self._core.forget_features()
        known = await self._core.features(deadline)
        if not known.methods:
            raise NotSupported("server_info needs EventStoreDB 21.10 or later")
        node = await self._core.node(deadline, Need.LEADER)
        return ServerInfo(known.version, node.authority, known.methods)

    async def read_gossip(
        self, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> list[ClusterNode]:
        """Return the nodes of the cluster, as one of them sees it; a single server returns itself."""
        return await _convert.gossip.nodes(self._channel(self._core.deadline(timeout), credentials))

    async def ping(self, *, timeout: Seconds | None = None, credentials: CredentialsLike = None) -> float:
        """Ping the server; return the seconds until it answered, including the time to connect if necessary."""
        began = time.perf_counter()
        await self.read_gossip(timeout=timeout, credentials=credentials)
        return time.perf_counter() - began

    async def read_statistics(
        self, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> Statistics:
        """Return the statistics of the node, by the names that the server gives them. The values are strings.

        The rules are in section 23 of the protocol notes.
        """
        return await self._statistics(self._core.deadline(timeout), credentials)

    @opening
    async def subscribe_statistics(
        self,
        interval: Seconds = 1.0,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> AsyncStatisticsFeed:
        """Return the statistics now, and then every `interval` seconds, without end.

        `timeout` limits the whole iteration (default: none).
        """
        from esdb_lite.client.admin.statistics import AsyncStatisticsFeed, StatisticsReading

        self._core.check()
        period = checked_seconds("interval", interval)
        if period < 0.01:
            raise InvalidArgument("interval", interval, "must be at least 0.01")
        deadline = Deadline(checked_timeout(timeout))

        async def ask() -> Statistics:
            return await self._statistics(deadline, credentials)

        return AsyncStatisticsFeed(StatisticsReading(ask, period, deadline), [await ask()], owner=self)

    async def _statistics(self, deadline: Deadline, credentials: CredentialsLike) -> Statistics:
        from esdb_lite._rpc.stubs import Delivery

        delivery = Delivery.AS_THEY_COME
        channel = self._core.channel(deadline, credentials, need=Need.PREFERRED, repeatable=True, delivery=delivery)
        return await _convert.operations.statistics(channel)

    def _channel(self, deadline: Deadline, credentials: CredentialsLike) -> Channel:
        """Return a channel for what can be asked twice, and of any node."""
        return self._core.channel(deadline, credentials, need=Need.PREFERRED, repeatable=True)

    # --- running it ---

    async def start_scavenge(
        self,
        *,
        thread_count: int = 1,
        start_from_chunk: int = 0,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> ScavengeInfo:
        """Start a scavenge, which frees the space of deleted and expired events. Returns once it has begun.

        While one runs, no other is started, and its id is returned. `thread_count` and `start_from_chunk` are for
        real servers; the embedded one needs neither. The rules are in section 22 of the protocol notes.
        """
        channel = self._channel(self._core.deadline(timeout), credentials)
        threads = checked_int("thread_count", thread_count, 1, _INT32 - 1)
        first = checked_int("start_from_chunk", start_from_chunk, 0, _INT32 - 1)
        return await _convert.operations.start_scavenge(channel, threads, first)

    async def stop_scavenge(
        self, scavenge_id: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> ScavengeInfo:
        """Stop a scavenge; what it has done stays done. Raises GrpcError (NOT_FOUND) when it does not run."""
        channel = self._core.channel(self._core.deadline(timeout), credentials, need=Need.PREFERRED)
        if not checked_text("scavenge_id", scavenge_id):
            raise InvalidArgument("scavenge_id", scavenge_id, "must not be empty")
        return await _convert.operations.stop_scavenge(channel, scavenge_id)

    async def shutdown_server(self, *, timeout: Seconds | None = None, credentials: CredentialsLike = None) -> None:
        """Stop the node. Returns when it has accepted the request. Raises OutcomeUnknown when it did not answer."""
        await _convert.operations.shutdown(
            self._core.channel(self._core.deadline(timeout), credentials, need=Need.PREFERRED)
        )

    async def merge_indexes(self, *, timeout: Seconds | None = None, credentials: CredentialsLike = None) -> None:
        """Merge the index files of the node. Does nothing on the embedded server, which has none."""
        await _convert.operations.merge_indexes(self._channel(self._core.deadline(timeout), credentials))

    async def resign_leader(self, *, timeout: Seconds | None = None, credentials: CredentialsLike = None) -> None:
        """Have the leader step down, so that another node is elected. Raises OutcomeUnknown.

        On a server alone, and where no other node has a higher priority, the same may be elected again.
        """
        await _convert.operations.resign(self._core.channel(self._core.deadline(timeout), credentials))

    async def set_node_priority(
        self, priority: int, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Set the priority of the node in elections. The node forgets it when it stops."""
        channel = self._channel(self._core.deadline(timeout), credentials)
        checked_int("priority", priority, -_INT32, _INT32 - 1)
        await _convert.operations.set_priority(channel, priority)
