"""What is expected of a stream, as a number and as the caller says it.

Owns: the numbers that stand for the states of a stream on the wire, and the reading of the argument
`expected_position`. Must not know: protobuf, calls.
"""

from __future__ import annotations

import sys
import warnings
from typing import Union

from esdb_lite._checks import checked_int
from esdb_lite.errors import InvalidArgument, WrongArgumentType
from esdb_lite.events import CaughtUp, Checkpoint, StreamState

NO_STREAM = -1
ANY = -2
EXISTS = -4
DELETED = -5
TOMBSTONED = -6

LARGEST = 2**63 - 1
"""The largest number of an event, and the largest position, that servers understand."""

ALL_STREAM = "$all"
"""What servers call all events, where others have the name of a stream."""

ExpectedPosition = Union[int, StreamState, None]  # noqa: UP007 - read at run time by documentation tools on 3.10
"""`None`: no stream. `n >= 0`: the last event has this number. Or a `StreamState`; -1 and -2 are ANY, too."""

ResumeFrom = Union[int, Checkpoint, CaughtUp, None]  # noqa: UP007
"""Where a subscription to all events goes on: after a commit position, or from what a subscription has handed out."""

CheckedState = Union[int, StreamState, None]  # noqa: UP007
"""Of a check: `None`, no stream; `n >= 0`, the last event has this number; or a `StreamState` other than ANY."""

_STATES = {
    StreamState.ANY: ANY,
    StreamState.NO_STREAM: NO_STREAM,
    StreamState.EXISTS: EXISTS,
    StreamState.DELETED: DELETED,
    StreamState.TOMBSTONED: TOMBSTONED,
}
_BY_NUMBER = {number: state for state, number in _STATES.items()}


_MINUS_ONE = (
    "expected_position=-1 means any position here, as in esdbclient 0.4.12, and no stream elsewhere: "
    "say StreamState.ANY, or None for no stream"
)


def _stack_level() -> int:
    """How far away the first frame is that is not of this package: whose call it is."""
    level, frame = 2, sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("esdb_lite."):
        level, frame = level + 1, frame.f_back
    return level


def meant(value: ExpectedPosition) -> ExpectedPosition:
    """Return what an `expected_position` means where that differs from what it means elsewhere, which is warned of."""
    if not isinstance(value, int) or value != NO_STREAM:
        return value
    warnings.warn(_MINUS_ONE, DeprecationWarning, stacklevel=_stack_level())
    return StreamState.ANY


def expectation(value: ExpectedPosition) -> int:
    """Return the number that stands for an `expected_position`: n >= 0, NO_STREAM, ANY or EXISTS.

    -1 and -2 are any position, as in esdbclient 0.4.12. Raises InvalidArgument for other negative numbers: programs
    that use those mean something by them.
    """
    if value is None:
        return NO_STREAM
    if isinstance(value, StreamState):
        number = _STATES[value]
        if number < EXISTS:
            raise InvalidArgument("expected_position", value, "must be ANY, NO_STREAM or EXISTS where it is a state")
        return number
    if isinstance(value, bool) or not isinstance(value, int):
        raise WrongArgumentType("expected_position", value, "must be an int, None or a StreamState")
    checked_int("expected_position", value, most=LARGEST)
    if value < ANY:
        raise InvalidArgument("expected_position", value, "must be 0 or more, None or a StreamState" + _hint(value))
    meant(value)
    return value if value >= 0 else ANY


def _hint(number: int) -> str:
    state = _BY_NUMBER.get(number)
    return "" if state is None else f" (such as {state})"


def checked_state(argument: str, value: CheckedState) -> int:
    """Return the number that stands for the state of a check. Raises InvalidArgument."""
    if value is None:
        return NO_STREAM
    if isinstance(value, StreamState):
        if value is StreamState.ANY:
            raise InvalidArgument(argument, value, "must be something that can fail")
        return _STATES[value]
    return checked_int(argument, value, 0, LARGEST)


def state_of(number: int) -> CheckedState:
    """Return what a number stands for, as callers say it: no stream is None."""
    return None if number == NO_STREAM else _BY_NUMBER.get(number, number)
