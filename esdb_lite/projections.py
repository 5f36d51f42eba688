"""Projections of a server, as a client sees them.

Owns: the values. Must not know: calls, protobuf.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from esdb_lite._log_positions import commit_and_prepare


class ProjectionMode(enum.Enum):
    """How long a projection lives; the values are the server's words."""

    CONTINUOUS = "Continuous"
    """Until it is deleted."""
    ONE_TIME = "OneTime"
    """It runs to the end of the log, and is kept."""
    TRANSIENT = "Transient"
    """It runs to the end of the log, and is gone when nobody asks for it or the server stops."""


class ProjectionStatus(enum.Enum):
    """The status of a projection."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    """It was disabled, and what it held is written down."""
    ABORTED = "aborted"
    """It was aborted: what it held since the last checkpoint is computed again."""
    FAULTED = "faulted"
    """It cannot go on; `ProjectionInfo.fault` says why."""
    COMPLETED = "completed"
    """It came to the end of the log, and was to go no further."""
    DELETING = "deleting"
    UNKNOWN = "unknown"
    """The server's words are none of those that are known; `ProjectionInfo.status_text` has them."""


@dataclass(frozen=True)
class ProjectionInfo:
    """The status and the statistics of a projection, as the server reports them."""

    name: str
    """Its name; one-time projections get one from the server."""
    mode: ProjectionMode
    """How long it lives."""
    status: ProjectionStatus
    """What it does."""
    status_text: str
    """The same in the server's own words, which say more: `Running`, `Faulted (Enabled)`, `Aborted/Stopped`."""
    fault: str | None
    """Why it cannot go on; None unless it has faulted."""
    progress: float
    """Percent of the log that it has come through; 100 when it has caught up, -1 before it was ever started."""
    position: str
    """Of the last event that it handled, in the server's words: `C:523/P:523`, or `orders-1: 5` of a stream."""
    last_checkpoint: str
    """Where the next start would go on, in the same form."""
    version: int
    """The number of the change that made it what it is; -1 when nothing has ever run."""
    epoch: int
    """The version at its last reset; -1 when there was none."""
    partitions_cached: int
    """Number of partitions in memory."""
    events_processed: int
    """How many events it has handled since it was started."""
    buffered_events: int
    """How many events have been read and not handled."""
    figures: Mapping[str, int | str] = field(default_factory=dict, hash=False)
    """What else the server says, by the names of the protocol: `core_processing_time`, `reads_in_progress`,
    `writes_in_progress`, `checkpoint_status` and others."""

    @property
    def is_running(self) -> bool:
        """Whether it is running."""
        return self.status is ProjectionStatus.RUNNING

    @property
    def commit_position(self) -> int | None:
        """The position in the log of the last event that it handled; None where it has none, or counts in streams."""
        found = commit_and_prepare(self.position.partition(";")[0])  # what is behind it counts by type
        return None if found is None or min(found) < 0 else found[0]


def status_of(text: str) -> ProjectionStatus:
    """Read the server's words. What a status begins with is the manager's word, behind a slash is the engine's."""
    for word, status in _WORDS:
        if text.startswith(word):
            return status
    return ProjectionStatus.UNKNOWN


_WORDS = (
    ("Faulted", ProjectionStatus.FAULTED),
    ("Stopped/Faulted", ProjectionStatus.FAULTED),
    ("Running", ProjectionStatus.RUNNING),
    ("Stopped", ProjectionStatus.STOPPED),
    ("LoadingStopped", ProjectionStatus.STARTING),
    ("Aborted", ProjectionStatus.ABORTED),
    ("Completed", ProjectionStatus.COMPLETED),
    ("Deleting", ProjectionStatus.DELETING),
    ("Stopping", ProjectionStatus.STOPPING),
    ("Aborting", ProjectionStatus.STOPPING),
    *((word, ProjectionStatus.STARTING) for word in ("Creating", "Load", "Prepar", "Starting")),
)
