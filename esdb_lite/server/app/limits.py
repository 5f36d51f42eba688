"""How many connections a server takes.

Owns: the figure, from what the system allows. Must not know: connections.
"""

from __future__ import annotations

import sys

MOST_CONNECTIONS = 10_000
"""Whatever the system allows."""
_SHARE = 0.75
"""Of the process's handles: the rest is for the database, and for whatever else the program does."""


def connection_limit() -> int:
    """Return how many connections there may be at a time."""
    handles = handle_limit()
    return MOST_CONNECTIONS if handles is None else max(1, min(MOST_CONNECTIONS, int(handles * _SHARE)))


def handle_limit() -> int | None:
    """Return how many handles this process may have; None where the system does not say, or has no limit."""
    if sys.platform == "win32":
        return None
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft
