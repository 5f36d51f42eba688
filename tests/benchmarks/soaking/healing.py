"""How long it takes until all is well again after a fault.

Owns: what "well" means: every writer has an answer, and every subscriber and group has seen an event that was not begun
when the fault ended. Must not know: what the fault was.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic

from tests.benchmarks.soaking.ledger import Ledger
from tests.benchmarks.soaking.subscribing import Group, Subscriber

PATIENCE = 20.0
"""Seconds after which a fault that has ended counts as not healed."""
_LOOK_AGAIN = 0.01


@dataclass
class Healed:
    """Seconds that healing took, after each fault of a kind."""

    writing: list[float] = field(default_factory=list)
    subscribing: list[float] = field(default_factory=list)
    consuming: list[float] = field(default_factory=list)


class Healing:
    """Waits for all to be well."""

    def __init__(self, ledger: Ledger, subscribers: Sequence[Subscriber], groups: Sequence[Group]) -> None:
        self.times: dict[str, Healed] = defaultdict(Healed)
        self._ledger = ledger
        self._subscribers = [each for each in subscribers if each.dense]
        self._groups = groups

    async def wait(self, fault: str) -> None:
        """Wait after a fault that has ended just now."""
        begun, healed = monotonic(), self.times[fault]
        marks = {id(each): each.marks() for each in (*self._subscribers, *self._groups)}
        waits = {
            "writing": (healed.writing, lambda: self._writers_behind(begun)),
            "subscribing": (healed.subscribing, lambda: self._subscribers_behind(marks)),
            "consuming": (healed.consuming, lambda: self._groups_behind(marks)),
        }
        while waits:
            await asyncio.sleep(_LOOK_AGAIN)
            took = monotonic() - begun
            for what, (times, behind) in list(waits.items()):
                if not behind():
                    times.append(took)
                    del waits[what]
            if took > PATIENCE:
                for what, (times, behind) in waits.items():
                    times.append(took)
                    self._ledger.violations.add(f"{what} has not healed {took:.0f} s after {fault}: {behind()}")
                return

    def _writers_behind(self, begun: float) -> list[str]:
        return [book.name for book in self._ledger.books.values() if book.last < begun and not book.lost]

    def _subscribers_behind(self, marks: Mapping[int, Mapping[str, int]]) -> list[str]:
        return [
            each.name
            for each in self._subscribers
            if each.sequence is None or not each.sequence.passed(marks[id(each)])
        ]

    def _groups_behind(self, marks: Mapping[int, Mapping[str, int]]) -> list[str]:
        return [each.name for each in self._groups if not each.tally.passed(marks[id(each)])]
