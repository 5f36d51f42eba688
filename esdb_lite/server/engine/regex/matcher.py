"""Regular expressions of strangers, ready to match: whatever the pattern and the text are, within a bound on the work.

Owns: who matches what. `re` is quick, but backtracks: the time it takes can double with every character, during which
it holds the interpreter. So it gets the texts that are short enough for the pattern (`bound`), which for the usual
patterns is all of them; an automaton gets the others. Must not know: filters, events.
"""

from __future__ import annotations

import re
from functools import lru_cache

from esdb_lite.server.engine.regex.automaton import Allowance, Automaton, NoAutomaton, OutOfSteps
from esdb_lite.server.engine.regex.bound import STEPS_ALONE, longest_safe
from esdb_lite.server.engine.regex.translation import UnsupportedRegex, translate
from esdb_lite.server.engine.regex.tree import Node, characters_of_classes, parse

LONGEST_PATTERN = 8_192
"""Characters that a pattern may have."""
LONGEST_TRANSLATION = 65_536
"""Characters that it may have in Python's syntax: general categories become classes of some thousand."""
_LARGEST_CLASSES = 1_000_000
"""Characters that all classes may hold together: compiling takes that long."""
_SHORTEST_USE = 64
"""A pattern that only `re` can match is refused unless it can match names of this length."""
_SHOWN = 200


class RegexTooSlow(Exception):
    """The text would take too long; the message says which pattern it was."""


def shortened(pattern: str) -> str:
    """Return a pattern as it is shown in messages."""
    return pattern if len(pattern) <= _SHOWN else f"{pattern[:_SHOWN]}..."


class Matcher:
    """One pattern. May be used by several threads."""

    def __init__(self, pattern: str) -> None:
        """Raises UnsupportedRegex."""
        self._pattern = pattern
        if len(pattern) > LONGEST_PATTERN:
            raise UnsupportedRegex(f"it has {len(pattern)} characters, the most are {LONGEST_PATTERN}")
        translated = translate(pattern)
        if len(translated) > LONGEST_TRANSLATION:
            raise UnsupportedRegex("it is too large: it has too many Unicode categories")
        try:
            self._tree: Node = parse(translated)
            if characters_of_classes(self._tree) > _LARGEST_CLASSES:
                raise UnsupportedRegex("it is too large: its character classes are")
            self._search = re.compile(translated).search
            self._longest = longest_safe(self._tree)
        except (re.error, RecursionError, OverflowError) as error:
            raise UnsupportedRegex(str(error)) from error
        self._automaton: Automaton | None = None
        if self._longest < _SHORTEST_USE:
            self._find_another_way()

    def _find_another_way(self) -> None:
        try:
            self._automaton = Automaton(self._tree)
        except NoAutomaton as error:
            self._longest = longest_safe(self._tree, STEPS_ALONE)
            if self._longest < _SHORTEST_USE:
                raise UnsupportedRegex(f"it can take too long: {error}") from error

    def search(self, text: str, allowance: Allowance) -> bool:
        """Return whether the pattern matches somewhere in the text. Raises RegexTooSlow."""
        if len(text) <= self._longest:
            return self._search(text) is not None
        try:
            if self._automaton is None:
                self._automaton = Automaton(self._tree)
            return self._automaton.search(text, allowance)
        except (NoAutomaton, OutOfSteps, RecursionError) as error:
            shown = shortened(self._pattern)
            raise RegexTooSlow(f"the regular expression takes too long: {shown!r}") from error


@lru_cache(maxsize=64)
def compile_dotnet(pattern: str) -> Matcher:
    """Make a matcher of a .NET pattern. Raises UnsupportedRegex."""
    return Matcher(pattern)
