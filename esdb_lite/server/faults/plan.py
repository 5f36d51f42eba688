"""Which fault meets which call: the rules, and how often each of them still applies.

Owns: the kinds of faults, their order, and counting how often they have applied. Must not know: threads, event loops,
calls, how a fault is carried out.

Of the faults that answer appends, the one that was set first comes first; with `times` it makes room for the next one.
Delays add up.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

BATCH_APPEND = "BatchAppend"


class Refusal(enum.Enum):
    """The way in which an append is refused. Nothing is written."""

    NOT_READY = "not-ready"
    """UNAVAILABLE, as from a node that is becoming or ceasing to be the leader."""
    TIMED_OUT = "timed-out"
    """ABORTED, as for a write that was not committed in time. A client cannot know that nothing was written."""
    TOO_BUSY = "too-busy"
    """UNAVAILABLE, as from a node that has no room."""
    UNKNOWN = "unknown"
    """UNKNOWN, as from a node that failed inside."""


@dataclass(eq=False)
class Rule:
    """A fault that was asked for."""

    times: int | None = None
    """How often it applies from now on; None: until it is cleared."""
    cleared: bool = field(default=False, init=False)
    """It was taken back (not: used up)."""


@dataclass(eq=False)
class Delay(Rule):
    """Calls wait before they are handled."""

    seconds: float = 0.0
    method: str | None = None

    def meets(self, method: str) -> bool:
        """Whether calls of a method wait."""
        return self.method is None or self.method == method


@dataclass(eq=False)
class RefuseAppends(Rule):
    """Appends are refused."""

    reason: Refusal = Refusal.NOT_READY


@dataclass(eq=False)
class LoseAnswers(Rule):
    """Appends are written, and their connection is cut in place of the answer."""


@dataclass(eq=False)
class TimeOutAppends(Rule):
    """Appends are written, and answered as if they had not been committed in time."""


@dataclass(eq=False)
class Misdirect(Rule):
    """Calls that need a leader are sent elsewhere."""

    host: str = ""
    port: int = 0


@dataclass(eq=False)
class DropAfter(Rule):
    """Connections are cut after so many events of a call."""

    events: int = 1


@dataclass(eq=False)
class Stall(Rule):
    """Nothing is answered."""

    connections: bool = True
    """Nor is anything read or accepted: the process seems frozen."""


@dataclass(eq=False)
class RefuseConnections(Rule):
    """Connections are closed as soon as they are there."""


_WRITING = (RefuseAppends, LoseAnswers, TimeOutAppends, Misdirect)


class Plan:
    """The faults that are in force."""

    def __init__(self) -> None:
        self.changed: Callable[[], None] = _nobody
        """Called after every change, also when a fault has been used up."""
        self._rules: dict[Rule, None] = {}

    @property
    def empty(self) -> bool:
        """Whether all is well."""
        return not self._rules

    @property
    def delays_or_stalls(self) -> bool:
        """Whether calls may have to wait."""
        return any(isinstance(rule, Delay | Stall) for rule in self._rules)

    @property
    def frozen(self) -> bool:
        """Whether to read, accept and send nothing."""
        return any(isinstance(rule, Stall) and rule.connections for rule in self._rules)

    @property
    def unanswering(self) -> bool:
        """Whether calls are to wait, on connections that are well."""
        return any(isinstance(rule, Stall) for rule in self._rules)

    @property
    def refuses_connections(self) -> bool:
        """Whether to close new connections at once."""
        return any(isinstance(rule, RefuseConnections) for rule in self._rules)

    def add(self, rule: Rule) -> None:
        """Let a fault be in force."""
        self._rules[rule] = None
        self.changed()

    def remove(self, rule: Rule) -> None:
        """Take a fault back. Nothing happens when it is not there any more."""
        rule.cleared = True
        if self._rules.pop(rule, self) is None:
            self.changed()

    def clear(self) -> None:
        """Take all faults back."""
        if self._rules:
            for rule in self._rules:
                rule.cleared = True
            self._rules.clear()
            self.changed()

    def delays(self, method: str) -> list[Delay]:
        """Use the delays that a call of this method meets."""
        met = [rule for rule in self._rules if isinstance(rule, Delay) and rule.meets(method)]
        for rule in met:
            self.use(rule)
        return met

    def fate_of_append(self) -> Rule | None:
        """Use the fault that an append meets."""
        return self._first(_WRITING)

    def misdirection(self) -> Misdirect | None:
        """Use the fault that any other call meets which needs a leader."""
        rule = self._first((Misdirect,))
        return rule if isinstance(rule, Misdirect) else None

    def limits(self) -> Iterator[DropAfter]:
        """The faults that cut connections after some events."""
        return (rule for rule in list(self._rules) if isinstance(rule, DropAfter))

    def use(self, rule: Rule) -> bool:
        """Count that a fault has applied; False when it must not, because it is not in force any more."""
        if rule not in self._rules:
            return False
        if rule.times is not None:
            rule.times -= 1
            if rule.times <= 0:
                del self._rules[rule]
                self.changed()
        return True

    def _first(self, kinds: tuple[type[Rule], ...]) -> Rule | None:
        found = next((rule for rule in self._rules if isinstance(rule, kinds)), None)
        if found is not None:
            self.use(found)
        return found


class EventLimits:
    """Counts the events of one call, for the faults that cut connections after some."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._sent: dict[DropAfter, int] = {}
        self.begin()

    def begin(self) -> None:
        """Count for all faults that are in force; those that are known go on."""
        for rule in self._plan.limits():
            self._sent.setdefault(rule, 0)

    def allowed(self, events: int) -> int | None:
        """Count events to send; return how many may go before the cut, None for all of them."""
        cut: int | None = None
        for rule, sent in list(self._sent.items()):
            if sent + events >= rule.events and (cut is None or rule.events - sent < cut) and self._plan.use(rule):
                cut = rule.events - sent
            self._sent[rule] = sent + events
        return cut


def _nobody() -> None:
    """Nobody wants to know of changes."""
