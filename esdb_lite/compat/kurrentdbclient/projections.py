"""What is known of projections, with the names of kurrentdbclient.

Owns: the values. Must not know: calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from esdb_lite.compat.kurrentdbclient._elsewhere import elsewhere


@dataclass(frozen=True)
class ProjectionStatistics:
    """What a server says of a projection."""

    core_processing_time: int
    version: int
    epoch: int
    effective_name: str
    writes_in_progress: int
    reads_in_progress: int
    partitions_cached: int
    status: str
    state_reason: str
    name: str
    mode: str
    position: str
    progress: float
    last_checkpoint: str
    events_processed_after_restart: int
    checkpoint_status: str
    buffered_events: int
    write_pending_events_before_checkpoint: int
    write_pending_events_after_checkpoint: int


@dataclass(frozen=True)
class ProjectionState:
    """The state of a projection, as JSON values."""

    value: Any


if not TYPE_CHECKING:
    __getattr__ = elsewhere(__name__)
