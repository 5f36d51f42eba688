"""When those who wait for a consumer look for what they wait for."""

from __future__ import annotations

import pytest

from esdb_lite.client.consumers.awaiting import Awaited, WrittenPlace
from esdb_lite.errors import AccessDenied, DeadlineExceeded, ServiceUnavailable


def test_a_place_of_the_consumers_own_stream_is_not_looked_for() -> None:
    awaited = Awaited(WrittenPlace(5, False), None, of_stream=True)
    assert (awaited.elsewhere, awaited.due, awaited.patience()) == (False, False, None)


def test_a_place_in_all_events_is_looked_for_after_a_while() -> None:
    awaited = Awaited(WrittenPlace(5, True), 60, of_stream=False)
    assert (awaited.elsewhere, awaited.due) == (False, False)
    assert 0 < (awaited.patience() or 0) <= 0.1
    awaited.not_found(AccessDenied("no"))  # the consumer will say it
    assert 0.1 < (awaited.patience() or 0) <= 0.2


def test_a_link_is_looked_for_at_once_and_until_it_is_there() -> None:
    awaited = Awaited(WrittenPlace(5, True), 60, of_stream=True)
    assert (awaited.elsewhere, awaited.due) == (True, True)
    awaited.not_found(DeadlineExceeded("late"))
    assert awaited.due  # that took its time
    awaited.not_found(ServiceUnavailable("gone"))  # for a moment, or the consumer will say it
    assert not awaited.due
    awaited.found(2)
    assert (awaited.place, awaited.asked, awaited.elsewhere, awaited.due) == (2, 5, False, False)


def test_nobody_else_would_say_that_links_cannot_be_looked_for() -> None:
    awaited = Awaited(WrittenPlace(5, True), 60, of_stream=True)
    with pytest.raises(AccessDenied):
        awaited.not_found(AccessDenied("no"))
