"""Imports: events of many streams in their order, by the call of embedded servers and by appends for all others."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from esdb_lite_protos.tags import PATH_IMPORTS_IMPORT_EVENTS

from esdb_lite import (
    AccessDenied,
    AppendTooLarge,
    AsyncEsdbClient,
    ClientClosed,
    DeadlineExceeded,
    EmbeddedServer,
    EventTooLarge,
    ExpectedPositionError,
    InvalidArgument,
    NewEvent,
    OutcomeUnknown,
    StreamDeleted,
    WrongArgumentType,
)
from tests.contract.faces import drain

pytestmark = pytest.mark.skipif("ESDB_URI" in os.environ, reason="it looks at all events of a server")

Writes = list[tuple[str, NewEvent]]


@pytest.fixture(params=["own call", "appends"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[EmbeddedServer]:
    """As it is, and playing a server of others."""
    async with EmbeddedServer() as running:
        if request.param == "appends":
            assert running._node is not None
            routes = running._node._server._routes
            running._node._server._routes = {
                path: route for path, route in routes.items() if path != PATH_IMPORTS_IMPORT_EVENTS
            }
        yield running


@pytest.fixture
def uri(server: EmbeddedServer) -> str:
    """A connection string."""
    return server.uri


def in_turn(count: int, streams: int = 7) -> Writes:
    return [(f"s-{number % streams}", NewEvent("T", b"%d" % number)) for number in range(count)]


async def log(client: Any) -> list[tuple[object, ...]]:
    return [(each.stream_name, each.id) for each in await drain(client.read_all_events())]


def named(writes: Writes) -> list[tuple[object, ...]]:
    return [(stream, event.id) for stream, event in writes]


NEW = dict.fromkeys([f"s-{number}" for number in range(7)])


async def test_the_order_stays(client: Any) -> None:
    writes = in_turn(2_500)
    last = await client.import_events(iter(writes), NEW)
    events = await drain(client.read_all_events())
    assert [(each.stream_name, each.id) for each in events] == named(writes)
    assert last == events[-1].commit_position
    assert [each.stream_position for each in events if each.stream_name == "s-3"] == [*range(357)]
    await client.import_events(writes, NEW)  # again
    assert await log(client) == named(writes)
    more = in_turn(20)
    await client.import_events(more, {"s-0": 357})
    assert await log(client) == named(writes + more)
    assert await client.import_events([]) is None


async def test_one_behind_the_other(server: EmbeddedServer) -> None:
    writes = in_turn(6_000, 70)
    async with AsyncEsdbClient(server.uri) as client:
        await asyncio.gather(*(client.import_events(writes[first : first + 500]) for first in range(0, 6_000, 500)))
        assert await log(client) == named(writes)


async def test_a_stream_that_is_not_as_expected(client: Any) -> None:
    await client.append_events("s-1", None, NewEvent("Mine", b""))
    with pytest.raises(ExpectedPositionError, match="stream 's-1' is at position 0, expected no stream") as refused:
        await client.import_events(in_turn(2_500), NEW)
    error = refused.value
    assert (error.stream_name, error.expected, error.current) == ("s-1", None, 0)
    await client.tombstone_stream("s-2")
    with pytest.raises(StreamDeleted):
        await client.import_events([("s-2", NewEvent("T", b""))])
    await client.import_events([("other", NewEvent("T", b""))])  # the next one is not harmed


async def test_nothing_comes_behind_a_refusal() -> None:
    async with EmbeddedServer() as server, AsyncEsdbClient(server.uri) as client:
        first, wrong, behind = in_turn(1_000), [("s-1", NewEvent("T", b""))], in_turn(1_000)
        calls = [
            client.import_events(first, NEW),
            client.import_events(wrong, {"s-1": 7}),
            *(client.import_events(behind[start : start + 100]) for start in range(0, 1_000, 100)),
        ]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(results[0], int)
        assert {type(result) for result in results[1:]} == {ExpectedPositionError}
        assert await log(client) == named(first)


async def test_events_of_all_sizes(client: Any) -> None:
    writes = [("s", NewEvent("T", bytes(size))) for size in (0, 600_000, 3, 5_000_000, 1)]
    await client.import_events(writes, {"s": None})
    assert [each.data for each in await drain(client.read_stream_events("s"))] == [event.data for _, event in writes]
    with pytest.raises(InvalidArgument, match="must be of less than"):
        await client.import_events([("s", NewEvent("T", bytes(17_000_000)))])


async def test_limits_of_the_server() -> None:
    async with (
        EmbeddedServer(compatibility="24.10", max_append_size=10_000) as server,
        AsyncEsdbClient(server.uri) as client,
    ):
        with pytest.raises(AppendTooLarge):
            await client.import_events([("s", NewEvent("T", bytes(20_000)))])
    async with EmbeddedServer(max_append_event_size=1_000) as server, AsyncEsdbClient(server.uri) as client:
        with pytest.raises(EventTooLarge):
            await client.import_events([("s", NewEvent("T", bytes(2_000)))])


async def test_arguments(client: Any) -> None:
    event = NewEvent("T", b"")
    for wrong in (event, [event], [("s", event, 1)], [("s", b"")], [(5, event)], "text"):
        with pytest.raises(WrongArgumentType) as refused:
            await client.import_events(wrong)
        assert refused.value.argument == "events"
    with pytest.raises(InvalidArgument):
        await client.import_events([("", event)])
    with pytest.raises(InvalidArgument) as misnamed:
        await client.import_events([("s", event)], {"s": -5})
    assert misnamed.value.argument == "expected_position"


async def test_given_up_halfway(server: EmbeddedServer) -> None:
    """Nothing stays behind; what was written can be imported again."""
    writes = in_turn(30_000)
    async with AsyncEsdbClient(server.uri) as client:
        task = asyncio.ensure_future(client.import_events(writes, NEW))
        async with await client.subscribe_all_events() as events:
            await anext(aiter(events))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await client.import_events(writes, NEW)
        assert await log(client) == named(writes)


async def test_who_may_not(tmp_path: Any) -> None:
    async with (
        EmbeddedServer(dev_certificate=tmp_path) as server,
        AsyncEsdbClient(server.uri) as nobody,
        AsyncEsdbClient(server.uri.replace("esdb://", "esdb://admin:changeit@")) as admin,
    ):
        with pytest.raises(AccessDenied):
            await nobody.import_events([("s", NewEvent("T", b""))])
        await admin.import_events([("s", NewEvent("T", b"")), ("$mine", NewEvent("T", b""))])
        await nobody.import_events([("t", NewEvent("T", b""))], credentials=("admin", "changeit"))


async def test_time_is_over() -> None:
    async with EmbeddedServer() as server, AsyncEsdbClient(server.uri) as client:
        await client.import_events(in_turn(7), NEW)
        with server.faults.stall():
            calls = [client.import_events([("t", NewEvent("T", b""))], timeout=0.2) for _ in range(3)]
            results = await asyncio.gather(*calls, return_exceptions=True)
        assert {isinstance(result, DeadlineExceeded) for result in results} == {True}
        await client.import_events([("t", NewEvent("T", b""))])


async def test_the_client_is_closed_halfway(server: EmbeddedServer) -> None:
    client = AsyncEsdbClient(server.uri)
    task = asyncio.ensure_future(client.import_events(in_turn(30_000), NEW))
    async with AsyncEsdbClient(server.uri) as reader, await reader.subscribe_all_events() as events:
        await anext(aiter(events))
    await client.close()
    with pytest.raises((ClientClosed, OutcomeUnknown)):
        await task
