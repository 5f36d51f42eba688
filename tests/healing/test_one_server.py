"""One server whose connections break, which is stopped, frozen or unwilling: what callers see of it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from esdb_lite import (
    CaughtUp,
    DeadlineExceeded,
    EmbeddedServer,
    ExpectedPositionError,
    NewEvent,
    OutcomeUnknown,
    Reconnected,
    RecordedEvent,
    Refusal,
    RetryPolicy,
    ServerNotReady,
    ServiceUnavailable,
    StreamDeleted,
    StreamState,
    SubscriptionNotFound,
)
from tests.contract.faces import drain, take
from tests.healing.conftest import Connect

SOON = RetryPolicy(budget=0.3)
ONCE = RetryPolicy(attempts=1)


def new(count: int, start: int = 0) -> list[NewEvent]:
    return [NewEvent("T", b"%d" % number) for number in range(start, start + count)]


def numbers(events: list[RecordedEvent]) -> list[int]:
    return [int(event.data) for event in events]


# --- reading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("of_all", [False, True])
@pytest.mark.parametrize("limit", [None, 150])
async def test_a_read_goes_on_where_it_was(
    connect: Connect, server: EmbeddedServer, of_all: bool, backwards: bool, limit: int | None
) -> None:
    client = await connect(server.uri)
    await client.append_events("s", None, new(200))
    server.faults.drop_after(40, times=3)
    read = client.read_all_events if of_all else client.read_stream_events
    arguments = {} if of_all else {"stream_name": "s"}
    events = await drain(read(**arguments, backwards=backwards, limit=limit))
    expected = list(range(199, -1, -1) if backwards else range(200))[:limit]
    assert numbers(events) == expected


async def test_a_read_that_is_not_to_be_repeated_fails(connect: Connect, server: EmbeddedServer) -> None:
    client = await connect(server.uri, retry=ONCE)
    await client.append_events("s", None, new(200))
    server.faults.drop_after(40)
    with pytest.raises(ServiceUnavailable):
        await drain(client.read_stream_events("s"))


async def test_a_server_that_was_never_there_is_told_at_once(connect: Connect, server: EmbeddedServer) -> None:
    uri = server.uri
    await server.stop_async()
    client = await connect(uri)
    with pytest.raises(ServiceUnavailable, match="cannot connect"):
        await client.get_stream_position("s")


async def test_a_server_that_goes_for_good_is_waited_for_as_long_as_the_policy_says(
    connect: Connect, server: EmbeddedServer
) -> None:
    client = await connect(server.uri, retry=SOON)
    assert await client.get_stream_position("s") is None
    port = server.port
    await server.stop_async()
    with pytest.raises(ServiceUnavailable) as failed:
        await client.get_stream_position("s")
    assert failed.value.port == port


async def test_the_timeout_is_for_all_attempts_together(connect: Connect, server: EmbeddedServer) -> None:
    client = await connect(server.uri)
    await client.connect()
    # the time may be up between two attempts or while one is under way
    with server.faults.refuse_appends(), pytest.raises((ServerNotReady, DeadlineExceeded)):
        await client.append_events("s", None, new(1), timeout=0.3)
    with server.faults.stall(connections=False), pytest.raises(DeadlineExceeded):
        await client.get_stream_position("s", timeout=0.2)


# --- subscribing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of_all", [False, True])
@pytest.mark.parametrize("fault", ["drop_connections", "consumer_too_slow", "go_away"])
async def test_a_subscription_goes_on_where_it_was(
    connect: Connect, server: EmbeddedServer, of_all: bool, fault: str
) -> None:
    client = await connect(server.uri)
    subscribe = client.subscribe_all_events if of_all else client.subscribe_stream_events
    arguments: dict[str, Any] = {} if of_all else {"stream_name": "s"}
    async with await subscribe(**arguments) as subscription:
        events: list[RecordedEvent] = []
        for round_ in range(4):
            await client.append_events("s", StreamState.ANY, new(5, 5 * round_))
            events += await take(subscription, 5)
            getattr(server.faults, fault)()
        await client.append_events("s", StreamState.ANY, new(1, 20))
        events += await take(subscription, 1)
    assert numbers(events) == list(range(21))


async def test_who_wants_to_know_is_told(connect: Connect, server: EmbeddedServer) -> None:
    client = await connect(server.uri)
    await client.append_events("s", None, new(3))
    async with await client.subscribe_stream_events("s", include_control=True) as subscription:
        first = await take(subscription, 4)
        identity, seen = subscription.subscription_id, subscription.last_activity
        server.faults.drop_connections()
        again, caught_up = await take(subscription, 2)
        assert subscription.subscription_id != identity
        assert seen is not None
        assert subscription.last_activity >= seen
    assert [type(item) for item in first] == [RecordedEvent] * 3 + [CaughtUp]
    assert isinstance(again, Reconnected)
    assert again.from_ == again.to == f"127.0.0.1:{server.port}"
    assert again.reason
    assert isinstance(caught_up, CaughtUp)
    assert caught_up.stream_position == 2


@pytest.mark.parametrize("of_all", [False, True])
async def test_from_the_end_nothing_is_missed_however_early_it_breaks(
    connect: Connect, server: EmbeddedServer, of_all: bool
) -> None:
    client, other = await connect(server.uri), await connect(server.uri)
    await client.append_events("s", None, new(3))
    subscribe = client.subscribe_all_events if of_all else client.subscribe_stream_events
    arguments: dict[str, Any] = {} if of_all else {"stream_name": "s"}
    async with await subscribe(**arguments, from_end=True) as subscription:
        refusing = server.faults.refuse_connections()
        server.faults.drop_connections()
        refusing.clear()
        await other.append_events("s", 2, new(2, 3))
        assert numbers(await take(subscription, 2)) == [3, 4]


async def test_a_sparse_filter_goes_on_at_its_checkpoint(connect: Connect, server: EmbeddedServer) -> None:
    """Counted by what the server says of its own: the checkpoints after the break begin where the last one was."""
    client = await connect(server.uri)
    await client.append_events("s", None, new(4000))
    async with await client.subscribe_all_events(filter_include=["Rare"], include_control=True) as subscription:
        before = [await anext(subscription)]
        while not isinstance(before[-1], CaughtUp):
            before.append(await anext(subscription))
        server.faults.drop_connections()
        after = [await anext(subscription)]
        while not isinstance(after[-1], CaughtUp):
            after.append(await anext(subscription))
    assert len(before) > 3
    assert isinstance(after[0], Reconnected)
    assert len(after) <= 3
    assert after[-1].commit_position >= before[-1].commit_position


async def test_without_reconnect_a_subscription_fails(connect: Connect, server: EmbeddedServer) -> None:
    client = await connect(server.uri)
    async with await client.subscribe_all_events(reconnect=False) as subscription:
        server.faults.drop_connections()
        with pytest.raises(ServiceUnavailable):
            await anext(subscription)


async def test_what_cannot_heal_ends_it(connect: Connect, server: EmbeddedServer) -> None:
    client, other = await connect(server.uri), await connect(server.uri)
    await client.append_events("s", None, new(1))
    async with await client.subscribe_stream_events("s") as subscription:
        await take(subscription, 1)
        server.faults.drop_connections()
        await other.tombstone_stream("s")
        with pytest.raises(StreamDeleted):
            await drain(subscription)


async def test_closing_while_it_tries_to_come_back(connect: Connect, server: EmbeddedServer) -> None:
    client = await connect(server.uri)
    subscription = await client.subscribe_all_events()
    waiting = asyncio.ensure_future(drain(subscription))
    await client.append_events("s", None, new(1))
    with server.faults.refuse_connections():
        server.faults.drop_connections()
        await asyncio.sleep(0)
        await subscription.close()
        assert len(await asyncio.wait_for(waiting, 10)) <= 1


# --- appending ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expected", [None, StreamState.NO_STREAM, StreamState.ANY])
@pytest.mark.parametrize("count", [1, 3])
async def test_an_answer_that_is_lost_is_asked_for_again(
    connect: Connect, server: EmbeddedServer, expected: StreamState | None, count: int
) -> None:
    client = await connect(server.uri)
    server.faults.lose_answers(times=2)
    result = await client.append_events("s", expected, new(count))
    assert result.stream_position == count - 1
    assert numbers(await drain(client.read_stream_events("s"))) == list(range(count))
    assert result == (await drain(client.read_stream_events("s")))[-1].commit_position


async def test_an_append_that_the_server_gave_up_is_made_again(connect: Connect, server: EmbeddedServer) -> None:
    client = await connect(server.uri)
    await client.append_events("s", None, new(1))
    for position in range(4):
        server.faults.time_out_appends()
        result = await client.append_events("s", position, new(1, position + 1))
        assert result.stream_position == position + 1
    assert numbers(await drain(client.read_stream_events("s"))) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("reason", [Refusal.NOT_READY, Refusal.TOO_BUSY, Refusal.TIMED_OUT, Refusal.UNKNOWN])
async def test_a_refusal_that_passes_is_waited_out(connect: Connect, server: EmbeddedServer, reason: Refusal) -> None:
    client = await connect(server.uri)
    await client.append_events("s", None, new(1))
    server.faults.refuse_appends(reason=reason, times=1)
    await client.append_events("s", 0, new(1, 1))
    server.faults.refuse_appends(reason=reason, times=1)
    await client.append_events("s", StreamState.ANY, new(1, 2))
    assert numbers(await drain(client.read_stream_events("s"))) == [0, 1, 2]


async def test_a_server_that_was_started_anew_does_not_write_again_what_it_has(
    connect: Connect, tmp_path: Path
) -> None:
    """It does not remember ids from before its start, where any end of the stream will do: the client looks."""
    async with EmbeddedServer(tmp_path / "events.db") as server:
        client = await connect(server.uri)
        await client.append_events("s", None, new(2))
        stalled = server.faults.lose_answers(times=None)
        appending = asyncio.ensure_future(client.append_events("s", StreamState.ANY, new(3, 2)))
        watching = await connect(server.uri)
        async with await watching.subscribe_stream_events("s", 1) as subscription:
            await take(subscription, 3)
        await server.kill_async()
        stalled.clear()
        await server.restart_async()
        assert (await appending).stream_position == 4
        assert numbers(await drain(client.read_stream_events("s"))) == [0, 1, 2, 3, 4]


async def test_an_outcome_that_stays_unknown_can_be_settled_later(connect: Connect, server: EmbeddedServer) -> None:
    client = await connect(server.uri, retry=SOON)
    await client.append_events("s", None, new(1))
    with server.faults.lose_answers(times=None), pytest.raises(OutcomeUnknown) as failed:
        await client.append_events("s", 0, new(2, 1))
    unknown = failed.value
    assert (unknown.stream_name, unknown.expected_position, len(unknown.events)) == ("s", 0, 2)
    again = await client.append_events(unknown.stream_name, unknown.expected_position, unknown.events)
    assert again.stream_position == 2
    assert numbers(await drain(client.read_stream_events("s"))) == [0, 1, 2]


async def test_a_conflict_after_a_lost_answer_is_somebody_elses(connect: Connect, server: EmbeddedServer) -> None:
    client, other = await connect(server.uri), await connect(server.uri)
    await client.append_events("s", None, new(1))
    refusing = server.faults.refuse_appends(reason=Refusal.TIMED_OUT)
    appending = asyncio.ensure_future(client.append_events("s", 0, new(1, 1)))
    done, _ = await asyncio.wait({appending}, timeout=0.1)
    assert not done
    refusing.clear()
    with pytest.raises(ExpectedPositionError) as conflict:
        await asyncio.gather(other.append_events("s", 0, new(1, 9)), appending)
    assert conflict.value.current == 1
    assert len(await drain(client.read_stream_events("s"))) == 2


async def test_recreating_a_stream_whose_answer_is_lost(connect: Connect, server: EmbeddedServer) -> None:
    """Asked again, the server sees a stream that exists; it is the client's own events that make it so."""
    client = await connect(server.uri)
    await client.append_events("s", None, new(2))
    await client.delete_stream("s")
    server.faults.lose_answers()
    result = await client.append_events("s", None, new(2, 2))
    assert result.stream_position == 3
    assert numbers(await drain(client.read_stream_events("s"))) == [2, 3]


async def test_many_appends_under_way_when_the_connection_breaks(connect: Connect, server: EmbeddedServer) -> None:
    client = await connect(server.uri)
    server.faults.lose_answers(times=5)
    results = await asyncio.gather(
        *(client.append_events(f"s{number}", StreamState.ANY, new(1, number)) for number in range(200))
    )
    assert {result.stream_position for result in results} == {0}
    assert sorted(numbers(await drain(client.read_all_events()))) == list(range(200))


async def test_deleting_is_repeated_only_where_that_says_the_same(connect: Connect, server: EmbeddedServer) -> None:
    client = await connect(server.uri)
    for name in ("a", "b"):
        await client.append_events(name, None, new(1))
    server.faults.lose_answers()
    await client.delete_stream("a", expected_position=0)
    server.faults.lose_answers()
    with pytest.raises(OutcomeUnknown, match="may have been done"):
        await client.delete_stream("b")
    assert await client.get_stream_position("b") is None


async def test_a_leader_that_is_named_is_followed(connect: Connect, server: EmbeddedServer, certificates: Path) -> None:
    async with EmbeddedServer(dev_certificate=certificates if "tls=false" not in server.uri else None) as leader:
        client = await connect(server.uri)
        with server.faults.not_leader(leader.host, leader.port):
            await client.append_events("s", None, new(1))
            await client.create_subscription("g", "s")
        assert await drain(client.read_all_events()) == []
        other = await connect(leader.uri)
        assert numbers(await drain(other.read_all_events())) == [0]
        await leader.stop_async()
        await client.append_events("s", None, new(1, 1))  # back to the one that was named by the caller
        assert numbers(await drain(client.read_all_events())) == [1]


# --- the rest -------------------------------------------------------------------------------------------------------


async def test_a_server_that_is_killed_and_comes_back(connect: Connect, tmp_path: Path) -> None:
    async with EmbeddedServer(tmp_path / "events.db") as server:
        client = await connect(server.uri)
        async with await client.subscribe_all_events() as subscription:
            for number in range(3):
                await client.append_events("s", StreamState.ANY, new(2, 2 * number))
                await server.kill_async()
                await server.restart_async()
                await client.append_events("t", StreamState.ANY, new(1, 100 + number))
            events = await take(subscription, 9)
    assert numbers(events) == [0, 1, 100, 2, 3, 101, 4, 5, 102]


async def test_a_frozen_server_is_noticed_by_its_silence(connect: Connect, server: EmbeddedServer) -> None:
    client = await connect(f"{server.uri}&keepAliveInterval=100&keepAliveTimeout=100", retry=SOON)
    async with await client.subscribe_all_events() as subscription:
        await client.append_events("s", None, new(1))
        await take(subscription, 1)
        stalled = server.faults.stall()
        with pytest.raises(ServiceUnavailable, match=r"no sign of life|no connection within"):  # no handshake, with TLS
            await client.get_stream_position("s")
        stalled.clear()
        await client.append_events("s", 0, new(1, 1))
        assert numbers(await take(subscription, 1)) == [1]


async def test_signs_of_life_without_events(connect: Connect, server: EmbeddedServer) -> None:
    client = await connect(f"{server.uri}&keepAliveInterval=50&keepAliveTimeout=10000")
    async with await client.subscribe_all_events() as subscription:
        signs = {subscription.last_activity}
        waited = 0.0
        while len({round(sign.timestamp(), 2) for sign in signs}) < 4:
            await asyncio.sleep(0.02)
            waited += 0.02
            assert waited < 20
            signs.add(subscription.last_activity)


async def test_consumers_come_back(connect: Connect, server: EmbeddedServer) -> None:
    client = await connect(server.uri)
    await client.append_events("s", None, new(4))
    await client.create_subscription("g", "s")
    async with await client.read_subscription("g", "s") as consumer:
        await consumer.ack(await take(consumer, 4))
        server.faults.consumer_too_slow()
        await client.append_events("s", 3, new(2, 4))
        events = [event for event in await take(consumer, 2) if int(event.data) > 3]
        assert consumer.last_drop is not None
        server.faults.drop_connections()
        await client.append_events("s", 5, new(1, 6))
        while not any(int(event.data) == 6 for event in events):
            events += await take(consumer, 1)
        await client.delete_subscription("g", "s")
        with pytest.raises(SubscriptionNotFound):
            await drain(consumer)


async def test_the_log_says_it_once(connect: Connect, server: EmbeddedServer, caplog: pytest.LogCaptureFixture) -> None:
    client = await connect(server.uri)
    await client.connect()
    server.faults.lose_answers()
    with caplog.at_level(logging.INFO, "esdb_lite"):
        await asyncio.gather(*(client.append_events(f"s{n}", None, new(1)) for n in range(20)))
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "trying again" in warnings[0].getMessage()
    assert any("connected to" in record.getMessage() for record in caplog.records)
