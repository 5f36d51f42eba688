"""What the services of one server share.

Owns: the server as its services see it. Must not know: the wire, sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from esdb_lite.server.database import Database, ticks_now

MAX_APPEND_SIZE = 1024 * 1024
MAX_APPEND_EVENT_SIZE = 2**31 - 1


@dataclass(frozen=True)
class Context:
    """The database of a server, its clock and its limits."""

    database: Database
    now: Callable[[], int] = ticks_now
    """100-ns ticks since 1970."""
    max_append_size: int = MAX_APPEND_SIZE
    """Bytes that the events of one append may have together."""
    max_append_event_size: int = MAX_APPEND_EVENT_SIZE
