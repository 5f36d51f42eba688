"""Positions, and what they are positions of, as text.

Owns: both texts, which are what is stored. Must not know: where.
"""

from __future__ import annotations

import hashlib
import re
from uuid import UUID

from esdb_lite.consumers import ConsumerPosition
from esdb_lite.errors import InvalidArgument
from esdb_lite.events import Checkpoint, StreamPosition
from esdb_lite.filters import Filter
from esdb_lite.positions import LARGEST

LONGEST_SOURCE = 400
"""Characters of a source that are kept as they are."""

_SHOWN = 300
_TEXT = re.compile(r"(\d{1,19})(?:@([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}))?", re.ASCII)


def to_text(position: ConsumerPosition) -> str:
    """Return a position as servers write those of their own subscriptions, with the id of the event where it is known.

    `17`, `C:1234/P:1234`, or `17@` and the id.
    """
    if isinstance(position, Checkpoint):
        return position.token
    known = position.event_id if isinstance(position, StreamPosition) else None
    return str(int(position)) if known is None else f"{int(position)}@{known}"


def from_text(text: str) -> ConsumerPosition:
    """Return the position that a text stands for. Raises ValueError."""
    if text.startswith("C:"):
        try:
            return Checkpoint.from_token(text)
        except InvalidArgument:
            raise ValueError(f"{text[:80]!r} is not a position") from None
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:80]!r} is not a position")
    if int(found[1]) > LARGEST:
        raise ValueError(f"{text!r} is not a position: too large")
    return StreamPosition(int(found[1]), None if found[2] is None else UUID(found[2]))


def source_of(stream_name: str | None, chosen: Filter | None, index: str | None = None) -> str:
    """Return what tells the positions of one source from those of another: ASCII, of limited length."""
    of_all = f"all events{_filtered(chosen)}" if index is None else f"index {index}"
    text = of_all if stream_name is None else f"stream {stream_name}"
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
