"""Appends that are sent again while an earlier attempt is on its way, to a server that may have been restarted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from h2.errors import ErrorCodes

from esdb_lite import (
    AsyncEsdbClient,
    ConsistencyError,
    EmbeddedServer,
    ExpectedPositionError,
    NewEvent,
    NewRecord,
    OutcomeUnknown,
    RetryPolicy,
    StreamCheck,
    StreamDeleted,
    StreamState,
)
from esdb_lite.client.append.expectations import expected_after_look, moved_on
from esdb_lite.errors import EsdbClientException
from esdb_lite.positions import ANY, DELETED, EXISTS, NO_STREAM, TOMBSTONED
from esdb_lite.records import ConsistencyViolation
from tests.contract.faces import drain
from tests.healing.call_relay import Append, CallRelay, OnAppend, call_relay
from tests.healing.conftest import Links

QUICK = RetryPolicy(first_pause=0.01, longest_pause=0.05)

# --- the rules ----------------------------------------------------------------------------------------------------

# what the caller expects; the end that a look has seen: none to be seen, no stream, or the last event; what is sent
AFTER_LOOK = [
    (ANY, None, ANY),
    (ANY, NO_STREAM, NO_STREAM),
    (ANY, 7, 7),
    (EXISTS, None, EXISTS),
    (EXISTS, NO_STREAM, EXISTS),  # it may have metadata only, and be deleted: the server says it
    (EXISTS, 7, 7),
    *((expected, end, expected) for expected in (NO_STREAM, 0, 7, DELETED, TOMBSTONED) for end in (None, NO_STREAM, 7)),
]


@pytest.mark.parametrize(("expected", "end", "then"), AFTER_LOOK)
def test_what_is_expected_after_a_look(expected: int, end: int | None, then: int) -> None:
    assert expected_after_look(expected, end) == then


def refusal(stream: str) -> ExpectedPositionError:
    error = ExpectedPositionError("refused")
    error.stream_name = stream
    return error


def refusals(*streams: str) -> ConsistencyError:
    error = ConsistencyError("refused")
    error.violations = tuple(ConsistencyViolation(stream, 1, 2, 0) for stream in streams)
    error.stream_name = streams[0] if streams else ""
    return error


@pytest.mark.parametrize(
    ("error", "seen", "moved"),
    [
        (refusal("s"), None, False),
        (refusal("s"), "s", True),
        (refusal("t"), "s", False),
        (refusals("s"), None, False),
        (refusals("s"), "s", True),
        (refusals("t", "s"), "s", True),
        (refusals("t", "u"), "s", False),
        (refusals(), "s", False),
        (StreamDeleted("s"), "s", False),
        (OutcomeUnknown("s"), "s", False),
    ],
)
def test_whether_a_refusal_says_only_that_the_stream_has_moved_on(
    error: EsdbClientException, seen: str | None, moved: bool
) -> None:
    assert moved_on(error, seen) is moved


# --- late attempts ------------------------------------------------------------------------------------------------


@asynccontextmanager
async def relayed(
    links: Links, folder: Path, retry: RetryPolicy = QUICK
) -> AsyncIterator[tuple[EmbeddedServer, CallRelay, AsyncEsdbClient]]:
    """A server on a file, and a client with something between them that tests steer."""
    async with (
        links.server(folder / "events.db") as server,
        call_relay(server) as (relay, uri),
        links.client(uri, retry=retry) as client,
    ):
        yield server, relay, client


def late_and_restarted(server: EmbeddedServer) -> OnAppend:
    """The first attempt gets to the server when the second one, made after a look, is on its way; then the server
    dies, and the next one does not remember what that one has written."""
    kept: list[Append] = []

    async def on_append(append: Append) -> None:
        if append.number == 1:
            append.kept = True
            kept.append(append)
        elif append.number == 2:
            await kept[0].deliver()
            await server.kill_async()
            await server.restart_async()

    return on_append


@pytest.mark.parametrize("alone", [False, True], ids=["shared call", "own call"])
@pytest.mark.parametrize("expected", [StreamState.ANY, StreamState.EXISTS])
async def test_a_proxy_that_says_that_nothing_was_done(
    links: Links, tmp_path: Path, expected: StreamState, alone: bool
) -> None:
    """As HAProxy does when it drops a call whose answer has not begun: the client looks before it sends again."""
    async with relayed(links, tmp_path) as (server, relay, client):
        await write(links, server, 1)

        async def on_append(append: Append) -> None:
            await append.deliver()
            append.reset = ErrorCodes.REFUSED_STREAM

        relay.on_append = on_append
        who = ("admin", "changeit") if alone else None
        result = await client.append_events("s", expected, NewEvent("T", b"1"), credentials=who)
        assert (result.stream_position, len(relay.appends)) == (1, 1)
        assert await client.get_stream_position("s") == 1


async def write(links: Links, server: EmbeddedServer, number: int) -> None:
    """Somebody else appends so many events."""
    async with links.client(server.uri) as other:
        await other.append_events("s", StreamState.ANY, [NewEvent("T", b"") for _ in range(number)])


@pytest.mark.parametrize("alone", [False, True], ids=["shared call", "own call"])
@pytest.mark.parametrize(
    ("expected", "there"), [(StreamState.ANY, 0), (StreamState.ANY, 2), (StreamState.EXISTS, 2), (None, 0), (1, 2)]
)
async def test_a_late_first_attempt(
    links: Links, tmp_path: Path, expected: StreamState | int | None, there: int, alone: bool
) -> None:
    who = ("admin", "changeit") if alone else None
    async with relayed(links, tmp_path) as (server, relay, client):
        if there:
            await write(links, server, there)
        relay.on_append = late_and_restarted(server)
        events = [NewEvent("T", b"1"), NewEvent("T", b"2")]
        result = await client.append_events("s", expected, events, credentials=who)
        assert len(relay.appends) == 2
        assert result.stream_position == there + 1
        found = await drain(client.read_stream_events("s"))
        assert [event.id for event in found[there:]] == [event.id for event in events]


@pytest.mark.parametrize("deleted", [False, True])
async def test_a_late_first_attempt_behind_those_of_others(links: Links, tmp_path: Path, deleted: bool) -> None:
    """The server cannot find the ids behind the position that was seen; they are found by looking again."""
    async with relayed(links, tmp_path) as (server, relay, client):
        await write(links, server, 2)
        if deleted:
            await client.delete_stream("s")
        late = late_and_restarted(server)

        async def on_append(append: Append) -> None:
            if append.number == 2:
                await write(links, server, 3)
            await late(append)

        relay.on_append = on_append
        result = await client.append_events("s", StreamState.ANY, NewEvent("T", b"1"))
        assert (result.stream_position, len(relay.appends)) == (5, 2)
        assert len(await drain(client.read_stream_events("s"))) == (4 if deleted else 6)


async def test_others_who_write_meanwhile(links: Links, tmp_path: Path) -> None:
    """The first attempt is never written. The stream is looked at again until it holds still, without a pause."""
    async with relayed(links, tmp_path, RetryPolicy(attempts=2)) as (server, relay, client):

        async def on_append(append: Append) -> None:
            append.kept = append.number == 1
            if append.number in (2, 3, 4):
                await write(links, server, 2)

        relay.on_append = on_append
        result = await client.append_events("s", StreamState.ANY, NewEvent("T", b"1"))
        assert (result.stream_position, len(relay.appends)) == (6, 5)


async def test_others_who_never_let_it_hold_still(links: Links, tmp_path: Path) -> None:
    """Nobody knows what becomes of the first attempt; the caller is told what was expected, not what was sent."""
    async with relayed(links, tmp_path, RetryPolicy(attempts=4, first_pause=0.01)) as (server, relay, client):
        await write(links, server, 1)

        async def on_append(append: Append) -> None:
            append.kept = append.number == 1
            await write(links, server, 1)

        relay.on_append = on_append
        with pytest.raises(OutcomeUnknown, match="does not end any more where it was seen to end") as caught:
            await client.append_events("s", StreamState.EXISTS, NewEvent("T", b"1"))
        assert (caught.value.expected_position, len(caught.value.events)) == (StreamState.EXISTS, 1)
        relay.on_append = None
        await client.append_events("s", caught.value.expected_position, caught.value.events)
        found = [event.data for event in await drain(client.read_stream_events("s"))]
        assert found == [*[b""] * len(relay.appends), b"1"]  # one before, and one with each but the last


async def test_what_the_caller_expects_is_refused_in_its_own_words(links: Links, tmp_path: Path) -> None:
    async with relayed(links, tmp_path) as (_, relay, client):

        async def on_append(append: Append) -> None:
            append.kept = append.number == 1

        relay.on_append = on_append
        with pytest.raises(ExpectedPositionError) as caught:
            await client.append_events("s", StreamState.EXISTS, NewEvent("T", b"1"))
        assert caught.value.expected is StreamState.EXISTS


async def test_many_at_a_time_in_one_stream(links: Links, tmp_path: Path) -> None:
    """Each attempt after a look moves the end that the others have seen: they take turns, and none has to try again."""
    async with (
        links.server(tmp_path / "events.db") as server,
        links.client(server.uri, retry=RetryPolicy(attempts=3, first_pause=0.01)) as client,
    ):
        await client.append_events("s", None, NewEvent("T", b""))
        server.faults.lose_answers(times=1)
        sent = [client.append_events("s", StreamState.ANY, NewEvent("T", b"%d" % number)) for number in range(100)]
        results = await asyncio.wait_for(asyncio.gather(*sent), 60)
        found = await drain(client.read_stream_events("s"))
        assert sorted(result.stream_position for result in results) == list(range(1, 101))
        assert len(found) == 101
        assert not client._appender.repeater._turns._rooms


@pytest.mark.parametrize("version", ["25.1", "26.1"])
@pytest.mark.parametrize("checks", [(), (StreamCheck("b", None),)], ids=["any", "mixed"])
async def test_records_of_a_late_first_attempt(
    links: Links, tmp_path: Path, version: str, checks: Sequence[StreamCheck]
) -> None:
    async with (
        links.server(tmp_path / "events.db", compatibility=version) as server,  # type: ignore[arg-type]
        call_relay(server) as (relay, uri),
        links.client(uri, retry=QUICK) as client,
    ):
        relay.on_append = late_and_restarted(server)
        records = [NewRecord("a", "A", b"1"), NewRecord("b", "B", b"2"), NewRecord("a", "A", b"3")]
        records = sorted(records, key=lambda each: each.stream_name)
        result = await client.append_records(records, checks=checks)
        assert len(relay.appends) == 2
        assert dict(result.stream_positions) == {"a": 1, "b": 0}
        assert [await client.get_stream_position(name) for name in ("a", "b")] == [1, 0]
