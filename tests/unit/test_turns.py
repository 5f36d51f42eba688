"""What fits into one turn of the loop, and who comes next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from itertools import count, pairwise

import pytest

from esdb_lite.server.database import loop_share
from esdb_lite.server.database.loop_share import FEW, OTHERS, PAGE, ROOM, UNITS_PER_SECOND, LoopShare


async def test_whoever_fits_does_not_wait() -> None:
    turns = LoopShare()
    for _ in range(ROOM // PAGE):
        entering = turns.enter(PAGE)
        try:
            entering.send(None)
        except StopIteration:
            continue
        raise AssertionError("it has waited")


async def test_the_others_come_in_order_and_let_the_rest_of_the_loop_in_between() -> None:
    turns = LoopShare()
    entered: list[int] = []

    async def enter(number: int) -> None:
        await turns.enter(PAGE)
        entered.append(number)

    tasks = [asyncio.ensure_future(enter(number)) for number in range(30)]
    sizes: list[int] = []
    while len(entered) < 30:
        before = len(entered)
        await asyncio.sleep(0)
        sizes.append(len(entered) - before)
    await asyncio.gather(*tasks)
    assert entered == list(range(30))
    assert max(sizes) == ROOM // PAGE


async def test_who_gives_up_takes_no_room() -> None:
    turns = LoopShare()
    tasks = [asyncio.ensure_future(turns.enter(ROOM)) for _ in range(4)]
    await asyncio.sleep(0)
    assert [task.done() for task in tasks] == [True, False, False, False]
    tasks[1].cancel()
    await asyncio.wait(tasks)
    assert [task.cancelled() for task in tasks] == [False, True, False, False]


async def test_it_rests_when_nobody_comes() -> None:
    turns = LoopShare()
    await turns.enter(ROOM)
    assert turns._counting
    for _ in range(3):
        await asyncio.sleep(0)
    assert not turns._counting


async def test_little_costs_no_turn() -> None:
    turns = LoopShare()
    for _ in range(ROOM // FEW // 2):
        assert turns.enter_at_once(FEW)
    assert not turns._counting
    assert turns.enter_at_once(FEW)
    assert turns._counting
    await asyncio.sleep(0)
    assert turns._left == ROOM


async def test_what_took_long_counts_for_more() -> None:
    turns = LoopShare()
    entered: list[int] = []

    async def enter(number: int) -> None:
        await turns.enter(PAGE)
        entered.append(number)
        turns.charge(2 * ROOM / UNITS_PER_SECOND, PAGE)

    tasks = [asyncio.ensure_future(enter(number)) for number in range(12)]
    sizes: list[int] = []
    while len(entered) < 12:
        before = len(entered)
        await asyncio.sleep(0)
        sizes.append(len(entered) - before)
    await asyncio.gather(*tasks)
    assert entered == list(range(12))
    assert sizes.count(0) >= 2 * (sum(size > 0 for size in sizes) - 1)


async def test_what_is_to_be_done_waits_like_those_who_come_in() -> None:
    turns = LoopShare()
    done: list[str] = []

    def act(name: str, *, something: bool) -> bool:
        done.append(name)
        return something

    for _ in range(3):
        turns.when(ROOM, lambda: act("nothing", something=False))
    turns.when(ROOM, lambda: act("first", something=True))
    turns.when(ROOM, lambda: act("second", something=True))
    entering = asyncio.ensure_future(turns.enter(ROOM))
    assert done == [*["nothing"] * 3, "first"]
    await asyncio.sleep(0)
    assert done[4:] == ["second"]
    await entering
    assert not turns._waiting


async def test_what_a_call_takes_is_left_to_others_several_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock by which each of its two steps takes as long as a turn has room for."""
    monkeypatch.setattr(loop_share, "perf_counter", count(0, ROOM / UNITS_PER_SECOND).__next__)
    turns = LoopShare()
    turn, seen = 0, list[int]()

    async def call() -> str:
        await asyncio.sleep(0)
        return "done"

    async def enter() -> None:
        await turns.enter(ROOM)
        seen.append(turn)
        assert await turns.metered(call()) == "done"

    tasks = [asyncio.ensure_future(enter()) for _ in range(3)]
    while not all(task.done() for task in tasks):
        turn += 1
        await asyncio.sleep(0)
    assert [after - before >= 2 * OTHERS for before, after in pairwise(seen)] == [True, True]


async def test_what_is_counted_ends_as_it_would_by_itself() -> None:
    turns, heard = LoopShare(), asyncio.Event()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError

    async def wait() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            heard.set()
            raise

    with pytest.raises(LookupError):
        await turns.metered(fail())
    waiting = asyncio.ensure_future(_metered(turns, wait()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert heard.is_set()


async def _metered(turns: LoopShare, work: Awaitable[None]) -> None:
    await turns.metered(work)
