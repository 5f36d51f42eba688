"""Calls that end as proxies end them when their server goes away: by resets of every kind, or without a status.

Each is broken off once; then the server is well. What may be made again is, and what may not says that it is in doubt.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from esdb_lite import AsyncEsdbClient, NewEvent, RetryPolicy
from esdb_lite._wire.read_response_encode import encode_confirmation
from esdb_lite.errors import OutcomeUnknown
from tests.rpc.fake import FakeCall, FakeServer, fake_server
from tests.rpc.streams_service import StreamsService, event_message, subscription

QUICK = RetryPolicy(first_pause=0.01, longest_pause=0.01)
CODES = (0, 1, 2, 3, 5, 7, 8, 9, 10, 13)
E = NewEvent("T", b"{}")

Break = Callable[[FakeCall], None]


def reset(code: int) -> Break:
    def break_off(call: FakeCall) -> None:
        call.reset(code)

    return break_off


def no_status(call: FakeCall) -> None:
    call.send_data(b"", end=True)


def bad_gateway(call: FakeCall) -> None:
    call.send_headers([(":status", "502"), ("content-type", "text/html")], end=True)


def without_answer(break_off: Break) -> Break:
    """HTTP/2 wants headers before data."""

    def after_headers(call: FakeCall) -> None:
        call.begin()
        break_off(call)

    return after_headers


BREAKS: dict[str, Break] = {
    **{f"reset {code}": reset(code) for code in CODES},
    **{f"reset {code} behind headers": without_answer(reset(code)) for code in CODES},
    "no status": without_answer(no_status),
    "502": bad_gateway,
}


class Once:
    """Breaks off the first call of a method, in a while; serves all others."""

    def __init__(self, method: str, break_off: Break) -> None:
        self.method, self.break_off = method, break_off
        self.service = StreamsService()
        self.served: list[str] = []

    async def __call__(self, call: FakeCall) -> None:
        if call.method == self.method:
            self.served.append(call.method)
            if len(self.served) == 1:
                await call.received.get()
                self.break_off(call)
                return
        if call.method in ("Delete", "Tombstone"):
            await call.read()
            call.answer(b"")
        else:
            await self.service(call)


@asynccontextmanager
async def broken(method: str, how: str) -> AsyncIterator[tuple[AsyncEsdbClient, Once, FakeServer]]:
    once = Once(method, BREAKS[how])
    async with fake_server(once) as server, AsyncEsdbClient(f"127.0.0.1:{server.port}", retry=QUICK) as client:
        yield client, once, server


@pytest.mark.parametrize("how", BREAKS)
async def test_a_read_is_made_again(how: str) -> None:
    async with broken("Read", how) as (client, once, server):
        assert [event.stream_position async for event in client.read_stream_events("s")] == [0, 1, 2]
        assert len(once.served) == 2
        assert len(server.peers) == 1  # the connection is well


@pytest.mark.parametrize("how", BREAKS)
async def test_a_question_is_asked_again(how: str) -> None:
    async with broken("Read", how) as (client, once, _):
        assert await client.get_stream_position("s") == 2
        assert len(once.served) == 2


@pytest.mark.parametrize("expected", [None, 7])
@pytest.mark.parametrize("how", BREAKS)
async def test_an_append_is_made_again_as_its_events_have_ids(how: str, expected: int | None) -> None:
    async with broken("BatchAppend", how) as (client, once, _):
        await client.append_events("s", expected, E)
        assert len(once.served) == 2


@pytest.mark.parametrize("how", BREAKS)
async def test_deleting_up_to_an_event_is_made_again(how: str) -> None:
    async with broken("Delete", how) as (client, once, _):
        await client.delete_stream("s", 5)
        assert len(once.served) == 2


@pytest.mark.parametrize("how", BREAKS)
async def test_what_is_done_once_is_in_doubt(how: str) -> None:
    """Even where it was reset with REFUSED_STREAM (7): a proxy may say so of what its server has done."""
    async with broken("Tombstone", how) as (client, once, _):
        with pytest.raises(OutcomeUnknown):
            await client.tombstone_stream("s")
        assert len(once.served) == 1


@pytest.mark.parametrize("how", BREAKS)
async def test_a_subscription_goes_on(how: str) -> None:
    calls: list[FakeCall] = []

    async def serve(call: FakeCall) -> None:
        calls.append(call)
        if len(calls) > 1:
            await subscription(call, 1)
            return
        await call.read()
        call.begin()
        call.send(encode_confirmation("id"))
        call.send(event_message(0))
        (no_status if how in ("no status", "502") else reset(int(how.split()[1])))(call)

    async with fake_server(serve) as server, AsyncEsdbClient(f"127.0.0.1:{server.port}", retry=QUICK) as client:
        async with await client.subscribe_stream_events("s") as events:
            assert [(await events.__anext__()).stream_position for _ in range(2)] == [0, 1]
        assert len(server.peers) == 1


@pytest.mark.parametrize("how", BREAKS)
async def test_a_persistent_consumer_comes_back(how: str) -> None:
    calls: list[FakeCall] = []

    async def serve(call: FakeCall) -> None:
        calls.append(call)
        await call.received.get()
        call.begin()
        call.send(encode_confirmation("s::g"))
        if len(calls) == 1:
            (no_status if how in ("no status", "502") else reset(int(how.split()[1])))(call)
        else:
            call.send(event_message(7))
            await asyncio.shield(call.reset_by_client)

    async with fake_server(serve) as server, AsyncEsdbClient(f"127.0.0.1:{server.port}", retry=QUICK) as client:
        async with await client.read_subscription("g", "s") as events:
            assert (await events.__anext__()).stream_position == 7
        assert len(calls) == 2


@pytest.mark.parametrize("bytes_sent", [3, 8, 20])
async def test_an_answer_that_is_cut_off_in_the_middle_of_a_message_is_no_end(bytes_sent: int) -> None:
    def cut(call: FakeCall) -> None:
        call.begin()
        call.send(event_message(0))
        whole = b"\0\0\0\0\xff" + bytes(255)
        call.send_data(whole[:bytes_sent], end=True)

    async def serve(call: FakeCall) -> None:
        await call.read()
        calls.append(call)
        if len(calls) == 1:
            cut(call)
        else:
            call.answer(event_message(1), event_message(2))

    calls: list[FakeCall] = []
    async with fake_server(serve) as server, AsyncEsdbClient(f"127.0.0.1:{server.port}", retry=QUICK) as client:
        assert [event.stream_position async for event in client.read_stream_events("s")] == [0, 1, 2]
