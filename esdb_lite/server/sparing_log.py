"""A log for what others can cause as often as they like: a line now and then, with how many were left out.

Owns: the counting. Must not know: what is logged.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

EVERY = 1.0
"""Seconds between two lines."""


class SparingLog:
    """Passes one message a second on to a logger."""

    def __init__(self, logger: logging.Logger, level: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._level = level
        self._clock = clock
        self._next = 0.0
        self._left_out = 0

    def log(self, message: str, *values: object) -> None:
        """Log a message, or count it; the next line says how many there were."""
        now = self._clock()
        if now < self._next:
            self._left_out += 1
            return
        self._next = now + EVERY
        more = f" (and {self._left_out:,} more since the last of these lines)" if self._left_out else ""
        self._left_out = 0
        self._logger.log(self._level, message + more.replace("%", "%%"), *values)
