"""Clients that ask for much and take nothing: what they hold is bounded, and others do not wait for them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from h2.settings import SettingCodes

from esdb_lite import AsyncEsdbClient, NewEvent, StreamState
from esdb_lite._status import RpcError
from esdb_lite._wire.framing import frame
from esdb_lite.server.engine.model import ANY, ProposedEvent
from esdb_lite.server.node import ServerNode
from esdb_lite.server.services import page_room
from esdb_lite.server.services.page_room import PAGE, PER_CONNECTION, PageRoom
from tests.faults.support import STREAMS, append, consume, create_group, read_request, subscribe, until_events
from tests.serving.raw import RawClient, connected
from tests.support import ServeProcess

EVENTS, SIZE = 8, 900_000


def take_nothing(client: RawClient) -> None:
    """Let the server send no data at all."""
    client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    client.flush()


async def fill(node: ServerNode) -> None:
    """Write large events."""
    for _ in range(EVENTS):
        await node._database.append("s", ANY, [ProposedEvent(os.urandom(16), "T", False, b"1" * SIZE)])


def read_all(client: RawClient) -> int:
    call = client.open(f"{STREAMS}/Read")
    client.send(call, frame([read_request()]), end=True)
    return call


def memory(process: ServeProcess) -> int:
    """Resident bytes."""
    pages = int(Path(f"/proc/{process.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell what a process takes")
async def test_a_thousand_readers_that_take_nothing(serve: Callable[..., ServeProcess]) -> None:
    process = serve()
    _, _, port = process.address.partition(":")
    async with AsyncEsdbClient(process.uri) as client:
        for _ in range(EVENTS):
            await client.append_events("s", StreamState.ANY, NewEvent("T", b"1" * SIZE))
        before = memory(process)
        raw = [connected(int(port)) for _ in range(5)]
        connections = [await each.__aenter__() for each in raw]
        for connection in connections:
            take_nothing(connection)
            for _ in range(200):
                read_all(connection)
        waits: list[float] = []
        until = time.monotonic() + 4
        while time.monotonic() < until:
            began = time.monotonic()
            await client.append_events("other", StreamState.ANY, NewEvent("T", b"{}"))
            assert len([item async for item in client.read_stream_events("other", limit=1)]) == 1
            waits.append(time.monotonic() - began)
            assert memory(process) - before < 200 * 2**20
        assert sorted(waits)[len(waits) // 2] < 0.2
        assert max(waits) < 5
        for each in raw:
            await each.__aexit__(None, None, None)


async def test_calls_of_one_connection_wait_for_each_other_and_all_are_answered(node: ServerNode) -> None:
    async with connected(node.port) as client, connected(node.port) as other:
        await fill(node)
        take_nothing(client)
        calls = [read_all(client) for _ in range(40)]
        await append(other, "x")
        pages = node._context.pages
        while len(pages._connections) < 1 or not next(iter(pages._connections.values())).waiting:
            await append(other, "x")
        assert pages.held <= PER_CONNECTION // PAGE * SIZE
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 2**24})
        client.h2.increment_flow_control_window(2**30)
        client.flush()
        for call in calls:
            assert (await client.ended(call)).status[0] == "0"
            assert len(client.answers[call].messages) >= EVENTS
            client.answers[call].data = b""
        assert not pages._connections
        assert not pages._sending


async def test_who_takes_nothing_has_to_go_when_there_is_too_much(
    node: ServerNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_room, "IN_ALL", SIZE)
    monkeypatch.setattr(page_room, "PATIENCE", 0.1)
    async with connected(node.port) as client, connected(node.port) as other:
        await fill(node)
        await create_group(other)
        take_nothing(client)
        calls = [read_all(client), subscribe(client), consume(client), read_all(client)]
        while not any(client.answers[call].ended for call in calls):
            await client.more()
        gone = [client.answers[call].status for call in calls if client.answers[call].ended]
        assert set(gone) == {("14", "Server Is Too Busy")}
        live = subscribe(other)
        await until_events(other, live, EVENTS)
        assert not other.answers[live].ended


# --- the room itself ---


async def test_pages_of_one_connection_come_in_in_order() -> None:
    room = PageRoom()
    order: list[int] = []
    go = asyncio.Event()

    async def hold(number: int) -> None:
        async with room.page("peer") as page:
            order.append(number)
            page.weigh(PAGE)
            await go.wait()

    most = PER_CONNECTION // PAGE
    tasks = [asyncio.ensure_future(hold(number)) for number in range(2 * most)]
    await asyncio.sleep(0)
    assert order == list(range(most))
    async with room.page("another peer"):
        pass
    tasks[most].cancel()
    go.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [number for number in range(2 * most) if number != most]
    assert room.held == 0
    assert not room._connections


async def test_who_is_let_in_and_cancelled_at_once_leaves_no_hole() -> None:
    room = PageRoom()
    first = room.page("peer")
    await first.__aenter__()
    first.weigh(PER_CONNECTION)
    waiting = asyncio.ensure_future(_visit(room))
    following = asyncio.ensure_future(_visit(room))
    await asyncio.sleep(0)
    await first.__aexit__(None, None, None)
    waiting.cancel()
    await asyncio.wait_for(following, 10)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert room.held == 0
    assert not room._connections


async def _visit(room: PageRoom) -> None:
    async with room.page("peer"):
        pass


async def test_nobody_waits_for_a_page_that_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_room, "PATIENCE", 0.05)
    room = PageRoom()
    stuck = [room.page("peer") for _ in range(3)]
    for page in stuck:
        await page.__aenter__()
        page.weigh(PER_CONNECTION)
    await asyncio.wait_for(_visit(room), 10)
    stuck[0].weigh(10)
    for page in stuck:
        await page.__aexit__(None, None, None)
    assert room.held == 0
    assert not room._connections


async def test_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_room, "IN_ALL", 10 * PAGE)
    monkeypatch.setattr(page_room, "PATIENCE", 0.05)
    room = PageRoom()
    ended: list[int] = []

    async def stand_still(number: int) -> None:
        try:
            async with room.page(number) as page:
                page.weigh(4 * PAGE)
                await asyncio.get_running_loop().create_future()
        except RpcError:
            ended.append(number)

    tasks = [asyncio.ensure_future(stand_still(number)) for number in range(3)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=10)
    assert ended == [0]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert room.held == 0
