"""Positions in the log as texts: `C:100/P:100`, the commit and the prepare position.

Owns: both directions, also for places that know an event. Must not know: what the positions stand for, which of them
may be below 0.
"""

from __future__ import annotations

import re
from uuid import UUID

_TOKEN = r"C:([0-9]{1,19})/P:([0-9]{1,19})(?:@([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?::([0-9]{1,19}))?)?"


def log_position(commit: int, prepare: int | None = None) -> str:
    """Write a position; `prepare` is the same as `commit` by default."""
    return f"C:{commit}/P:{commit if prepare is None else prepare}"


def commit_and_prepare(text: str) -> tuple[int, int] | None:
    """Read a position; None for a text that is none."""
    found = re.fullmatch(r"C:(-?[0-9]{1,19})/P:(-?[0-9]{1,19})", text)
    return None if found is None else (int(found[1]), int(found[2]))


def place_token(commit: int, prepare: int, event_id: UUID | None, event_position: int | None) -> str:
    """Write a place with an event: `C:100/P:100@ID` if it is there, `C:100/P:100@ID:90` if it is at 90."""
    place = log_position(commit, prepare)
    if event_id is None:
        return place
    return f"{place}@{event_id}" if event_position is None else f"{place}@{event_id}:{event_position}"


def place_of_token(text: str) -> tuple[int, int, UUID | None, int | None] | None:
    """Read what `place_token` writes; None for another text."""
    found = re.fullmatch(_TOKEN, text)
    if found is None or max(int(number) for number in found.group(1, 2, 4) if number) >= 2**63:
        return None
    commit, prepare, event_id, event_position = found.groups()
    id, at = None if event_id is None else UUID(event_id), None if event_position is None else int(event_position)
    return int(commit), int(prepare), id, at
