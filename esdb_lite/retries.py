"""How stubborn a client is when the link breaks or a cluster elects another leader.

Owns: `RetryPolicy`. Must not know: which calls may be made again (`client.retry`), how one waits.
"""

from __future__ import annotations

from dataclasses import dataclass

from esdb_lite._checks import Pause, checked_int, checked_seconds


@dataclass(frozen=True)
class RetryPolicy:
    """How often, and for how long, the client retries a failed call.

    It retries only what is safe: reads; appends, with the same event ids; and whatever the server has refused to
    begin. Times are numbers of seconds or `timedelta`s. `RetryPolicy(attempts=1)` never retries, and makes
    subscriptions fail instead of resuming them. Raises InvalidArgument.
    """

    attempts: int | None = None
    """How often a call is made at most, the first time included; None: as often as the budget allows."""
    first_pause: Pause = Pause(0.05)
    """Seconds before the second attempt. Each pause is twice as long as the last, less up to half of it by chance."""
    longest_pause: Pause = Pause(0.5)
    """Seconds that a pause lasts at most."""
    budget: Pause = Pause(30.0)
    """Seconds after the first failure in which new attempts may begin; the call's own timeout ends it, too."""

    def __post_init__(self) -> None:
        if self.attempts is not None:
            checked_int("attempts", self.attempts, 1)
        for name in ("first_pause", "longest_pause", "budget"):
            seconds = checked_seconds(name, getattr(self, name), endless=name == "budget")
            object.__setattr__(self, name, seconds)

    @property
    def gives_up_at_once(self) -> bool:
        """Whether nothing is ever retried."""
        return self.attempts == 1

    @property
    def follows_leader(self) -> bool:
        """Whether a call that only the leader can do goes to the leader.

        Where a subclass says False, it goes to the node that reads go to, and fails with NotLeader if that is another.
        """
        return True

    def pause(self, failures: int, chance: float) -> float:
        """Return how long to wait after this many failures in a row; `chance` is between 0 and 1."""
        longest = min(self.longest_pause, self.first_pause * 2.0 ** min(failures - 1, 60))
        return longest * (1 - chance / 2)
