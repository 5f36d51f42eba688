"""The client for threads: Ctrl-C, forks, dropping, the end of the program."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from esdb_lite import (
    ClientClosed,
    ConsumerGroup,
    EmbeddedServer,
    EsdbClient,
    ExpectedPositionError,
    FileCheckpoint,
    InvalidUri,
    NewEvent,
    StreamState,
    WrongContext,
)
from esdb_lite.sync.portal import Portal
from tests.support import PATIENCE

E = NewEvent("T", b"{}")


def new() -> NewEvent:
    return NewEvent("T", b"{}")


def portals() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("esdb-lite-")]


def test_no_thread_before_it_is_used() -> None:
    before = portals()
    client = EsdbClient("127.0.0.1:1")
    assert portals() == before
    client.close()
    with pytest.raises(ClientClosed):
        client.append_events("s", None, E)


def test_bad_uris_are_refused_at_once() -> None:
    with pytest.raises(InvalidUri):
        EsdbClient("http://localhost:2113")


def test_threads_may_share_a_client(client: EsdbClient) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda number: client.append_events(f"s{number % 3}", -2, new()), range(60)))
    assert len(set(results)) == 60
    assert len(list(client.read_all_events())) == 60


def test_a_refused_append_leaves_no_work_for_the_garbage_collector(client: EsdbClient) -> None:
    def refused() -> weakref.ref[ExpectedPositionError]:
        try:
            client.append_events("s", 7, new())
        except ExpectedPositionError as error:
            return weakref.ref(error)
        raise AssertionError

    client.append_events("s", None, new())
    gc.disable()
    try:
        assert refused()() is None
    finally:
        gc.enable()


def test_close_ends_the_thread(server: EmbeddedServer) -> None:
    before = portals()
    client = EsdbClient(server.uri)
    client.append_events("s", None, E)
    assert len(portals()) == len(before) + 1
    client.close()
    client.close()
    assert portals() == before
    with pytest.raises(ClientClosed):
        client.get_stream_position("s")
    with pytest.raises(ClientClosed):
        client.read_stream_events("s")


def test_dropping_the_client_closes_it(server: EmbeddedServer) -> None:
    before = portals()
    client = EsdbClient(server.uri)
    client.append_events("s", None, E)
    del client
    gc.collect()
    assert portals() == before


def test_an_iterator_keeps_its_client(server: EmbeddedServer) -> None:
    def response() -> object:
        client = EsdbClient(server.uri)
        client.append_events("kept", -2, [new(), new(), new()])
        return client.read_stream_events("kept")

    iterator = response()
    gc.collect()
    assert len(list(iterator)) == 3  # type: ignore[call-overload]
    del iterator
    gc.collect()


def test_closing_wakes_those_who_wait(server: EmbeddedServer) -> None:
    client = EsdbClient(server.uri)
    subscription = client.subscribe_all_events(from_end=True)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, subscription)
        client.close()
        assert isinstance(waiting.exception(10), ClientClosed)


def test_use_on_the_thread_of_the_loop(client: EsdbClient) -> None:
    async def inside() -> None:
        client.get_commit_position()

    client.connect()
    with pytest.raises(WrongContext, match="event loop"):
        client._live().portal.run(inside)


def test_iterators_survive_the_client_they_came_from(client: EsdbClient) -> None:
    client.append_events("s", None, [new(), new(), new()])
    with client.read_stream_events("s") as response:
        next(response)
        client.close()
        assert len(response.next_batch()) == 2  # had arrived
        assert list(response) == []  # nor was there anything else


def test_iterators_that_have_not_come_to_an_end_say_that_the_client_is_closed(client: EsdbClient) -> None:
    client.append_events("s", None, [new() for _ in range(1000)])
    with client.read_stream_events("s") as response:
        next(response)
        client.close()
        with pytest.raises(ClientClosed):
            list(response)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are different there")
def test_ctrl_c_while_waiting(client: EsdbClient, ctrl_c: Callable[[], None]) -> None:
    subscription = client.subscribe_stream_events("s")
    calls = client._live().portal._calls  # type: ignore[union-attr]

    def wait_and_interrupt() -> None:
        while not calls.under_way:
            pass
        ctrl_c()

    thread = threading.Thread(target=wait_and_interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        next(subscription)
    thread.join()
    client.append_events("s", None, E)  # the client can still be used, and so can the subscription
    assert next(subscription).stream_position == 0
    subscription.close()


@pytest.mark.skipif(sys.platform == "win32", reason="signals are different there")
def test_ctrl_c_while_an_append_waits(client: EsdbClient, server: EmbeddedServer, ctrl_c: Callable[[], None]) -> None:
    """It leaves nothing behind but that its outcome is unknown, and can be made again."""
    client.append_events("warm", None, E)
    appender = client._live().client._appender
    room, events = appender._batches._room, [new()]

    def wait_and_interrupt() -> None:
        while not room.taken:
            pass
        ctrl_c()

    thread = threading.Thread(target=wait_and_interrupt)
    with server.faults.delay(600, method="BatchAppend", times=1):
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            client.append_events("s", StreamState.ANY, events)
        thread.join()
    server.faults.drop_connections()  # what is delayed there would hold up the next one
    assert client.append_events("s", StreamState.ANY, events).stream_position == 0
    assert not room.taken
    assert not appender._core.slow._waiting


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_after_a_fork(client: EsdbClient) -> None:
    client.append_events("s", None, [new(), new()])
    response = client.read_stream_events("s")
    assert _in_child(lambda: _work_in_child(client, response)) == 0
    assert [event.stream_position for event in response] == [0, 1, 2]
    assert client.get_stream_position("s") == 2


def _work_in_child(client: EsdbClient, response: Iterator[object]) -> None:
    """What a worker process may do with what it has got from its parent."""
    assert client.get_stream_position("s") == 1
    client.append_events("s", 1, new())
    with pytest.raises(WrongContext, match="forked"):
        response.next_batch()  # type: ignore[attr-defined]
    client.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_child_that_leaves_with_blocks_of_its_parent(client: EsdbClient) -> None:
    client.append_events("s", None, [new(), new()])
    client.create_subscription("g", "s")
    with client.subscribe_all_events() as all_events, client.read_subscription("g", "s") as group:
        next(group)

        def leave() -> None:
            all_events.__exit__(None, None, None)
            group.__exit__(None, None, None)

        assert _in_child(leave) == 0
        assert next(all_events).stream_position == 0
        assert next(group).stream_position == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
@pytest.mark.parametrize("many", [False, True])
def test_a_child_that_leaves_the_consumer_of_its_parent(client: EsdbClient, tmp_path: Path, many: bool) -> None:
    """The thread that runs it is not there: to wait for it would take for ever."""
    client.append_events("s", None, [new(), new()])
    seen = threading.Semaphore(0)
    consumer = client.consumer(
        lambda event: seen.release(), checkpoint=FileCheckpoint(tmp_path / "position"), stream_name="s"
    )
    if many:
        with ConsumerGroup({"c": consumer}) as group:
            assert seen.acquire(timeout=PATIENCE)
            assert _in_child(lambda: group.__exit__(None, None, None)) == 0
            assert group.health()["c"].running
        return
    thread = threading.Thread(target=consumer.run)
    with consumer:
        thread.start()
        assert seen.acquire(timeout=PATIENCE)
        assert _in_child(lambda: consumer.__exit__(None, None, None)) == 0
        assert thread.is_alive()
    thread.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_an_embedded_server_is_not_forked() -> None:
    with EsdbClient("esdb+embedded:") as client:
        client.append_events("s", None, E)

        def use() -> None:
            with pytest.raises(WrongContext, match="forked"):
                client.get_stream_position("s")

        assert _in_child(use) == 0
        assert client.get_stream_position("s") == 0


def _in_child(function: object) -> int:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that there are threads is the point
        pid = os.fork()
    if pid == 0:
        try:
            function()  # type: ignore[operator]
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


ENDINGS = {
    "never closed": "client = EsdbClient(URI); client.append_events('s', -2, NewEvent('T', b''))",
    "in the middle of a subscription": """
        client = EsdbClient(URI)
        client.append_events('s', -2, NewEvent('T', b''))
        for event in client.subscribe_all_events():
            break
    """,
    "in a function": """
        def work():
            client = EsdbClient(URI)
            return list(client.read_all_events())
        work()
    """,
    "another thread waits": """
        import contextlib, threading
        from esdb_lite import ClientClosed
        client = EsdbClient(URI)
        subscription = client.subscribe_all_events(from_end=True)
        def wait():
            with contextlib.suppress(ClientClosed):
                next(subscription)
        threading.Thread(target=wait, daemon=True).start()
    """,
    "embedded": """
        client = EsdbClient('esdb+embedded:')
        client.append_events('s', None, NewEvent('T', b''), timeout=60)  # with a timeout, slow starts are not warned of
    """,
}


@pytest.mark.parametrize("program", ENDINGS.values(), ids=ENDINGS.keys())
def test_the_end_of_a_program(server: EmbeddedServer, program: str) -> None:
    """It ends by itself, soon, without a warning and without a word."""
    text = f"from esdb_lite import EsdbClient, NewEvent\nURI = {server.uri!r}\n{textwrap.dedent(program)}"
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", text],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert time.monotonic() - started < 15


def test_the_portal_passes_exceptions_on() -> None:
    closed = []

    async def last() -> None:
        closed.append(True)

    async def fail() -> None:
        raise LookupError("inside")

    async def cancelled() -> None:
        raise asyncio.CancelledError

    portal = Portal("esdb-lite-test", last)
    with pytest.raises(ClientClosed):
        portal.run(cancelled)
    with pytest.raises(LookupError, match="inside"):
        portal.run(fail)
    portal.close()
    portal.close()
    assert closed == [True]
    with pytest.raises(ClientClosed):
        portal.run(fail)
