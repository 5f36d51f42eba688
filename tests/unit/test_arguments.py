"""What the arguments of the client's methods may be, where the contract suite does not say it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from esdb_lite import CaughtUp, Checkpoint, InvalidArgument, StreamState, WrongArgumentType
from esdb_lite._wire.read_request import UNLIMITED
from esdb_lite.client.arguments import checked_limit, checked_resume, checked_timeout
from esdb_lite.positions import ANY, EXISTS, NO_STREAM, expectation


def test_a_checkpoint_before_its_event_does_not_skip_it() -> None:
    assert checked_resume(Checkpoint(7, 0)) == (7, 0)
    assert checked_resume(CaughtUp(commit_position=9, prepare_position=9)) == (9, 9)
    assert checked_resume(9) == 9
    assert checked_resume(None) is None


def test_a_caught_up_of_a_stream_is_no_place_in_all_events() -> None:
    with pytest.raises(InvalidArgument, match="position"):
        checked_resume(CaughtUp(stream_position=4))


@pytest.mark.parametrize(("value", "expected"), [(None, None), (0, 0.0), (5, 5.0), (0.25, 0.25), (math.inf, None)])
def test_timeouts(value: Any, expected: float | None) -> None:
    assert checked_timeout(value) == expected


@pytest.mark.parametrize(("value", "expected"), [(None, UNLIMITED), (0, 0), (7, 7), (UNLIMITED, UNLIMITED)])
def test_limits(value: int | None, expected: int) -> None:
    assert checked_limit(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, NO_STREAM),
        (0, 0),
        (2**63 - 1, 2**63 - 1),
        (-2, ANY),
        (StreamState.ANY, ANY),
        (StreamState.NO_STREAM, NO_STREAM),
        (StreamState.EXISTS, EXISTS),
    ],
)
def test_expectations(value: Any, expected: int) -> None:
    assert expectation(value) == expected


def test_minus_one_means_something_else_elsewhere() -> None:
    with pytest.warns(DeprecationWarning, match="expected_position=-1 means any position here") as warned:
        assert expectation(-1) == ANY
    assert [warning.filename for warning in warned] == [__file__]


@pytest.mark.parametrize("value", [False, "0", 1.0, -1.0, b"", object()])
def test_expectations_of_wrong_types(value: Any) -> None:
    with pytest.raises(WrongArgumentType, match="expected_position"):
        expectation(value)
