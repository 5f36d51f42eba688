"""What is expected of a stream, as a number and as the caller says it.

Owns: the numbers that stand for the states of a stream on the wire, and the reading of the argument
`expected_position`. Must not know: protobuf, calls.
"""

from __future__ import annotations

from typing import Union

from esdb_lite._checks import checked_int
from esdb_lite.errors import WrongArgumentType
from esdb_lite.events import CaughtUp, Checkpoint, StreamState

NO_STREAM = -1
ANY = -2
EXISTS = -4

LARGEST = 2**63 - 1
"""The largest number of an event, and the largest position, that servers understand."""

ExpectedPosition = Union[int, StreamState, None]  # noqa: UP007 - read at run time by documentation tools on 3.10
"""`None`: no stream. `n >= 0`: the last event has this number. Negative: anything. Or a `StreamState`."""

ResumeFrom = Union[int, Checkpoint, CaughtUp, None]  # noqa: UP007
"""Where a subscription to all events goes on: after a commit position, or from what a subscription has handed out."""

_STATES = {StreamState.ANY: ANY, StreamState.NO_STREAM: NO_STREAM, StreamState.EXISTS: EXISTS}


def expectation(value: ExpectedPosition) -> int:
    """Return the number that stands for an `expected_position`: n >= 0, NO_STREAM, ANY or EXISTS."""
    if value is None:
        return NO_STREAM
    if isinstance(value, StreamState):
        return _STATES[value]
    if isinstance(value, bool) or not isinstance(value, int):
        raise WrongArgumentType("expected_position", value, "must be an int, None or a StreamState")
    checked_int("expected_position", value, most=LARGEST)
    return value if value >= 0 else ANY
