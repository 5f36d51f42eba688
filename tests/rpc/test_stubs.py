"""Generated stubs over our channel: they send, receive and fail like all other calls, and leave nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing

import pytest
from esdb_lite_protos.event_store.client.monitoring import MonitoringStub, StatsReq, StatsResp
from esdb_lite_protos.event_store.client.streams import AppendReq, AppendReqOptions, AppendResp, ReadReq, StreamsStub
from esdb_lite_protos.event_store.client.users import (
    CreateReq,
    CreateReqOptions,
    DetailsReq,
    DetailsResp,
    DetailsRespUserDetails,
    UsersStub,
)
from grpclib.const import Cardinality
from grpclib.metadata import Deadline as GrpclibDeadline

from esdb_lite import AsyncEsdbClient, OutcomeUnknown, RetryPolicy, User
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite._rpc.stubs import Attempt, Attempts, Delivery, T, channel_by, channel_to
from esdb_lite._wire.framing import MessageSplitter
from esdb_lite.errors import DeadlineExceeded, EsdbClientException, ProtocolError, ServiceUnavailable, UserNotFound
from tests.rpc.fake import FakeCall, FakeServer, Handler, check_closed, fake_server, framed, never

NEVER = Deadline(None)
REQUEST = CreateReq(options=CreateReqOptions(login_name="ann", password="secret"))


class Served:
    """A stub's channel and the server behind it."""

    def __init__(self, server: FakeServer, node: ConnectionPool) -> None:
        self.server, self.node = server, node
        self.channel = channel_to(node, NEVER)


Serve = Callable[[Handler], Awaitable[Served]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts servers that do what a test says."""
    async with AsyncExitStack() as running:

        async def start(handler: Handler) -> Served:
            server = await running.enter_async_context(fake_server(handler))
            node = ConnectionPool(server.host, server.port)
            running.push_async_callback(node.close)
            return Served(server, node)

        yield start


def user(name: str) -> bytes:
    return bytes(DetailsResp(user_details=DetailsRespUserDetails(login_name=name)))


async def nothing(call: FakeCall) -> None:
    await call.read()
    call.answer(b"")


async def test_one_request_one_answer(serve: Serve) -> None:
    requests: list[bytes] = []

    async def answer(call: FakeCall) -> None:
        requests.extend(MessageSplitter().feed(await call.read()))
        call.answer(b"")

    served = await serve(answer)
    channel = channel_to(served.node, NEVER, (("authorization", "Basic eDp5"),))
    await UsersStub(channel).create(REQUEST, metadata={"x": "y", "z-bin": b"\xff\xfe"})
    assert [CreateReq().parse(request) for request in requests] == [REQUEST]
    headers = served.server.calls[0].headers
    assert headers[":path"] == "/event_store.client.users.Users/Create"
    assert (headers["authorization"], headers["x"], headers["z-bin"]) == ("Basic eDp5", "y", "//4")
    assert "grpc-timeout" not in headers
    check_closed(served.node)


async def test_many_answers(serve: Serve) -> None:
    async def answer(call: FakeCall) -> None:
        await call.read()
        call.answer(user("ann"), user("bob"))

    served = await serve(answer)
    found = [each.user_details.login_name async for each in UsersStub(served.channel).details(DetailsReq())]
    assert found == ["ann", "bob"]
    check_closed(served.node)


async def test_answers_of_a_call_that_goes_on(serve: Serve) -> None:
    go_on = asyncio.Event()

    async def tell(call: FakeCall) -> None:
        await call.read()
        call.begin()
        call.send(bytes(StatsResp(stats={"n": "0"})))
        call.send(bytes(StatsResp(stats={"n": "1"})))
        await go_on.wait()
        call.send(bytes(StatsResp(stats={"n": "2"})))
        await asyncio.shield(call.reset_by_client)

    served = await serve(tell)
    channel = channel_by(once_to(served.node), NEVER, Delivery.AS_THEY_COME)
    async with aclosing(MonitoringStub(channel).stats(StatsReq())) as figures:
        async for figure in figures:
            if figure.stats["n"] == "1":
                go_on.set()
            elif figure.stats["n"] == "2":
                break
    assert await served.server.calls[0].reset_by_client == 8
    check_closed(served.node)


def once_to(node: ConnectionPool) -> Attempts:
    async def once(method: str, attempt: Attempt[T], deadline: Deadline) -> T:
        return await attempt(node, deadline, ())

    return once


async def test_a_call_that_goes_on_may_fail_and_end(serve: Serve) -> None:
    async def refuse(call: FakeCall) -> None:
        await call.read()
        call.begin()
        call.send(bytes(StatsResp()))
        if call.headers["x"] == "fail":
            call.finish([("grpc-status", "14"), ("grpc-message", "gone")])
        elif call.headers["x"] == "cut":
            call.send_data(b"\0\0\0\0\x09...")
            call.finish()
        else:
            call.finish()

    served = await serve(refuse)
    channel = channel_by(once_to(served.node), NEVER, Delivery.AS_THEY_COME)
    stub = MonitoringStub(channel)
    assert len([each async for each in stub.stats(StatsReq(), metadata=[("x", "end")])]) == 1
    with pytest.raises(ServiceUnavailable, match="gone"):
        [each async for each in stub.stats(StatsReq(), metadata=[("x", "fail")])]
    with pytest.raises(ProtocolError, match="cut off"):
        [each async for each in stub.stats(StatsReq(), metadata=[("x", "cut")])]
    check_closed(served.node)


async def test_many_requests_one_answer(serve: Serve) -> None:
    requests: list[AppendReq] = []

    async def answer(call: FakeCall) -> None:
        requests.extend(AppendReq().parse(each) for each in MessageSplitter().feed(await call.read()))
        call.answer(bytes(AppendResp()))

    sent = [AppendReq(options=AppendReqOptions(revision=number)) for number in range(3)]
    served = await serve(answer)
    assert await StreamsStub(served.channel).append(sent) == AppendResp()
    assert requests == sent
    check_closed(served.node)


async def test_both_sides_at_once_are_refused(serve: Serve) -> None:
    served = await serve(never)
    with pytest.raises(ValueError, match=r"Streams/BatchAppend has requests and answers"):
        [each async for each in StreamsStub(served.channel).batch_append([])]


async def test_trailers_become_an_exception(serve: Serve) -> None:
    async def refuse(call: FakeCall) -> None:
        trailers = [("grpc-status", "5"), ("exception", "user-not-found"), ("login-name", "ann")]
        call.send_headers([(":status", "200"), ("content-type", "application/grpc"), *trailers], end=True)

    served = await serve(refuse)
    with pytest.raises(UserNotFound):
        await UsersStub(served.channel).create(REQUEST)
    check_closed(served.node)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "one message was expected, and there are 0"),
        (framed(b"") * 2, "one message was expected, and there are 2"),
        (framed(b"....")[:-1], "cut off"),
    ],
)
async def test_answers_that_are_none(serve: Serve, data: bytes, text: str) -> None:
    async def answer(call: FakeCall) -> None:
        await call.read()
        call.begin()
        call.send_data(data)
        call.finish()

    served = await serve(answer)
    with pytest.raises(ProtocolError, match=text):
        await UsersStub(served.channel).create(REQUEST)
    check_closed(served.node)


async def test_an_answer_that_cannot_be_decoded(serve: Serve) -> None:
    async def answer(call: FakeCall) -> None:
        await call.read()
        call.answer(b"\x0a\x05\x0a\x09ann")

    served = await serve(answer)
    with pytest.raises(ProtocolError, match=r"an answer to /\S+/Details cannot be decoded"):
        [each async for each in UsersStub(served.channel).details(DetailsReq())]


async def test_a_limit_of_one_call(serve: Serve) -> None:
    served = await serve(never)
    stub = UsersStub(served.channel)
    with pytest.raises(DeadlineExceeded):
        await stub.create(REQUEST, timeout=0.05)
    with pytest.raises(DeadlineExceeded):
        await stub.create(REQUEST, deadline=GrpclibDeadline.from_timeout(0.05), timeout=60)
    check_closed(served.node)


async def test_the_deadline_of_the_channel_holds_where_it_is_sooner(serve: Serve) -> None:
    served = await serve(never)
    channel = channel_to(served.node, Deadline(0.05))
    with pytest.raises(DeadlineExceeded, match=r"Create did not end within 0\.05 seconds"):
        await UsersStub(channel).create(REQUEST, timeout=60)
    check_closed(served.node)


@pytest.mark.parametrize("delivery", Delivery)
@pytest.mark.parametrize("steps", range(1, 12))
async def test_cancelled_at_every_step(serve: Serve, delivery: Delivery, steps: int) -> None:
    served = await serve(never)
    channel = channel_by(once_to(served.node), NEVER, delivery)

    async def stats() -> None:
        [each async for each in MonitoringStub(channel).stats(StatsReq())]

    for call in (UsersStub(channel).create(REQUEST), stats()):
        task = asyncio.ensure_future(call)
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        check_closed(served.node)


async def test_misuse(serve: Serve) -> None:
    served = await serve(nothing)
    request = served.channel.request
    async with request("/a/B", Cardinality.UNARY_UNARY, ReadReq, StatsResp) as stream:
        with pytest.raises(RuntimeError, match="waits for its last request"):
            await stream.recv_message()
        await stream.send_message(ReadReq(), end=True)
        with pytest.raises(RuntimeError, match="has had its last request"):
            await stream.send_message(ReadReq())


# --- as a client makes them ---


class Interrupted:
    """A server that breaks the connection in the first calls of all, in the middle of their answer."""

    def __init__(self, times: int) -> None:
        self.left = times

    async def __call__(self, call: FakeCall) -> None:
        await call.read()
        if self.left:
            self.left -= 1
            call.begin()
            call.send(user("half"))
            call.peer.drop()
        elif call.method == "Details":
            call.answer(user("ann"), user("bob"))
        else:
            call.answer(b"")


async def ask(serve: Serve, handler: Handler, attempts: int = 3) -> AsyncEsdbClient:
    served = await serve(handler)
    policy = RetryPolicy(attempts=attempts, first_pause=0.001)
    return AsyncEsdbClient(f"esdb://{served.server.host}:{served.server.port}?tls=false", retry=policy)


async def test_a_call_that_may_be_repeated_is_made_again(serve: Serve) -> None:
    server = Interrupted(2)
    async with await ask(serve, server) as client:
        await client.enable_user("ann")
    assert server.left == 0


async def test_half_a_list_is_none(serve: Serve) -> None:
    async with await ask(serve, Interrupted(1)) as client:
        found: list[User] = await client.list_users()
    assert [each.login_name for each in found] == ["ann", "bob"]


async def test_what_may_be_done_is_told_as_unknown(serve: Serve) -> None:
    async with await ask(serve, Interrupted(1)) as client:
        with pytest.raises(OutcomeUnknown):
            await client.delete_user("ann")


async def test_attempts_end(serve: Serve) -> None:
    async with await ask(serve, Interrupted(9)) as client:
        with pytest.raises(EsdbClientException) as caught:
            await client.enable_user("ann")
    assert isinstance(caught.value, ServiceUnavailable)
