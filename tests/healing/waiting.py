"""Waiting for what has no event to be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool], patience: float = 10.0) -> None:
    """Let the loop run until a condition holds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + patience
    while loop.time() < end:
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it has not come true")
