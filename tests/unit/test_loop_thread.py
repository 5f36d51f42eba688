"""Crossing from one thread to a loop and back, whatever becomes of both."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from contextvars import Context, ContextVar

import pytest

from esdb_lite._loop_thread import LoopCalls, LoopEnded, LoopThread, serve_no_more, serve_on, serves

WHO = ContextVar("WHO", default="for nobody")


class Running:
    """A loop on a thread, for calls from here."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.calls = LoopCalls(self.loop)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        self.calls.here()
        self.loop.run_forever()
        self.calls.end()
        self.loop.close()

    def stop(self) -> None:
        self.calls.post(self.loop.stop)
        self.thread.join()


@pytest.fixture
def running() -> Iterator[Running]:
    made = Running()
    yield made
    made.stop()


async def value() -> int:
    return 7


async def endless(begun: threading.Event, cancelled: threading.Event) -> None:
    begun.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        cancelled.set()
        raise


def test_a_result_and_an_exception_come_back(running: Running) -> None:
    async def fail() -> None:
        raise SystemExit(3)

    assert running.calls.run(value) == 7
    with pytest.raises(SystemExit):
        running.calls.run(fail)
    assert running.calls.run(value) == 7
    assert not running.calls.under_way


def test_patience_has_an_end(running: Running) -> None:
    begun, cancelled = threading.Event(), threading.Event()
    with pytest.raises(TimeoutError, match=r"has not answered within 0\.05 seconds"):
        running.calls.run(lambda: endless(begun, cancelled), patience=0.05)
    assert cancelled.wait(10)
    assert not running.calls.under_way


def test_what_is_given_up_before_it_begins_leaves_nothing(running: Running) -> None:
    """The loop, which is busy, then starts and cancels it in one turn."""
    free, called = threading.Event(), []

    async def given_up() -> None:
        called.append(True)

    running.calls.post(lambda: free.wait(10))
    with pytest.raises(TimeoutError):
        running.calls.run(given_up, patience=0.0)
    free.set()
    assert running.calls.run(value) == 7
    assert not called
    assert not running.calls.under_way


class Scripted:
    """Something that may be quick, and notes what is asked of it. `then` is called once its answer is on the way."""

    def __init__(self, answer: int | None, *, quick: bool = True, then: Callable[[], None] = lambda: None) -> None:
        self._answer = answer
        self._quick = quick
        self._then = then
        self.asked: list[str] = []

    def begin(self, settled: Callable[[], None]) -> bool:
        self.asked.append("begin")
        if self._quick:
            asyncio.get_running_loop().call_soon(settled, context=Context())  # as it is where a socket is read
        self._then()
        return self._quick

    def result(self) -> int | None:
        self.asked.append("result")
        return self._answer

    def give_up(self) -> None:
        self.asked.append("give up")

    async def go_on(self) -> int:
        self.asked.append(f"go on {WHO.get()}")
        return 8


@pytest.mark.parametrize(
    ("quick", "result", "asked"),
    [
        (Scripted(7), 7, ["begin", "result"]),
        (Scripted(None), 8, ["begin", "result", "go on for the caller"]),
        (Scripted(None, quick=False), 8, ["begin", "go on for the caller"]),
    ],
    ids=["quick", "failing", "slow"],
)
def test_what_is_quick_needs_no_task(running: Running, quick: Scripted, result: int, asked: list[str]) -> None:
    token = WHO.set("for the caller")
    assert running.calls.run_quick(quick) == result
    WHO.reset(token)
    assert quick.asked == asked
    assert not running.calls.under_way


def test_what_cannot_begin_says_why(running: Running) -> None:
    class Refused(Scripted):
        def begin(self, settled: Callable[[], None]) -> bool:
            raise SystemExit(3)

    with pytest.raises(SystemExit):
        running.calls.run_quick(Refused(7))
    assert running.calls.run(value) == 7
    assert not running.calls.under_way


@pytest.mark.parametrize(("answer", "asked"), [(7, ["result"]), (None, ["result", "give up"])])
def test_what_is_quick_is_given_up_in_the_turn_of_its_answer(
    running: Running, answer: int | None, asked: list[str]
) -> None:
    """Then there is nothing to give up, or a task that has not begun."""

    def give_up() -> None:
        [call] = running.calls.under_way
        running.calls.post(call.cancel)

    quick = Scripted(answer, then=give_up)
    with nullcontext() if answer else pytest.raises(LoopEnded):  # where Ctrl-C comes, nobody hears of it
        assert running.calls.run_quick(quick) == answer
    assert running.calls.run(value) == 7
    assert quick.asked == ["begin", *asked]
    assert not running.calls.under_way


def test_what_is_quick_is_given_up_while_it_waits(running: Running) -> None:
    class Unanswered(Scripted):
        def begin(self, settled: Callable[[], None]) -> bool:
            self.asked.append("begin")
            return True

    quick = Unanswered(7)
    with pytest.raises(TimeoutError):
        running.calls.run_quick(quick, patience=0.0)
    assert running.calls.run(value) == 7
    assert quick.asked == ["begin", "give up"]
    assert not running.calls.under_way


def test_on_its_own_thread_it_would_wait_for_itself(running: Running) -> None:
    async def inside() -> None:
        running.calls.run(value)

    with pytest.raises(RuntimeError, match="this thread runs the event loop"):
        running.calls.run(inside)


def test_who_waits_when_the_loop_ends_goes_on() -> None:
    running, failures = Running(), []
    begun, cancelled = threading.Event(), threading.Event()

    def wait() -> None:
        try:
            running.calls.run(lambda: endless(begun, cancelled))
        except LoopEnded as error:
            failures.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert begun.wait(10)
    tasks = asyncio.all_tasks(running.loop)
    running.stop()
    waiting.join(10)
    assert len(failures) == 1
    for task in tasks:  # of a loop that has ended in the middle of it
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    with pytest.raises(LoopEnded):
        running.calls.run(value)
    running.calls.post(lambda: None)  # nothing happens


def test_a_call_that_comes_while_the_loop_ends_does_not_wait_for_ever() -> None:
    """Its loop takes it, and never comes to it."""
    loop = asyncio.new_event_loop()
    calls = LoopCalls(loop)
    calls.end()
    with pytest.raises(LoopEnded):
        calls.run(value)
    assert not calls.under_way
    loop.close()


def test_the_thread_of_a_server_brings_its_errors() -> None:
    async def fail() -> None:
        raise LookupError("begin")

    async def ended() -> None:
        pass

    with pytest.raises(LookupError, match="begin"):
        LoopThread("test", fail, ended).start_and_wait()


async def test_which_loops_serve() -> None:
    loop = asyncio.get_running_loop()
    serve_on(loop, "127.0.0.1", 2113)
    assert serves(loop, [("localhost", 2113)])
    assert serves(loop, [("other", 1), ("127.0.0.1", 2113)])
    assert not serves(loop, [("db.example", 2113), ("localhost", 2114)])
    serve_no_more(loop, "127.0.0.1", 2113)
    assert not serves(loop, [("localhost", 2113)])
    serve_on(loop, "0.0.0.0", 2113)
    assert serves(loop, [("localhost", 2113)])
    assert not serves(loop, [("db.example", 2113)])
    serve_no_more(loop, "0.0.0.0", 2113)
    serve_no_more(loop, "0.0.0.0", 2113)
