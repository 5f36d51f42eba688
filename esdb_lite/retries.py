"""How stubborn a client is when the link breaks or a cluster elects another leader.

Owns: `RetryPolicy`. Must not know: which calls may be made again (`client.retry`), how one waits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from esdb_lite.errors import InvalidArgument, WrongArgumentType


@dataclass(frozen=True)
class RetryPolicy:
    """How often, and for how long, a call that has failed on the way is made again.

    Only what is safe to repeat is: reads; appends, with the same ids of events; and anything that the server has
    refused to begin. Times are in seconds. `RetryPolicy(attempts=1)` never repeats anything, and has subscriptions
    fail where they would be resumed. Raises InvalidArgument.
    """

    attempts: int | None = None
    """How often a call is made at most, the first time included; None: as often as the budget allows."""
    first_pause: float = 0.05
    """Before the second attempt. Each pause is twice as long as the one before, less up to half of it by chance."""
    longest_pause: float = 0.5
    budget: float = 30.0
    """After the first failure of a call, it is not begun anew later than this; nor after its own timeout."""

    def __post_init__(self) -> None:
        attempts = self.attempts
        if attempts is not None and (isinstance(attempts, bool) or not isinstance(attempts, int)):
            raise WrongArgumentType("attempts", attempts, "must be an int or None")
        if attempts is not None and attempts < 1:
            raise InvalidArgument("attempts", attempts, "must be at least 1")
        for name in ("first_pause", "longest_pause", "budget"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise WrongArgumentType(name, value, "must be a number of seconds")
            if not value >= 0 or (name != "budget" and math.isinf(value)):
                raise InvalidArgument(name, value, "must be 0 or more, and finite")

    @property
    def gives_up_at_once(self) -> bool:
        """True when nothing is ever tried again."""
        return self.attempts == 1

    def pause(self, failures: int, chance: float) -> float:
        """Return how long to wait after this many failures in a row; `chance` is between 0 and 1."""
        longest = min(self.longest_pause, self.first_pause * 2.0 ** min(failures - 1, 60))
        return longest * (1 - chance / 2)
