"""Waiting for what has no event to be awaited."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable

PAUSE = 0.001
"""Seconds after which it is looked again."""


async def until(condition: Callable[[], object], patience: float = 10.0) -> None:
    """Let the loop run until a condition holds: a function, or a coroutine function, that returns something true."""
    loop = asyncio.get_running_loop()
    end = loop.time() + patience
    while loop.time() < end:
        found = condition()
        if await found if inspect.isawaitable(found) else found:
            return
        await asyncio.sleep(PAUSE)
    raise AssertionError("it has not come true")
