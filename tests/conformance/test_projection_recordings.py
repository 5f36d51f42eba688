"""The recordings of a real server with projections, replayed against this one.

The first folder is of a server whose system projections were started by the recording itself; the others are of one
that started them all. Within the others, each file sees what those before it have written, so that they are replayed
together.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite.server.node import ServerNode, ServerSettings
from esdb_lite.server.options import Compatibility, RunProjections
from esdb_lite.server.projections.manager import ProjectionManager
from tests.conformance.replaying import Clock, Json, Replay, recorded_order
from tests.conformance.schema import Schema

pytest.importorskip("_quickjs", reason="quickjs-ng is not installed")

ROOT = Path(__file__).resolve().parent.parent.parent
SCHEMA = Schema(ROOT / "proto")


def of(folder: str, count: int) -> list[Path]:
    paths = sorted((ROOT / "tests" / "goldens" / folder).glob("*.json"), key=recorded_order)
    assert len(paths) == count
    return paths


class SettledReplay(Replay):
    """Waits after each step until all projections have seen what it has done, as the recorder did by sleeping."""

    def __init__(self, pool: ConnectionPool, path: Path, clock: Clock, manager: ProjectionManager) -> None:
        super().__init__(SCHEMA, pool, path, clock, lambda _: False)
        self._manager = manager

    async def _do(self, step: Json) -> None:
        await super()._do(step)
        while any(each.status == "Running" and each.run.progress != 100.0 for each in self._manager.statistics()):  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    async def _sleep(self, step: Json) -> None:
        self._clock.skip(step["seconds"])


@pytest.mark.parametrize(
    ("paths", "standard"),
    [(of("projections", 4), False), (of("projections-24", 32), True), (of("projections-24-random", 13), True)],
    ids=["projections", "projections-24", "projections-24-random"],
)
async def test_answers_are_the_same(paths: list[Path], standard: bool) -> None:
    clock = Clock()
    settings = ServerSettings(
        now=clock,
        run_projections=RunProjections.ALL,
        start_standard_projections=standard,
        compatibility=Compatibility.V24_10,
    )
    node = await ServerNode.start(settings, lambda: None)
    try:
        differences = [line for path in paths for line in await _replay(node, path, clock)]
    finally:
        await node.stop()
    assert not differences, "\n".join(differences)


async def _replay(node: ServerNode, path: Path, clock: Clock) -> list[str]:
    assert node._projections is not None
    pool = ConnectionPool("127.0.0.1", node.port)
    try:
        return [f"{path.stem}, {line}" for line in await SettledReplay(pool, path, clock, node._projections).run()]
    finally:
        await pool.close()
