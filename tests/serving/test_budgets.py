"""What one client may hold of a server: names, appends that do not end, batches, the list of groups."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable

import pytest

from esdb_lite import (
    AsyncEsdbClient,
    EmbeddedServer,
    GrpcError,
    InvalidArgument,
    InvalidRequest,
    NewEvent,
    StreamMetadata,
    StreamState,
)
from esdb_lite._status import refusals
from esdb_lite._wire.append import ANY, encode_append_options, encode_append_proposed
from esdb_lite._wire.batch_append import BatchError, decode_batch_response, encode_batch_request
from esdb_lite._wire.framing import frame
from esdb_lite._wire.uuids import format_uuid
from esdb_lite.server.database.database import Database
from esdb_lite.server.engine.groups.config import CONFIG_STREAM
from esdb_lite.server.engine.model import ProposedEvent
from esdb_lite.server.node import ServerNode
from esdb_lite.server.services.append_room import AppendRoom, HeldAppend, NoAppendRoom
from tests.faults.support import OK, STREAMS, append, event
from tests.serving.raw import RawClient, connected

BUSY = ("14", "Server Is Too Busy")
LONG = "ä" * 2049


@pytest.fixture
async def client(node: ServerNode) -> AsyncIterator[RawClient]:
    async with connected(node.port) as raw:
        yield raw


def without_largest(begin: Callable[..., None]) -> Callable[..., None]:
    """As if the largest append were small."""
    return lambda held, room, peer, largest: begin(held, room, peer, 0)


def open_append(client: RawClient, *, count: int, size: int = 2) -> int:
    """Begin an append that does not end."""
    call = client.open(f"{STREAMS}/Append")
    client.send(
        call, frame([encode_append_options("s", ANY), *(encode_append_proposed(event(size)) for _ in range(count))])
    )
    return call


# --- names ---


async def test_names_have_a_length() -> None:
    async with EmbeddedServer() as server, AsyncEsdbClient(server.uri) as client:
        await client.append_events("ä" * 2048, None, NewEvent("T" * 4096, b"{}"))
        for wrong in (
            client.append_events(LONG, None, NewEvent("T", b"{}")),
            client.append_events("s", None, NewEvent("T" * 4097, b"{}")),
            client.delete_stream(LONG, StreamState.ANY),
            client.tombstone_stream(LONG, StreamState.ANY),
            client.create_subscription(LONG, "s"),
            client.create_subscription("g", LONG),
        ):
            with pytest.raises(GrpcError):
                await wrong
        await client.set_stream_metadata("ä" * 2048, StreamMetadata(max_count=7))
        assert (await client.get_stream_metadata("ä" * 2048)).max_count == 7
        for refused in (
            client.append_events("x" * 65_536, None, NewEvent("T", b"{}")),
            client.set_stream_metadata("x" * 4097, StreamMetadata()),
            client.delete_stream("x" * 65_536, StreamState.ANY),
        ):
            with pytest.raises(InvalidRequest, match="the name of a stream has at most 4096 bytes"):
                await refused
        with pytest.raises(InvalidArgument, match="stream_name: must have at most 65,536 characters, not 'xxx"):
            await client.append_events("x" * 65_537, None, NewEvent("T", b"{}"))
        with pytest.raises(InvalidRequest, match="at most 4096 bytes"):
            _ = [item async for item in client.read_stream_events("x" * 60_000)]
        assert [item.stream_name async for item in client.read_all_events()] == ["ä" * 2048]


async def test_what_a_refusal_says_of_names_fits_into_headers() -> None:
    name = "\U0001f600" * 1000
    async with EmbeddedServer() as server, AsyncEsdbClient(server.uri) as client:
        await client.append_events(name, None, NewEvent("T", b"{}"))
        await client.tombstone_stream(name, StreamState.ANY)
        with pytest.raises(GrpcError):
            await client.append_events(name, StreamState.ANY, NewEvent("T", b"{}"))
        with pytest.raises(GrpcError):
            await client.get_subscription_info("g" * 60_000, name)
        await client.append_events("after", None, NewEvent("T", b"{}"))


@pytest.mark.parametrize("name", ["x" * 500, "ä" * 200])
def test_usual_names_are_told_in_full(name: str) -> None:
    error = refusals.stream_deleted(name)
    assert name in error.message
    assert dict(error.trailers)["stream-name"] == refusals.printable(name)


@pytest.mark.parametrize("name", ["x" * 100_000, "ä" * 100_000, "\x00" * 100_000])
def test_long_names_are_cut(name: str) -> None:
    error = refusals.subscription_does_not_exist(name, name)
    assert len(refusals.printable(error.message)) <= refusals.LONGEST
    assert all(len(value) <= refusals.LONGEST for _, value in error.trailers)


async def test_names_that_were_looked_up_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esdb_lite.server.storage.sqlite_reader._NAMES_ROOM", 20_000)
    monkeypatch.setattr("esdb_lite.server.storage.sqlite_writer._NAMES_ROOM", 20_000)
    monkeypatch.setattr("esdb_lite.server.database.group_commit._CHARACTERS_KEPT", 20_000)
    database = await Database.open()
    try:
        for number in range(100):
            events = [ProposedEvent(os.urandom(16), f"{number}" + "T" * 1000, True, b"{}")]
            await database.append(f"{number}" + "s" * 1000, -1, events)
        records = await database.read(lambda reader: reader.log_forward(0, 1000))
        assert len({record.stream for record in records}) >= 100
        writer, reader = database._files.writer, database._files._on_loop
        assert reader is not None
        for known in (writer._streams.known, writer._types.known, database._committer._streams):
            assert sum(map(len, known)) < 25_000
        assert sum(map(len, reader._streams._by_name)) < 25_000
    finally:
        await database.close()


# --- appends that do not end ---


async def test_events_of_an_append_are_counted(client: RawClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esdb_lite.server.services.proposals.MOST_EVENTS", 10)
    assert (await append(client, count=10)).status == OK
    assert (await append(client, count=11)).status == ("3", "An append has at most 10 events.")


async def test_appends_that_do_not_end_hold_so_much_and_no_more(
    node: ServerNode, client: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HeldAppend, "__init__", without_largest(HeldAppend.__init__))
    monkeypatch.setattr("esdb_lite.server.services.append_room.PER_CONNECTION", 20_000)
    first = open_append(client, count=50)
    second = open_append(client, count=50)
    assert (await client.ended(second)).status == BUSY
    client.send(first, b"", end=True)
    assert (await client.ended(first)).status == OK
    assert (await append(client, count=50)).status == OK
    assert not node._context.append_room._held


async def test_an_append_that_is_forgotten_ends(client: RawClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esdb_lite.server.services.append.LONGEST_PAUSE", 0.05)
    ended = await client.ended(open_append(client, count=1))
    assert ended.status == ("10", "Operation timed out: no event has come for 0.05 seconds")


def chunk(id: bytes, *, final: bool, count: int = 50) -> bytes:
    return encode_batch_request(format_uuid(id), [event() for _ in range(count)], stream="s", is_final=final)


async def test_batches_that_do_not_end_hold_so_much_and_no_more(
    node: ServerNode, client: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HeldAppend, "__init__", without_largest(HeldAppend.__init__))
    monkeypatch.setattr("esdb_lite.server.services.append_room.PER_CONNECTION", 30_000)
    call = client.open(f"{STREAMS}/BatchAppend")
    ids = [os.urandom(16) for _ in range(3)]
    client.send(call, frame([chunk(ids[0], final=False), chunk(ids[1], final=False), chunk(ids[2], final=False)]))
    while not client.answers[call].messages:
        await client.more()
    (answer,) = map(decode_batch_response, client.answers[call].messages)
    assert isinstance(answer.result, BatchError)
    assert answer.result.message == "Server Is Busy"
    client.send(call, frame([chunk(ids[0], final=True, count=1), chunk(ids[1], final=True, count=1)]), end=True)
    await client.ended(call)
    assert [type(decode_batch_response(message).result) is BatchError for message in client.answers[call].messages] == [
        True,
        False,
        False,
    ]
    assert not node._context.append_room._held


def test_the_room_is_one_for_all_connections() -> None:
    room = AppendRoom()
    calls = [room.open(peer, 0) for peer in range(5)]
    for call in calls[:4]:
        call.hold(32 * 2**20)
    with pytest.raises(NoAppendRoom):
        calls[4].hold(1)
    for call in calls:
        call.release()
        call.release()
    calls[4].hold(1)
    assert room._held == {4: 1}


# --- groups ---


async def test_the_list_of_groups_does_not_grow_with_the_square_of_their_number() -> None:
    async with EmbeddedServer() as server, AsyncEsdbClient(server.uri) as client:
        for number in range(300):
            await client.create_subscription(f"group-{number}", "s")
        items = client.read_all_events(filter_exclude=())
        stored = [item async for item in items if item.stream_name == CONFIG_STREAM]
        assert sum(len(item.data) for item in stored) < 8 * 2**20
        assert len(await client.list_subscriptions()) == 300
