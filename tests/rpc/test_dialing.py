"""Connecting to names with several addresses, some of which do not answer."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from collections.abc import Awaitable, Callable

import pytest

from esdb_lite import AsyncEsdbClient
from esdb_lite._http2.client import ClientProtocol
from esdb_lite._rpc import dialing
from esdb_lite._rpc.dialing import first_of, in_turns, open_socket
from tests.healing.waiting import until
from tests.rpc.fake import fake_server
from tests.rpc.streams_service import StreamsService

V4, V6 = socket.AF_INET, socket.AF_INET6


def test_families_take_turns() -> None:
    a, b, c, d = ((V6, ("a", 1)), (V6, ("b", 1)), (V4, ("c", 1)), (V4, ("d", 1)))
    assert in_turns([a, b, c, d]) == [a, c, b, d]
    assert in_turns([c, a, b]) == [c, a, b]
    assert in_turns([]) == []


def connecting(
    seconds: float, result: socket.socket | Exception, began: list[int], number: int = 0
) -> Callable[[], Awaitable[socket.socket]]:
    async def attempt() -> socket.socket:
        began.append(number)
        await asyncio.sleep(seconds)
        if isinstance(result, Exception):
            raise result
        return result

    return attempt


async def test_one_that_does_not_answer_costs_its_head_start_alone() -> None:
    ours, theirs = socket.socketpair()
    began: list[int] = []
    loop = asyncio.get_running_loop()
    before = loop.time()
    made = await first_of([connecting(60, OSError(), began), connecting(0, ours, began, 1)], 0.02)
    assert made is ours
    assert began == [0, 1]
    assert loop.time() - before < 10
    ours.close()
    theirs.close()


def test_a_handshake_that_is_cancelled_leaves_nothing_on_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is cancelled in the step in which it has begun, uvloop keeps it until its time is over."""
    uvloop = pytest.importorskip("uvloop")
    monkeypatch.setattr(dialing, "HANDSHAKE_TIMEOUT", 0.5)

    def handshakes() -> int:
        gc.collect()
        return sum(type(each).__name__ == "SSLProtocol" for each in gc.get_objects())

    async def cancelled(port: int, context: ssl.SSLContext, steps: int) -> None:
        dialed = dialing.dial("127.0.0.1", port, lambda: ClientProtocol(None), context, None)
        making = asyncio.ensure_future(dialed)
        for _ in range(steps):
            await asyncio.sleep(0)
        making.cancel()
        await asyncio.gather(making, return_exceptions=True)

    async def main() -> None:
        context = ssl.create_default_context()
        with socket.create_server(("127.0.0.1", 0)) as silent:
            for _ in range(100):
                for steps in range(12):
                    await cancelled(silent.getsockname()[1], context, steps)
                if handshakes():
                    break
            else:
                pytest.fail("none was kept: there is nothing to be seen to any more")
            await until(lambda: not handshakes())

    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


async def test_one_that_refuses_costs_nothing() -> None:
    ours, theirs = socket.socketpair()
    began: list[int] = []
    made = await first_of([connecting(0, ConnectionRefusedError(), began), connecting(0, ours, began, 1)], 60)
    assert made is ours
    ours.close()
    theirs.close()


async def test_who_comes_second_is_closed() -> None:
    pairs = [socket.socketpair() for _ in range(3)]
    began: list[int] = []
    made = await first_of([connecting(0.01, ours, began) for ours, _ in pairs], 0)
    assert [ours.fileno() >= 0 for ours, _ in pairs].count(True) == 1
    made.close()
    for _, theirs in pairs:
        theirs.close()


async def test_all_reasons_are_told() -> None:
    attempts = [connecting(0, OSError(text), []) for text in ("no route", "refused", "refused")]
    with pytest.raises(OSError, match="no route; refused"):
        await first_of(attempts, 0)
    with pytest.raises(ConnectionRefusedError):
        await first_of([connecting(0, ConnectionRefusedError(111, "refused"), [])], 0)


async def test_being_cancelled_leaves_nothing() -> None:
    began: list[int] = []
    task = asyncio.ensure_future(first_of([connecting(60, OSError(), began), connecting(60, OSError(), began)], 0))
    await until(lambda: len(began) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_first_address_that_drops_what_is_sent_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real one: a socket whose queue of connections is full, so that the system answers nothing."""
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    taken = []
    for _ in range(4):
        taken.append(socket.socket())
        taken[-1].setblocking(False)
        taken[-1].connect_ex(full.getsockname())
    async with fake_server(StreamsService()) as server:

        async def addresses(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
            return [(V4, full.getsockname()), (V4, ("127.0.0.1", server.port))]

        monkeypatch.setattr(dialing, "_addresses", addresses)
        async with AsyncEsdbClient(f"db.example.org:{server.port}") as client:
            assert await client.get_commit_position(timeout=8) > 0
    for each in taken:
        each.close()
    full.close()


async def test_an_address_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", None)
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        (await open_socket("127.0.0.1", server.sockets[0].getsockname()[1])).close()
