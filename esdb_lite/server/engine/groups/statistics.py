"""The figures of a group for GetInfo and List.

Owns: the figures, their names and how rates and latencies are measured. Must not know: protobuf, the group's rules.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

LATENCIES_KEPT = 1_000


class DeliveryRate:
    """How many and how many per second since the figures were last asked for."""

    __slots__ = ("_at", "_total")

    def __init__(self) -> None:
        self._total = 0
        self._at: float | None = None

    def measure(self, total: int, now: float) -> tuple[int, int]:
        """Return (count, count per second) since the previous call; `now` in seconds."""
        count, elapsed = total - self._total, now - (self._at if self._at is not None else now)
        self._total, self._at = total, now
        return count, int(count / elapsed) if elapsed > 0 else 0


class Measurements:
    """How long a consumer took to acknowledge, for the latest events."""

    __slots__ = ("_latest",)

    def __init__(self) -> None:
        self._latest: deque[int] = deque(maxlen=LATENCIES_KEPT)

    def add(self, seconds: float) -> None:
        """An event was acknowledged so long after it had been handed out."""
        self._latest.append(int(seconds * 1000))

    def report(self) -> list[tuple[str, int]]:
        """Return the names and values (milliseconds) that a real server reports; nothing before the first event."""
        values = sorted(self._latest)
        return [(name, figure(values)) for name, figure in _FIGURES] if values else []


def _quantile(fraction: float) -> Callable[[list[int]], int]:
    return lambda values: values[min(int(len(values) * fraction), len(values) - 1)]


_FIGURES: list[tuple[str, Callable[[list[int]], int]]] = [
    ("Mean", lambda values: sum(values) // len(values)),
    ("Median", _quantile(0.5)),
    ("Fastest", lambda values: values[0]),
    *((f"Quintile {n}", _quantile(n / 5)) for n in range(1, 6)),
    *((f"{percent:g}%", _quantile(percent / 100)) for percent in (90, 95, 99, 99.5, 99.9)),
    ("Highest", lambda values: values[-1]),
]


@dataclass(frozen=True)
class ConnectionInfo:
    """One consumer of a group."""

    username: str
    connection_name: str
    average_items_per_second: int
    total_items: int
    count_since_last_measurement: int
    available_slots: int
    in_flight_messages: int
    observed_measurements: list[tuple[str, int]]


@dataclass(frozen=True)
class GroupInfo:
    """The state of a group; what its settings say is not repeated here."""

    status: str
    connections: list[ConnectionInfo]
    average_per_second: int
    total_items: int
    count_since_last_measurement: int
    last_checkpointed: int | None
    last_known: int | None
    read_buffer_count: int
    live_buffer_count: int
    retry_buffer_count: int
    total_in_flight_messages: int
    outstanding_messages_count: int
    parked_message_count: int


STATUSES = ("Behind", "OutstandingPageRequest", "ReplayingParkedMessages", "Live")


def status_text(*, ready: bool, live: bool, reading: bool, replaying: bool) -> str:
    """Write the state as a real server does: the names of what holds, in its order."""
    if not ready:
        return "NotReady"
    holds = (not live, reading, replaying, live)
    return ", ".join(name for name, is_so in zip(STATUSES, holds, strict=True) if is_so)
