"""The states of a call, and which event leads from which to which.

Owns: the table. Must not know: streams, exceptions, who waits for what.

    NEW ──opened──▶ WAITING ──answered──▶ ANSWERED ──ended──▶ ENDED
                       │                      │
                       └──── ended ──▶ ENDED  └── failed ──▶ FAILED (from WAITING, too)

From everywhere `closed` leads to CLOSED, where nothing matters any more.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping


class CallState(enum.Enum):
    """How far a call has got."""

    NEW = "it is not open yet"
    WAITING = "it is open, and the server has not answered"
    ANSWERED = "the headers of the answer are there"
    ENDED = "the server has ended its side; what it has said may not be read yet"
    FAILED = "it has failed, and the reason is known"
    CLOSED = "it was ended here, and its place is given back"


class CallEvent(enum.Enum):
    """What may happen to a call."""

    OPENED = "a stream was opened for it"
    ANSWERED = "the headers of the answer have come"
    ENDED = "the server has ended the stream"
    FAILED = "the stream was reset, the connection is lost, the time is up, or the answer is none"
    CLOSED = "whoever uses it has ended it"


_NEW, _WAITING, _ANSWERED = CallState.NEW, CallState.WAITING, CallState.ANSWERED
_ENDED, _FAILED, _CLOSED = CallState.ENDED, CallState.FAILED, CallState.CLOSED

TRANSITIONS: Mapping[CallState, Mapping[CallEvent, CallState]] = {
    _NEW: {
        CallEvent.OPENED: _WAITING,
        CallEvent.CLOSED: _CLOSED,
    },
    _WAITING: {
        CallEvent.ANSWERED: _ANSWERED,
        CallEvent.ENDED: _ENDED,
        CallEvent.FAILED: _FAILED,
        CallEvent.CLOSED: _CLOSED,
    },
    _ANSWERED: {
        CallEvent.ENDED: _ENDED,
        CallEvent.FAILED: _FAILED,
        CallEvent.CLOSED: _CLOSED,
    },
    # What the server has said to the end counts, whatever happens then: a reset behind an early refusal, for one.
    _ENDED: {
        CallEvent.FAILED: _ENDED,
        CallEvent.CLOSED: _CLOSED,
    },
    # The first reason counts. A server may go on to answer where the time is up here.
    _FAILED: {
        CallEvent.ANSWERED: _FAILED,
        CallEvent.ENDED: _FAILED,
        CallEvent.FAILED: _FAILED,
        CallEvent.CLOSED: _CLOSED,
    },
    _CLOSED: dict.fromkeys((CallEvent.ANSWERED, CallEvent.ENDED, CallEvent.FAILED, CallEvent.CLOSED), _CLOSED),
}
"""What is not in it cannot happen."""


class IllegalTransition(RuntimeError):
    """An event that cannot happen in this state: a mistake in this package."""


def after(state: CallState, event: CallEvent) -> CallState:
    """Return the state after an event. Raises IllegalTransition."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransition(f"{event.name} while {state.value}") from None
