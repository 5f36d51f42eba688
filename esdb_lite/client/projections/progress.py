"""Whether a projection is where somebody waits for it to be.

Owns: the decision, and waiting before looking again. Must not know: calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from esdb_lite._rpc.deadline import Deadline
from esdb_lite.errors import DeadlineExceeded, ProjectionFailed
from esdb_lite.projections import ProjectionInfo, ProjectionStatus

_LINKS = {"$ce-": "$by_category", "$et-": "$by_event_type"}
"""How the names of streams of links begin, and who writes them."""
_SYSTEM_LINKS = {
    **_LINKS,
    "$bc-": "$by_correlation_id",
    "$category-": "$stream_by_category",
    "$streams": "$streams",
}
_EMIT_REFUSED = "'emit' is not allowed"
_EMIT_HINT = " (create or update it with emit=True to let it write events and links)"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.5


class CatchUp:
    """Looks at a projection again and again."""

    def __init__(self, position: int | None) -> None:
        """`position`: a place in the log; None: the end of the log as the server sees it."""
        self._position = position
        self._caught_up_before = False
        self._last: ProjectionInfo | None = None

    def is_done(self, info: ProjectionInfo) -> bool:
        """Whether it has come so far. Raises ProjectionFailed when it never will."""
        self._last = info
        if completed(info):
            return True
        if not info.is_running:
            self._caught_up_before = False
            return False
        if self.has_reached(info):
            return True
        # The position is that of the last event it took: where it takes others, it stands still. What real servers
        # call caught up may be a moment old, so that they have to say it twice to somebody who has just appended.
        caught_up = info.progress >= 100
        done = caught_up and (self._position is None or self._caught_up_before)
        self._caught_up_before = caught_up
        return done

    def has_reached(self, info: ProjectionInfo) -> bool:
        """Whether it has handled an event at the place, or behind it."""
        reached = info.commit_position
        return self._position is not None and reached is not None and reached >= self._position

    def awaited(self) -> str:
        """What somebody waits for, in words."""
        info = self._last
        if info is None:
            return "an answer"
        if info.is_running:
            return f"the projection, which has come through {max(info.progress, 0):.1f} percent of the log"
        return f"the projection, which is {info.status_text!r} (`enable_projection` starts what is stopped)"


def link_writers(info: ProjectionInfo) -> list[str]:
    """The projections of the server that write the links which this one reads: it is caught up only after them."""
    return [name for prefix, name in _LINKS.items() if prefix in info.position]


def writer_of(stream_name: str) -> str | None:
    """The system projection that writes the links of a stream; None for other streams."""
    return next((name for prefix, name in _SYSTEM_LINKS.items() if stream_name.startswith(prefix)), None)


def completed(info: ProjectionInfo) -> bool:
    """Whether a query is done. Raises ProjectionFailed when it never will be."""
    check_alive(info)
    return info.status is ProjectionStatus.COMPLETED


def check_alive(info: ProjectionInfo) -> None:
    """Raise ProjectionFailed when a projection cannot go on."""
    if info.status is ProjectionStatus.FAULTED:
        raise failure(info.name, info.fault or info.status_text)


def failure(name: str, reason: str) -> ProjectionFailed:
    """Return the exception for a projection that has faulted."""
    hint = _EMIT_HINT if _EMIT_REFUSED in reason else ""
    text = f"the projection {name!r} has faulted: {' '.join(reason.split())}{hint}"
    error = ProjectionFailed(text, details=reason)
    error.projection_name, error.reason = name, reason
    return error


def pauses() -> Iterator[float]:
    """Seconds before looking again: less at first."""
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(_LONGEST_PAUSE, pause * 1.5)


async def pause_to_look(seconds: float, deadline: Deadline, info: ProjectionInfo) -> None:
    """Wait before looking at a projection again. Raises DeadlineExceeded where there is no time for it."""
    left = deadline.remaining()
    if left is not None and left <= 2 * seconds:  # less than that leaves no time to ask again
        await asyncio.sleep(left)
        raise DeadlineExceeded(
            f"the projection {info.name!r} did not get there within {deadline.timeout:g} seconds: "
            f"it is {info.status_text!r}, and has come through {max(info.progress, 0):.1f} percent of the log"
        )
    await asyncio.sleep(seconds)
