"""What every test is held to: nothing it started may outlive it, and nothing may fail unseen.

After each test there may be no new thread, no unfinished task, no open socket, event loop or database file, and
nothing on asyncio's error log (where loops report exceptions that nobody has taken).
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import esdb_lite
from esdb_lite import EmbeddedServer, EsdbClient
from tests.support import ServeProcess, asyncio_errors, start_serve

settings.register_profile("esdb_lite", deadline=None)
settings.load_profile("esdb_lite")

GRACE = 5.0
"""Seconds that a thread gets to end when it has been told to, or to close what it should if it outlives the test."""

_OWN_DESCRIPTORS = Path("/proc/self/fd")
_WATCHED = ("socket:", "anon_inode:[eventpoll]")
_WATCHED_FILES = (".db", ".db-wal", ".db-shm")


def pytest_report_header() -> str:
    """Say which package is tested."""
    return f"esdb_lite {esdb_lite.__version__} from {Path(esdb_lite.__file__).parent}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: two processes for each core, as tests wait longer than they compute."""
    return 2 * (os.cpu_count() or 1)


def pytest_sessionstart() -> None:
    """In the environments of tox.ini, refuse to test anything but the installed package."""
    if os.environ.get("ESDB_LITE_INSTALLED") and "site-packages" not in esdb_lite.__file__:
        pytest.exit(f"not the installed package: {esdb_lite.__file__}", returncode=3)


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """No threads, descriptors or loop errors are left behind. First to be set up, last to be torn down."""
    threads, descriptors = set(threading.enumerate()), _open_descriptors()
    with asyncio_errors() as errors:
        yield
        left = _threads_left(threads) + _descriptors_left(descriptors, threads)
    left += errors
    if left:
        pytest.fail("left behind by the test:\n" + "\n".join(left), pytrace=False)


@pytest.fixture(autouse=True)
def _no_tasks_left(request: pytest.FixtureRequest, _nothing_left: None) -> None:
    """For tests that run on a loop of pytest-asyncio: no unfinished tasks are left on it."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_watched_loop")


@pytest.fixture
async def _watched_loop() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    for _ in range(20):  # turns of the loop in which tasks that have been cancelled can end
        left = asyncio.all_tasks() - before - {asyncio.current_task()}
        if not left:
            return
        await asyncio.sleep(0)
    pytest.fail("tasks left behind by the test:\n" + "\n".join(map(repr, left)), pytrace=False)


def _own_threads() -> list[threading.Thread]:
    """All threads but those that Python has not started: grpcio has some that call Python, and nobody can join them."""
    return [thread for thread in threading.enumerate() if not isinstance(thread, threading._DummyThread)]


def _threads_left(before: set[threading.Thread]) -> list[str]:
    deadline = time.monotonic() + GRACE
    new = set(_own_threads()) - before
    for thread in new:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [repr(thread) for thread in new if thread.is_alive()]


def _descriptors_left(before: dict[str, str], threads: set[threading.Thread]) -> list[str]:
    """What is open that was not before.

    Servers that several tests share have threads of their own, which close a connection when they see that its client
    has: that may come after the test.
    """
    left = _open_descriptors().items() - before.items()
    if left:  # what only waits for the garbage collector is a leak too: it warns, and warnings are errors
        gc.collect()
        left = _open_descriptors().items() - before.items()
    deadline = time.monotonic() + (GRACE if threads - {threading.current_thread()} else 0.0)
    while left and time.monotonic() < deadline:
        time.sleep(0.01)  # nothing tells that another thread has closed a descriptor
        left = _open_descriptors().items() - before.items()
    return [f"open: {target}" for _, target in left]


def _open_descriptors() -> dict[str, str]:
    """The watched descriptors of this process, number -> what it is; nothing where there is no /proc."""
    if not _OWN_DESCRIPTORS.is_dir():
        return {}
    found = {}
    for number in os.listdir(_OWN_DESCRIPTORS):
        try:
            target = os.readlink(_OWN_DESCRIPTORS / number)
        except FileNotFoundError:  # the descriptor of the listing itself
            continue
        if target.startswith(_WATCHED) or target.endswith(_WATCHED_FILES):
            found[number] = target
    return found


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    """Shells have what runs in their background ignore Ctrl-C, and all that is started there with it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    """A server in memory, on a thread of its own."""
    with EmbeddedServer() as running:
        yield running


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[EsdbClient]:
    """A client of the server."""
    with EsdbClient(server.uri) as made:
        yield made


@pytest.fixture
def ctrl_c() -> Callable[[], None]:
    """Does what the system does at Ctrl-C."""
    main = threading.main_thread().ident
    assert main is not None
    return functools.partial(signal.pthread_kill, main, signal.SIGINT)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., ServeProcess]]:
    """Starts `python -m esdb_lite serve` on a free port with further arguments; stopped after the test."""
    started: list[ServeProcess] = []

    def start(*arguments: str | Path) -> ServeProcess:
        started.append(start_serve(*arguments, folder=tmp_path))
        return started[-1]

    yield start
    for process in started:
        process.kill()
