"""How much work `re` can have with a pattern, at worst, on a text of some length.

Owns: the bound. It is never too low: what counts is that nobody finds a text that takes longer. Must not know: texts.

A matcher that backtracks tries, where the rest does not match, each way through what comes before. The bound is the
number of steps when nothing ever matches and all ways are tried: `ways` multiply along a sequence, and `work` is what
it takes to go all of them.
"""

from __future__ import annotations

from typing import NamedTuple

from esdb_lite.server.engine.regex.tree import START, Ahead, Anchor, Chars, Choice, Node, Opaque, Repeat, Sequel

STEPS = 4_000
"""So many steps are taken for one text: less than a tenth of a millisecond."""
STEPS_ALONE = 10_000
"""The same where nothing else can match the pattern."""
_LENGTHS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)


class Effort(NamedTuple):
    """Of one node, begun at one place."""

    ways: float
    """In how many ways it can match."""
    work: float
    """Steps to go all of them."""
    width: int
    """Characters that it takes at least."""


def longest_safe(tree: Node, steps: int = STEPS) -> int:
    """Return the length up to which texts can be searched within so many steps; -1 where there is none."""
    longest = -1
    for length in _LENGTHS:
        if _of_search(tree, length) > steps:
            break
        longest = length
    return longest


def _of_search(tree: Node, length: int) -> float:
    work = _effort(tree, length).work
    begins = _beginnings(tree)
    return (length + 1) * work if begins is None else work + length * begins


def _beginnings(node: Node) -> int | None:
    """In how many places the pattern asks whether the text begins here, before anything else; None: it does not."""
    if isinstance(node, Anchor):
        return 1 if node.at == START else None
    if isinstance(node, Sequel):
        return _beginnings(node.nodes[0]) if node.nodes else None
    if isinstance(node, Choice):
        asked = [_beginnings(alternative) for alternative in node.nodes]
        counts = [count for count in asked if count is not None]
        return sum(counts) + 1 if len(counts) == len(asked) else None
    return None


def _effort(node: Node, length: int) -> Effort:
    if isinstance(node, Chars):
        return Effort(1, 1, 1)
    if isinstance(node, Anchor):
        return Effort(1, 1, 0)
    if isinstance(node, Sequel):
        return _of_sequel(node.nodes, length)
    if isinstance(node, Choice):
        return _of_choice(node.nodes, length)
    if isinstance(node, Repeat):
        return _of_repeat(node, length)
    if isinstance(node, Ahead):
        return Effort(1, _effort(node.node, length).work, 0)
    return _of_opaque(node, length)


def _of_sequel(nodes: tuple[Node, ...], length: int) -> Effort:
    ways, work, width = 1.0, 1.0, 0
    for node in nodes:
        effort = _effort(node, length)
        work += ways * effort.work
        ways *= effort.ways
        width += effort.width
    return Effort(ways, work, width)


def _of_choice(nodes: tuple[Node, ...], length: int) -> Effort:
    efforts = [_effort(node, length) for node in nodes]
    return Effort(
        sum(effort.ways for effort in efforts),
        sum(effort.work + 1 for effort in efforts),
        min((effort.width for effort in efforts), default=0),
    )


def _of_repeat(node: Repeat, length: int) -> Effort:
    effort = _effort(node.node, length)
    # What can match nothing is repeated without end as long as it has not been often enough.
    rounds = length // effort.width + 1 if effort.width else max(length, node.least) + 1
    if node.most is not None:
        rounds = min(rounds, node.most)
    ways = float(rounds + 1) if effort.ways <= 1 else _power(effort.ways, rounds + 1)
    return Effort(ways, ways * effort.work + 1, node.least * effort.width)


def _power(base: float, exponent: int) -> float:
    try:
        return base**exponent
    except OverflowError:
        return float("inf")


def _of_opaque(node: Opaque, length: int) -> Effort:
    inner = _of_choice(node.nodes, length)
    ways = inner.ways if node.backtracks else 1
    return Effort(ways, inner.work + 1 + (length if node.repeats_text else 0), 0)
