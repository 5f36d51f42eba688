"""The life of an asynchronous client: closed on another loop, dropped, begun before its server, waiting for long."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import threading
import time
import warnings

import pytest

from esdb_lite import (
    AsyncEsdbClient,
    ClientClosed,
    DeadlineExceeded,
    EmbeddedServer,
    EsdbClient,
    NewEvent,
    ServiceUnavailable,
    StreamState,
    WrongContext,
)
from esdb_lite.client.slow_calls import SlowCalls
from tests.healing.waiting import until
from tests.support import free_port

# --- another loop -------------------------------------------------------------------------------------------------


async def use(client: AsyncEsdbClient) -> None:
    await client.append_events("s", StreamState.ANY, NewEvent("T", b""))


def test_closing_on_another_loop_while_the_first_one_pauses(server: EmbeddedServer) -> None:
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    client = AsyncEsdbClient(server.uri)
    first.run_until_complete(use(client))
    with pytest.raises(WrongContext):
        second.run_until_complete(use(client))
    second.run_until_complete(asyncio.wait_for(client.close(), 5))
    with pytest.raises(ClientClosed):
        second.run_until_complete(use(client))
    first.run_until_complete(_nothing_left())
    first.close()
    second.close()


async def _nothing_left() -> None:
    """Let a loop come to its end: what was to be closed there is."""
    while len(asyncio.all_tasks()) > 1:
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})  # type: ignore[arg-type]


def test_closing_on_another_loop_while_the_first_one_runs(server: EmbeddedServer) -> None:
    client = AsyncEsdbClient(server.uri)
    begun, ended = threading.Event(), threading.Event()

    async def first() -> None:
        subscription = await client.subscribe_all_events(from_end=True)
        begun.set()
        with pytest.raises(ClientClosed):
            await subscription.__anext__()
        ended.set()

    thread = threading.Thread(target=lambda: asyncio.run(first()))
    thread.start()
    assert begun.wait(10)
    asyncio.run(asyncio.wait_for(client.close(), 5))
    assert ended.wait(10)
    thread.join()


def test_closing_when_the_first_loop_is_closed(server: EmbeddedServer) -> None:
    """Its connection is lost; nothing is raised, and nothing is waited for."""
    client = AsyncEsdbClient(server.uri)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the socket of a loop that was closed without closing it
        asyncio.run(use(client))
        asyncio.run(asyncio.wait_for(client.close(), 5))
        del client
        gc.collect()


# --- dropped ------------------------------------------------------------------------------------------------------


async def test_a_client_that_is_dropped_leaves_no_connection(server: EmbeddedServer) -> None:
    client = AsyncEsdbClient(server.uri)
    await use(client)
    pool = client._core._last
    assert pool is not None
    assert pool.connections == 1
    clients = [client]
    del client
    with pytest.warns(ResourceWarning, match="AsyncEsdbClient was dropped without being closed"):
        clients.clear()
    await until(lambda: not pool.connections)


async def test_a_client_lives_as_long_as_what_it_has_made(server: EmbeddedServer) -> None:
    subscription = await AsyncEsdbClient(server.uri).subscribe_all_events()
    gc.collect()
    async with AsyncEsdbClient(server.uri) as other:
        await use(other)
        assert (await asyncio.wait_for(subscription.__anext__(), 10)).stream_name == "s"
        await other.create_subscription("g", "s")
    consumer = await AsyncEsdbClient(server.uri).read_subscription("g", "s")
    gc.collect()
    assert (await asyncio.wait_for(consumer.__anext__(), 10)).stream_name == "s"
    events = AsyncEsdbClient(server.uri).read_stream_events("s")
    gc.collect()
    assert len([event async for event in events]) == 1
    for each in (subscription, consumer, events):
        await each.close()
        with pytest.warns(ResourceWarning):
            each._owner = None


async def test_a_read_that_has_come_whole_gives_its_place_back_at_once(server: EmbeddedServer) -> None:
    async with AsyncEsdbClient(server.uri) as client:
        await use(client)
        pool = client._core._last
        assert pool is not None
        before = [link.calls for link in pool._links]
        events = client.read_stream_events("s")
        assert not events._complete
        assert (await events.__anext__()).stream_name == "s"
        assert events._complete
        assert [link.calls for link in pool._links] == before
        assert [event async for event in events] == []
        subscription = await client.subscribe_stream_events("s")
        await subscription.__anext__()
        assert not subscription._complete
        await subscription.close()


async def test_a_client_that_was_not_used_is_dropped_in_silence() -> None:
    AsyncEsdbClient("localhost:2113")
    gc.collect()


# --- before its server --------------------------------------------------------------------------------------------


async def test_connecting_waits_for_a_server_that_is_not_up_yet() -> None:
    port = free_port()
    async with AsyncEsdbClient(f"127.0.0.1:{port}") as client:
        with pytest.raises(ServiceUnavailable, match="cannot connect"):
            await client.connect()
        connecting = asyncio.ensure_future(client.connect(timeout=30))
        done, _ = await asyncio.wait({connecting}, timeout=0.3)
        assert not done
        async with EmbeddedServer(port=port):
            await asyncio.wait_for(connecting, 20)
            await use(client)


def test_connecting_gives_up_when_its_time_is_over() -> None:
    with EsdbClient(f"127.0.0.1:{free_port()}") as client:
        started = time.monotonic()
        with pytest.raises(ServiceUnavailable, match="cannot connect"):
            client.connect(timeout=0.5)
        assert 0.4 < time.monotonic() - started < 5


# --- budgets ------------------------------------------------------------------------------------------------------


async def test_an_append_whose_time_is_over_is_not_sent(server: EmbeddedServer) -> None:
    async with AsyncEsdbClient(server.uri) as client:
        await use(client)
        for _ in range(50):
            with pytest.raises((DeadlineExceeded, ServiceUnavailable)) as caught:
                await client.append_events("s", StreamState.ANY, NewEvent("T", b""), timeout=0)
            assert not caught.value.sent
        assert await client.get_stream_position("s") == 0


async def test_a_call_without_a_timeout_says_what_it_waits_for(
    server: EmbeddedServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncEsdbClient(server.uri) as client:
        await use(client)
        client._core.slow.close()  # its timer is for the usual patience
        client._core.slow._patience = 0.05
        with server.faults.stall(connections=False):
            calls = [
                asyncio.ensure_future(use(client)),
                asyncio.ensure_future(client.get_stream_position("s")),
                asyncio.ensure_future(client.list_subscriptions()),
                asyncio.ensure_future(client.get_stream_position("s", timeout=30)),
            ]
            await until(lambda: len(caplog.records) == 3)
        await asyncio.gather(*calls)
    address = re.escape(f"127.0.0.1:{server.port}")
    said = sorted(record.getMessage() for record in caplog.records)
    assert len(said) == 3
    for text, what in zip(said, ["List", "append", "read"], strict=True):
        assert re.fullmatch(
            rf"{what} has waited for \d+ seconds for an answer of {address}; "
            r"it has no timeout \(`timeout`, or `defaultDeadline` for all calls\)",
            text,
        )
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


async def test_many_that_wait_for_the_same_are_mentioned_together(caplog: pytest.LogCaptureFixture) -> None:
    slow = SlowCalls(lambda: "Godot", patience=0.0)
    numbers = [slow.begin(what) for what in ("append", "read", "append", "append")]
    await until(lambda: slow._timer is None)
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        "3 calls of append have waited for 0 seconds for Godot",
        "read has waited for 0 seconds for Godot",
    ]
    for number in numbers:
        slow.end(number)


async def test_those_who_have_begun_to_wait_one_after_another_are_mentioned_together(
    caplog: pytest.LogCaptureFixture,
) -> None:
    slow, now = SlowCalls(lambda: "Godot", patience=5.0), asyncio.get_running_loop().time()
    for waited in range(50, -1, -1):
        number = slow.begin("append")
        slow._waiting[number] = ("append", now - waited / 10, slow._reason)
    slow._look()
    said = "41 calls of append have waited for 5 seconds for Godot"
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [said]
    assert len(slow._waiting) == 10
    assert slow._timer is not None
    assert slow._timer.when() >= now + 2.5
    slow.close()


async def test_who_waits_for_a_stopped_projection_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with EmbeddedServer(run_projections="system") as server, AsyncEsdbClient(server.uri) as client:
        await use(client)
        client._core.slow.close()  # its timer is for the usual patience
        client._core.slow._patience = 0.05
        waiting = asyncio.ensure_future(client.wait_for_projection("$streams"))
        await until(lambda: caplog.records)
        await client.enable_projection("$streams")
        await waiting
    assert re.fullmatch(
        r"wait_for_projection\('\$streams'\) has waited for \d+ seconds for the projection, which is 'Stopped' "
        r"\(`enable_projection` starts what is stopped\); it has no timeout .*",
        caplog.records[0].getMessage(),
    )


async def test_who_waits_is_mentioned_once(caplog: pytest.LogCaptureFixture) -> None:
    slow = SlowCalls(lambda: "Godot", patience=0.01)
    first, second = slow.begin("first"), slow.begin("second\n")
    slow.end(first)
    await until(lambda: slow._timer is None)
    slow.end(second)
    assert [record.getMessage().partition(" has")[0] for record in caplog.records] == ["second\\n"]
    slow.begin("third")
    slow.close()
    assert slow._timer is None
