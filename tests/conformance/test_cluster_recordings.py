"""Recordings of a real cluster of three nodes, replayed against a simulated one: the answers must be the same.

What is recorded here are steady clusters: what followers and replicas answer, and what gossip says.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
from pathlib import Path
from typing import Any

import pytest

from esdb_lite import SimulatedCluster
from esdb_lite._rpc.pool import ConnectionPool
from tests.conformance.comparing import Differs
from tests.conformance.replaying import Clock, Replay, calls_projections, recorded_order
from tests.conformance.schema import Schema

ROOT = Path(__file__).resolve().parent.parent.parent
GOLDENS = ROOT / "tests" / "goldens" / "cluster"
SCHEMA = Schema(ROOT / "proto")

STEADY = ("gossip_steady", *(f"follower_{part}" for part in ("appends", "deletes", "batch_append", "reads")))
STEADY += tuple(f"follower_{part}" for part in ("subscriptions", "persistent", "users", "operations"))
ROLES = ("leader", "follower1", "follower2", "replica")

DEVIATIONS = {"ServerFeatures/GetSupportedMethods": "the recorded nodes had projections"}
"""What is not compared, and why. Besides these: where a recorded node never answers (ReplayParked on a follower, users
without authentication) any error will do; the appends whose requests the recordings leave out, for they are too large
for any node, are in tests/faults."""


class ClusterReplay(Replay):
    """Replays a recording whose steps name the node that they go to."""

    def __init__(self, nodes: dict[str, ConnectionPool], path: Path, clock: Clock) -> None:
        recording = json.loads(path.read_text("utf-8"))
        here = {recording["nodes"][role]: node for role, node in nodes.items() if role in recording["nodes"]}
        super().__init__(SCHEMA, nodes["leader"], path, clock, calls_projections)
        self._nodes = nodes
        if self._user:
            self._steps = [_with_user(step, self._user) for step in self._steps]
        self._steps = [step for step in _with_addresses(self._steps, here) if self._can_be_replayed(step)]

    @staticmethod
    def _can_be_replayed(step: dict[str, Any]) -> bool:
        left_out = isinstance(step.get("requests"), str)
        return step["op"] != "roles" and not left_out and step.get("rpc") not in DEVIATIONS

    async def _do(self, step: dict[str, Any]) -> None:
        if "node" in step:
            self._node = self._nodes[step["node"]]
        await super()._do(step)
        if step.get("rpc") == "Gossip/Read":
            self._gossip(step["responses"], self._answers[step["id"]])

    @staticmethod
    def _gossip(want: list[Any], got: list[Any]) -> None:
        """Members in the order of their endpoints, who is what, and a structured id for each."""
        ((want, got),) = zip(want, got, strict=True)
        order = [(member["http_end_point"]["address"], member["http_end_point"]["port"]) for member in got["members"]]
        if order != sorted(order, reverse=True):
            raise Differs(f"gossip is in the order {order}")
        for key in ("state", "is_alive"):
            if sorted(str(m[key]) for m in want["members"]) != sorted(str(m[key]) for m in got["members"]):
                raise Differs(f"gossip: {key} is {got['members']}")
        if any("structured" not in member["instance_id"] for member in got["members"]):
            raise Differs("gossip: an id is not structured")


def _with_user(step: dict[str, Any], user: str) -> dict[str, Any]:
    """Here the user's credentials are sent beside other metadata, too."""
    if step.get("metadata") is None:
        return step
    credentials = f"Basic {base64.b64encode(user.encode()).decode()}"
    return {**step, "metadata": [*step["metadata"], ["authorization", credentials]]}


def _with_addresses(steps: list[Any], here: dict[str, ConnectionPool]) -> list[Any]:
    """Put the ports of our nodes in place of the recorded ones, in trailers."""
    ports = {recorded.rpartition(":")[2]: str(node.port) for recorded, node in here.items()}
    text = json.dumps(steps)
    replaced = re.sub(
        r'\["leader-endpoint-port", "(\d+)"\]', lambda match: f'["leader-endpoint-port", "{ports[match[1]]}"]', text
    )
    steps = json.loads(replaced)
    return [{**step, "id": step.get("id", "")} for step in steps]


async def replay(names: tuple[str, ...], cluster: SimulatedCluster, tls: ssl.SSLContext | None = None) -> list[str]:
    """Replay recordings against one cluster; return what differs."""
    differences = []
    clock = Clock()
    nodes = {
        role: ConnectionPool(node.host, node.port, tls=tls) for role, node in zip(ROLES, cluster.nodes, strict=False)
    }
    try:
        for path in sorted((GOLDENS / f"{name}.json" for name in names), key=recorded_order):
            differences += [f"{path.stem}, {line}" for line in await ClusterReplay(nodes, path, clock).run()]
    finally:
        for node in nodes.values():
            await node.close()
    return differences


@pytest.mark.parametrize(("names", "replicas"), [(STEADY, 0), (("replica",), 1)], ids=["followers", "replica"])
async def test_answers_are_the_same(names: tuple[str, ...], replicas: int) -> None:
    async with SimulatedCluster(compatibility="24.10", read_only_replicas=replicas) as cluster:
        differences = await replay(names, cluster)
    assert not differences, "\n".join(differences)


@pytest.mark.parametrize(("name", "replicas"), [("tls_users", 0), ("tls_replica", 1)])
async def test_answers_with_authentication_are_the_same(tmp_path: Path, name: str, replicas: int) -> None:
    pytest.importorskip("trustme", reason="trustme is not installed")
    async with SimulatedCluster(
        compatibility="24.10", read_only_replicas=replicas, dev_certificate=tmp_path
    ) as cluster:
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        context.set_alpn_protocols(["h2"])
        differences = await replay((name,), cluster, context)
    assert not differences, "\n".join(differences)
