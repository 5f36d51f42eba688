"""The members of a cluster and their states, and what a node in some state answers to whom.

Owns: the states of nodes, and section 3 of the notes on clusters: what followers and nodes between two roles serve,
refuse, or cannot do. Must not know: sockets, event loops, messages, when states change.
"""

from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass, field


class NodeState(enum.Enum):
    """What a node is, as gossip names it."""

    DISCOVER_LEADER = "DiscoverLeader"
    UNKNOWN = "Unknown"
    PRE_REPLICA = "PreReplica"
    FOLLOWER = "Follower"
    PRE_LEADER = "PreLeader"
    LEADER = "Leader"
    SHUTTING_DOWN = "ShuttingDown"
    READ_ONLY_REPLICA = "ReadOnlyReplica"
    RESIGNING_LEADER = "ResigningLeader"


class Asks(enum.Enum):
    """What a call asks of a node, as far as roles matter."""

    WRITE = enum.auto()
    READ = enum.auto()
    SUBSCRIPTION = enum.auto()
    GROUP = enum.auto()
    GROUP_INFO = enum.auto()
    GROUP_RESTART = enum.auto()
    OTHER = enum.auto()


class Verdict(enum.Enum):
    """What becomes of a call."""

    SERVED = enum.auto()
    NOT_LEADER = enum.auto()
    """Refused, naming the leader."""
    NOT_READY = enum.auto()
    WRONG_STATE = enum.auto()
    LOST = enum.auto()
    """Forwarded to a leader that does not answer."""


_FOLLOWING = frozenset((NodeState.FOLLOWER, NodeState.READ_ONLY_REPLICA, NodeState.PRE_REPLICA))
_ALMOST_LEADING = frozenset(
    (NodeState.LEADER, NodeState.PRE_LEADER, NodeState.RESIGNING_LEADER, NodeState.SHUTTING_DOWN)
)


@dataclass
class ClusterMember:
    """A node of a cluster."""

    host: str
    port: int
    state: NodeState = NodeState.FOLLOWER
    alive: bool = True
    read_only: bool = False
    """It is a replica that can never lead."""
    deposed: bool = False
    """It takes itself for the leader, and another one leads: it refuses writes, and reads are stale."""
    instance: bytes = field(default_factory=lambda: uuid.uuid4().bytes)
    """16 bytes that are new at each start."""

    def renew(self) -> None:
        """It is started again."""
        self.instance = uuid.uuid4().bytes
        self.deposed = False

    @property
    def works_as_leader(self) -> bool:
        """Whether it takes appends that others forward."""
        return self.alive and self.leads

    @property
    def leads(self) -> bool:
        """Whether it is the leader, as far as it lives."""
        return self.state is NodeState.LEADER and not self.deposed


class Membership:
    """The nodes of a cluster, and who leads."""

    def __init__(self, members: list[ClusterMember], *, authenticated: bool = False) -> None:
        """`authenticated`: nodes ask who is calling; then replicas forward nothing."""
        self.members = members
        self.leader: ClusterMember | None = next(
            (member for member in members if member.state is NodeState.LEADER), None
        )
        """Whom followers take for the leader; it may be dead."""
        self._authenticated = authenticated

    @classmethod
    def alone(cls, host: str, port: int) -> Membership:
        """A cluster of one node, which leads it."""
        return cls([ClusterMember(host, port, NodeState.LEADER)])

    def in_order(self) -> list[ClusterMember]:
        """All members as gossip lists them: by address and port, descending."""
        return sorted(self.members, key=lambda member: (member.host, member.port), reverse=True)

    def verdict(self, node: ClusterMember, asks: Asks, *, required: bool) -> Verdict:
        """Return what happens to a call on a node. `required`: its header says that it wants the leader."""
        if asks is Asks.OTHER or node.leads:
            return Verdict.SERVED
        if asks is Asks.GROUP_RESTART:
            return Verdict.WRONG_STATE
        if asks is Asks.GROUP_INFO:
            return Verdict.NOT_READY
        return self._following(node, asks, required) if node.state in _FOLLOWING else _between(node, asks, required)

    def _following(self, node: ClusterMember, asks: Asks, required: bool) -> Verdict:
        sent_away = Verdict.NOT_READY if self.leader is None else Verdict.NOT_LEADER
        if asks is Asks.GROUP or required or (asks is Asks.WRITE and node.read_only and self._authenticated):
            return sent_away
        if asks is Asks.WRITE and (self.leader is None or not self.leader.works_as_leader):
            return Verdict.NOT_READY if self.leader is None else Verdict.LOST
        return Verdict.SERVED


def _between(node: ClusterMember, asks: Asks, required: bool) -> Verdict:
    """A node that is becoming or ceasing to be something."""
    reads = asks in (Asks.READ, Asks.SUBSCRIPTION)
    return Verdict.SERVED if reads and (not required or node.state in _ALMOST_LEADING) else Verdict.NOT_READY
