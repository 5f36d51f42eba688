"""Driving a generator that says what is to be done, and gets back what came of it.

Owns: two drivers: one blocks, one awaits. Must not know: what the steps are. So rules are written once,
without threads and event loops, and both kinds of clients follow them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from typing import Any, TypeVar

S = TypeVar("S")
R = TypeVar("R")


def drive(steps: Generator[S, Any, R], do: Callable[[S], object]) -> R:
    """Do the steps, and return what the generator returns; what a step raises, the generator gets."""
    try:
        step = next(steps)
        while True:
            try:
                outcome = do(step)
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(outcome)
    except StopIteration as end:
        result: R = end.value
        return result


async def drive_awaiting(
    steps: Generator[S, Any, R],
    do: Callable[[S], object],
    judged: Callable[[BaseException], BaseException] | None = None,
) -> R:
    """Do the steps as `drive` does, and await what can be awaited of what they bring; `judged` may replace errors."""
    try:
        step = next(steps)
        while True:
            try:
                outcome = do(step)
                if inspect.isawaitable(outcome):
                    outcome = await outcome
            except BaseException as error:
                step = steps.throw(error if judged is None else judged(error))
            else:
                step = steps.send(outcome)
    except StopIteration as end:
        result: R = end.value
        return result


def make(call: Callable[[], object]) -> object:
    """Do a step that is a call."""
    return call()
