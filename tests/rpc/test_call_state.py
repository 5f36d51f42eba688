"""The states of a call: what may follow what, for every pair of a state and an event."""

from __future__ import annotations

import pytest

from esdb_lite._rpc.call_state import TRANSITIONS, CallEvent, CallState, IllegalTransition, after

NEW, WAITING, ANSWERED = CallState.NEW, CallState.WAITING, CallState.ANSWERED
ENDED, FAILED, CLOSED = CallState.ENDED, CallState.FAILED, CallState.CLOSED


def test_the_whole_table() -> None:
    """Rows: states; columns: opened, answered, ended, failed, closed. None: it cannot happen."""
    table = {
        NEW: (WAITING, None, None, None, CLOSED),
        WAITING: (None, ANSWERED, ENDED, FAILED, CLOSED),
        ANSWERED: (None, None, ENDED, FAILED, CLOSED),
        ENDED: (None, None, None, ENDED, CLOSED),
        FAILED: (None, FAILED, FAILED, FAILED, CLOSED),
        CLOSED: (None, CLOSED, CLOSED, CLOSED, CLOSED),
    }
    assert set(table) == set(CallState) == set(TRANSITIONS)
    for state, row in table.items():
        for event, expected in zip(CallEvent, row, strict=True):
            if expected is None:
                with pytest.raises(IllegalTransition, match=event.name):
                    after(state, event)
            else:
                assert after(state, event) is expected


def test_what_the_server_has_said_to_the_end_counts() -> None:
    assert after(after(ANSWERED, CallEvent.ENDED), CallEvent.FAILED) is ENDED


def test_nothing_leads_out_of_the_end() -> None:
    assert set(TRANSITIONS[CLOSED].values()) == {CLOSED}


@pytest.mark.parametrize("state", CallState)
def test_every_state_can_be_reached_and_closed(state: CallState) -> None:
    reached, before = {NEW}, set[CallState]()
    while reached != before:
        before, reached = reached, reached | {to for at in reached for to in TRANSITIONS[at].values()}
    assert state in reached
    assert after(state, CallEvent.CLOSED) is CLOSED
