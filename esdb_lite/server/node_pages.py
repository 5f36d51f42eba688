"""The pages of a node: where their figures come from.

Owns: putting them together. Must not know: what the pages say, HTTP.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from esdb_lite.server.app import RpcServer
from esdb_lite.server.database.database import Database
from esdb_lite.server.faults.membership import ClusterMember, Membership
from esdb_lite.server.groups.registry import NotReady, PersistentGroups
from esdb_lite.server.groups.runner import GroupRunner
from esdb_lite.server.services.metrics import GroupFigures, NodeFigures
from esdb_lite.server.services.monitoring import Monitoring
from esdb_lite.server.services.pages import NodePages


@dataclass(frozen=True)
class NodeParts:
    """The parts of a node about which there is something to tell."""

    database: Database
    path: str | None
    """The database file."""
    groups: PersistentGroups
    membership: Membership
    member: ClusterMember
    server: Callable[[], RpcServer]
    """It is made after the pages."""


def node_pages(parts: NodeParts, version: str, *, projections: bool, users: bool, now: Callable[[], int]) -> NodePages:
    """Return the pages of a node that passes for a version. `now`: 100-ns ticks since 1970."""
    database = parts.database
    monitoring = Monitoring(lambda: database.log_end, lambda: database.waiting, parts.path)
    begun, first = time.monotonic(), database.log_end

    def figures() -> NodeFigures:
        server = parts.server()
        return NodeFigures(
            statistics=monitoring.figures(),
            up_time=time.monotonic() - begun,
            connections=server.connections,
            calls_open=sum(1 for _ in server.open_calls()),
            calls_total=server.counts.total,
            calls_failed=server.counts.failed,
            events_written=database.written,
            bytes_written=database.log_end - first,
            log_end=database.log_end,
            groups=[_group(runner) for runner in _running(parts.groups)],
        )

    return NodePages(version, parts.membership, parts.member, projections, users, now, monitoring.figures, figures)


def _running(groups: PersistentGroups) -> list[GroupRunner]:
    try:
        return groups.all()
    except NotReady:
        return []


def _group(runner: GroupRunner) -> GroupFigures:
    info = runner.info()
    return GroupFigures(
        stream=runner.config.stream,
        group=runner.config.group,
        connections=len(info.connections),
        parked=info.parked_message_count,
        in_flight=info.total_in_flight_messages,
        processed=info.total_items,
    )
