"""The calls about a node and its cluster, for code without asyncio.

Owns: `OperationApi`, the part of the client for threads that asks what a node is and how it does, and that runs it.
Must not know: how anything is done. A test holds it to the part of the client for asyncio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from esdb_lite._checks import Seconds

if TYPE_CHECKING:
    from esdb_lite.administration import ClusterNode, ScavengeInfo, ServerInfo, Statistics
    from esdb_lite.settings import CredentialsLike
    from esdb_lite.sync.live import Live
    from esdb_lite.sync.statistics import StatisticsFeed


class OperationApi:
    """Asking and running a node: the one that the settings prefer, of a cluster."""

    def _live(self) -> Live:
        raise AssertionError("the client says where it lives")

    def server_info(self, *, timeout: Seconds | None = None, credentials: CredentialsLike = None) -> ServerInfo:
        """Return the version of the server, and which calls it has. Takes EventStoreDB 21.10."""
        live = self._live()
        return live.portal.run(live.client.server_info, timeout=timeout, credentials=credentials)

    def read_gossip(self, *, timeout: Seconds | None = None, credentials: CredentialsLike = None) -> list[ClusterNode]:
        """Return the nodes of the cluster, as one of them sees it; a server alone returns itself."""
        live = self._live()
        return live.portal.run(live.client.read_gossip, timeout=timeout, credentials=credentials)

    def ping(self, *, timeout: Seconds | None = None, credentials: CredentialsLike = None) -> float:
        """Ask for a sign of life, and return how many seconds that took; connecting counts if it is needed."""
        live = self._live()
        return live.portal.run(live.client.ping, timeout=timeout, credentials=credentials)

    def read_statistics(self, *, timeout: Seconds | None = None, credentials: CredentialsLike = None) -> Statistics:
        """Return figures about the node, by the names that the server gives them. The values are texts.

        The rules are in section 23 of the protocol notes.
        """
        live = self._live()
        return live.portal.run(live.client.read_statistics, timeout=timeout, credentials=credentials)

    def subscribe_statistics(
        self, interval: Seconds = 1.0, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> StatisticsFeed:
        """Return the figures now and then again and again, every `interval` seconds, without end.

        `timeout` limits the whole of it (default: none).
        """
        from esdb_lite.sync.statistics import StatisticsFeed

        live = self._live()
        return StatisticsFeed(
            self,
            live.portal.run,
            live.portal.run(live.client.subscribe_statistics, interval, timeout=timeout, credentials=credentials),
        )

    def start_scavenge(
        self,
        *,
        thread_count: int = 1,
        start_from_chunk: int = 0,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> ScavengeInfo:
        """Have the node give back the space of deleted and expired events. Returns once it has begun.

        While one runs, no other is started, and its id is returned. `thread_count` and `start_from_chunk` are for
        real servers; the embedded one needs neither. The rules are in section 22 of the protocol notes.
        """
        live = self._live()
        return live.portal.run(
            live.client.start_scavenge,
            thread_count=thread_count,
            start_from_chunk=start_from_chunk,
            timeout=timeout,
            credentials=credentials,
        )

    def stop_scavenge(
        self, scavenge_id: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> ScavengeInfo:
        """Stop a scavenge; what it has done stays done. Raises GrpcError (NOT_FOUND) when it does not run."""
        live = self._live()
        return live.portal.run(live.client.stop_scavenge, scavenge_id, timeout=timeout, credentials=credentials)

    def shutdown_server(self, *, timeout: Seconds | None = None, credentials: CredentialsLike = None) -> None:
        """Stop the node. Returns when it has heard that. Raises OutcomeUnknown when it did not answer any more."""
        live = self._live()
        live.portal.run(live.client.shutdown_server, timeout=timeout, credentials=credentials)

    def merge_indexes(self, *, timeout: Seconds | None = None, credentials: CredentialsLike = None) -> None:
        """Have the node merge the files of its index. The embedded server has nothing to merge."""
        live = self._live()
        live.portal.run(live.client.merge_indexes, timeout=timeout, credentials=credentials)

    def resign_leader(self, *, timeout: Seconds | None = None, credentials: CredentialsLike = None) -> None:
        """Have the leader step down, so that another node is elected. Raises OutcomeUnknown.

        On a server alone, and where no other node has a higher priority, the same may be elected again.
        """
        live = self._live()
        live.portal.run(live.client.resign_leader, timeout=timeout, credentials=credentials)

    def set_node_priority(
        self, priority: int, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Say how much the node is to be preferred in the next elections; forgotten when it stops."""
        live = self._live()
        live.portal.run(live.client.set_node_priority, priority, timeout=timeout, credentials=credentials)
