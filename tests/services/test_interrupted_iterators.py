"""Iterators without asyncio whose wait ends with an exception of a signal's handler, and that are iterated further.

The exception may come when the next batch has crossed the threads already, and nobody has taken it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from esdb_lite import EmbeddedServer, EsdbClient, NewEvent
from esdb_lite._loop_thread import LoopCalls

EVENTS = 5_000


class OutOfTime(Exception):
    """What a handler of signals raises."""


@pytest.fixture(scope="module")
def client() -> Iterator[EsdbClient]:
    with EmbeddedServer() as server, EsdbClient(server.uri) as made:
        made.append_events("s", None, [NewEvent("T", b"{}") for _ in range(EVENTS)])
        made.create_subscription("group", "s")
        yield made


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Have the next calls that say so end with an exception when their result is there."""
    run, due = LoopCalls.run, list[bool]()

    def ends_late(calls: LoopCalls, function: Callable[[], Any], **options: Any) -> Any:
        result = run(calls, function, **options)
        if due and due.pop():
            raise OutOfTime
        return result

    monkeypatch.setattr(LoopCalls, "run", ends_late)
    return due


def test_what_has_arrived_is_handed_out_later(client: EsdbClient, interrupted: list[bool]) -> None:
    with client.subscribe_stream_events("s") as subscription:
        seen = [next(subscription).stream_position]
        interrupted += [True, False, True, True, False]  # from the last one on
        while len(seen) < EVENTS:
            try:
                for event in subscription:
                    seen.append(event.stream_position)
                    if len(seen) == EVENTS:
                        break
            except OutOfTime:
                continue
    assert not interrupted
    assert seen == list(range(EVENTS))


def test_so_are_whole_batches(client: EsdbClient, interrupted: list[bool]) -> None:
    with client.subscribe_stream_events("s") as subscription:
        seen = [next(subscription).stream_position]
        interrupted += [True, True, True]
        ways = [lambda: [next(subscription)], lambda: list(subscription.next_batch())]
        while len(seen) < EVENTS:
            ways.reverse()  # one and the other, whichever was interrupted
            try:
                seen += [event.stream_position for event in ways[0]()]
            except OutOfTime:
                continue
    assert not interrupted
    assert seen == list(range(EVENTS))


def test_a_read_ends_where_it_ends(client: EsdbClient, interrupted: list[bool]) -> None:
    events = client.read_stream_events("s", limit=3)
    interrupted.append(True)
    with pytest.raises(OutOfTime):
        next(events)
    assert [event.stream_position for event in events] == [0, 1, 2]
    interrupted.append(True)
    assert list(events) == []  # the other thread is not asked: the answer came whole
    interrupted.clear()


def test_so_does_one_that_does_not_come_whole(client: EsdbClient, interrupted: list[bool]) -> None:
    events = client.read_stream_events("s")
    interrupted += [True, False, True, True, False]  # from the last one on
    seen: list[int] = []
    while len(seen) < EVENTS:
        with suppress(OutOfTime):
            for event in events:
                seen.append(event.stream_position)
    assert not interrupted
    assert seen == list(range(EVENTS))
    assert list(events) == []


def test_deliveries_of_a_group(client: EsdbClient, interrupted: list[bool]) -> None:
    """They would come again, but only when the time for their answer is over."""
    with client.read_subscription("group", "s", buffer_size=10) as subscription:
        interrupted += [True, False]
        seen: list[int | None] = []
        while len(seen) < 30:
            try:
                for event in subscription:
                    seen.append(event.stream_position)
                    subscription.ack(event)
                    if len(seen) == 30:
                        break
            except OutOfTime:
                interrupted.append(len(seen) < 20)
    assert seen == list(range(30))


def test_under_a_hail_of_signals(client: EsdbClient) -> None:
    """At whatever place they come: nothing is missing, nothing comes twice."""
    armed = False

    def ring(number: int, frame: object) -> None:
        if armed:
            raise OutOfTime

    seen: list[int] = []
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.003, 0.001)
    try:
        with client.subscribe_stream_events("s") as subscription:
            while len(seen) < EVENTS:
                try:
                    armed = True
                    for event in subscription:
                        seen.append(event.stream_position)
                        if len(seen) == EVENTS:
                            break
                    armed = False
                except OutOfTime:
                    armed = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert seen == list(range(EVENTS))
