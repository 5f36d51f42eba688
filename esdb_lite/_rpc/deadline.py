"""One budget of time for a call and everything that it takes.

Owns: counting it down and writing it as gRPC does. Must not know: calls, asyncio.
"""

from __future__ import annotations

import math
from time import monotonic

_LARGEST = 99_999_999


class Deadline:
    """A point in time; `Deadline(None)` is never."""

    __slots__ = ("_at", "timeout")

    def __init__(self, timeout: float | None) -> None:
        self.timeout = timeout
        """Seconds that the budget had at first; None: without end."""
        self._at = math.inf if timeout is None else monotonic() + timeout

    def remaining(self) -> float | None:
        """Seconds that are left, 0 when there are none; None: without end."""
        return None if self.timeout is None else max(0.0, self._at - monotonic())

    @property
    def passed(self) -> bool:
        """Whether nothing is left."""
        return self.timeout is not None and monotonic() >= self._at


def grpc_timeout(seconds: float) -> str:
    """Return the value of the header grpc-timeout: at most eight digits and a unit, rounded up."""
    for unit, size in (("m", 0.001), ("S", 1), ("M", 60), ("H", 3600)):
        number = math.ceil(seconds / size)
        if number <= _LARGEST:
            return f"{max(number, 1)}{unit}"
    return f"{_LARGEST}H"
