"""How many connections a server takes.

Owns: the figure, from what the system allows. Must not know: connections.
"""

from __future__ import annotations

import sys
from contextlib import suppress

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


def raise_handle_limit() -> None:
    """Let this process have as many handles as that takes, as far as the system allows it: many give it 1,024 at first.

    For processes that do nothing else: what calls `select` may not have higher handles.
    """
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = int(MOST_CONNECTIONS / _SHARE) + 1
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # a system that has another limit behind this one
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
