"""What an append or another change says of itself when it has failed: never too much, never too little."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count

import pytest

from esdb_lite import (
    AsyncEsdbClient,
    BearerToken,
    ClientClosed,
    DeadlineExceeded,
    EmbeddedServer,
    NewEvent,
    NotLeader,
    OutcomeUnknown,
    RetryPolicy,
    ServiceUnavailable,
    StreamState,
    TlsError,
)
from esdb_lite._wire.batch_append import BatchRequest, encode_batch_error
from esdb_lite.errors import WriteInterrupted
from esdb_lite.server.simulation.cluster import SimulatedCluster
from esdb_lite.settings import Address
from tests.healing.waiting import until
from tests.rpc.fake import ONCE, FakeCall, fake_server, served
from tests.rpc.streams_service import StreamsService
from tests.support import own_time

E = NewEvent("T", b"{}")
SHORT = RetryPolicy(budget=0.4, first_pause=0.01)


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
    service = StreamsService()
    async with served(service, SHORT) as (server, client):
        await client.append_events("s", StreamState.ANY, E)
        client._core.forget_features()

        async def serve(call: FakeCall) -> None:
            call.peer.drop()

        server.handler = serve
        server.peer.drop()
        before = own_time()
        with pytest.raises(ServiceUnavailable):
            await client.append_events("s", StreamState.ANY, E)
        assert own_time() - before < 2 * SHORT.budget


async def test_an_append_that_was_not_sent_in_time_is_not_in_doubt() -> None:
    """A full room, because the server answers nobody: the one that waits outside has not been sent."""
    service = StreamsService()

    async def silent(call: FakeCall, request: BatchRequest) -> bool:
        return True

    service.on_batch = silent
    async with served(service) as (_, client):
        large = NewEvent("T", b"x" * 900_000)
        inside = [asyncio.ensure_future(client.append_events("s", StreamState.ANY, large)) for _ in range(10)]
        await until(lambda: bool(client._appender._batches._room._waiting))
        with pytest.raises(DeadlineExceeded) as caught:
            await client.append_events("s", StreamState.ANY, large, timeout=0.05)
        assert not isinstance(caught.value, OutcomeUnknown)
        for task in inside:
            task.cancel()
        await asyncio.gather(*inside, return_exceptions=True)


async def test_an_append_that_waited_for_its_call_is_not_in_doubt() -> None:
    """The call to which it belongs could not be opened yet."""
    service = StreamsService()
    async with served(service) as (server, client):
        await client.append_events("s", StreamState.ANY, E)
        features = client._core._features
        server.peer.drop()
        await until(lambda: not client._appender._batches._call.usable)  # type: ignore[union-attr]
        held = asyncio.Event()
        node = client._core._topology._node  # type: ignore[union-attr]
        dial = node._dial

        async def slow() -> object:
            await held.wait()
            return await dial()

        node._dial = slow
        asked = client._core.features

        async def known(deadline: object) -> object:
            return features

        client._core.features = known  # type: ignore[method-assign,assignment]
        with pytest.raises(DeadlineExceeded) as caught:
            await client.append_events("s", StreamState.ANY, E, timeout=0.05)
        assert not isinstance(caught.value, OutcomeUnknown)
        client._core.features = asked  # type: ignore[method-assign]
        held.set()


async def test_a_refusal_says_nothing_of_one_append_when_another_was_sent_too() -> None:
    """The server refuses the call at one append; that of which nobody waits for the answer may have been the one."""
    service, seen = StreamsService(), asyncio.Event()
    got: list[BatchRequest] = []

    async def refuse(call: FakeCall, request: BatchRequest) -> bool:
        got.append(request)
        seen.set()
        if len(got) == 2:
            call.finish([("grpc-status", "5"), ("grpc-message", "Leader info available"), ("exception", "not-leader")])
        return True

    service.on_batch = refuse
    async with served(service) as (_, client):
        first = asyncio.ensure_future(client.append_events("s", StreamState.ANY, E))
        await seen.wait()
        second = asyncio.ensure_future(client.append_events("s", StreamState.ANY, NewEvent("T", b"{}")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not second.done()
        # whoever asked for the second one loses interest: what is refused may be this one, and the first be written
        second.cancel()
        with pytest.raises(OutcomeUnknown):
            await first


async def test_a_single_refused_append_is_not_in_doubt() -> None:
    service = StreamsService()

    async def refuse(call: FakeCall, request: BatchRequest) -> bool:
        call.finish([("grpc-status", "5"), ("grpc-message", "Leader info available"), ("exception", "not-leader")])
        return True

    service.on_batch = refuse
    async with served(service) as (_, client):
        with pytest.raises(NotLeader):
            await client.append_events("s", StreamState.ANY, E)


async def test_an_append_that_is_under_way_at_the_close_says_that_it_may_be_done() -> None:
    service, seen = StreamsService(), asyncio.Event()

    async def silent(call: FakeCall, request: BatchRequest) -> bool:
        seen.set()
        return True

    service.on_batch = silent
    async with served(service) as (_, client):
        task = asyncio.ensure_future(client.append_events("s", StreamState.ANY, E))
        await seen.wait()
        await client.close()
        with pytest.raises(ClientClosed, match="may have been done"):
            await task


def after_a_drop(answer: Callable[[FakeCall, BatchRequest], object]) -> Callable[..., Awaitable[bool]]:
    """The connection of the first append is lost, and the others are answered like this."""
    appends = count()

    async def take(call: FakeCall, request: BatchRequest) -> bool:
        call.peer.drop() if next(appends) == 0 else answer(call, request)
        return True

    return take


async def test_looking_for_the_events_fails_after_a_refusal() -> None:
    """The answer was lost, the retry meets a stream that has moved on, and the stream cannot be read either."""
    service = StreamsService()
    service.on_batch = after_a_drop(lambda call, request: service.refuse(call, request, 7))

    async def serve(call: FakeCall) -> None:
        if call.method == "Read":
            await call.read()
            call.peer.drop()
        else:
            await service(call)

    async with served(serve, SHORT) as (_, client):
        with pytest.raises(OutcomeUnknown) as caught:
            await client.append_events("s", 3, E)
        assert [event.id for event in caught.value.events] == [E.id]


async def test_nobody_is_known_any_more_after_an_append_in_doubt() -> None:
    """UNAUTHENTICATED for the second attempt says nothing of the first."""
    service = StreamsService()
    service.on_batch = after_a_drop(lambda call, _: call.finish([("grpc-status", "16"), ("grpc-message", "no")]))
    async with served(service, SHORT) as (_, client):
        with pytest.raises(OutcomeUnknown) as caught:
            await client.append_events("s", 3, E)
        assert caught.value.events


async def test_a_stream_that_was_tombstoned_after_an_append_in_doubt() -> None:
    """The events may have been written before the stream was deleted."""
    service = StreamsService()

    def deleted(call: FakeCall, request: BatchRequest) -> None:
        call.send(encode_batch_error(request.correlation_id, "s", code=9, message="", detail="StreamDeleted"))

    async def serve(call: FakeCall) -> None:
        if call.method == "Read":
            await call.read()
            call.fail(9, "", [("exception", "stream-deleted"), ("stream-name", "s")])
        else:
            await service(call)

    async with served(serve, SHORT) as (_, client):
        for expected in (0, StreamState.ANY):
            service.on_batch = after_a_drop(deleted)
            with pytest.raises(OutcomeUnknown) as caught:
                await client.append_events("s", expected, E)
            assert caught.value.events


@pytest.mark.parametrize("ending", ["garbage", "cancelled"])
async def test_a_change_whose_answer_cannot_be_understood_may_be_done(ending: str) -> None:
    async def serve(call: FakeCall) -> None:
        await call.read()
        if ending == "garbage":
            call.begin()
            call.finish()  # OK, but without the one message
        else:
            call.fail(1, "")

    async with served(serve) as (_, client):
        with pytest.raises(OutcomeUnknown):
            await client.delete_stream("s", StreamState.ANY)


async def test_an_answer_to_an_append_of_its_own_that_cannot_be_understood() -> None:
    service = StreamsService(batch_append=False)

    async def serve(call: FakeCall) -> None:
        if call.method == "Append":
            await call.read()
            call.begin()
            call.finish()
        else:
            await service(call)

    async with served(serve) as (_, client):
        with pytest.raises(OutcomeUnknown) as caught:
            await client.append_events("s", StreamState.ANY, E)
        assert caught.value.events


async def test_a_frozen_server_is_no_server_that_wants_tls() -> None:
    """It has never said a word; the client gives up, not the server."""
    with EmbeddedServer() as server, server.faults.stall():
        uri = f"esdb://{server.host}:{server.port}?tls=false&keepAliveInterval=100&keepAliveTimeout=100"
        async with AsyncEsdbClient(uri, retry=ONCE) as client:
            with pytest.raises(ServiceUnavailable, match="no sign of life") as caught:
                await client.get_commit_position()
            assert not isinstance(caught.value, TlsError)


async def test_what_was_sent_to_a_frozen_server_is_in_doubt() -> None:
    """It lies in the server's buffers, and is done when the server goes on."""
    with EmbeddedServer() as server:
        async with AsyncEsdbClient(server.uri) as other:
            await other.append_events("s", None, E)
            fault = server.faults.stall()
            uri = f"esdb://{server.host}:{server.port}?tls=false&keepAliveInterval=100&keepAliveTimeout=100"
            async with AsyncEsdbClient(uri, retry=ONCE) as client:
                with pytest.raises(WriteInterrupted):
                    await client.delete_stream("s", StreamState.ANY)
            fault.clear()


async def test_looking_for_the_events_follows_the_leader() -> None:
    """The node that lost the answer is deposed before it says whether it has the events."""
    async with SimulatedCluster() as cluster:
        old = cluster.nodes[0]
        async with AsyncEsdbClient(cluster.uri, retry=RetryPolicy(budget=3.0)) as client:
            await client.append_events("s", None, NewEvent("T", b"{}"))
            old.faults.lose_answers(times=1)
            old.faults.delay(0.5, method="Read")
            task = asyncio.ensure_future(client.append_events("s", StreamState.EXISTS, E))
            node = client._core._nodes.get(Address(old.host, old.port))  # type: ignore[union-attr]
            await until(lambda: any(link.long_calls == 0 for link in node._links) or not node.connected)
            await until(lambda: any(link.long_calls for link in node._links))
            await cluster.elect_async(1)
            assert (await task).stream_position == 1
            assert [event.id async for event in client.read_stream_events("s", 1)] == [E.id]


async def test_batch_errors_still_have_their_classes() -> None:
    service = StreamsService()

    async def answer(call: FakeCall, request: BatchRequest) -> bool:
        call.send(encode_batch_error(request.correlation_id, "s", code=4, message="Timeout", detail="Timeout"))
        return True

    service.on_batch = answer
    async with served(service) as (_, client):
        with pytest.raises(OutcomeUnknown):
            await client.append_events("s", StreamState.ANY, E)


async def test_a_change_that_waited_for_a_free_place_is_not_in_doubt() -> None:
    """The server takes one call at a time, and that one is never answered."""

    async def silent(call: FakeCall) -> None:
        await call.read()

    async with served(silent) as (server, client):
        server.max_streams = 1
        first = asyncio.ensure_future(client.delete_stream("a", StreamState.ANY))
        await server.called.wait()
        with pytest.raises(DeadlineExceeded) as caught:
            await client.delete_stream("b", StreamState.ANY, timeout=0.05)
        assert not isinstance(caught.value, OutcomeUnknown)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def test_a_change_that_waited_for_a_token_is_not_in_doubt() -> None:
    forever = asyncio.Event()

    async def token() -> str:
        await forever.wait()
        return "never"

    async with fake_server(StreamsService()) as server:
        client = AsyncEsdbClient(
            f"127.0.0.1:{server.port}", retry=ONCE, credentials=BearerToken(token), send_credentials_insecurely=True
        )
        async with client:
            with pytest.raises(DeadlineExceeded) as caught:
                await client.delete_stream("b", StreamState.ANY, timeout=0.05)
            assert not isinstance(caught.value, OutcomeUnknown)


async def test_a_server_that_closes_without_a_word_may_want_tls() -> None:
    def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, AsyncEsdbClient(f"127.0.0.1:{port}", retry=ONCE) as client:
        with pytest.raises(ServiceUnavailable, match="expects TLS") as caught:
            await client.get_commit_position()
        assert not isinstance(caught.value, TlsError)  # nobody has said so: it may be a proxy without a server


async def test_a_server_that_closes_every_connection_at_once_is_out_of_reach() -> None:
    """So quickly, now and then, that the connection is gone before anybody holds it."""
    with EmbeddedServer() as server:
        async with AsyncEsdbClient(server.uri, retry=ONCE) as client:
            await client.append_events("s", None, E)
            with server.faults.refuse_connections():
                server.faults.drop_connections()
                for _ in range(100):
                    with pytest.raises(ServiceUnavailable):
                        await client.get_commit_position()
            assert await client.get_commit_position() > 0
