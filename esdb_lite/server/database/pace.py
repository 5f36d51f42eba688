"""Whether something is quick enough to be done on the event loop, or goes to a thread.

Owns: this decision. Must not know: what is done, the clock.
"""

from __future__ import annotations


class Pace:
    """Things are quick until one was slow: then some go to a thread, before one is tried on the loop again."""

    def __init__(self, slow: float, elsewhere: int, *, always: bool = False) -> None:
        """`slow`: the seconds from which on one is slow; `elsewhere`: how many then go to a thread.

        `always`: they are quick, whatever they take.
        """
        self.quick = True
        self._slow = slow
        self._elsewhere = elsewhere
        self._always = always
        self._left = 0

    def took(self, seconds: float) -> None:
        """One has been done on the loop."""
        if seconds > self._slow and not self._always:
            self.quick = False
            self._left = self._elsewhere

    def went_elsewhere(self) -> None:
        """One has gone to a thread."""
        self._left -= 1
        self.quick = self._left <= 0
