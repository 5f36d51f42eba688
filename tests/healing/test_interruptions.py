"""Being cancelled, closed or dropped in the middle of healing: nothing is lost, and nothing stays behind."""

from __future__ import annotations

import asyncio
import gc

import pytest

from esdb_lite import (
    AsyncEsdbClient,
    BearerToken,
    ClientClosed,
    NewEvent,
    Reconnected,
    RecordedEvent,
    RetryPolicy,
    StreamState,
)
from esdb_lite._wire.read_response_encode import encode_confirmation
from esdb_lite.server.simulation.cluster import SimulatedCluster
from esdb_lite.settings import NodePreference
from tests.healing.conftest import Links
from tests.healing.waiting import until
from tests.rpc.fake import FakeCall, fake_server, served
from tests.rpc.streams_service import event_message, subscription
from tests.support import own_time

SLOW = RetryPolicy(first_pause=0.3, longest_pause=0.3)
QUICK = RetryPolicy(first_pause=0.01, longest_pause=0.01)


def events(*numbers: int) -> list[NewEvent]:
    return [NewEvent("T", str(number).encode()) for number in numbers]


async def test_a_read_that_has_everything_ends_also_when_it_was_cancelled() -> None:
    """All events have come, their end has not; whoever waits for it is cancelled while the call is to be made anew."""

    async def cut_off(call: FakeCall) -> None:
        await call.read()
        call.begin()
        call.send(event_message(0))
        call.send(event_message(1))
        call.peer.transport.close()

    async with served(cut_off, SLOW) as (_, client):
        response = client.read_stream_events("s", limit=2)
        assert [(await response.__anext__()).stream_position for _ in range(2)] == [0, 1]
        with pytest.raises((asyncio.TimeoutError, StopAsyncIteration)):
            await asyncio.wait_for(response.__anext__(), 0.05)
        assert [event async for event in response] == []


async def test_a_read_that_has_everything_needs_no_other_attempt() -> None:
    async def cut_off(call: FakeCall) -> None:
        await call.read()
        call.begin()
        call.send(event_message(0))
        call.peer.transport.close()

    async with served(cut_off) as (server, client):
        assert [event.stream_position async for event in client.read_stream_events("s", limit=1)] == [0]
        assert len(server.calls) == 1


async def test_a_subscription_that_is_cancelled_in_a_pause_goes_on() -> None:
    started: list[FakeCall] = []

    async def serve(call: FakeCall) -> None:
        started.append(call)
        if len(started) == 1:
            await subscription(call, 0)
        else:
            await subscription(call, 1, 2)

    async with served(serve, SLOW) as (server, client):
        subscribed = await client.subscribe_stream_events("s")
        assert (await subscribed.__anext__()).stream_position == 0
        server.peer.drop()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(subscribed.__anext__(), 0.05)
        assert [(await subscribed.__anext__()).stream_position for _ in range(2)] == [1, 2]
        await subscribed.close()


async def test_a_subscription_that_is_dropped_while_nobody_heals_it_leaves_nothing(links: Links) -> None:
    async with links.cluster() as cluster, links.client(cluster.uri, retry=QUICK) as client:
        await client.append_events("s", None, events(0))
        watchers = client._core._topology._watchers  # type: ignore[union-attr]
        before = len(watchers)
        subscribed = await client.subscribe_stream_events("s")
        assert (await subscribed.__anext__()).stream_position == 0
        assert len(watchers) == before + 1
        del subscribed
        gc.collect()
        await until(lambda: len(watchers) == before)


async def test_closing_the_client_ends_a_subscription_that_heals(links: Links) -> None:
    with links.server() as server:
        client = links.client(server.uri, retry=SLOW)
        subscribed = await client.subscribe_stream_events("s")
        waiting = asyncio.ensure_future(subscribed.__anext__())
        with server.faults.refuse_connections():
            server.faults.drop_connections()
            done, _ = await asyncio.wait({waiting}, timeout=0.05)
            assert not done
            await client.close()
            with pytest.raises(ClientClosed):
                await asyncio.wait_for(waiting, 5)


async def test_closing_a_subscription_that_heals_ends_the_iteration(links: Links) -> None:
    with links.server() as server:
        async with links.client(server.uri, retry=SLOW) as client:
            subscribed = await client.subscribe_stream_events("s")
            waiting = asyncio.ensure_future(subscribed.__anext__())
            server.faults.drop_connections()
            done, _ = await asyncio.wait({waiting}, timeout=0.05)
            assert not done
            await subscribed.close()
            with pytest.raises(StopAsyncIteration):
                await asyncio.wait_for(waiting, 5)
            await client.get_commit_position()
            assert all(not link.long_calls for link in client._core._topology._node._links)  # type: ignore[union-attr]


async def test_closing_a_subscription_that_finds_nobody_ends_the_iteration_at_once(links: Links) -> None:
    """Its server accepts no bytes: whoever closes it does not wait until that has been noticed."""
    with links.server() as server:
        async with links.client(server.uri, retry=QUICK) as client:
            subscribed = await client.subscribe_stream_events("s", from_end=True)
            waiting = asyncio.ensure_future(subscribed.__anext__())
            with server.faults.stall():
                await asyncio.sleep(0)
                client._core._topology._node.close_links("cut")  # type: ignore[union-attr]
                done, _ = await asyncio.wait({waiting}, timeout=0.1)
                assert not done
                before = own_time()
                await subscribed.close()
                with pytest.raises(StopAsyncIteration):
                    await asyncio.wait_for(waiting, 5)
                assert own_time() - before < 1


async def test_closing_a_read_while_its_token_is_renewed(links: Links) -> None:
    """The server has refused the token; the call made with the new one must not outlive the iteration."""
    asked, hold = asyncio.Event(), asyncio.Event()
    tokens: list[str] = []

    async def token() -> str:
        tokens.append("t")
        if len(tokens) == 2:
            asked.set()
            await hold.wait()
        return f"t{len(tokens)}"

    async def serve(call: FakeCall) -> None:
        if call.headers["authorization"] == "Bearer t1":
            call.fail(16, "no")
        else:
            call.begin()
            await asyncio.shield(call.reset_by_client)

    async with fake_server(serve) as server:
        client = links.client(
            f"127.0.0.1:{server.port}", credentials=BearerToken(token), send_credentials_insecurely=True
        )
        async with client:
            response = client.read_all_events()
            waiting = asyncio.ensure_future(response.__anext__())
            await asked.wait()
            await response.close()
            hold.set()
            with pytest.raises(StopAsyncIteration):
                await asyncio.wait_for(waiting, 2)


# --- consumers of groups ----------------------------------------------------------------------------------------------


async def test_a_consumer_that_is_cancelled_while_it_comes_back_goes_on(links: Links) -> None:
    """`wait_for` around the next event is the usual way to have a look at something else now and then."""
    with links.server() as server:
        async with links.client(server.uri, retry=SLOW) as client:
            await client.create_subscription("g", "s")
            await client.append_events("s", StreamState.ANY, events(0))
            consumer = await client.read_subscription("g", "s")
            await consumer.ack(await consumer.__anext__())
            await consumer.flush()
            server.faults.drop_connections()
            for _ in range(2):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(consumer.__anext__(), 0.05)
            assert not consumer.closed
            await client.append_events("s", StreamState.ANY, events(1))
            seen = set()
            while 1 not in seen:
                event = await asyncio.wait_for(consumer.__anext__(), 5)
                seen.add(event.stream_position)
                await consumer.ack(event)
            await consumer.close()


async def test_a_consumer_says_once_that_it_comes_back(links: Links, caplog: pytest.LogCaptureFixture) -> None:
    """However long that takes."""
    with links.server() as server:
        async with links.client(server.uri, retry=QUICK) as client:
            await client.create_subscription("g", "s")
            consumer = await client.read_subscription("g", "s")
            waiting = asyncio.ensure_future(consumer.__anext__())
            with server.faults.refuse_connections():
                server.faults.drop_connections()
                await until(lambda: consumer._retries.failures > 5)
            await client.append_events("s", StreamState.ANY, events(0))
            await asyncio.wait_for(waiting, 5)
            assert len([line for line in caplog.messages if "coming back" in line]) == 1
            await consumer.close()


async def test_a_consumer_that_is_cancelled_while_its_call_is_opened_goes_on(links: Links) -> None:
    with links.server() as server:
        async with links.client(server.uri, retry=QUICK) as client:
            await client.create_subscription("g", "s")
            consumer = await client.read_subscription("g", "s")
            with server.faults.stall(connections=False):
                server.faults.drop_connections()
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(consumer.__anext__(), 0.2)
                assert not consumer.closed
            await client.append_events("s", StreamState.ANY, events(0))
            assert (await asyncio.wait_for(consumer.__anext__(), 5)).stream_position == 0
            await consumer.close()


async def test_a_consumer_that_is_closed_while_it_comes_back_leaves_no_call() -> None:
    calls: list[FakeCall] = []
    hold = asyncio.Event()

    async def serve(call: FakeCall) -> None:
        calls.append(call)
        if len(calls) > 1:
            await hold.wait()
        call.begin()
        call.send(encode_confirmation("s::g"))
        await asyncio.shield(call.reset_by_client)

    async with served(serve, QUICK) as (server, client):
        consumer = await client.read_subscription("g", "s")
        waiting = asyncio.ensure_future(consumer.__anext__())
        server.peer.drop()
        await until(lambda: len(calls) == 2)
        await consumer.close()
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(waiting, 2)
        hold.set()
        assert await asyncio.wait_for(asyncio.shield(calls[1].reset_by_client), 2) == 8


async def test_a_consumer_on_a_frozen_leader_moves(links: Links) -> None:
    """Nothing tells it but another node: the keep-alive would take twenty seconds."""
    async with links.cluster() as cluster, links.client(cluster.uri + "&gossipTimeout=1", retry=QUICK) as client:
        await client.create_subscription("g", "s")
        consumer = await client.read_subscription("g", "s")
        waiting = asyncio.ensure_future(consumer.__anext__())
        await cluster.freeze_async(0)
        await cluster.elect_async(1)
        async with links.client(cluster.nodes[1].uri) as other:
            await other.append_events("s", StreamState.ANY, events(0))
        assert (await asyncio.wait_for(waiting, 8)).stream_position == 0
        assert "leads the cluster now" in str(consumer.last_drop)
        await consumer.close()
        await cluster.thaw_async(0)


async def test_a_consumer_that_is_dropped_leaves_no_watcher(links: Links) -> None:
    async with links.cluster() as cluster, links.client(cluster.uri, retry=QUICK) as client:
        await client.create_subscription("g", "s")
        consumer = await client.read_subscription("g", "s")
        watchers = client._core._topology._watchers  # type: ignore[union-attr]
        assert len(watchers) == 1
        del consumer
        gc.collect()
        await until(lambda: not watchers)


# --- moving to another leader while nobody waits ----------------------------------------------------------------------


async def moved(client: AsyncEsdbClient, cluster: SimulatedCluster) -> None:
    """Let another node lead, and wait until the client knows."""
    new = cluster.nodes[1]
    await cluster.elect_async(1)
    topology = client._core._topology
    await until(lambda: topology._chosen[NodePreference.LEADER].port == new.port)  # type: ignore[union-attr]


async def test_a_subscription_moves_while_its_events_are_handled(links: Links) -> None:
    """Nobody waits for an event at that moment."""
    async with links.cluster() as cluster, links.client(cluster.uri, retry=QUICK) as client:
        await client.append_events("s", None, events(0))
        subscribed = await client.subscribe_stream_events("s", include_control=True)
        assert isinstance(await subscribed.__anext__(), RecordedEvent)
        await moved(client, cluster)
        await client.append_events("s", 0, events(1))
        seen = []
        while not seen or not isinstance(seen[-1], RecordedEvent):
            seen.append(await asyncio.wait_for(subscribed.__anext__(), 5))
        assert seen[-1].stream_position == 1
        notes = [item for item in seen if isinstance(item, Reconnected)]
        assert len(notes) == 1
        assert notes[0].to.endswith(f":{cluster.nodes[1].port}")
        await subscribed.close()


async def test_a_consumer_moves_while_its_events_are_handled(links: Links) -> None:
    async with links.cluster() as cluster, links.client(cluster.uri, retry=QUICK) as client:
        await client.create_subscription("g", "s")
        await client.append_events("s", None, events(0))
        consumer = await client.read_subscription("g", "s")
        assert (await consumer.__anext__()).stream_position == 0
        await moved(client, cluster)
        await client.append_events("s", 0, events(1))
        seen = set()
        while 1 not in seen:
            event = await asyncio.wait_for(consumer.__anext__(), 5)
            seen.add(event.stream_position)
            await consumer.ack(event)
        await consumer.close()
