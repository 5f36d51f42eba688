"""Projections, as clients steer and ask them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from esdb_lite import (
    AsyncEsdbClient,
    DeadlineExceeded,
    InvalidArgument,
    NewEvent,
    NotSupported,
    ProjectionExists,
    ProjectionFailed,
    ProjectionMode,
    ProjectionNotFound,
    ProjectionStatus,
    WrongArgumentType,
)
from tests.contract.faces import drain

SYSTEM = ["$by_category", "$by_correlation_id", "$by_event_type", "$stream_by_category", "$streams"]
MISSING = "no-such-projection"


@pytest.fixture
def server_options() -> dict[str, Any]:
    """With projections."""
    return {"run_projections": "all", "start_standard_projections": True}


async def append(client: Any, stream: str, count: int = 1) -> int:
    """Append events; returns the position of the last."""
    appended = await client.append_events(stream, -2, [NewEvent("OrderPlaced", b"{}") for _ in range(count)])
    assert appended.commit_position is not None
    return int(appended.commit_position)


async def linked(client: Any, stream: str) -> list[bytes]:
    return [event.data for event in await drain(client.read_stream_events(stream))]


async def test_what_there_is(client: Any) -> None:
    listed = await client.list_projections()
    assert sorted(info.name for info in listed if info.name.startswith("$")) == SYSTEM
    assert await client.list_projections(ProjectionMode.TRANSIENT) == []
    [by_category] = [info for info in listed if info.name == "$by_category"]
    assert by_category.is_running
    assert by_category.mode is ProjectionMode.CONTINUOUS
    assert by_category.fault is None
    assert (await client.get_projection("$by_category")).name == "$by_category"


async def test_a_category(client: Any, stream: str) -> None:
    category = f"$ce-{stream.partition('-')[0]}"
    position = await append(client, stream, 2)
    info = await client.wait_for_projection("$by_category", position, timeout=20)
    assert info.is_running
    assert (await linked(client, category))[-2:] == [f"{n}@{stream}".encode() for n in (0, 1)]
    events = await drain(client.read_stream_events(category, resolve_links=True))
    assert [event.stream_name for event in events[-2:]] == [stream, stream]
    assert events[-1].link.stream_name == category


async def test_a_place_that_the_log_does_not_have(client: Any, stream: str) -> None:
    position = await append(client, stream)
    with pytest.raises(
        InvalidArgument, match=f"position: must be in the log, whose last event is at .*{position + 10**6}"
    ):
        await client.wait_for_projection("$by_category", position + 10**6, timeout=20)
    assert (await client.wait_for_projection("$by_category", position, timeout=20)).is_running


async def test_stopping_and_going_on(client: Any, stream: str) -> None:
    await client.disable_projection("$streams")
    info = await client.get_projection("$streams")
    assert (info.status, info.status_text) == (ProjectionStatus.STOPPED, "Stopped")
    await append(client, stream)
    await client.enable_projection("$streams")
    await client.wait_for_projection("$streams", timeout=20)
    assert (await linked(client, "$streams"))[-1] == f"0@{stream}".encode()
    await client.enable_projection("$streams")
    await client.abort_projection("$streams")
    assert (await client.get_projection("$streams")).status is ProjectionStatus.ABORTED
    with pytest.raises(DeadlineExceeded, match="'Aborted/Stopped'"):
        await client.wait_for_projection("$streams", timeout=2)
    await client.enable_projection("$streams")
    await client.wait_for_projection("$streams", timeout=20)


async def test_starting_over(client: Any, stream: str) -> None:
    await append(client, stream)
    await client.wait_for_projection("$streams", timeout=20)
    before = await linked(client, "$streams")
    version = (await client.get_projection("$streams")).version
    await client.reset_projection("$streams")
    info = await client.wait_for_projection("$streams", timeout=20)
    assert info.epoch == info.version == version + 1
    assert await linked(client, "$streams") == before
    events = await drain(client.read_stream_events("$streams"))
    assert events[0].stream_position >= len(before)


async def test_another_query(client: Any, stream: str) -> None:
    await client.update_projection("$by_category", "last\n-")
    position = await append(client, stream)
    await client.wait_for_projection("$by_category", position, timeout=20)
    assert await linked(client, f"$ce-{stream.rpartition('-')[0]}") == [f"0@{stream}".encode()]
    await client.update_projection("$by_category", "nonsense")
    with pytest.raises(ProjectionFailed) as caught:
        await client.wait_for_projection("$by_category", timeout=20)
    assert caught.value.projection_name == "$by_category"
    assert caught.value.reason
    await client.update_projection("$by_category", "first\n-")
    await client.wait_for_projection("$by_category", timeout=20)


async def test_system_projections_hold_nothing_and_stay(client: Any) -> None:
    assert await client.get_projection_state("$by_category") is None
    assert await client.get_projection_result("$by_category", "x") is None
    with pytest.raises(ProjectionFailed):
        await client.delete_projection("$by_category")


async def test_all_of_them_start_again(client: Any, stream: str) -> None:
    await client.restart_projections()
    position = await append(client, stream)
    for name in SYSTEM:
        await client.wait_for_projection(name, position, timeout=20)
    assert (await linked(client, "$streams"))[-1] == f"0@{stream}".encode()


@pytest.mark.parametrize(
    "method",
    [
        "enable_projection",
        "disable_projection",
        "abort_projection",
        "reset_projection",
        "delete_projection",
        "get_projection",
        "get_projection_state",
        "get_projection_result",
        "wait_for_projection",
    ],
)
async def test_what_is_not_there(client: Any, method: str) -> None:
    with pytest.raises(ProjectionNotFound) as caught:
        await getattr(client, method)(MISSING)
    assert caught.value.projection_name == MISSING
    with pytest.raises(InvalidArgument, match="name"):
        await getattr(client, method)(" ")
    with pytest.raises(WrongArgumentType, match="name"):
        await getattr(client, method)(5)


async def test_wrong_arguments(client: Any) -> None:
    with pytest.raises(ProjectionNotFound):
        await client.update_projection(MISSING, "fromAll()")
    for call in (
        lambda: client.create_projection("x", 5),
        lambda: client.create_projection("x", "", track_emitted_streams=True),
        lambda: client.create_projection("x", "", engine_version=3),
        lambda: client.create_projection("x", "", emit=True, track_emitted_streams=True, engine_version=2),
        lambda: client.create_projection("x", "", emit=1),
        lambda: client.update_projection("x", b""),
        lambda: client.run_query(None),
        lambda: client.list_projections("Continuous"),
        lambda: client.get_projection_state("x", ""),
        lambda: client.wait_for_projection("x", -1),
        lambda: client.delete_projection("x", checkpoint_stream="yes"),
    ):
        with pytest.raises(InvalidArgument):
            await call()


@pytest.mark.parametrize("version", ["24.10"])
async def test_an_engine_that_the_server_does_not_have(client: Any) -> None:
    with pytest.raises(NotSupported, match="engine"):
        await client.create_projection("x", "fromAll()", engine_version=2)


COUNT = """fromStream('{stream}').partitionBy(e => e.data.who).when({{
    $init: () => ({{n: 0}}),
    Counted(state, e) {{ state.n += e.data.by; }},
}})"""


def counted(who: str, by: float) -> NewEvent:
    return NewEvent.json("Counted", {"who": who, "by": by})


@pytest.fixture
async def counter(client: Any, stream: str) -> AsyncIterator[str]:
    """Name of a projection that counts by partition, and has done so."""
    pytest.importorskip("_quickjs", reason="quickjs-ng is not installed")
    await client.append_events(stream, -2, [counted("anna", 1), counted("ben", 2.5)])
    await client.create_projection(f"count-{stream}", COUNT.format(stream=stream), emit=True)
    await client.wait_for_projection(f"count-{stream}", timeout=20)
    yield f"count-{stream}"
    await client.disable_projection(f"count-{stream}")
    await client.delete_projection(f"count-{stream}", checkpoint_stream=True)


async def test_states(client: Any, stream: str, counter: str) -> None:
    assert await client.get_projection_state(counter, "anna") == {"n": 1}
    assert await client.get_projection_result(counter, "ben") == {"n": 2.5}
    assert await client.get_projection_state(counter, "nobody") is None
    assert await client.get_projection_state(counter) is None
    appended = await client.append_events(stream, -2, counted("anna", 4))
    info = await client.wait_for_projection(counter, appended.commit_position, timeout=20)
    assert (info.name, info.mode, info.is_running) == (counter, ProjectionMode.CONTINUOUS, True)
    assert await client.get_projection_state(counter, "anna") == {"n": 5}
    assert counter in [each.name for each in await client.list_projections(ProjectionMode.CONTINUOUS)]


async def test_a_name_that_is_taken(client: Any, stream: str, counter: str) -> None:
    with pytest.raises(ProjectionExists) as caught:
        await client.create_projection(counter, "fromAll()")
    assert caught.value.projection_name == counter
    with pytest.raises(ProjectionFailed):
        await client.delete_projection(counter)


async def test_starting_over_with_another_query(client: Any, stream: str, counter: str) -> None:
    await client.update_projection(counter, COUNT.format(stream=stream).replace("e.data.by", "10"), emit=True)
    await client.reset_projection(counter)
    await client.wait_for_projection(counter, timeout=20)
    assert await client.get_projection_state(counter, "anna") == {"n": 10}


async def test_a_wrong_query_and_a_good_one(client: Any, stream: str) -> None:
    pytest.importorskip("_quickjs", reason="quickjs-ng is not installed")
    name = f"wrong-{stream}"
    await client.create_projection(name, "this is no query")
    with pytest.raises(ProjectionFailed) as caught:
        await client.wait_for_projection(name, timeout=20)
    info = await client.get_projection(name)
    assert info.status is ProjectionStatus.FAULTED
    assert info.fault == caught.value.reason
    await client.update_projection(name, f"fromStream('{stream}').when({{}})")
    assert (await client.wait_for_projection(name, timeout=20)).fault is None
    await client.disable_projection(name)
    await client.delete_projection(name)
    with pytest.raises(ProjectionNotFound):
        await client.get_projection(name)


async def test_emitting_without_leave(client: Any, stream: str) -> None:
    pytest.importorskip("_quickjs", reason="quickjs-ng is not installed")
    name = f"emits-{stream}"
    await client.append_events(stream, -2, NewEvent("Made", b"{}"))
    await client.create_projection(
        name, f"fromStream('{stream}').when({{Made() {{ emit('{stream}-out', 'T', {{}}) }}}})"
    )
    with pytest.raises(ProjectionFailed, match="create or update it with emit=True"):
        await client.wait_for_projection(name, timeout=20)
    await client.delete_projection(name)


async def test_queries(client: Any, stream: str) -> None:
    pytest.importorskip("_quickjs", reason="quickjs-ng is not installed")
    await client.append_events(stream, -2, [counted("anna", 1), counted("ben", 2)])
    query = f"fromStream('{stream}').when({{$init: () => [], Counted(s, e) {{ s.push(e.data.who); }}}})"
    assert await client.run_query(query, timeout=20) == ["anna", "ben"]
    assert await client.run_query("fromStream('nowhere').when({})", timeout=20) is None
    with pytest.raises(ProjectionFailed, match="oh no"):
        await client.run_query(f"fromStream('{stream}').when({{Counted() {{ throw new Error('oh no') }}}})", timeout=20)
    with pytest.raises(ProjectionFailed):
        await client.run_query("fromStream(", timeout=20)
    assert await client.list_projections(ProjectionMode.TRANSIENT) == []


async def test_a_query_that_is_given_up(uri: str, stream: str) -> None:
    pytest.importorskip("_quickjs", reason="quickjs-ng is not installed")
    async with AsyncEsdbClient(uri) as client:
        for start in range(0, 2000, 500):
            await client.append_events(stream, -2, [counted("anna", n) for n in range(start, start + 500)])
        slow = f"fromStream('{stream}').when({{Counted() {{ for (let i = 0; i < 200000; i++); }}}})"
        task = asyncio.ensure_future(client.run_query(slow))
        while not (await client.list_projections(ProjectionMode.TRANSIENT) or task.done()):
            pass
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await client.list_projections(ProjectionMode.TRANSIENT) == []
