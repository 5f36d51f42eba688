"""Positions, and what they are positions of, as text.

Owns: both texts, which are what is stored. Must not know: where.
"""

from __future__ import annotations

import hashlib
import re

from esdb_lite.consumers import ConsumerPosition
from esdb_lite.events import Checkpoint
from esdb_lite.filters import Filter
from esdb_lite.positions import LARGEST

LONGEST_SOURCE = 400
"""Characters of a source that are kept as they are."""

_SHOWN = 300
_TEXT = re.compile(r"C:(\d{1,19})/P:(\d{1,19})|(\d{1,19})", re.ASCII)


def to_text(position: ConsumerPosition) -> str:
    """Return a position as servers write those of their own subscriptions: `17`, or `C:1234/P:1234`."""
    if isinstance(position, Checkpoint):
        return f"C:{position.commit_position}/P:{position.prepare_position}"
    return str(int(position))


def from_text(text: str) -> ConsumerPosition:
    """Return the position that a text stands for. Raises ValueError."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:80]!r} is no position")
    numbers = [int(digits) for digits in found.groups() if digits is not None]
    if max(numbers) > LARGEST:
        raise ValueError(f"{text!r} is no position: too large")
    return numbers[0] if len(numbers) == 1 else Checkpoint(numbers[0], numbers[1])


def source_of(stream_name: str | None, chosen: Filter | None) -> str:
    """Return what tells the positions of one stream or filter from those of another: ASCII, of limited length."""
    text = f"stream {stream_name}" if stream_name is not None else f"all events{_filtered(chosen)}"
    plain = text.encode("ascii", "backslashreplace").decode()
    if len(plain) <= LONGEST_SOURCE:
        return plain
    return f"{plain[:_SHOWN]}... sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _filtered(chosen: Filter | None) -> str:
    """How events are chosen; how often the server tells where it is does not matter."""
    if chosen is None:
        return ""
    if chosen.regex:
        return f", {chosen.by.value} matching {chosen.regex}"
    return f", {chosen.by.value} beginning with {', '.join(map(repr, chosen.prefixes))}"
