"""The port to a JavaScript engine: what a projection needs of one, whichever it is.

Owns: the protocol and what can go wrong in an engine. Must not know: projections, events, which engine there is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

Argument: TypeAlias = "str | float | bool | None"


class Script(Protocol):
    """Functions written in JavaScript, with variables of their own that live on from call to call.

    Used in the thread that opened it, and in no other. After anything but an answer it is not to be used again.
    """

    def call(self, function: str, *arguments: Argument, seconds: float) -> str:
        """Call a function that gives a text. Raises ScriptError, within about twice these seconds of CPU time."""
        ...

    def close(self) -> None:
        """Give up its memory. Idempotent."""
        ...


Opener: TypeAlias = Callable[[str], Script]
"""Opens a script whose source, evaluated, gives a function from names to functions. Raises JavaScriptMissing."""


class JavaScriptMissing(ImportError):
    """There is no JavaScript engine; the text says what to install."""


class ScriptError(Exception):
    """A call that did not come to its end."""


class ScriptTimeout(ScriptError):
    """It took longer than it may."""

    def __init__(self, took: float) -> None:
        super().__init__(f"the script was stopped after {took:.3f} s")
        self.took = took
        """Seconds."""
