"""Room by number and by bytes: who gets in, and when."""

from __future__ import annotations

import asyncio

import pytest

from esdb_lite._limits import Oversized, Room

BOTH = pytest.mark.parametrize("oversized", Oversized)


@BOTH
async def test_room_is_given_in_order(oversized: Oversized) -> None:
    room = Room(2, 100, oversized=oversized)
    order: list[int] = []

    async def visit(number: int, size: int) -> None:
        assert await room.enter(size)
        order.append(number)
        await asyncio.sleep(0)
        room.leave(size)

    await asyncio.gather(*(visit(number, 90 if number % 2 else 1000) for number in range(10)))
    assert order == list(range(10))
    assert room.taken == 0


@BOTH
async def test_a_wait_has_an_end(oversized: Oversized) -> None:
    room = Room(2, 100, oversized=oversized)
    assert await room.enter(100, 0)
    assert not await room.enter(1, 0.01)
    room.leave(100)
    assert await room.enter(1, 0)


@BOTH
async def test_by_number(oversized: Oversized) -> None:
    room = Room(2, 100, oversized=oversized)
    assert [room.enter_at_once(1) for _ in range(3)] == [True, True, False]
    room.leave(1)
    assert room.enter_at_once(1)


async def test_what_is_larger_than_all_room_waits_until_it_is_alone() -> None:
    room = Room(5, 100, oversized=Oversized.ALONE)
    assert room.enter_at_once(1)
    assert not room.enter_at_once(1000)
    room.leave(1)
    assert room.enter_at_once(1000)
    assert not room.enter_at_once(1)
    room.leave(1000)
    assert room.enter_at_once(100)


async def test_what_is_larger_than_all_room_overdraws_it() -> None:
    room = Room(5, 100, oversized=Oversized.OVERDRAWS)
    assert room.enter_at_once(99)
    assert room.enter_at_once(1000)
    room.leave(99)
    assert not room.enter_at_once(1)
    room.leave(1000)
    assert room.enter_at_once(100)


@BOTH
async def test_who_gives_up_makes_room(oversized: Oversized) -> None:
    """Also where the turn has come in the same moment: nothing may be lost, nobody may wait for ever."""
    room = Room(1, 100, oversized=oversized)
    assert room.enter_at_once(1)
    first, second, third = (asyncio.ensure_future(room.enter(1)) for _ in range(3))
    await asyncio.sleep(0)
    assert room.taken == 4
    second.cancel()
    first.cancel()
    room.leave(1)
    assert await third
    room.leave(1)
    assert room.taken == 0
    turn = asyncio.ensure_future(room.enter(1))
    assert await turn
    late = asyncio.ensure_future(room.enter(1))
    await asyncio.sleep(0)
    room.leave(1)
    late.cancel()  # it has got in, and does not know it yet
    with pytest.raises(asyncio.CancelledError):
        await late
    assert room.enter_at_once(1)
