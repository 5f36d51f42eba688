"""Answers to deliveries whose sender is cancelled in the middle of them."""

from __future__ import annotations

import asyncio

import pytest

from esdb_lite import AsyncEsdbClient, EmbeddedServer, NewEvent
from esdb_lite._wire.acks import Ack, decode_consumer_request
from esdb_lite._wire.framing import MessageSplitter
from esdb_lite._wire.read_response_encode import encode_confirmation
from tests.healing.waiting import until
from tests.rpc.fake import FakeCall, fake_server

UNIMPLEMENTED = 12
MANY = 2_000
"""Events whose acks are more than the first window takes."""


@pytest.mark.parametrize("turns", range(1, 4))
async def test_the_next_answers_are_not_spoiled(turns: int) -> None:
    async with EmbeddedServer() as server, AsyncEsdbClient(server.uri) as client:
        await client.append_events("s", None, [NewEvent("T", b"{}") for _ in range(MANY)])
        events = await client.read_stream_events("s")
    acks: list[int] = []

    async def serve(call: FakeCall) -> None:
        if call.method != "Read":
            call.fail(UNIMPLEMENTED)
            return
        call.acknowledge = False  # a server that is slow to read
        call.begin()
        call.send(encode_confirmation("s::group"))
        splitter = MessageSplitter()
        while data := await call.received.get():
            requests = map(decode_consumer_request, splitter.feed(data))
            acks.extend(len(request.ids) for request in requests if isinstance(request, Ack))

    async with (
        fake_server(serve) as fake,
        AsyncEsdbClient(f"esdb://{fake.host}:{fake.port}?tls=false") as client,
        client.read_subscription("group", "s", ack_batch_size=MANY) as subscription,
    ):
        answering = asyncio.ensure_future(subscription.ack(events))
        for _ in range(turns):
            await asyncio.sleep(0)
        answering.cancel()
        await asyncio.wait({answering})
        await asyncio.sleep(0)
        (call,) = fake.calls
        call.acknowledge = True
        await until(lambda: fake.peer.h2.remote_flow_control_window(call.id) < 2**15)
        fake.peer.h2.acknowledge_received_data(40_000, call.id)
        fake.peer.flush()
        await subscription.ack(events[:1])
        await subscription.flush()
        await until(lambda: sum(acks) == MANY + 1)
        assert subscription.last_drop is None
