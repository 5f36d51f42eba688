"""The client for threads where threads, signals and loops meet: nothing hangs, nothing runs where it must not."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
import types
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from esdb_lite import (
    BearerToken,
    ClientClosed,
    EmbeddedServer,
    EsdbClient,
    NewEvent,
    NewRecord,
    SimulatedCluster,
    StreamCheck,
    StreamState,
    SubscriptionSettings,
    WrongContext,
)
from esdb_lite.sync.portal import Portal, SharedPortal
from tests.support import own_time

E = NewEvent("T", b"")


# --- what a caller hands over is evaluated by the caller ---------------------------------------------------------


def test_events_may_be_read_with_the_same_client(client: EsdbClient) -> None:
    client.append_events("orders", None, [NewEvent("T", str(number).encode()) for number in range(3)])
    client.append_events("copy", None, (NewEvent(e.type, e.data) for e in client.read_stream_events("orders")))
    assert [event.data for event in client.read_stream_events("copy")] == [b"0", b"1", b"2"]


def test_events_may_be_rows_of_a_database(client: EsdbClient) -> None:
    """sqlite3 refuses to be used in another thread, as much else does."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE row AS SELECT 1 AS x UNION SELECT 2")
    rows = connection.execute("SELECT x FROM row")
    client.append_events("s", None, (NewEvent.json("Row", row[0]) for row in rows))
    assert [event.json() for event in client.read_stream_events("s")] == [1, 2]
    connection.close()


class Where(Mapping[str, Any]):
    """A mapping that notes who looks at it."""

    def __init__(self, threads: set[int]) -> None:
        self._threads = threads

    def __getitem__(self, key: str) -> Any:
        self._threads.add(threading.get_ident())
        return {"a": 1}[key]

    def __iter__(self) -> Iterator[str]:
        self._threads.add(threading.get_ident())
        return iter(("a",))

    def __len__(self) -> int:
        return 1


def test_everything_is_evaluated_in_the_thread_of_the_caller(client: EsdbClient) -> None:
    threads: set[int] = set()

    def noting(*values: Any) -> Iterator[Any]:
        for value in values:
            threads.add(threading.get_ident())
            yield value

    client.append_events("s", None, noting(E))
    client.subscribe_all_events(filter_include=noting("T")).close()
    client.subscribe_all_events(filter_exclude=noting("T")).close()
    list(client.read_all_events(filter_include=noting("T")))
    client.create_subscription("g", filter_include=noting("T"))
    client.create_subscription("h", filter_exclude=noting("T"))
    client.append_records(noting(NewRecord("r", "T", b"")), checks=noting(StreamCheck("r", None)))
    client.append_records({"q": noting(NewEvent("T", b""))})
    client.set_stream_metadata("s", Where(threads))
    assert client.get_stream_metadata("s").custom == {"a": 1}
    with client.read_subscription("g") as subscription:
        subscription.ack(noting(next(subscription)))
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_who_ends_a_program_does_not_end_the_loop(client: EsdbClient, kind: type[BaseException]) -> None:
    def events() -> Iterator[NewEvent]:
        yield E
        raise kind

    with pytest.raises(kind):
        client.append_events("s", None, events())
    client.append_events("s", None, E)


def test_a_token_that_ends_the_program_does_not_end_the_loop(server: EmbeddedServer) -> None:
    def token() -> str:
        raise SystemExit(3)

    uri = server.uri
    with EsdbClient(uri, send_credentials_insecurely=True) as client:
        with pytest.raises(SystemExit):
            client.get_stream_position("s", credentials=BearerToken(token))
        assert client.get_stream_position("s") is None


# --- threads and loops ------------------------------------------------------------------------------------------


async def test_the_loop_that_runs_the_server_cannot_wait_for_it() -> None:
    async with EmbeddedServer() as server:
        with EsdbClient(server.uri) as client:
            started = own_time()
            with pytest.raises(WrongContext, match="the event loop on which the server answers"):
                client.get_commit_position()
            assert own_time() - started < 1
            assert await asyncio.to_thread(client.get_stream_position, "s") is None
    async with SimulatedCluster() as cluster:
        with EsdbClient(cluster.uri) as client, pytest.raises(WrongContext):
            client.get_commit_position()


async def test_a_server_elsewhere_can_be_waited_for_on_a_loop(client: EsdbClient) -> None:
    """As in a notebook."""
    assert client.get_stream_position("s") is None


def test_a_thread_that_cannot_run_its_loop_says_so(monkeypatch: pytest.MonkeyPatch, server: EmbeddedServer) -> None:
    """With gevent all threads are one, and only one loop can run there."""

    def run_where_another_loop_runs(self: Portal) -> None:
        other = asyncio.new_event_loop()
        asyncio._set_running_loop(other)
        try:
            run(self)
        finally:
            asyncio._set_running_loop(None)
            other.close()

    run = Portal._run
    monkeypatch.setattr(Portal, "_run", run_where_another_loop_runs)
    client = EsdbClient(server.uri)
    for _ in range(2):
        with pytest.raises((WrongContext, ClientClosed)):
            client.get_stream_position("s", timeout=5)
    with pytest.raises(WrongContext, match="another loop is running"):
        client.get_stream_position("s")
    client.close()


def test_where_threads_are_greenlets_all_clients_share_one(
    monkeypatch: pytest.MonkeyPatch, server: EmbeddedServer
) -> None:
    """gevent makes one thread of all, on which asyncio runs one loop."""
    gevent = types.ModuleType("gevent.monkey")
    gevent.is_module_patched = lambda name: name == "threading"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gevent.monkey", gevent)
    before = threading.active_count()
    clients = [EsdbClient(server.uri) for _ in range(3)]
    for client in clients:
        client.append_events("s", StreamState.ANY, NewEvent("T", b""))
    assert threading.active_count() == before + 1
    subscription = clients[0].subscribe_all_events(from_end=True)
    clients[0].close()
    with pytest.raises(ClientClosed):
        next(subscription)
    with pytest.raises(ClientClosed):
        clients[0].get_stream_position("s")
    assert clients[1].get_stream_position("s") == 2
    for client in clients:
        client.close()
    assert SharedPortal._host is not None
    SharedPortal._host.close()
    monkeypatch.setattr(SharedPortal, "_host", None)


def test_calls_under_way_end_when_the_thread_dies(server: EmbeddedServer) -> None:
    client = EsdbClient(server.uri)
    subscription = client.subscribe_all_events(from_end=True)
    portal = client._live().portal
    failures: list[BaseException] = []

    def wait() -> None:
        try:
            next(subscription)
        except BaseException as error:
            failures.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not portal._calls.under_way:
        time.sleep(0.001)
    portal._loop.call_soon_threadsafe(portal._loop.stop)  # not by `close`: as if somebody else had stopped it
    portal.post(portal._stop)
    waiting.join(20)
    assert not waiting.is_alive()
    assert isinstance(failures[0], ClientClosed)
    client.close()


# --- signals ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no timers")
def test_signal_handlers_may_use_the_client(client: EsdbClient) -> None:
    """In the middle of whatever the main thread does with it just then."""
    client.create_subscription("g", "s", settings=SubscriptionSettings())
    subscription = client.read_subscription("g", "s")
    handled = 0

    def handle(number: int, frame: object) -> None:
        nonlocal handled
        handled += 1
        client.append_events("signals", StreamState.ANY, NewEvent("T", b""))
        if handled % 3 == 0:
            subscription.ack([])
        signal.setitimer(signal.ITIMER_REAL, 0.003)  # again when this has ended

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    try:
        for number in range(100):
            client.append_events("s", StreamState.ANY, NewEvent("T", b""))
            subscription.ack(next(subscription))
            assert client.get_stream_position("s") == number
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert handled
    assert client.get_stream_position("signals") == handled - 1
    subscription.close()


def test_a_client_that_is_begun_in_the_middle_of_its_beginning(server: EmbeddedServer) -> None:
    """A signal handler comes while the main thread makes the client's thread: both use the same one."""
    client = EsdbClient(server.uri)
    make, made = client._clients._make, []

    def make_meanwhile() -> Any:
        if not made:
            made.append(True)
            client.append_events("s", None, E)  # what a signal handler would do
        return make()

    client._clients._make = make_meanwhile  # type: ignore[method-assign]
    assert client.get_stream_position("s") == 0
    client.close()
    assert threading.active_count() <= 3


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )


def test_a_last_event_at_the_end_of_the_program(server: EmbeddedServer) -> None:
    """What is registered to be called at the end, after the client was made, can use it."""
    program = """
        import atexit, sys
        from esdb_lite import EsdbClient, NewEvent
        client = EsdbClient(sys.argv[1])
        atexit.register(lambda: print(client.append_events("s", -2, NewEvent("Last", b"")).stream_position))
        client.append_events("s", None, NewEvent("First", b""))
    """
    done = run(program, server.uri)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


def test_a_daemon_thread_that_waits_ends_without_a_word(server: EmbeddedServer) -> None:
    program = """
        import sys, threading
        from esdb_lite import EsdbClient
        client = EsdbClient(sys.argv[1])
        subscription = client.subscribe_all_events(from_end=True)
        threading.Thread(target=lambda: [print(event) for event in subscription], daemon=True).start()
        client.get_stream_position("s")
    """
    done = run(program, server.uri)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_warning_about_a_connection_string_is_given_once(caplog: pytest.LogCaptureFixture) -> None:
    with EsdbClient("esdb://localhost:2113?tls=false&tsl=false") as client:
        with pytest.raises(Exception, match="cannot connect"):
            EsdbClient("esdb://localhost:1?tls=false").connect()
        client._live()
    assert len([record for record in caplog.records if "unknown option" in record.getMessage()]) == 1
