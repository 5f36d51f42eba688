"""A regular expression of Python as a tree of a few kinds of nodes.

Owns: reading the parser of the standard library; nothing else touches it. Must not know: what is done with the tree.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

if sys.version_info >= (3, 11):
    import re._constants as sre  # type: ignore[import-not-found]
    import re._parser as parser  # type: ignore[import-not-found]
else:
    import sre_constants as sre
    import sre_parse as parser


class Chars(NamedTuple):
    """One character of a class, written as a regular expression of its own."""

    text: str
    flags: int
    size: int = 1
    """How many characters its ranges hold: what it takes to make it."""

    @property
    def matches(self) -> Callable[[str], object]:
        """The test of a character."""
        return _tester(self.text, self.flags)


class Anchor(NamedTuple):
    """A condition on a place of the text; `at` is one of the constants below."""

    at: str


START, LINE_START, END, LINE_END, BOUNDARY, NO_BOUNDARY, NEVER = (
    "start", "line start", "end", "line end", "boundary", "no boundary", "never",
)  # fmt: skip


class Sequel(NamedTuple):
    """One node after the other."""

    nodes: tuple[Node, ...]


class Choice(NamedTuple):
    """One of the nodes."""

    nodes: tuple[Node, ...]


class Repeat(NamedTuple):
    """A node `least` to `most` times (None: any number)."""

    node: Node
    least: int
    most: int | None


class Ahead(NamedTuple):
    """What must (or must not) follow."""

    node: Node
    negated: bool


class Opaque(NamedTuple):
    """What no automaton can do: look-behinds, back-references, groups that do not backtrack, conditions."""

    nodes: tuple[Node, ...]
    backtracks: bool
    """Whether there may be more than one way through it; each of the nodes is one, then."""
    repeats_text: bool = False
    """It compares with what was matched before."""


Node: TypeAlias = Chars | Anchor | Sequel | Choice | Repeat | Ahead | Opaque

_END_OF_TEXT = Ahead(Sequel((Repeat(Chars(r"\n", 0), 0, 1), Anchor(END))), negated=False)
"""`$`: the end, or before the line feed at the end."""


def parse(pattern: str) -> Node:
    """Read a pattern that `re` takes. Raises re.error, RecursionError, OverflowError."""
    parsed: Any = parser.parse(pattern, 0)
    return _sequel(parsed, parsed.state.flags)


def _sequel(items: Iterable[tuple[Any, Any]], flags: int) -> Node:
    nodes = tuple(_node(op, argument, flags) for op, argument in items)
    return nodes[0] if len(nodes) == 1 else Sequel(nodes)


def _node(op: Any, argument: Any, flags: int) -> Node:
    reader = _READERS.get(str(op))
    if reader is None:
        raise re.error(f"{op} is not supported")
    return reader(argument, flags)


def characters_of_classes(node: Node) -> int:
    """Return how many characters all classes of a tree hold."""
    if isinstance(node, Chars):
        return node.size
    if isinstance(node, (Sequel, Choice, Opaque)):
        return sum(map(characters_of_classes, node.nodes))
    return 0 if isinstance(node, Anchor) else characters_of_classes(node.node)


def _characters(text: str, flags: int, size: int = 1) -> Chars:
    return Chars(text, flags & (re.IGNORECASE | re.ASCII | re.DOTALL), size)


def _literal(code: int, flags: int) -> Node:
    return _characters(_member(code), flags)


def _not_literal(code: int, flags: int) -> Node:
    return _characters(f"[^{_member(code)}]", flags)


def _any(_: None, flags: int) -> Node:
    return _characters(".", flags)


def _class(items: Sequence[tuple[Any, Any]], flags: int) -> Node:
    size = sum(argument[1] - argument[0] if str(op) == "RANGE" else 1 for op, argument in items)
    return _characters(f"[{''.join(_class_part(str(op), argument) for op, argument in items)}]", flags, size)


def _class_part(op: str, argument: Any) -> str:
    if op == "NEGATE":
        return "^"
    if op == "RANGE":
        return f"{_member(argument[0])}-{_member(argument[1])}"
    return _member(argument) if op == "LITERAL" else _CATEGORIES[str(argument)]


def _member(code: int) -> str:
    return f"\\U{code:08x}"


_CATEGORIES = {
    "CATEGORY_DIGIT": r"\d",
    "CATEGORY_NOT_DIGIT": r"\D",
    "CATEGORY_SPACE": r"\s",
    "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w",
    "CATEGORY_NOT_WORD": r"\W",
}


def _branch(argument: tuple[None, Sequence[Any]], flags: int) -> Node:
    return Choice(tuple(_sequel(items, flags) for items in argument[1]))


def _group(argument: tuple[Any, int, int, Any], flags: int) -> Node:
    _, added, removed, items = argument
    return _sequel(items, (flags | added) & ~removed)


def _repeat(argument: tuple[int, Any, Any], flags: int) -> Node:
    least, most, items = argument
    return Repeat(_sequel(items, flags), int(least), None if most is sre.MAXREPEAT else int(most))


def _possessive(argument: tuple[int, Any, Any], flags: int) -> Node:
    return Opaque((_repeat(argument, flags),), backtracks=False)


def _atomic(items: Any, flags: int) -> Node:
    return Opaque((_sequel(items, flags),), backtracks=False)


def _look(argument: tuple[int, Any], flags: int, *, negated: bool = False) -> Node:
    direction, items = argument
    inner = _sequel(items, flags)
    return Ahead(inner, negated) if direction > 0 else Opaque((inner,), backtracks=False)


def _look_not(argument: tuple[int, Any], flags: int) -> Node:
    return _look(argument, flags, negated=True)


def _reference(_: object, __: int) -> Node:
    return Opaque((), backtracks=False, repeats_text=True)


def _condition(argument: tuple[object, Any, Any], flags: int) -> Node:
    _, yes, no = argument
    return Opaque((_sequel(yes, flags), _sequel(no or (), flags)), backtracks=True)


def _failure(_: object, __: int) -> Node:
    return Anchor(NEVER)


def _at(code: Any, flags: int) -> Node:
    name = str(code)
    lines = bool(flags & re.MULTILINE)
    if name == "AT_BEGINNING":
        return Anchor(LINE_START if lines else START)
    if name == "AT_END":
        return Anchor(LINE_END) if lines else _END_OF_TEXT
    return Anchor(_PLACES[name])


_PLACES = {
    "AT_BEGINNING_STRING": START,
    "AT_END_STRING": END,
    "AT_BOUNDARY": BOUNDARY,
    "AT_NON_BOUNDARY": NO_BOUNDARY,
}

_READERS: Mapping[str, Callable[[Any, int], Node]] = {
    "LITERAL": _literal,
    "NOT_LITERAL": _not_literal,
    "ANY": _any,
    "IN": _class,
    "BRANCH": _branch,
    "SUBPATTERN": _group,
    "MAX_REPEAT": _repeat,
    "MIN_REPEAT": _repeat,
    "POSSESSIVE_REPEAT": _possessive,
    "ATOMIC_GROUP": _atomic,
    "ASSERT": _look,
    "ASSERT_NOT": _look_not,
    "AT": _at,
    "GROUPREF": _reference,
    "GROUPREF_EXISTS": _condition,
    "FAILURE": _failure,
}
"""All that the parsers of Python 3.10 to 3.13 know."""


@lru_cache(maxsize=1024)
def _tester(text: str, flags: int) -> Callable[[str], object]:
    return re.compile(text, flags).fullmatch
