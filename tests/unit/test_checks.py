"""What an argument must be: the same rules, and the same words, wherever one is taken."""

from __future__ import annotations

import math
import pickle
from dataclasses import dataclass, fields, replace
from datetime import timedelta

import pytest

from esdb_lite import InvalidArgument, RetryPolicy, StreamMetadata, SubscriptionSettings
from esdb_lite._checks import (
    Duration,
    OptionalDuration,
    checked_bool,
    checked_duration,
    checked_int,
    checked_seconds,
)
from esdb_lite.errors import WrongArgumentType


def test_ints() -> None:
    assert checked_int("n", 3, 1, 3) == 3
    for wrong in (True, 1.0, "1", None):
        with pytest.raises(WrongArgumentType, match=r"^n: must be an int, not "):
            checked_int("n", wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="n: must be at least 1, not 0"):
        checked_int("n", 0, 1)
    with pytest.raises(InvalidArgument, match="n: must be between 1 and 3, not 4"):
        checked_int("n", 4, 1, 3)
    with pytest.raises(InvalidArgument, match="n: must be at most 3, not 4"):
        checked_int("n", 4, most=3)


def test_bools() -> None:
    assert checked_bool("b", True)
    with pytest.raises(WrongArgumentType, match="b: must be a bool, not 1"):
        checked_bool("b", 1)  # type: ignore[arg-type]


def test_seconds() -> None:
    assert checked_seconds("s", 2) == checked_seconds("s", timedelta(seconds=2)) == 2.0
    assert checked_seconds("s", math.inf, endless=True) == math.inf
    assert checked_seconds("s", 10**400, endless=True) == math.inf
    for wrong in (True, "1", None):
        with pytest.raises(WrongArgumentType, match="s: must be a number of seconds or a timedelta, not "):
            checked_seconds("s", wrong)  # type: ignore[arg-type]
    for wrong in (-1, math.nan, math.inf, -math.inf, 10**400, timedelta(seconds=-1)):
        with pytest.raises(InvalidArgument, match="s: must be 0 or more, and finite, not "):
            checked_seconds("s", wrong)


def test_durations() -> None:
    second, minute = timedelta(seconds=1), timedelta(minutes=1)
    assert checked_duration("d", 60, second, minute) == checked_duration("d", minute, second, minute) == minute
    for wrong in (0.5, 61, 1e300, math.inf, timedelta(days=1)):
        with pytest.raises(InvalidArgument, match="d: must be between 0:00:01 and 0:01:00, not "):
            checked_duration("d", wrong, second, minute)


@dataclass(frozen=True)
class Times:
    must: Duration = Duration(timedelta(seconds=3))
    may: OptionalDuration = OptionalDuration(None)


def test_fields_that_take_both() -> None:
    assert (Times().must, Times().may) == (timedelta(seconds=3), None)
    times = Times(1.5, timedelta(2))
    assert (times.must, times.may) == (timedelta(seconds=1.5), timedelta(2))
    assert replace(times, may=None) == Times(timedelta(seconds=1.5)) != times
    assert pickle.loads(pickle.dumps(times)) == times
    assert [field.default for field in fields(Times)] == [timedelta(seconds=3), None]
    with pytest.raises(AttributeError):
        times.must = timedelta(1)  # type: ignore[misc]


def test_times_are_taken_in_both_forms() -> None:
    minute = timedelta(minutes=1)
    assert SubscriptionSettings(message_timeout=60) == SubscriptionSettings(message_timeout=minute)
    assert SubscriptionSettings().changed({"checkpoint_after": 60}).checkpoint_after == minute
    assert StreamMetadata(max_age=60) == StreamMetadata(max_age=minute)
    assert RetryPolicy(budget=minute).budget == 60.0
    for wrong in ("1", True):
        with pytest.raises(WrongArgumentType, match="message_timeout"):
            SubscriptionSettings(message_timeout=wrong)  # type: ignore[arg-type]
