"""What a node says about itself: its methods (ServerFeatures) and the members of its cluster (Gossip).

Owns: the list of methods with their features, how members are described (section 23 of the protocol notes),
and what is in the streams of the node's memory (section 4 of the protocol notes). Must not know: the database, who is
in which state.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping

from esdb_lite_protos.event_store.client import Empty, Uuid, UuidStructured
from esdb_lite_protos.event_store.client import gossip as pb
from esdb_lite_protos.event_store.client.server_features import ServerFeaturesBase, SupportedMethod, SupportedMethods

from esdb_lite.server.faults.membership import ClusterMember, Membership
from esdb_lite.server.services.unary import encoded
from esdb_lite.server.storage import Record

_FEATURES = {
    "event_store.client.streams.Streams/Read": ["position", "events"],
    "event_store.client.streams.Streams/BatchAppend": ["deadline_duration"],
    "event_store.client.projections.Projections/Create": ["track_emitted_streams"],
}
_GROUP_FEATURES = ["stream", "all"]


class ServerFeatures(ServerFeaturesBase):
    """Which methods there are."""

    def __init__(self, version: str, paths: Callable[[], Iterable[str]]) -> None:
        """`paths`: of all methods that are served, asked for when the first client wants to know."""
        self._version = version
        self._paths = paths
        self._answer: SupportedMethods | None = None

    async def get_supported_methods(self, client_empty: Empty) -> SupportedMethods:
        """Answer with the methods: the same for every client, encoded once."""
        if self._answer is None:
            methods = [_supported(path.removeprefix("/")) for path in self._paths()]
            answer = SupportedMethods(methods=methods, event_store_server_version=self._version)
            self._answer = encoded(SupportedMethods, bytes(answer))
        return self._answer


def _supported(path: str) -> SupportedMethod:
    service, _, method = path.partition("/")
    features = _GROUP_FEATURES if service.endswith(".PersistentSubscriptions") else _FEATURES.get(path, [])
    return SupportedMethod(method_name=method.lower(), service_name=service.lower(), features=features)


class Gossip(pb.GossipBase):
    """Who is in the cluster."""

    def __init__(self, membership: Membership, member: ClusterMember, now: Callable[[], int]) -> None:
        """`member`: this node. `now`: 100-ns ticks since 1970."""
        self._membership = membership
        self._now = now
        self._member = member
        self._started = now()

    def node_event(self, stream: str) -> Record | None:
        """The newest event of the node's own streams; None for any other."""
        if stream == "$mem-node-state":
            return self._event(stream, 1, "$NodeStateChanged", {"State": self._member.state.value})
        if stream == "$mem-gossip":
            members = [_as_json(member) for member in self._membership.in_order()]
            return self._event(stream, 2, "$GossipUpdated", {"NodeId": _text(self._member), "Members": members})
        return None

    def _event(self, stream: str, position: int, type: str, content: Mapping[str, object]) -> Record:
        data = json.dumps(content, separators=(",", ":")).encode()
        # The same event, however often it is asked for, as long as it says the same.
        id = uuid.uuid5(uuid.UUID(bytes=self._member.instance), f"{stream} {data.decode()}").bytes
        return Record(position, stream, 0, id, type, True, self._started, data, b"")

    async def read(self, client_empty: Empty) -> pb.ClusterInfo:
        """Tell the members."""
        now = self._now()
        return pb.ClusterInfo(members=[_info(member, now) for member in self._membership.in_order()])


def _as_json(member: ClusterMember) -> dict[str, object]:
    return {
        "InstanceId": _text(member),
        "State": member.state.value,
        "IsAlive": member.alive,
        "HttpEndPointIp": member.host,
        "HttpEndPointPort": member.port,
    }


def _text(member: ClusterMember) -> str:
    return str(uuid.UUID(bytes=member.instance))


def _info(member: ClusterMember, now: int) -> pb.MemberInfo:
    return pb.MemberInfo(
        instance_id=_structured(member.instance),
        time_stamp=now,
        state=pb.MemberInfoVNodeState(pb.MemberInfoVNodeState[member.state.value]),
        is_alive=member.alive,
        http_end_point=pb.EndPoint(address=member.host, port=member.port),
    )


def _structured(value: bytes) -> Uuid:
    most, least = (int.from_bytes(half, "big", signed=True) for half in (value[:8], value[8:]))
    return Uuid(structured=UuidStructured(most_significant_bits=most, least_significant_bits=least))
