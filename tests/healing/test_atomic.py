"""Atomic appends when answers are lost, servers die and leaders move: all records are there once, or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from esdb_lite import (
    ConsistencyError,
    EmbeddedServer,
    NewEvent,
    NewRecord,
    NotLeader,
    NotSupported,
    OutcomeUnknown,
    RetryPolicy,
    SimulatedCluster,
    StreamCheck,
    StreamState,
)
from esdb_lite.client.retry import RetryState, Safety
from esdb_lite.errors import GrpcError, ServerNotReady
from tests.contract.faces import drain
from tests.healing.conftest import Connect, discovering

ONCE = RetryPolicy(attempts=1)
QUICK = RetryPolicy(first_pause=0.01, longest_pause=0.05)
EXACT = [StreamCheck("a", None), StreamCheck("b", StreamState.NO_STREAM)]
CHECKS = pytest.mark.parametrize("checks", [(), EXACT, EXACT[:1]], ids=["any", "exact", "mixed"])
VERSIONS = pytest.mark.parametrize("version", ["25.1", "26.1"])


def new() -> list[NewRecord]:
    return [NewRecord("a", "A", b"1"), NewRecord("a", "A", b"2"), NewRecord("b", "B", b"3")]


async def counts(client: object) -> tuple[int, int]:
    """How many events the two streams have."""
    position = client.get_stream_position  # type: ignore[attr-defined]
    a, b = [await position(name) for name in ("a", "b")]
    return (-1 if a is None else a) + 1, (-1 if b is None else b) + 1


@VERSIONS
@CHECKS
async def test_a_lost_answer_is_asked_for_again(connect: Connect, version: str, checks: list[StreamCheck]) -> None:
    async with EmbeddedServer(compatibility=version) as server:  # type: ignore[arg-type]
        client = await connect(server.uri, retry=QUICK)
        server.faults.lose_answers(times=2)
        result = await client.append_records(new(), checks=checks)
        assert (result.stream_positions, await counts(client)) == ({"a": 1, "b": 0}, (2, 1))
        last = (await drain(client.read_stream_events("b")))[-1]
        assert result.commit_position == last.commit_position


@CHECKS
async def test_what_was_written_is_found_after_a_restart(
    connect: Connect, tmp_path: Path, checks: list[StreamCheck]
) -> None:
    async with EmbeddedServer(tmp_path / "events.db") as server:
        client, records = await connect(server.uri, retry=ONCE), new()
        server.faults.time_out_appends()
        with pytest.raises(OutcomeUnknown) as caught:
            await client.append_records(records, checks=checks)
        assert caught.value.records == tuple(records)
        await server.kill_async()
        await server.restart_async()
        result = await client.append_records(caught.value.records, checks=checks)
        assert (result.stream_positions, await counts(client)) == ({"a": 1, "b": 0}, (2, 1))


@CHECKS
async def test_what_was_not_written_is_written(
    connect: Connect, server: EmbeddedServer, checks: list[StreamCheck]
) -> None:
    client, records = await connect(server.uri, retry=ONCE), new()
    with server.faults.refuse_appends(reason="timed-out"), pytest.raises(OutcomeUnknown):
        await client.append_records(records, checks=checks)
    await client.append_records(records, checks=checks)
    assert await counts(client) == (2, 1)


async def test_a_refusal_after_a_doubt_is_looked_into(connect: Connect, server: EmbeddedServer) -> None:
    """Written, and not recognised: one of the streams has gone on meanwhile."""
    client, records = await connect(server.uri, retry=ONCE), new()
    checks = [StreamCheck("a", None)]
    server.faults.time_out_appends(times=1)
    with pytest.raises(OutcomeUnknown):
        await client.append_records(records, checks=checks)
    await client.append_events("a", 1, NewEvent("A", b"4"))
    result = await client.append_records(records, checks=checks)
    assert (result.stream_positions, await counts(client)) == ({"a": 1, "b": 0}, (3, 1))


async def test_a_refusal_without_a_doubt_is_told(connect: Connect, server: EmbeddedServer) -> None:
    client = await connect(server.uri, retry=QUICK)
    await client.append_events("b", None, NewEvent("A", b"4"))
    server.faults.refuse_appends(reason="unknown", times=1)
    with pytest.raises(ConsistencyError):
        await client.append_records(new(), checks=EXACT)
    assert await counts(client) == (0, 1)


async def test_a_follower_names_the_leader(connect: Connect, cluster: SimulatedCluster) -> None:
    follower, leader = cluster.nodes[1], cluster.nodes[0]
    client = await connect(follower.uri, retry=ONCE)
    with pytest.raises(NotLeader) as caught:
        await client.append_records(new())
    assert (caught.value.host, caught.value.port) == (leader.host, leader.port)


@pytest.mark.parametrize("seed", [0, 1])
async def test_the_leader_is_followed(connect: Connect, cluster: SimulatedCluster, seed: int) -> None:
    client = await connect(discovering(cluster.nodes[seed].uri))
    await client.append_records(new())
    await cluster.elect_async(2)
    result = await client.append_records([NewRecord("a", "A"), NewRecord("c", "C")], checks=StreamCheck("b", 0))
    assert result.stream_positions == {"a": 2, "c": 0}


async def test_a_server_that_was_upgraded(connect: Connect, tmp_path: Path) -> None:
    old = EmbeddedServer(tmp_path / "events.db", compatibility="24.10")
    await old.start_async()
    client = await connect(old.uri, retry=QUICK)
    with pytest.raises(NotSupported):
        await client.append_records(new())
    port = old.port
    await old.stop_async()
    async with EmbeddedServer(tmp_path / "events.db", port=port):
        await client.append_records(new())
        assert await counts(client) == (2, 1)


@pytest.mark.parametrize(("asked", "least"), [(0.0, 0.0), (5.0, 5.0)])
def test_the_pause_that_a_server_asks_for(asked: float, least: float) -> None:
    error: GrpcError = ServerNotReady("wait")
    error.retry_after = asked
    state = RetryState(RetryPolicy(first_pause=0.01, longest_pause=0.01), Safety.SAME_IDS)
    pause = state.pause(error, known=True, now=0.0, left=None, chance=0.5)
    assert pause is not None
    assert least <= pause <= least + 0.02
