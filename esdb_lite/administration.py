"""Nodes, statistics and scavenges, as a client that administers a server sees them.

Owns: the values. Must not know: calls, protobuf.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Union
from uuid import UUID

Statistics = Mapping[str, str]
"""Figures by name, both as the server has them: `proc-mem`, `sys-drive-/-usedBytes`."""


@dataclass(frozen=True)
class ServerInfo:
    """The version of a server, and the calls that it supports."""

    version: str
    """Its version: `24.10.14`, `26.1.0`."""
    address: str
    """Host and port of the node that was asked."""
    methods: frozenset[str] = field(repr=False)
    """The calls that it has: `event_store.client.streams.streams/read`, in lower case."""

    def has(self, method: str) -> bool:
        """Return whether the server supports a call: `event_store.client.streams.Streams/Read`."""
        return method.lower().lstrip("/") in self.methods


class NodeRole(enum.Enum):
    """The role of a node in its cluster; the values are the server's words."""

    INITIALIZING = "Initializing"
    DISCOVER_LEADER = "DiscoverLeader"
    UNKNOWN = "Unknown"
    PRE_REPLICA = "PreReplica"
    CATCHING_UP = "CatchingUp"
    CLONE = "Clone"
    FOLLOWER = "Follower"
    PRE_LEADER = "PreLeader"
    LEADER = "Leader"
    MANAGER = "Manager"
    SHUTTING_DOWN = "ShuttingDown"
    SHUTDOWN = "Shutdown"
    READ_ONLY_LEADERLESS = "ReadOnlyLeaderless"
    PRE_READ_ONLY_REPLICA = "PreReadOnlyReplica"
    READ_ONLY_REPLICA = "ReadOnlyReplica"
    RESIGNING_LEADER = "ResigningLeader"


@dataclass(frozen=True)
class ClusterNode:
    """One node of a cluster, as the node that was asked sees it."""

    instance_id: UUID | None
    """It changes with every start; None: not known."""
    host: str
    """The host at which clients reach it."""
    port: int
    """The same."""
    role: NodeRole
    """Its role; UNKNOWN also for roles that only later servers have."""
    is_alive: bool
    """Whether it answers the others."""
    heard_at: datetime
    """When it was last heard from, in UTC."""

    @property
    def is_leader(self) -> bool:
        """Whether it is the leader, and alive."""
        return self.is_alive and self.role is NodeRole.LEADER


class ScavengeState(enum.Enum):
    """The answer of a server to starting or stopping a scavenge."""

    STARTED = "started"
    IN_PROGRESS = "in progress"
    """One was running already: its id is returned, and no other is started."""
    STOPPED = "stopped"


@dataclass(frozen=True)
class ScavengeInfo:
    """A scavenge that was started or stopped. The stream `$scavenges-` with its id tells how it goes."""

    scavenge_id: str
    """Its name for `stop_scavenge`."""
    state: ScavengeState
    """The outcome of the call."""


@dataclass(frozen=True)
class ScanProgress:
    """How far all events of a server have been read."""

    events: int
    """How many were read; the server leaves out those that cannot matter."""
    position: int
    """Commit position of the last one."""
    end: int
    """Commit position of the last event that there was at the beginning."""

    @property
    def percent(self) -> float:
        """How far it is, 0 to 100."""
        return 100.0 if self.end <= 0 else min(100.0, 100 * self.position / self.end)


ProgressHandler = Union[Callable[[ScanProgress], None], None]  # noqa: UP007 - read at run time on 3.10
"""A function that is called now and then with the progress of a call; None: no progress is reported."""
