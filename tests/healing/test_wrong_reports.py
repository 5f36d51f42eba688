"""What an append or another change says of itself when it has failed: never too much, never too little."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from esdb_lite import (
    AsyncEsdbClient,
    NewEvent,
    OutcomeUnknown,
    RetryPolicy,
    ServiceUnavailable,
    StreamState,
)
from tests.rpc.fake import FakeCall, FakeServer, Handler, fake_server
from tests.rpc.streams_service import StreamsService

E = NewEvent("T", b"{}")
ONCE = RetryPolicy(attempts=1)
SHORT = RetryPolicy(budget=0.4, first_pause=0.01)


@asynccontextmanager
async def served(handler: Handler, retry: RetryPolicy = ONCE) -> AsyncIterator[tuple[FakeServer, AsyncEsdbClient]]:
    async with fake_server(handler) as server, AsyncEsdbClient(f"127.0.0.1:{server.port}", retry=retry) as client:
        yield server, client


async def test_a_lost_question_about_features_says_nothing_of_the_append() -> None:
    """The append itself was never sent."""

    async def serve(call: FakeCall) -> None:
        await call.read()
        call.peer.drop()

    async with served(serve) as (_, client):
        with pytest.raises(ServiceUnavailable) as caught:
            await client.append_events("s", StreamState.ANY, E)
    assert not isinstance(caught.value, OutcomeUnknown)


async def test_the_budget_is_one_for_the_append_and_for_asking_what_the_server_can_do() -> None:
    service, loop = StreamsService(), asyncio.get_running_loop()
    async with served(service, SHORT) as (server, client):
        await client.append_events("s", StreamState.ANY, E)
        client._session.forget_features()

        async def serve(call: FakeCall) -> None:
            call.peer.drop()

        server.handler = serve
        server.peer.drop()
        before = loop.time()
        with pytest.raises(ServiceUnavailable):
            await client.append_events("s", StreamState.ANY, E)
        assert loop.time() - before < 2 * SHORT.budget
