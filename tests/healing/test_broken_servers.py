"""Servers that send what nobody asked for, and more than anybody can hold."""

from __future__ import annotations

import asyncio
import struct

import pytest

from esdb_lite import AsyncEsdbClient, ProtocolError, RetryPolicy
from esdb_lite._wire.framing import MAX_MESSAGE
from esdb_lite._wire.read_response_encode import encode_confirmation
from tests.rpc.fake import FakeCall, fake_server
from tests.rpc.streams_service import event_message

ONCE = RetryPolicy(attempts=1)


@pytest.mark.parametrize("at_a_time", [1, 7])
@pytest.mark.parametrize("ends", [True, False])
async def test_no_more_events_than_were_asked_for(at_a_time: int, ends: bool) -> None:
    async def chatter(call: FakeCall) -> None:
        await call.read()
        call.begin()
        for number in range(0, 70, at_a_time):
            for each in range(number, number + at_a_time):
                call.send(event_message(each))
            await asyncio.sleep(0)
        if ends:
            call.finish()
        else:  # it would go on for ever
            await asyncio.shield(call.reset_by_client)

    async with fake_server(chatter) as server, AsyncEsdbClient(f"127.0.0.1:{server.port}", retry=ONCE) as client:
        found = [event.stream_position async for event in client.read_stream_events("s", limit=10)]
        assert found == list(range(10))
        assert len(server.calls) == 1
        if not ends:
            assert await server.calls[0].reset_by_client == 8


async def test_a_question_that_is_answered_with_a_flood() -> None:
    async def chatter(call: FakeCall) -> None:
        await call.read()
        call.begin()
        for number in range(100):
            call.send(event_message(number))
        await asyncio.shield(call.reset_by_client)

    async with fake_server(chatter) as server, AsyncEsdbClient(f"127.0.0.1:{server.port}", retry=ONCE) as client:
        assert await client.get_stream_position("s") == 0


@pytest.mark.parametrize("subscribed", [True, False])
async def test_events_that_come_twice_are_handed_out_once(caplog: pytest.LogCaptureFixture, subscribed: bool) -> None:
    async def repeat(call: FakeCall) -> None:
        await (call.received.get() if subscribed else call.read())
        call.begin()
        if subscribed:
            call.send(encode_confirmation("s"))
        for number in [0, 1, 2, 1, 2, 2, 3]:
            call.send(event_message(number))
            await asyncio.sleep(0)
        if subscribed:
            await asyncio.shield(call.reset_by_client)
        else:
            call.finish()

    async with fake_server(repeat) as server, AsyncEsdbClient(f"127.0.0.1:{server.port}", retry=ONCE) as client:
        source = await client.subscribe_stream_events("s") if subscribed else client.read_stream_events("s")
        found: list[int] = []
        async with source as events:
            async for event in events:
                found.append(event.stream_position)
                if event.stream_position == 3:
                    break
        assert found == [0, 1, 2, 3]
    [said] = [record.getMessage() for record in caplog.records if "twice" in record.getMessage()]
    assert f"127.0.0.1:{server.port} has sent events twice; left out the second ones" in said


@pytest.mark.parametrize("size", [MAX_MESSAGE + 1, 2**31 - 1, 2**32 - 1])
@pytest.mark.parametrize("what", ["read", "subscription", "consumer"])
async def test_messages_that_claim_to_be_giants(what: str, size: int) -> None:
    """They are refused by their first five bytes: nothing of them is waited for, or kept."""

    async def giant(call: FakeCall) -> None:
        await call.received.get()
        call.begin()
        if what != "read":
            call.send(encode_confirmation("s::g"))
        call.send_data(struct.pack(">BI", 0, size) + b"x")
        await asyncio.shield(call.reset_by_client)

    async with fake_server(giant) as server, AsyncEsdbClient(f"127.0.0.1:{server.port}", retry=ONCE) as client:
        with pytest.raises(ProtocolError, match="longer than"):
            await asyncio.wait_for(_first(client, what), 10)


async def _first(client: AsyncEsdbClient, what: str) -> None:
    if what == "read":
        await client.read_stream_events("s").__anext__()
    elif what == "subscription":
        async with await client.subscribe_stream_events("s") as events:
            await events.__anext__()
    else:
        async with await client.read_subscription("g", "s") as group:
            await group.__anext__()
