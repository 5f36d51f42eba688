"""Positions in the log as texts: `C:100/P:100`, the commit and the prepare position.

Owns: both directions. Must not know: what the positions stand for, which of them may be below 0.
"""

from __future__ import annotations

import re


def log_position(commit: int, prepare: int | None = None) -> str:
    """Write a position; `prepare` is the same as `commit` by default."""
    return f"C:{commit}/P:{commit if prepare is None else prepare}"


def commit_and_prepare(text: str) -> tuple[int, int] | None:
    """Read a position; None for a text that is none."""
    found = re.fullmatch(r"C:(-?[0-9]{1,19})/P:(-?[0-9]{1,19})", text)
    return None if found is None else (int(found[1]), int(found[2]))
