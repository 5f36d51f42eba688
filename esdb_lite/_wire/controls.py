"""What the answers to a read hold beside events, where `esdb_lite.events` has no class for it.

Owns: these classes. Must not know: how they are encoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from esdb_lite.events import CaughtUp, Checkpoint, FellBehind


@dataclass(frozen=True)
class SubscriptionConfirmed:
    """The first message of a subscription."""

    subscription_id: str


@dataclass(frozen=True)
class StreamMissing:
    """The only message of a read of a stream that does not exist."""

    stream_name: str


@dataclass(frozen=True)
class FirstStreamPosition:
    """Where the readable events of the stream begin, if not where the read should begin."""

    stream_position: int


@dataclass(frozen=True)
class LastStreamPosition:
    """Number of the last event of the stream that has been read."""

    stream_position: int


@dataclass(frozen=True)
class LastAllPosition:
    """Position of the last event of all (defined, but not sent by any server so far)."""

    commit_position: int
    prepare_position: int


Control = Union[  # noqa: UP007
    SubscriptionConfirmed,
    Checkpoint,
    CaughtUp,
    FellBehind,
    StreamMissing,
    FirstStreamPosition,
    LastStreamPosition,
    LastAllPosition,
]
