"""What comes of an append of records, under the names of kurrentdbclient.

Owns: the values. Must not know: calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from esdb_lite.compat.kurrentdbclient._elsewhere import elsewhere


@dataclass(frozen=True)
class AppendRecordsResult:
    """Where the records are."""

    commit_position: int
    stream_positions: tuple[StreamPositionResult, ...]


@dataclass(frozen=True)
class StreamPositionResult:
    """Where the last record in a stream is."""

    stream_name: str
    stream_position: int


if not TYPE_CHECKING:
    __getattr__ = elsewhere(__name__)
