"""Calls that wait for long, and have no timeout that would end them.

Owns: saying so in the log, once for each and once for many that wait for the same. Must not know: calls.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable

from esdb_lite._texts import printable

PATIENCE = 5.0
"""Seconds after which a call that waits is mentioned."""

_log = logging.getLogger("esdb_lite.client")


class SlowCalls:
    """The calls of one client that wait and have no timeout. Costs one timer for all of them."""

    def __init__(self, reason: Callable[[], str], patience: float = PATIENCE) -> None:
        """`reason` says what all of them wait for at the moment."""
        self._reason = reason
        self._patience = patience
        self._waiting: dict[int, tuple[str, float, Callable[[], str]]] = {}
        self._numbers = itertools.count(1)
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, what: str, reason: Callable[[], str] | None = None) -> int:
        """A call begins to wait, for something of its own or for what all wait for; `end` takes the number."""
        loop = asyncio.get_running_loop()
        if self._timer is None:
            self._timer = loop.call_later(self._patience, self._look)
        number = next(self._numbers)
        self._waiting[number] = what, loop.time(), reason or self._reason
        return number

    def end(self, number: int) -> None:
        """The call waits no more."""
        self._waiting.pop(number, None)

    def close(self) -> None:
        """Say nothing any more."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @staticmethod
    def _say(what: str, why: str, times: list[float]) -> None:
        """One line for all that wait for the same."""
        many = len(times) > 1
        who = f"{len(times)} calls of {what} have" if many else f"{what} has"
        waits = f"{who} waited for {max(times):.0f} seconds for {why}"
        text = "%s; %s no timeout (`timeout`, or `defaultDeadline` for all calls)"
        _log.warning(text, printable(waits), "they have" if many else "it has")

    def _look(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        alike: dict[tuple[str, str], dict[int, float]] = {}
        for number, (what, since, reason) in self._waiting.items():
            if now - since >= self._patience / 5:
                alike.setdefault((what, reason()), {})[number] = now - since
        for (what, why), times in alike.items():
            if max(times.values()) >= self._patience:
                self._say(what, why, [*times.values()])
                for number in times:
                    del self._waiting[number]
        if self._waiting:
            first = min(since for _, since, _ in self._waiting.values())
            # Not at once again for those that were just too late to be counted.
            self._timer = loop.call_later(max(self._patience / 2, first + self._patience - now), self._look)
