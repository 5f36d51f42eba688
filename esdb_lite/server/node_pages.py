"""The figures of a node: where they come from.

Owns: putting them together. Must not know: what the pages say, HTTP.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from esdb_lite.server.app import RpcServer
from esdb_lite.server.database.database import Database
from esdb_lite.server.groups.registry import NotReady, PersistentGroups
from esdb_lite.server.groups.runner import GroupRunner
from esdb_lite.server.services.metrics import NodeFigures

Statistics = Callable[[], Mapping[str, str]]
"""By the names of the Monitoring service."""


def node_figures(
    database: Database, groups: PersistentGroups, server: Callable[[], RpcServer], statistics: Statistics
) -> Callable[[], NodeFigures]:
    """Return what tells the figures of a node from now on. `server` is made after the pages."""
    begun, first = time.monotonic(), database.log_end

    def figures() -> NodeFigures:
        serving = server()
        return NodeFigures(
            statistics=statistics(),
            up_time=time.monotonic() - begun,
            connections=serving.connections,
            calls_open=sum(1 for _ in serving.open_calls()),
            calls_total=serving.counts.total,
            calls_failed=serving.counts.failed,
            events_written=database.written,
            bytes_written=database.log_end - first,
            log_end=database.log_end,
            groups=[(runner.config, runner.info()) for runner in _running(groups)],
        )

    return figures


def _running(groups: PersistentGroups) -> list[GroupRunner]:
    try:
        return groups.all()
    except NotReady:
        return []
