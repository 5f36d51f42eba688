"""What a decision is made with.

Owns: `Means`: the client and its budget; the form in which calls are asked for. Must not know: what is decided.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from esdb_lite.client.arguments import checked_timeout
from esdb_lite.client.credentials import checked_credentials
from esdb_lite.errors import DeadlineExceeded

if TYPE_CHECKING:
    from esdb_lite._checks import Seconds
    from esdb_lite.event_types.registry import EventTypes
    from esdb_lite.events import RecordedEvent
    from esdb_lite.settings import CredentialsLike

Call = Callable[[], object]
Calls = Generator[Call, Any, Any]
"""Calls to be made, one after another; each gets back what came of it, or its exception."""


@dataclass(frozen=True)
class Means:
    """A client of either kind, and what its calls take."""

    client: Any
    pause: Callable[[float], object]
    """Waits for so many seconds."""
    types: EventTypes | None
    credentials: CredentialsLike
    ends_at: float | None
    """When the budget is spent, by `time.monotonic()`; None: never."""

    @classmethod
    def within(
        cls,
        timeout: Seconds | None,
        *,
        client: object,
        pause: Callable[[float], object],
        types: EventTypes | None,
        credentials: CredentialsLike,
    ) -> Means:
        """Begin the budget. Raises InvalidArgument."""
        seconds = checked_timeout(timeout)
        ends_at = None if seconds is None else time.monotonic() + seconds
        return cls(client, pause, types, checked_credentials(credentials), ends_at)

    def options(self) -> dict[str, Any]:
        """What every call gets. Raises DeadlineExceeded."""
        if self.ends_at is None:
            return {"credentials": self.credentials}
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded("the decision was not made within its timeout", sent=False)
        return {"credentials": self.credentials, "timeout": left}

    def value(self, event: RecordedEvent) -> object:
        """What a fold gets of an event."""
        return event if self.types is None else self.types.value(event)
