"""The recordings of a real server, replayed against this one: the answers must be the same.

Each group of recordings gets a server of its own, since $all holds what earlier ones have written.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from esdb_lite.server.node import ServerNode, ServerSettings
from esdb_lite.server.options import Compatibility
from tests.conformance.replaying import Clock, recorded_order, replay_folder
from tests.conformance.schema import Schema

ROOT = Path(__file__).resolve().parent.parent.parent
GOLDENS = ROOT / "tests" / "goldens"
SCHEMA = Schema(ROOT / "proto")

INSECURE = sorted((GOLDENS / "insecure").glob("*.json"), key=recorded_order)
STREAMS = [path for path in INSECURE if not path.stem.startswith("persistent_")]
RANDOM = sorted((GOLDENS / "random").glob("*.json"), key=recorded_order)
assert len(STREAMS) >= 36
ATOMIC = sorted((GOLDENS / "v2-26").glob("*.json"), key=recorded_order)
ATOMIC_RANDOM = sorted((GOLDENS / "v2-26-random").glob("*.json"), key=recorded_order)
INDEXES = sorted((GOLDENS / "indexes-26").glob("*.json"), key=recorded_order)
INDEXES_RANDOM = sorted((GOLDENS / "indexes-26-random").glob("*.json"), key=recorded_order)
assert len(RANDOM) >= 40
assert len(ATOMIC) == 11
assert len(ATOMIC_RANDOM) == 20
assert (len(INDEXES), len(INDEXES_RANDOM)) == (9, 6)


@pytest.mark.parametrize(
    ("paths", "compatibility"),
    [
        (STREAMS, Compatibility.V24_10),
        (RANDOM, Compatibility.V24_10),
        (ATOMIC, Compatibility.V26_1),
        (ATOMIC_RANDOM, Compatibility.V26_1),
        (INDEXES, Compatibility.V26_1),
        (INDEXES_RANDOM, Compatibility.V26_1),
    ],
    ids=["insecure", "random", "v2-26", "v2-26-random", "indexes-26", "indexes-26-random"],
)
async def test_answers_are_the_same(paths: list[Path], compatibility: Compatibility) -> None:
    clock = Clock()
    stack = await ServerNode.start(ServerSettings(now=clock, compatibility=compatibility), lambda: None)
    try:
        differences = await replay_folder(SCHEMA, paths, ("127.0.0.1", stack.port), clock)
    finally:
        await stack.stop()
    assert not differences, "\n".join(differences)
