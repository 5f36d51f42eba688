"""What a decision is made with.

Owns: `Means`: the client and its budget; the form in which calls are asked for. Must not know: what is decided.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from esdb_lite.client.arguments import checked_timeout
from esdb_lite.client.credentials import checked_credentials
from esdb_lite.errors import DeadlineExceeded

if TYPE_CHECKING:
    from esdb_lite._checks import Seconds
    from esdb_lite.connection_strings import ConnectionSettings
    from esdb_lite.events import RecordedEvent
    from esdb_lite.settings import CredentialsLike

Call = Callable[[], object]
Calls = Generator[Call, Any, Any]
"""Calls to be made, one after another; each gets back what came of it, or its exception."""


class Means:
    """A client of either kind, and what its calls take."""

    def __init__(
        self,
        client: Any,
        settings: ConnectionSettings,
        pause: Callable[[float], object],
        timeout: Seconds | None,
        credentials: CredentialsLike,
    ) -> None:
        """Begin the budget; `pause` waits for so many seconds. Raises InvalidArgument."""
        self.client = client
        self.pause = pause
        self.types = settings.event_types
        self.credentials = checked_credentials(credentials)
        seconds = checked_timeout(settings.default_timeout if timeout is None else timeout)
        self._ends_at = None if seconds is None else time.monotonic() + seconds

    def options(self) -> dict[str, Any]:
        """What every call gets. Raises DeadlineExceeded."""
        if self._ends_at is None:
            return {"credentials": self.credentials}
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded("the decision was not made within its timeout", sent=False)
        return {"credentials": self.credentials, "timeout": left}

    def value(self, event: RecordedEvent) -> object:
        """What a fold gets of an event."""
        return event if self.types is None else self.types.value(event)
