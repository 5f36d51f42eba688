"""Texts for people: exceptions, logs, what `repr` shows.

Owns: that a text from elsewhere stays on its line, and does nothing to a terminal. Must not know: whose it is.
"""

from __future__ import annotations

from collections.abc import Callable

_LONGEST = 80


def printable(text: str) -> str:
    """Return a text on one line, without characters that a terminal or a log would take for orders."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def shortened(value: object) -> str:
    """Return what a value looks like, in a few words."""
    text = printable(repr(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def add_note(error: BaseException, note: str) -> None:
    """Have an exception say more, once, where exceptions can take notes (Python 3.11)."""
    add: Callable[[str], None] | None = getattr(error, "add_note", None)
    text = printable(note)
    if add is not None and text not in getattr(error, "__notes__", ()):
        add(text)
