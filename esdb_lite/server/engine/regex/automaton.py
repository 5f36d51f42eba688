"""A regular expression as an automaton: time that grows with the text, whatever the pattern.

Owns: going through a text with all possibilities at once. Its states are found as they are needed and kept within
bounds. Must not know: Python's matcher, what is matched.

A *thread* is a place in the pattern with its *duties*: look-aheads that it has passed, each a set of threads of its
own, of which one must (or none may) come to its end. A state is the set of threads that are alive between two
characters. Conditions on the place ask for the character that follows, so that threads are led on to the characters
that they wait for (`_reach`) only when it is known.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from esdb_lite.server.engine.regex.tree import (
    BOUNDARY,
    END,
    LINE_END,
    LINE_START,
    NO_BOUNDARY,
    START,
    Anchor,
    Chars,
    Choice,
    Node,
    Opaque,
    Repeat,
    Sequel,
)

LARGEST = 10_000
"""Places that a pattern may have, its repetitions written out."""
_KEPT = 8_000
"""Threads and transitions that are kept."""


class NoAutomaton(ValueError):
    """The pattern is too large, or not regular."""


class OutOfSteps(Exception):
    """The allowance is used up."""


class Allowance:
    """Steps that may be taken: for one text or for many."""

    __slots__ = ("left",)

    def __init__(self, steps: int) -> None:
        self.left = steps

    def spend(self, steps: int = 1) -> None:
        """Take steps. Raises OutOfSteps."""
        self.left -= steps
        if self.left < 0:
            raise OutOfSteps


class _Kind(enum.IntEnum):
    """What a place in the pattern does."""

    MATCHED = 0
    TAKE = 1
    SPLIT = 2
    ASK = 3
    LOOK = 4


class _Transition(NamedTuple):
    """A place in the pattern. Which of the members count depends on the kind."""

    kind: int
    then: int = 0
    ways: tuple[int, ...] = ()
    chars: int = 0
    """Number of the class of characters that it takes."""
    at: str = ""
    look: int = 0
    """Where the look-ahead begins."""
    negated: bool = False


_MATCHED = 0

# Plain tuples: many of them are made.
_Thread: TypeAlias = "tuple[int, frozenset[_Duty]]"
_Threads: TypeAlias = "frozenset[_Thread]"


class _Duty(NamedTuple):
    threads: _Threads
    negated: bool


_TAKE, _SPLIT, _LOOK = int(_Kind.TAKE), int(_Kind.SPLIT), int(_Kind.LOOK)
_NO_DUTIES: frozenset[_Duty] = frozenset()
_DONE: _Thread = (_MATCHED, _NO_DUTIES)


class _Place(NamedTuple):
    """Between two characters."""

    start: bool
    before: str
    after: str
    """Empty at the end."""


class _State:
    __slots__ = ("before", "ending", "matched", "start", "threads", "transitions")

    def __init__(self, threads: _Threads, before: str, *, start: bool = False) -> None:
        self.threads = threads
        self.before = before
        self.start = start
        self.transitions: dict[str, _State] = {}
        self.matched: bool | None = None
        """Whether what has been read decides, whatever follows."""
        self.ending: bool | None = None
        """Whether the text may end here, once that has been asked."""


class Automaton:
    """Finds whether a pattern matches somewhere in a text."""

    def __init__(self, tree: Node) -> None:
        """Raises NoAutomaton."""
        program = _Program()
        start = program.add(tree, _MATCHED)
        anchored = _anchored(tree)
        self._steps: Sequence[_Transition] = program.steps
        self._asks_before = program.asks_before
        self._begin: _Thread = (start if anchored else program.anywhere(start), _NO_DUTIES)
        self._tests = [chars.matches for chars in program.classes]
        self._yes, self._no = self._decided(matched=True), self._decided(matched=False)
        self._forget()

    @staticmethod
    def _decided(*, matched: bool) -> _State:
        state = _State(frozenset(), "")
        state.matched = matched
        return state

    def _forget(self) -> None:
        self._initial = _State(frozenset([self._begin]), "", start=True)
        self._states: dict[tuple[_Threads, str], _State] = {}
        self._kept = 0

    def search(self, text: str, allowance: Allowance) -> bool:
        """Return whether the pattern matches somewhere. Raises OutOfSteps."""
        state = self._initial
        allowance.spend(len(text) >> 4)
        for character in text:
            following = state.transitions.get(character)
            if following is None:
                following = self._follow(state, character, allowance)
            if following.matched is not None:
                return following.matched
            state = following
        if state.ending is None:
            state.ending = self._ends(state, allowance)
        return state.ending

    def _follow(self, state: _State, character: str, allowance: Allowance) -> _State:
        if self._kept > _KEPT:
            self._forget()
        place = _Place(state.start, state.before, character)
        reached = self._reach(state.threads, place, allowance)
        if _DONE in reached:
            following = self._yes
        else:
            threads = self._advance(reached, character, allowance)
            before = _kind(character) if self._asks_before else ""
            following = self._state(threads, before) if threads else self._no
        state.transitions[character] = following
        self._kept += 1
        return following

    def _state(self, threads: _Threads, before: str) -> _State:
        known = self._states.get((threads, before))
        if known is None:
            known = self._states[(threads, before)] = _State(threads, before)
            self._kept += len(threads)
        return known

    def _ends(self, state: _State, allowance: Allowance) -> bool:
        return _satisfied_at_end(self._reach(state.threads, _Place(state.start, state.before, ""), allowance))

    def _reach(self, threads: Iterable[_Thread], place: _Place, allowance: Allowance) -> _Threads:
        """Lead threads on to the characters that they wait for; those whose duties have failed are left out."""
        steps, seen, reached = self._steps, set[_Thread](), set[_Thread]()
        waiting: list[_Thread] = list(threads)
        dutiful, cost = False, 0
        while waiting:
            thread = waiting.pop()
            if thread in seen:
                continue
            seen.add(thread)
            number, duties = thread
            cost += 1 + len(duties)
            kind, then, ways, _, at, look, negated = steps[number]
            if kind <= _TAKE:
                reached.add(thread)
                dutiful |= bool(duties)
            elif kind == _SPLIT:
                waiting += [(way, duties) for way in ways]
            elif kind == _LOOK:
                waiting.append((then, duties | {_Duty(frozenset([(look, _NO_DUTIES)]), negated)}))
            elif _holds(at, place):
                waiting.append((then, duties))
        allowance.spend(cost)
        return self._dutiful(reached, place, allowance) if dutiful else frozenset(reached)

    def _dutiful(self, threads: Iterable[_Thread], place: _Place, allowance: Allowance) -> _Threads:
        known: dict[_Duty, _Duty | bool] = {}
        kept: set[_Thread] = set()
        for step, duties in threads:
            left: set[_Duty] = set()
            for duty in duties:
                allowance.spend()
                if duty not in known:
                    known[duty] = self._look(duty, place, allowance)
                now = known[duty]
                if now is False:
                    break
                if now is not True:
                    left.add(now)
            else:
                kept.add((step, frozenset(left)))
        return frozenset(kept)

    def _look(self, duty: _Duty, place: _Place, allowance: Allowance) -> _Duty | bool:
        """Return the duty as it is now, or whether it has been fulfilled, if that is known."""
        threads = self._reach(duty.threads, place, allowance)
        if _DONE in threads:
            return not duty.negated
        return _Duty(threads, duty.negated) if threads else duty.negated

    def _advance(self, threads: _Threads, character: str, allowance: Allowance) -> _Threads:
        """Go past a character."""
        steps, taken, following = self._steps, dict[int, bool](), set[_Thread]()
        allowance.spend(len(threads))
        for number, duties in threads:
            kind, then, _, chars, *_ = steps[number]
            if kind == _TAKE:
                takes = taken.get(chars)
                if takes is None:
                    takes = taken[chars] = self._tests[chars](character) is not None
                if not takes:
                    continue
                number = then
            if duties:
                duties = frozenset(
                    [_Duty(self._advance(duty.threads, character, allowance), duty.negated) for duty in duties]
                )
            following.add((number, duties))
        return frozenset(following)


def _satisfied_at_end(threads: _Threads) -> bool:
    return any(
        step == _MATCHED and all(_satisfied_at_end(duty.threads) is not duty.negated for duty in duties)
        for step, duties in threads
    )


def _holds(at: str, place: _Place) -> bool:
    if at == START:
        return place.start
    if at == END:
        return not place.after
    if at == LINE_START:
        return place.start or place.before == "\n"
    if at == LINE_END:
        return place.after in ("", "\n")
    if at in (BOUNDARY, NO_BOUNDARY):
        return ((place.before == "w") is not (_kind(place.after) == "w")) is (at == BOUNDARY)
    return False


_WORD = Chars(r"\w", 0)


def _kind(character: str) -> str:
    """What conditions ask about a character: the end of a line, or part of a word."""
    return character if character in ("", "\n") else "w" if _WORD.matches(character) else ""


def _anchored(node: Node) -> bool:
    if isinstance(node, Anchor):
        return node.at == START
    if isinstance(node, Sequel):
        return bool(node.nodes) and _anchored(node.nodes[0])
    return isinstance(node, Choice) and all(map(_anchored, node.nodes))


class _Program:
    """The pattern as steps, each of which knows the next: built from the end."""

    def __init__(self) -> None:
        self.steps: list[_Transition] = [_Transition(_Kind.MATCHED)]
        self.classes: list[Chars] = []
        self.asks_before = False
        self._numbers: dict[Chars, int] = {}

    def _new(self, step: _Transition) -> int:
        if len(self.steps) >= LARGEST:
            raise NoAutomaton("it is too large")
        self.steps.append(step)
        return len(self.steps) - 1

    def _take(self, chars: Chars, then: int) -> int:
        number = self._numbers.get(chars)
        if number is None:
            number = self._numbers[chars] = len(self.classes)
            self.classes.append(chars)
        return self._new(_Transition(_Kind.TAKE, then, chars=number))

    def anywhere(self, start: int) -> int:
        """Begin at any character."""
        again = self._new(_Transition(_Kind.SPLIT))
        self.steps[again] = _Transition(_Kind.SPLIT, ways=(start, self._take(Chars("(?s:.)", 0), again)))
        return again

    def add(self, node: Node, then: int) -> int:
        """Add a node that is followed by a step; return where it begins. Raises NoAutomaton."""
        if isinstance(node, Chars):
            return self._take(node, then)
        if isinstance(node, Anchor):
            self.asks_before |= node.at in (LINE_START, BOUNDARY, NO_BOUNDARY)
            return self._new(_Transition(_Kind.ASK, then, at=node.at))
        if isinstance(node, Sequel):
            for part in reversed(node.nodes):
                then = self.add(part, then)
            return then
        if isinstance(node, Choice):
            ways = tuple([self.add(alternative, then) for alternative in node.nodes])
            return self._new(_Transition(_Kind.SPLIT, ways=ways))
        if isinstance(node, Repeat):
            return self._repeat(node, then)
        if isinstance(node, Opaque):
            raise NoAutomaton("it looks back, or forbids to go back")
        return self._new(_Transition(_Kind.LOOK, then, look=self.add(node.node, _MATCHED), negated=node.negated))

    def _repeat(self, node: Repeat, then: int) -> int:
        if max(node.least, node.most or 0) > LARGEST:
            raise NoAutomaton("it repeats too often")
        if node.most is None:
            again = self._new(_Transition(_Kind.SPLIT))
            self.steps[again] = _Transition(_Kind.SPLIT, ways=(self.add(node.node, again), then))
            then = again
        else:
            for _ in range(node.most - node.least):
                then = self._new(_Transition(_Kind.SPLIT, ways=(self.add(node.node, then), then)))
        for _ in range(node.least):
            then = self.add(node.node, then)
        return then
