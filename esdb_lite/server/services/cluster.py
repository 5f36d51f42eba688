"""What a node says of itself: its methods (ServerFeatures) and who is in its cluster (Gossip).

Owns: the list of methods with their features, the one member there is (section 23 of the protocol notes), and what is
in the streams of the node's memory (section 4).
Must not know: the database.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping

from esdb_lite_protos.event_store.client import Uuid, UuidStructured
from esdb_lite_protos.event_store.client.gossip import ClusterInfo, EndPoint, MemberInfo, MemberInfoVNodeState
from esdb_lite_protos.event_store.client.server_features import SupportedMethod, SupportedMethods

from esdb_lite.server.calls import Handler
from esdb_lite.server.services.common import unary
from esdb_lite.server.storage import Record

PROTOCOL_VERSION = "24.10.0"
"""The version of EventStoreDB whose protocol is spoken."""

_FEATURES = {
    "event_store.client.streams.Streams/Read": ["position", "events"],
    "event_store.client.streams.Streams/BatchAppend": ["deadline_duration"],
}
_GROUP_FEATURES = ["stream", "all"]


class ServerFeatures:
    """Which methods there are."""

    def __init__(self, paths: Callable[[], Iterable[str]]) -> None:
        """`paths`: of all methods that are served, asked for when the first client wants to know."""
        self._paths = paths

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers by path."""
        return {"/event_store.client.server_features.ServerFeatures/GetSupportedMethods": unary(self._get)}

    async def _get(self, _: bytes) -> bytes:
        methods = [_supported(path.removeprefix("/")) for path in self._paths()]
        return bytes(SupportedMethods(methods=methods, event_store_server_version=PROTOCOL_VERSION))


def _supported(path: str) -> SupportedMethod:
    service, _, method = path.partition("/")
    features = _GROUP_FEATURES if service.endswith(".PersistentSubscriptions") else _FEATURES.get(path, [])
    return SupportedMethod(method_name=method.lower(), service_name=service.lower(), features=features)


class Gossip:
    """A cluster of one node, which leads it."""

    def __init__(self, endpoint: Callable[[], tuple[str, int]], now: Callable[[], int]) -> None:
        """`endpoint`: host and port at which clients reach the node. `now`: 100-ns ticks since 1970."""
        self._endpoint = endpoint
        self._now = now
        self._instance = uuid.uuid4().bytes
        self._id = str(uuid.UUID(bytes=self._instance))
        self._started = now()

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers by path."""
        return {"/event_store.client.gossip.Gossip/Read": unary(self._read)}

    def node_event(self, stream: str) -> Record | None:
        """The newest event of the node's own streams; None for any other."""
        if stream == "$mem-node-state":
            return self._event(stream, 1, "$NodeStateChanged", {"State": "Leader"})
        if stream == "$mem-gossip":
            return self._event(stream, 2, "$GossipUpdated", {"NodeId": self._id, "Members": [self._as_json()]})
        return None

    def _as_json(self) -> dict[str, object]:
        host, port = self._endpoint()
        return {
            "InstanceId": self._id,
            "State": "Leader",
            "IsAlive": True,
            "HttpEndPointIp": host,
            "HttpEndPointPort": port,
        }

    def _event(self, stream: str, position: int, type: str, content: Mapping[str, object]) -> Record:
        # The same event, however often it is asked for.
        id = uuid.uuid5(uuid.UUID(bytes=self._instance), stream).bytes
        data = json.dumps(content, separators=(",", ":")).encode()
        return Record(position, stream, 0, id, type, True, self._started, data, b"")

    async def _read(self, _: bytes) -> bytes:
        host, port = self._endpoint()
        member = MemberInfo(
            instance_id=_structured(self._instance),
            time_stamp=self._now(),
            state=MemberInfoVNodeState(MemberInfoVNodeState.Leader),
            is_alive=True,
            http_end_point=EndPoint(address=host, port=port),
        )
        return bytes(ClusterInfo(members=[member]))


def _structured(value: bytes) -> Uuid:
    most, least = (int.from_bytes(half, "big", signed=True) for half in (value[:8], value[8:]))
    return Uuid(structured=UuidStructured(most_significant_bits=most, least_significant_bits=least))
