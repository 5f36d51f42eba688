"""The client when things go wrong: appends under way, iterators left alone, servers of several kinds."""

from __future__ import annotations

import asyncio
import gc
import logging
import time

import pytest

from esdb_lite import (
    AccessDenied,
    AppendResult,
    AsyncEsdbClient,
    ClientClosed,
    DeadlineExceeded,
    EmbeddedServer,
    ExpectedPositionError,
    NewEvent,
    NotLeader,
    OperationTimedOut,
    OutcomeUnknown,
    ProtocolError,
    ServerNotReady,
    ServiceUnavailable,
    StreamNotFound,
    Unauthenticated,
    WrongContext,
)
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._wire.batch_append import BatchRequest, encode_batch_error
from esdb_lite._wire.read_request import ReadRequest
from esdb_lite._wire.read_response_encode import encode_stream_missing
from esdb_lite.client.append.batch_call import MAX_APPENDS
from esdb_lite.client.read.call import ReadCall
from esdb_lite.errors import WriteDeadlineExceeded, WriteInterrupted, WriteTimedOut
from tests.rpc.fake import FakeCall, fake_server, framed, never, served
from tests.rpc.streams_service import StreamsService, event_message, subscription

E = NewEvent("T", b"{}")

# --- appending ------------------------------------------------------------------------------------------------------


async def test_appends_share_a_call() -> None:
    service = StreamsService()
    async with served(service) as (_, client):
        results = await asyncio.gather(*(client.append_events(f"s{n}", None, E) for n in range(200)))
        assert sorted(results) == list(range(1, 201))
    assert service.calls == ["GetSupportedMethods", "BatchAppend"]
    assert max(service.writes) > 5  # what is asked for at the same time is sent together


async def test_without_batch_append_each_has_its_own_call() -> None:
    service = StreamsService(batch_append=False)
    async with served(service) as (_, client):
        assert await client.append_events("a", None, [E, E]) == 1
        assert await client.append_events("b", None, E) == 2
    assert service.calls == ["GetSupportedMethods", "Append", "Append"]


async def test_a_server_that_does_not_tell_its_features() -> None:
    service = StreamsService()

    async def old(call: FakeCall) -> None:
        if call.method == "GetSupportedMethods":
            call.fail(12, "Service is unimplemented.")
        else:
            await service(call)

    async with served(old) as (_, client):
        assert await client.append_events("a", None, E) == 1
    assert service.calls == ["Append"]


async def test_large_appends_and_those_with_credentials_have_their_own_call() -> None:
    service = StreamsService()
    async with served(service) as (_, client):
        await client.append_events("a", None, NewEvent("T", bytes(2**20)))
        await client.append_events("b", None, E, credentials=("admin", "changeit"))
    assert service.calls == ["Append", "Append"]


async def test_answers_in_any_order_go_to_whom_they_belong() -> None:
    held: list[tuple[FakeCall, BatchRequest]] = []

    async def reverse(call: FakeCall, request: BatchRequest) -> bool:
        held.append((call, request))
        if len(held) == 10:
            for number, (each, asked) in enumerate(reversed(held)):
                if number % 3:
                    service.accept(each, asked)
                else:
                    service.refuse(each, asked, 7)
        return True

    service = StreamsService(on_batch=reverse)
    async with served(service) as (_, client):
        results = await asyncio.gather(
            *(client.append_events(f"s{n}", 3, E) for n in range(10)), return_exceptions=True
        )
    for number, result in enumerate(results):
        if (9 - number) % 3:
            assert isinstance(result, AppendResult)
        else:
            assert isinstance(result, ExpectedPositionError)
            assert (result.stream_name, result.expected, result.current) == (f"s{number}", 3, 7)


async def test_a_broken_call_fails_those_under_way_and_no_others() -> None:
    async def hold_some(call: FakeCall, request: BatchRequest) -> bool:
        assert request.options is not None
        if request.options.stream == "break":
            call.peer.drop()
        return str(request.options.stream).startswith(("held", "break"))

    service = StreamsService(on_batch=hold_some)
    async with served(service) as (server, client):
        assert await client.append_events("fine", None, E) == 1
        held = [asyncio.ensure_future(client.append_events(f"held{n}", 5, [E, E])) for n in range(3)]
        await asyncio.sleep(0)
        broken = await asyncio.gather(client.append_events("break", None, E), *held, return_exceptions=True)
        for error in broken:
            assert isinstance(error, WriteInterrupted)
            assert isinstance(error, (OutcomeUnknown, ServiceUnavailable))
            assert (error.host, error.port) == ("127.0.0.1", server.port)
        unknown = broken[1]
        assert isinstance(unknown, OutcomeUnknown)
        assert (unknown.stream_name, unknown.expected_position, list(unknown.events)) == ("held0", 5, [E, E])
        assert broken[1] is not broken[2]
        assert await client.append_events("fine", None, E) == 2  # on a new connection


async def test_the_timeout_of_an_append() -> None:
    async def hold(call: FakeCall, request: BatchRequest) -> bool:
        assert request.options is not None
        return request.options.stream == "slow"

    service = StreamsService(on_batch=hold)
    async with served(service) as (_, client):
        await client.append_events("fine", None, E)
        with pytest.raises(WriteDeadlineExceeded) as caught:
            await client.append_events("slow", None, E, timeout=0.05)
        assert isinstance(caught.value, (DeadlineExceeded, TimeoutError, OutcomeUnknown))
        assert caught.value.events == (E,)
        assert await client.append_events("fine", None, E) == 2  # the call goes on
        assert not client._appender._batches._current()._under_way  # and nothing waits for the late answer


async def test_an_append_that_is_cancelled_harms_no_other() -> None:
    service = StreamsService()
    async with served(service) as (_, client):
        await client.append_events("first", None, E)
        tasks = [asyncio.ensure_future(client.append_events(f"s{n}", None, E)) for n in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, AppendResult) for result in results[1::2])
        assert all(isinstance(result, asyncio.CancelledError) for result in results[::2])


@pytest.mark.parametrize(
    ("code", "message", "detail", "expected"),
    [
        (4, "Timeout", "Timeout", WriteTimedOut),
        (0, "Server Is Not Ready", "Empty", ServerNotReady),
        (7, "AccessDenied", "AccessDenied", AccessDenied),
    ],
)
async def test_errors_inside_the_answers(code: int, message: str, detail: str, expected: type[Exception]) -> None:
    async def refuse(call: FakeCall, request: BatchRequest) -> bool:
        call.send(encode_batch_error(request.correlation_id, "s", code=code, message=message, detail=detail))
        return True

    async with served(StreamsService(on_batch=refuse)) as (_, client):
        with pytest.raises(expected) as caught:
            await client.append_events("s", None, E)
    if isinstance(caught.value, OutcomeUnknown):
        assert isinstance(caught.value, OperationTimedOut)
        assert caught.value.events == (E,)


async def test_a_call_that_is_refused_as_a_whole() -> None:
    leader = [("exception", "not-leader"), ("leader-endpoint-host", "n2"), ("leader-endpoint-port", "2113")]

    async def refuse(call: FakeCall, request: BatchRequest) -> bool:
        call.finish([("grpc-status", "5"), ("grpc-message", "Leader info available"), *leader])
        return True

    async with served(StreamsService(on_batch=refuse)) as (_, client):
        with pytest.raises(NotLeader) as caught:
            await client.append_events("s", None, E)
    assert (caught.value.host, caught.value.port) == ("n2", 2113)


async def test_answers_that_belong_to_nobody_are_ignored() -> None:
    async def twice(call: FakeCall, request: BatchRequest) -> bool:
        service.accept(call, request._replace(correlation_id=bytes(16)))
        service.accept(call, request)
        service.accept(call, request)
        return True

    service = StreamsService(on_batch=twice)
    async with served(service) as (_, client):
        assert await client.append_events("s", None, E) == 2
        assert await client.append_events("s", None, E) == 5


async def test_nonsense_on_the_shared_call() -> None:
    async def nonsense(call: FakeCall, request: BatchRequest) -> bool:
        call.send(b"\xff\xff\xff")
        return True

    async with served(StreamsService(on_batch=nonsense)) as (_, client):
        with pytest.raises(OutcomeUnknown) as caught:
            await client.append_events("s", None, E)
    assert isinstance(caught.value.__cause__, WriteInterrupted | ProtocolError)


async def test_thousands_at_a_time_are_limited() -> None:
    most = 0

    async def count(call: FakeCall, request: BatchRequest) -> bool:
        nonlocal most
        most = max(most, len(client._appender._batches._current()._under_way))
        return False

    async with served(StreamsService(on_batch=count)) as (_, client):
        results = await asyncio.gather(*(client.append_events("s", -2, E) for _ in range(3 * MAX_APPENDS)))
    assert len(results) == 3 * MAX_APPENDS
    assert 0 < most <= MAX_APPENDS


async def test_a_batch_without_notes_counts_as_one_of_events() -> None:
    """Where a read asks for it, it ends with a note on the last position of its stream, which is not handed out."""
    async with EmbeddedServer() as server, AsyncEsdbClient(server.uri) as client:
        await client.append_events("s", None, [NewEvent("T", b"") for _ in range(5)])
        call = ReadCall(client._core, ReadRequest("s", tells_last=True), Deadline(None), None)
        batches = []
        while items := await call.batch():
            batches.append((len(items), call.only_events))
        assert sum(size for size, _ in batches) == 5
        assert all(only_events for _, only_events in batches)
        assert call.last_stream_position == 4
        call.close()


# --- reading --------------------------------------------------------------------------------------------------------


async def test_a_read_that_is_dropped_ends() -> None:
    async def endless(call: FakeCall) -> None:
        await call.read()
        call.begin()
        call.send(event_message(0))
        await asyncio.shield(call.reset_by_client)

    async with served(endless) as (server, client):
        response = client.read_stream_events("s")
        assert (await response.__anext__()).stream_position == 0
        del response
        gc.collect()
        assert await asyncio.wait_for(server.calls[0].reset_by_client, 5) == 8


async def test_breaking_off_and_dropping() -> None:
    async with served(lambda call: subscription(call, 0, 1, 2)) as (server, client):
        async for event in await client.subscribe_stream_events("s"):
            if event.stream_position == 2:
                break
        gc.collect()
        assert await asyncio.wait_for(server.calls[0].reset_by_client, 5) == 8


async def test_being_cancelled_loses_nothing() -> None:
    async def slowly(call: FakeCall) -> None:
        await subscription(call, 0)

    async with served(slowly) as (server, client):
        subscribed = await client.subscribe_stream_events("s")
        assert (await subscribed.__anext__()).stream_position == 0
        for number in range(1, 4):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(subscribed.__anext__(), 0.01)
            server.calls[0].send(event_message(number))
            assert (await subscribed.__anext__()).stream_position == number
        await subscribed.close()


async def test_two_tasks_cannot_iterate_at_once() -> None:
    async with served(lambda call: subscription(call)) as (_, client):
        subscribed = await client.subscribe_stream_events("s")
        first = asyncio.ensure_future(subscribed.__anext__())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="two tasks"):
            await subscribed.__anext__()
        first.cancel()
        await asyncio.wait([first])
        await subscribed.close()


async def test_events_that_came_before_the_connection_broke_are_handed_out() -> None:
    async def break_off(call: FakeCall) -> None:
        await call.read()
        call.begin()
        call.send(event_message(0))
        call.send(event_message(1))
        call.peer.transport.close()

    async with served(break_off) as (server, client):
        response = client.read_all_events()
        assert [(await response.__anext__()).stream_position for _ in range(2)] == [0, 1]
        with pytest.raises(ServiceUnavailable, match=str(server.port)):
            await response.__anext__()
        assert [event async for event in response] == []


async def test_a_subscription_that_is_not_confirmed() -> None:
    async with served(StreamsService()) as (_, client):
        with pytest.raises(ProtocolError, match="confirmed"):
            await client.subscribe_all_events()


async def test_answers_that_cannot_be_decoded() -> None:
    async def nonsense(call: FakeCall) -> None:
        await call.read()
        call.answer(b"\x0a\xff")

    async with served(nonsense) as (_, client):
        with pytest.raises(ProtocolError):
            [event async for event in client.read_all_events()]


async def test_an_answer_that_is_cut_off() -> None:
    async def cut_off(call: FakeCall) -> None:
        await call.read()
        call.begin()
        call.send_data(framed(event_message(0)) + framed(event_message(1))[:-1])
        call.finish()

    async with served(cut_off) as (_, client):
        response = client.read_all_events()
        assert (await response.__anext__()).stream_position == 0
        with pytest.raises(ProtocolError, match="cut off"):
            await response.__anext__()


async def test_nothing_is_sent_before_iteration_begins() -> None:
    async def missing(call: FakeCall) -> None:
        await call.read()
        call.answer(encode_stream_missing("s"))

    async with served(missing) as (server, client):
        response = client.read_stream_events("s")
        assert not server.peers
        with pytest.raises(StreamNotFound, match="'s'"):
            await response.__anext__()


async def test_handing_out_costs_no_wait_for_each_event() -> None:
    """A loop over a batch gives other tasks no turn: it does not wait."""
    async with served(StreamsService(events=100)) as (_, client):
        response = client.read_all_events()
        await response.__anext__()
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.ensure_future(count())
        handed = [await response.__anext__() for _ in range(50)]
        other.cancel()
        assert len(handed) == 50
        assert turns <= 1


# --- the client -----------------------------------------------------------------------------------------------------


async def test_after_close() -> None:
    async with served(StreamsService()) as (_, client):
        await client.append_events("s", None, E)
        open_read = client.read_all_events()
        await open_read.__anext__()
        await client.close()
        await client.close()
        with pytest.raises(ClientClosed):
            await client.append_events("s", None, E)
        with pytest.raises(ClientClosed):
            client.read_all_events()
        with pytest.raises(ClientClosed):
            await client.connect()
        with pytest.raises(RuntimeError):
            await client.get_commit_position()


async def test_close_ends_what_is_open() -> None:
    async with served(lambda call: subscription(call)) as (_, client):
        subscribed = await client.subscribe_all_events()
        waiting = asyncio.ensure_future(subscribed.__anext__())
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(ClientClosed):
            await waiting


async def test_a_client_that_was_never_used() -> None:
    client = AsyncEsdbClient("localhost:2113")
    await client.close()


async def test_connecting_on_request() -> None:
    async with served(StreamsService()) as (server, client):
        await client.connect(timeout=5)
        assert len(server.peers) == 1
        await client.connect()
        assert len(server.peers) == 1


def test_another_event_loop() -> None:
    client = AsyncEsdbClient("127.0.0.1:1")

    async def use() -> None:
        with pytest.raises(ServiceUnavailable):
            await client.connect()

    async def use_elsewhere() -> None:
        with pytest.raises(WrongContext, match="event loop"):
            await client.connect()

    asyncio.run(use())
    asyncio.run(use_elsewhere())


async def test_an_append_to_nobody_within_the_timeout() -> None:
    client = AsyncEsdbClient("127.0.0.1:1")
    started = time.monotonic()
    with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:1") as caught:
        await client.append_events("s", None, E, timeout=2)
    assert not isinstance(caught.value, OutcomeUnknown)  # nothing was sent
    assert time.monotonic() - started < 2
    await client.close()


async def test_credentials_are_not_sent_without_tls(caplog: pytest.LogCaptureFixture) -> None:
    service = StreamsService()
    async with fake_server(service) as server:
        uri = f"esdb://admin:secret@127.0.0.1:{server.port}?tls=false"
        with caplog.at_level(logging.WARNING, "esdb_lite"):
            async with AsyncEsdbClient(uri) as client:
                await client.append_events("s", None, E)
                await client.append_events("s", None, E, credentials=("other", "secret"))
        assert all("authorization" not in call.headers for call in server.calls)
    (record,) = caplog.records
    assert record.message.startswith("credentials are not sent over a connection without TLS")
    assert "secret" not in caplog.text


async def test_a_server_that_wants_credentials_without_tls() -> None:
    async def refuse(call: FakeCall) -> None:
        call.fail(16, "Unauthenticated")

    async with fake_server(refuse) as server:
        uri = f"esdb://admin:secret@127.0.0.1:{server.port}?tls=false"
        async with AsyncEsdbClient(uri) as client:
            with pytest.raises(Unauthenticated, match="sendCredentialsInsecurely=true"):
                await client.append_events("s", None, E)
        assert not any("authorization" in call.headers for call in server.calls)
        server.calls.clear()
        async with AsyncEsdbClient(f"{uri}&sendCredentialsInsecurely=true") as client:
            with pytest.raises(Unauthenticated, match="the credentials of user 'admin'"):
                await client.append_events("s", None, E)
        assert all("authorization" in call.headers for call in server.calls)


async def test_the_default_timeout_of_the_connection_string() -> None:
    async with fake_server(never) as server:
        client = AsyncEsdbClient(f"esdb://127.0.0.1:{server.port}?tls=false&defaultDeadline=50")
        with pytest.raises(DeadlineExceeded):
            await client.get_commit_position()
        with pytest.raises(DeadlineExceeded):
            await client.read_all_events().__anext__()
        await client.close()


async def test_who_asks_for_the_same_at_the_same_time_asks_together() -> None:
    client = AsyncEsdbClient("127.0.0.1:1")
    core, answer = client._core, asyncio.Event()
    asked: list[str] = []

    async def ask(key: str) -> str | None:
        async def run() -> str:
            asked.append(key)
            await answer.wait()
            return key

        return await core.together(key, run, Deadline(None))

    answer.set()
    assert await asyncio.gather(*map(ask, "aaba")) == ["a", "a", "b", "a"]
    assert await ask("a") == "a"
    assert asked == ["a", "b", "a"]
    answer.clear()
    late = asyncio.ensure_future(ask("a"))
    for _ in range(3):
        await asyncio.sleep(0)
    assert asked == ["a", "b", "a", "a"]
    await client.close()
    assert await late is None
    assert core._together == {}
