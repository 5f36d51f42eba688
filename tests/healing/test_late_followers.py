"""A follower that has not got yet what its leader has: it serves reads, and passes appends on.

The client knows one address, as of a load balancer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from esdb_lite import AsyncEsdbClient, EmbeddedServer, ExpectedPositionError, NewEvent, StreamState
from esdb_lite._rpc.call import ClientCall
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite.client.decisions import steps
from tests.healing.call_relay import CallRelay
from tests.healing.waiting import until
from tests.rpc.fake import FakeCall, FakeServer, fake_server

NOT_FOUND = 5


class Follower(CallRelay):
    """Passes on what is written, and reads from another server, which is late."""

    leads = False
    """Whether it is the leader for the time being."""

    def __init__(self, leader: ConnectionPool, late: ConnectionPool) -> None:
        super().__init__(leader)
        self._leader = leader
        self._late = CallRelay(late)

    async def __call__(self, call: FakeCall) -> None:
        if call.method == "Read" and call.headers.get("requires-leader") == "true" and not self.leads:
            where = [("leader-endpoint-host", self._leader.host), ("leader-endpoint-port", str(self._leader.port))]
            call.fail(NOT_FOUND, "Leader info available", [("exception", "not-leader"), *where])
        else:
            await super().__call__(call)

    def open(self, call: FakeCall) -> ClientCall:
        return self._late.open(call) if call.method == "Read" and not self.leads else super().open(call)


class World(NamedTuple):
    leader: AsyncEsdbClient
    late: AsyncEsdbClient
    client: AsyncEsdbClient
    """Of the follower."""
    follower: Follower
    fake: FakeServer

    async def catch_up(self, *streams: str) -> None:
        """Give the follower what it does not have."""
        for stream in streams:
            at = await self.late.get_stream_position(stream)
            for event in await self.leader.read_stream_events(stream, None if at is None else at + 1):
                same = NewEvent(event.type, event.data, event.metadata, id=event.id)
                await self.late.append_events(stream, StreamState.ANY, same)


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    async with EmbeddedServer() as first, EmbeddedServer() as second:
        nodes = [ConnectionPool(server.host, server.port or 0) for server in (first, second)]
        follower = Follower(*nodes)
        async with (
            AsyncEsdbClient(first.uri) as leader,
            AsyncEsdbClient(second.uri) as late,
            fake_server(follower) as fake,
            AsyncEsdbClient(f"esdb://{fake.host}:{fake.port}?tls=false") as client,
        ):
            yield World(leader, late, client, follower, fake)
        for node in nodes:
            await node.close()


def changed(by: int) -> NewEvent:
    return NewEvent.json("Changed", by)


def fold(balance: int, event: Any) -> int:
    by: int = event.json()
    return balance + by


class Withdrawing:
    """Withdraws 50 if that much is there. `later` is called when it is decided for the first time."""

    def __init__(self, later: Callable[[], object] = lambda: None) -> None:
        self.seen: list[int] = []
        self._later = later

    def __call__(self, balance: int) -> NewEvent | None:
        if not self.seen:
            self._later()
        self.seen.append(balance)
        return changed(-50) if balance >= 50 else None


async def test_it_is_not_decided_on_what_is_late() -> None:
    async with world() as all_:
        await all_.leader.append_events("account", None, changed(100))
        await all_.catch_up("account")
        await all_.leader.append_events("account", 0, [changed(-70), changed(-20)])
        coming: list[asyncio.Task[None]] = []
        withdrawing = Withdrawing(lambda: coming.append(asyncio.ensure_future(arrive())))

        async def arrive() -> None:
            await until(lambda: len(calls) == 2)  # it has looked once more, and has not seen it
            await all_.catch_up("account")

        calls: list[object] = []
        read = all_.client.read_stream_events

        def reading(*arguments: Any, **options: Any) -> Any:
            calls.append(arguments)
            return read(*arguments, **options)

        all_.client.read_stream_events = reading  # type: ignore[method-assign]
        done = await all_.client.decide("account", fold, 0, withdrawing)
        await asyncio.gather(*coming)
        assert (withdrawing.seen, done.events, done.position) == ([100, 10], (), 2)


async def test_nor_on_several_streams() -> None:
    async with world() as all_:
        for stream in ("one", "two"):
            await all_.leader.append_events(stream, None, changed(50))
        await all_.catch_up("one", "two")
        await all_.leader.append_events("two", 0, changed(-90))
        withdrawing = Withdrawing(lambda: asyncio.get_running_loop().call_later(0.05, arrive))
        coming: list[asyncio.Task[None]] = []

        def arrive() -> None:
            coming.append(asyncio.ensure_future(all_.catch_up("two")))

        def decide(balance: int) -> dict[str, NewEvent]:
            event = withdrawing(balance)
            return {} if event is None else {"one": event}

        done = await all_.client.decide_across(["one", "two"], fold, 0, decide)
        await asyncio.gather(*coming)
        assert (withdrawing.seen, done.events) == ([100, 10], {})


async def test_it_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "LATE", 0.05)
    async with world() as all_:
        await all_.leader.append_events("account", None, changed(100))
        await all_.catch_up("account")
        await all_.leader.append_events("account", 0, changed(-70))
        withdrawing = Withdrawing()
        with pytest.raises(ExpectedPositionError) as caught:
            await all_.client.decide("account", fold, 0, withdrawing)
        assert (withdrawing.seen, caught.value.current) == ([100], 1)
        assert await all_.leader.get_stream_position("account") == 1


@pytest.mark.parametrize("stream", ["account", None])
async def test_it_is_not_taken_for_another_database(stream: str | None) -> None:
    """A subscription comes from the leader to a follower that lacks the last event, and goes on there."""
    async with world() as all_:
        await all_.leader.append_events("account", None, changed(100))
        await all_.catch_up("account")
        await all_.leader.append_events("account", 0, changed(-70))
        all_.follower.leads = True
        subscribe = all_.client.subscribe_all_events if stream is None else all_.client.subscribe_stream_events
        async with subscribe(*filter(None, [stream])) as subscription:
            assert [(await subscription.__anext__()).json() for _ in range(2)] == [100, -70]
            all_.follower.leads = False
            all_.fake.peer.drop()
            calls = len(all_.fake.calls)
            coming = asyncio.ensure_future(subscription.__anext__())
            await until(lambda: len(all_.fake.calls) > calls + 2 or coming.done())
            await all_.catch_up("account")
            await all_.late.append_events("account", 1, changed(7))
            assert (await coming).json() == 7
