"""Appends whose outcome is unknown, and which the caller makes again: the events are there once."""

from __future__ import annotations

import asyncio
import itertools
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from esdb_lite import (
    AsyncEsdbClient,
    DeadlineExceeded,
    EmbeddedServer,
    ExpectedPositionError,
    NewEvent,
    OutcomeUnknown,
    RecordedEvent,
    RetryPolicy,
    StreamState,
)
from esdb_lite.client.append import looking
from esdb_lite.client.append.appender import AppendRequest
from esdb_lite.positions import expectation
from esdb_lite.server.tls import ServerTls, dev_certificate
from tests.contract.faces import drain
from tests.healing.conftest import Connect, Links

ONCE = RetryPolicy(attempts=1)
EXPECTED = [None, StreamState.ANY, StreamState.EXISTS, 0]


async def prepared(client: AsyncEsdbClient, expected: object) -> int:
    """Give the stream what it is expected to have; return how many events that are."""
    if expected in (0, StreamState.EXISTS):
        await client.append_events("s", None, [NewEvent("T", b"first")])
        return 1
    return 0


@pytest.mark.parametrize("expected", EXPECTED)
async def test_what_was_written_is_not_written_again_after_a_restart(
    links: Links, connect: Connect, tmp_path: Path, expected: int | StreamState | None
) -> None:
    """A server that was restarted does not remember the ids where any end of the stream will do."""
    async with links.server(tmp_path / "events.db") as server:
        client = await connect(server.uri, retry=ONCE)
        there = await prepared(client, expected)
        server.faults.time_out_appends()
        with pytest.raises(OutcomeUnknown) as caught:
            await client.append_events("s", expected, [NewEvent("T", b"1"), NewEvent("T", b"2")])
        await server.kill_async()
        await server.restart_async()
        result = await client.append_events("s", expected, caught.value.events)
        assert result.stream_position == there + 1
        assert len(await drain(client.read_stream_events("s"))) == there + 2


async def test_what_was_not_written_is_written(connect: Connect, server: EmbeddedServer) -> None:
    client = await connect(server.uri, retry=ONCE)
    events = [NewEvent("T", b"1")]
    with server.faults.refuse_appends(reason="timed-out"), pytest.raises(OutcomeUnknown):
        await client.append_events("s", StreamState.ANY, events)
    with server.faults.refuse_appends(reason="timed-out"), pytest.raises(OutcomeUnknown):
        await client.append_events("s", StreamState.ANY, events)
    await client.append_events("s", StreamState.ANY, events)
    assert len(await drain(client.read_stream_events("s"))) == 1


async def test_an_append_that_was_cancelled_can_be_made_again(links: Links, tmp_path: Path) -> None:
    patient = RetryPolicy(first_pause=60, longest_pause=60, budget=600)
    events = [NewEvent("T", b"1")]
    async with (
        links.server(tmp_path / "events.db") as server,
        links.client(server.uri, retry=patient) as client,
        links.client(server.uri) as other,
    ):
        subscription = await other.subscribe_stream_events("s")
        server.faults.time_out_appends()
        task = asyncio.ensure_future(client.append_events("s", StreamState.ANY, events, timeout=600))
        await anext(subscription)
        await subscription.close()
        task.cancel()  # before or after it has heard that it timed out: then it waits for its next attempt
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.restart_async()
        await client.append_events("s", StreamState.ANY, events)
        assert len(await drain(client.read_stream_events("s"))) == 1


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "REMEMBERED", 2)
    unsettled, now = looking.Unsettled(), looking.LookStart(0.0, 0.0, 0)
    requests = [AppendRequest("s", expectation(StreamState.ANY), [NewEvent("T", b"")]) for _ in range(3)]
    for request in requests:
        unsettled.add(request, now)
    assert [unsettled.take(request) for request in requests] == [None, now, now]
    assert [unsettled.take(request) for request in requests] == [None] * 3


@pytest.mark.parametrize("alone", [False, True])
async def test_a_look_is_good_only_for_the_server_that_was_looked_at(links: Links, tmp_path: Path, alone: bool) -> None:
    """The first attempt is written after the look, and that server dies before the second attempt gets to it."""
    events, who = [NewEvent("T", b"1")], ("admin", "changeit") if alone else None
    async with (
        links.server(tmp_path / "events.db") as server,
        links.client(server.uri) as client,
        links.client(server.uri) as first_attempt,
    ):
        server.faults.refuse_appends(reason="timed-out", times=1)
        looked, go_on = slow_to_send_again(client)
        task = asyncio.ensure_future(client.append_events("s", StreamState.ANY, events, credentials=who))
        await looked.wait()
        await first_attempt.append_events("s", StreamState.ANY, events)
        await server.kill_async()
        await server.restart_async()
        go_on.set()
        await task
        assert len(await drain(client.read_stream_events("s"))) == 1


async def test_a_refusal_is_told_even_when_the_look_is_disturbed(links: Links, tmp_path: Path) -> None:
    async with (
        links.server(tmp_path / "events.db") as server,
        links.client(server.uri) as client,
        links.client(server.uri) as other,
    ):
        server.faults.refuse_appends(reason="timed-out", times=1)
        looked, go_on = slow_to_send_again(client)
        task = asyncio.ensure_future(client.append_events("s", None, [NewEvent("T", b"1")]))
        await looked.wait()
        await other.append_events("s", None, [NewEvent("T", b"2"), NewEvent("T", b"3")])
        server.faults.drop_after(1)
        go_on.set()
        with pytest.raises(ExpectedPositionError):
            await task


async def test_no_events_are_nothing_to_look_for(connect: Connect, server: EmbeddedServer) -> None:
    client = await connect(server.uri)
    server.faults.refuse_appends(reason="timed-out", times=1)
    with pytest.raises(ExpectedPositionError):
        await client.append_events("s", 5, [])


def slow_to_send_again(client: AsyncEsdbClient) -> tuple[asyncio.Event, asyncio.Event]:
    """Let time pass before the second attempt, after the look: asking what the server can do may take some.

    Returns what is set then, and what is waited for.
    """
    looked, go_on = asyncio.Event(), asyncio.Event()
    appender, attempts = client._appender, itertools.count(1)
    append = appender._append

    async def slowly(*arguments: Any) -> Any:
        if next(attempts) == 2:
            looked.set()
            await go_on.wait()
        return await append(*arguments)

    appender._append = slowly  # type: ignore[method-assign]
    return looked, go_on


async def test_what_was_sent_to_a_server_that_resets_the_connection_is_in_doubt(
    connect: Connect, server: EmbeddedServer, certificates: Path
) -> None:
    """It may have read everything: a reset takes away what it has said, its greeting included."""
    client = await connect(server.uri, retry=ONCE)
    assert await client.get_stream_position("s") is None
    port = server.port
    await server.stop_async()

    async def read_and_reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"EventStore")
        writer.transport.abort()

    context = ServerTls(dev_certificate(str(certificates)).files).context if server.secure else None
    other = await asyncio.start_server(read_and_reset, "127.0.0.1", port, ssl=context)
    try:
        with pytest.raises(OutcomeUnknown):
            await client.append_events("s", None, [NewEvent("EventStore", b"")], credentials=("u", "p"))
    finally:
        other.close()
        await other.wait_closed()


def recorded(position: int | None, at: datetime | None) -> RecordedEvent:
    return RecordedEvent("T", b"", b"", "s", 0, position, recorded_at=at)


def test_what_was_stored_before_an_append_is_known_by_position_or_time() -> None:
    now = datetime.now(timezone.utc)
    start = looking.LookStart(time.time(), time.monotonic(), 100)
    before = start.before(now)
    assert before is not None
    assert timedelta(0) <= now - looking.CLOCKS - before < timedelta(seconds=5)
    assert start.comes_after(recorded(100, now), before)
    assert not start.comes_after(recorded(101, now), before)
    assert start.comes_after(recorded(101, before - timedelta(seconds=1)), before)
    assert not start.comes_after(recorded(101, before), before)
    assert not start.comes_after(recorded(None, None), before)
    assert start.before(None) is None
    assert not start.comes_after(recorded(101, now - timedelta(days=1)), None)


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(hours=3), timedelta(hours=-3)])
async def test_the_clock_of_the_client_does_not_matter(
    links: Links, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ahead: timedelta
) -> None:
    """Virtual machines are off by hours when they have slept: it is the server's that counts."""
    monkeypatch.setattr(time, "time", lambda real=time.time: real() + ahead.total_seconds())
    server = links.server(tmp_path / "events.db")
    async with server, links.client(server.uri, retry=ONCE) as client, links.client(server.uri) as other:
        events = [NewEvent("T", b"")]
        server.faults.time_out_appends()
        with pytest.raises(OutcomeUnknown):
            await client.append_events("s", StreamState.ANY, events)
        await other.append_events("s", StreamState.ANY, [NewEvent("After", b"")])
        await server.restart_async()
        await client.append_events("s", StreamState.ANY, events)
        assert [event.type for event in await drain(client.read_stream_events("s"))] == ["T", "After"]


async def test_a_stream_that_many_write_is_looked_at_as_far_as_the_client_has_seen(
    links: Links, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of its events are of now; what the client has appended itself says where to stop."""
    monkeypatch.setattr(looking, "LOOK_BACK", 50)
    async with links.server(tmp_path / "events.db") as server:
        client = await connect(server.uri)
        await client.append_events("s", None, [NewEvent("T", b"") for _ in range(200)])
        server.faults.time_out_appends()
        await client.append_events("s", StreamState.ANY, NewEvent("T", b"one"))
        server.faults.refuse_appends(reason="timed-out", times=1)
        await client.append_events("s", StreamState.ANY, NewEvent("T", b"two"))
        assert len(await drain(client.read_stream_events("s"))) == 202


@pytest.mark.parametrize("alone", [False, True])
async def test_what_is_under_way_when_a_server_stops_is_in_doubt(
    links: Links, connect: Connect, server: EmbeddedServer, alone: bool
) -> None:
    """It ends what has begun, and may have written it."""
    client = await connect(server.uri, retry=ONCE)
    await client.append_events("t", None, NewEvent("T", b""))
    who = ("admin", "changeit") if alone else None
    server.faults.stall(connections=False)
    appending = asyncio.ensure_future(
        client.append_events("s", StreamState.ANY, NewEvent("T", b""), credentials=who, timeout=20)
    )
    async with links.client(server.uri, credentials=("admin", "changeit")) as other:
        with pytest.raises(DeadlineExceeded):  # the append has got there before this has
            await other.get_stream_position("s", timeout=0.3)
    await server.stop_async()
    with pytest.raises(OutcomeUnknown):
        await appending
