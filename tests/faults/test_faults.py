"""What an embedded server with faults does, over real connections."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from esdb_lite import EmbeddedServer, Fault, Faults, InvalidArgument, Refusal
from esdb_lite._wire.append import ANY, NO_STREAM
from tests.faults.support import (
    COMMIT,
    GOSSIP,
    GROUPS,
    NOT_LEADER,
    NOT_READY,
    OK,
    REQUIRED,
    STREAMS,
    Batches,
    append,
    confirmed,
    consume,
    create_group,
    events_in,
    read,
    read_request,
    settled,
    silent,
    subscribe,
    subscribed,
    tombstone,
    until_events,
)
from tests.serving.raw import RawClient, connected


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedServer]:
    """A server in memory, on the loop of the test."""
    async with EmbeddedServer() as running:
        yield running


@pytest.fixture
async def client(server: EmbeddedServer) -> AsyncIterator[RawClient]:
    """A connection to it."""
    async with connected(server.port) as connection:
        yield connection


async def written(server: EmbeddedServer, stream: str = "s") -> int:
    """How many events a stream has."""
    async with connected(server.port) as client:
        return events_in(await read(client, stream))


# --- appends ---


@pytest.mark.parametrize(
    ("reason", "status", "in_batch"),
    [
        ("not-ready", NOT_READY, (0, "Server Is Not Ready", "Empty")),
        (Refusal.TOO_BUSY, ("14", "Server Is Too Busy"), (0, "Server Is Busy", "Empty")),
        (Refusal.TIMED_OUT, ("10", "Operation timed out: Prepare phase timeout."), (4, "Timeout", "Timeout")),
    ],
)
async def test_refused_appends(
    server: EmbeddedServer,
    client: RawClient,
    reason: Refusal | str,
    status: tuple[str, str],
    in_batch: tuple[int, str, str],
) -> None:
    batches = Batches(client)
    with server.faults.refuse_appends(reason=reason):
        assert (await append(client)).status == status
        assert (await tombstone(client, "s")).status == status
        assert await batches.append() == in_batch
        assert (await read(client)).status == OK
    assert await written(server) == 0
    assert await batches.append() is None
    assert (await append(client)).status == OK


async def test_an_unknown_refusal_ends_the_batch_append(server: EmbeddedServer, client: RawClient) -> None:
    batches = Batches(client)
    server.faults.refuse_appends(reason=Refusal.UNKNOWN, times=1)
    batches.send()
    assert (await client.ended(batches.call)).status == ("2", "Exception was thrown by handler.")
    assert (await append(client)).status == OK


async def test_a_refusal_is_used_up(server: EmbeddedServer, client: RawClient) -> None:
    server.faults.refuse_appends(times=2)
    assert [(await append(client)).status for _ in range(3)] == [NOT_READY, NOT_READY, OK]


async def test_timed_out_appends_are_written(server: EmbeddedServer, client: RawClient) -> None:
    batches = Batches(client)
    server.faults.time_out_appends(times=2)
    assert (await append(client)).status == COMMIT
    assert await batches.append() == (4, "Timeout", "Timeout")
    assert await batches.append() is None
    assert await written(server) == 3


@pytest.mark.parametrize("how", [append, lambda client: tombstone(client, "s")], ids=["append", "tombstone"])
async def test_lost_answers(server: EmbeddedServer, client: RawClient, how: Callable[[RawClient], object]) -> None:
    server.faults.lose_answers()
    with pytest.raises((EOFError, ConnectionError)):
        await how(client)  # type: ignore[misc]
    async with connected(server.port) as another:
        assert (await read(another)).status in (OK, ("9", "Event stream 's' is deleted."))
        assert events_in(await read(another)) == 1 or how is not append
        assert (await append(another, "t")).status == OK


async def test_a_lost_answer_in_a_batch_append(server: EmbeddedServer, client: RawClient) -> None:
    batches = Batches(client)
    assert await batches.append() is None
    server.faults.lose_answers()
    batches.send()
    await client.until_closed()
    assert len(batches.ending.messages) == 1
    assert not batches.ending.ended
    assert not client.goodbye
    assert await written(server) == 2


async def test_not_leader(server: EmbeddedServer, client: RawClient) -> None:
    await append(client)
    batches = Batches(client)
    with server.faults.not_leader("10.1.2.3", 2113):
        answers = [
            await append(client),
            await tombstone(client, "s"),
            await read(client, more=REQUIRED),
            await client.ended(subscribe(client, more=REQUIRED)),
            await client.ended(consume(client)),
            await client.call(f"{GROUPS}/List", b""),
        ]
        batches.send()
        answers.append(await client.ended(batches.call))
        for answer in answers:
            assert answer.status == NOT_LEADER
            found = {**answer.headers, **answer.trailers}
            assert found["exception"] == "not-leader"
            assert (found["leader-endpoint-host"], found["leader-endpoint-port"]) == ("10.1.2.3", "2113")
        assert (await read(client)).status == OK
        assert (await client.call(GOSSIP, b"")).status == OK
        with_nothing_to_catch_up = subscribe(client, from_end=True, more=REQUIRED)
        await confirmed(client, with_nothing_to_catch_up)
    assert await written(server) == 1
    assert (await append(client)).status == OK


# --- delays ---


async def test_a_delay(server: EmbeddedServer, client: RawClient) -> None:
    with server.faults.delay(30.0, method="Append"):
        assert (await read(client)).status == OK
        waiting = asyncio.ensure_future(append(client))
        done, _ = await asyncio.wait({waiting}, timeout=0.05)
        assert not done
        assert await written(server) == 0
    assert (await waiting).status == OK


@pytest.mark.parametrize("method", ["Statistics", "AppendRecords", "GetInfo", "SwitchChunks"])
def test_calls_of_every_service_can_be_delayed(method: str) -> None:
    EmbeddedServer().faults.delay(1.0, method=method)


async def test_a_delay_takes_its_time(server: EmbeddedServer, client: RawClient) -> None:
    server.faults.delay(0.2, times=1)
    begun = time.monotonic()
    assert (await append(client)).status == OK
    assert time.monotonic() - begun >= 0.2
    with server.faults.delay(30.0, method="Read"):
        assert (await append(client)).status == OK


async def test_appends_of_a_batch_append_wait_in_their_order(server: EmbeddedServer, client: RawClient) -> None:
    batches = Batches(client)
    server.faults.delay(0.1, method="BatchAppend", times=1)
    batches.send(expected=NO_STREAM)
    batches.send(expected=0)
    batches.send(expected=1)
    assert await silent(client, 0.05)
    results = [(await batches.answer()).result for _ in range(3)]
    assert [getattr(result, "revision", result) for result in results] == [0, 1, 2]
    assert await batches.append() is None


# --- connections ---


async def test_dropped_connections(server: EmbeddedServer, client: RawClient) -> None:
    call = await subscribed(client)
    server.faults.drop_connections()
    await client.until_closed()
    assert not client.answers[call].ended
    assert not client.goodbye
    assert await written(server) == 0


@pytest.mark.parametrize("before", [True, False], ids=["set before", "set while it is open"])
async def test_dropped_after_events(server: EmbeddedServer, client: RawClient, before: bool) -> None:
    async with connected(server.port) as another:
        if before:
            server.faults.drop_after(3)
        call = await subscribed(client)
        if not before:
            server.faults.drop_after(3)
        for _ in range(2):
            await append(another, count=2)
        await client.until_closed()
        assert events_in(client.answers[call]) == 3
        assert not client.goodbye
        assert events_in(await read(another)) == 4


async def test_reads_are_dropped_so_many_times(server: EmbeddedServer, client: RawClient) -> None:
    await append(client, count=100)
    server.faults.drop_after(40, times=2)
    for _ in range(2):
        async with connected(server.port) as reader:
            # Whatever came to the closed socket would have it reset, and what was sent last be lost.
            reader.acknowledge = False
            await settled(reader)
            call = reader.open(f"{STREAMS}/Read")
            reader.send(call, _framed(read_request()), end=True)
            await reader.until_closed()
            assert events_in(reader.answers[call]) == 40
    assert events_in(await read(client)) == 100


async def test_refused_connections(server: EmbeddedServer, client: RawClient) -> None:
    with server.faults.refuse_connections():
        async with connected(server.port) as another:
            await another.until_closed()
        assert (await append(client)).status == OK
    async with connected(server.port) as another:
        assert (await append(another)).status == OK


async def test_a_stall(server: EmbeddedServer, client: RawClient) -> None:
    call = await subscribed(client)
    fault = server.faults.stall()
    client.h2.ping(b"are you?")
    client.flush()
    waiting = asyncio.ensure_future(append(client, "t"))
    async with connected(server.port) as another:
        late = asyncio.ensure_future(append(another))
        done, _ = await asyncio.wait({waiting, late}, timeout=0.2)
        assert not done
        assert client.pongs == 0
        fault.clear()
        assert (await late).status == OK
        assert (await waiting).status == OK
    assert client.pongs == 1
    await until_events(client, call, 1)


async def test_nothing_is_sent_during_a_stall(server: EmbeddedServer, client: RawClient) -> None:
    call = await subscribed(client)
    while len(client.answers[call].messages) != 2:
        await client.more()
    with server.faults.stall():
        stack = server._node
        assert stack is not None
        await stack._database.append("s", ANY, [])
        assert await silent(client)


async def test_calls_can_stall_while_connections_are_well(server: EmbeddedServer, client: RawClient) -> None:
    batches = Batches(client)
    before = log_end(server)
    fault = server.faults.stall(connections=False)
    async with connected(server.port) as another:
        waiting = asyncio.ensure_future(append(another))
        batches.send()
        client.h2.ping(b"are you?")
        client.flush()
        while not client.pongs:
            await client.more()
        assert await silent(client)
        assert not waiting.done()
        assert log_end(server) == before
        fault.clear()
        assert (await waiting).status == OK
    assert (await batches.answer()).result is not None
    assert await written(server) == 2


def log_end(server: EmbeddedServer) -> int:
    """Where the log ends, without asking the server."""
    stack = server._node
    assert stack is not None
    return stack._database.log_end


async def test_go_away(server: EmbeddedServer, client: RawClient) -> None:
    call = await subscribed(client)
    server.faults.go_away(11)
    while not client.goodbye:
        await client.more()
    assert client.goodbye_code == 11
    async with connected(server.port) as another:
        assert (await append(another)).status == OK
    await until_events_raw(client, call, 1)


async def test_who_does_not_go_away_is_cut_off(server: EmbeddedServer, client: RawClient) -> None:
    await subscribed(client)
    server.faults.go_away(reset_after=0.05)
    unanswered = asyncio.ensure_future(append(client))
    await asyncio.wait({unanswered}, timeout=10)
    assert isinstance(unanswered.exception(), OSError)


async def until_events_raw(client: RawClient, call: int, count: int) -> None:
    """The same after GOAWAY, of which h2 thinks that it ends everything."""
    while client.raw.count(b"application/json") < count:
        await client.more()
    assert call


# --- subscriptions ---


async def test_consumers_that_are_too_slow(server: EmbeddedServer, client: RawClient) -> None:
    await create_group(client)
    calls = [subscribe(client), subscribe(client, from_end=True)]
    consumer = consume(client)
    for call in (*calls, consumer):
        await confirmed(client, call)
    server.faults.consumer_too_slow()
    slow = "Operation timed out: Consumer too slow to handle event while live. Client resubscription required."
    for call in calls:
        assert (await client.ended(call)).status == ("10", slow)
    dropped = await client.ended(consumer)
    assert dropped.status == ("1", "Subscription group g on stream s was dropped.")
    assert dropped.trailers["exception"] == "persistent-subscription-dropped"
    await subscribed(client)


# --- life ---


async def test_clear_ends_all_of_them(server: EmbeddedServer, client: RawClient) -> None:
    faults = server.faults
    faults.refuse_appends()
    faults.delay(30.0)
    faults.stall()
    waiting = asyncio.ensure_future(append(client))
    done, _ = await asyncio.wait({waiting}, timeout=0.05)
    assert not done
    faults.clear()
    assert (await waiting).status == OK
    faults.clear()


async def test_a_server_stops_whatever_was_set() -> None:
    for set_fault in (Faults.stall, Faults.refuse_connections, Faults.go_away, lambda faults: faults.delay(60.0)):
        async with EmbeddedServer() as server, connected(server.port) as client:
            await subscribed(client)
            set_fault(server.faults)
            waiting = asyncio.ensure_future(append(client))
            await asyncio.wait({waiting}, timeout=0.01)
        waiting.cancel()
        await asyncio.wait({waiting})


async def test_faults_survive_a_restart(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "events.db")
    fault = server.faults.refuse_appends()
    async with server:
        for _ in range(2):
            async with connected(server.port) as client:
                assert (await append(client)).status == NOT_READY
            await server.restart_async()
        fault.clear()
        async with connected(server.port) as client:
            assert (await append(client)).status == OK


async def test_killed_and_restarted(tmp_path: Path) -> None:
    async with EmbeddedServer(tmp_path / "events.db") as server:
        port = server.port
        async with connected(port) as client:
            await append(client)
            call = await subscribed(client)
            await server.kill_async()
            await client.until_closed()
            assert not client.answers[call].ended
            assert not client.goodbye
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await server.restart_async()
        assert server.port == port
        assert await written(server) == 1
    await server.kill_async()


def test_from_another_thread(tmp_path: Path) -> None:
    async def refused(port: int) -> bool:
        async with connected(port) as client:
            return (await append(client)).status == NOT_READY

    with EmbeddedServer(tmp_path / "events.db") as server:
        with server.faults.refuse_appends():
            assert asyncio.run(refused(server.port))
        assert not asyncio.run(refused(server.port))
        port = server.port
        server.kill()
        server.kill()
        assert not [thread for thread in threading.enumerate() if thread.name == "esdb-lite server"]
        server.restart()
        assert server.port == port
        assert not asyncio.run(refused(port))
        server.restart()
        assert server.port == port


async def test_a_loop_is_not_waited_for_by_itself() -> None:
    async with EmbeddedServer() as server:
        with pytest.raises(RuntimeError, match="restart_async"):
            server.restart()
        with pytest.raises(RuntimeError, match="kill_async"):
            server.kill()
        await asyncio.get_running_loop().run_in_executor(None, server.faults.refuse_appends)
        async with connected(server.port) as client:
            assert (await append(client)).status == NOT_READY


# --- arguments ---


@pytest.mark.parametrize(
    ("wrong", "argument"),
    [
        (lambda faults: faults.drop_after(0), "events"),
        (lambda faults: faults.drop_after(True), "events"),
        (lambda faults: faults.drop_after(1, times=0), "times"),
        (lambda faults: faults.delay(-1), "seconds"),
        (lambda faults: faults.delay("1"), "seconds"),
        (lambda faults: faults.delay(float("nan")), "seconds"),
        (lambda faults: faults.delay(1, method="append"), "method"),
        (lambda faults: faults.refuse_appends(reason="never"), "reason"),
        (lambda faults: faults.refuse_appends(times=1.5), "times"),
        (lambda faults: faults.lose_answers(times=-1), "times"),
        (lambda faults: faults.not_leader("", 1), "host"),
        (lambda faults: faults.not_leader("h", 0), "port"),
        (lambda faults: faults.not_leader("h", 70000), "port"),
        (lambda faults: faults.stall(connections=1), "connections"),
        (lambda faults: faults.go_away(-1), "code"),
        (lambda faults: faults.go_away("0"), "code"),
    ],
)
def test_wrong_arguments(wrong: Callable[[Faults], Fault], argument: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        wrong(EmbeddedServer().faults)
    assert caught.value.argument == argument


def _framed(message: bytes) -> bytes:
    return len(message).to_bytes(5, "big") + message
