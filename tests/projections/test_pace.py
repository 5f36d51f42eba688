"""How much of a busy server projections take, and what they need not look through."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite.server.projections.pace import PAGE_EVENTS, LinkPace, ScriptPace
from esdb_lite.server.projections.stretches import LinkStretches


def test_alone_they_do_not_pause() -> None:
    pace = LinkPace()
    pace.hand_out(1.0)
    pace.ask(1.03, 0)
    assert pace.left(1.03) <= 0
    assert pace.page_events == PAGE_EVENTS


def test_while_others_append_they_pause_for_longer_than_they_work() -> None:
    pace = LinkPace()
    pace.hand_out(1.0)
    pace.ask(1.01, 7)
    assert pace.left(1.01) == pytest.approx(0.04)
    assert pace.left(1.03) == pytest.approx(0.02)
    assert pace.page_events < PAGE_EVENTS
    pace.hand_out(2.0)
    pace.ask(2.01, 7)
    assert pace.left(2.01) <= 0


def test_who_waits_for_the_answer_to_an_append_still_appends() -> None:
    pace = LinkPace()
    pace.hand_out(1.0)
    pace.ask(1.01, 7)
    pace.hand_out(1.05)
    pace.ask(1.07, 7)
    assert pace.left(1.07) == pytest.approx(0.08)
    assert pace.page_events < PAGE_EVENTS


def test_a_pause_has_an_end() -> None:
    pace = LinkPace()
    pace.hand_out(1.0)
    pace.ask(9.0, 1)
    assert pace.left(9.0) == pytest.approx(0.1)


def test_few_events_in_a_row_are_handled_at_once_and_many_together() -> None:
    pace, pauses = LinkPace(), []
    for number in range(100):
        pace.hand_out(number * 0.01)
        pace.ask(number * 0.01 + 0.0002, number)
        pace.arrive(number * 0.01 + 0.001)
        pauses.append(pace.left(number * 0.01 + 0.001) > 0)
    assert not any(pauses[:50])
    assert all(pauses[60:])
    pace.arrive(1.5)
    assert pace.left(1.5) <= 0


def test_a_script_pauses_while_others_append_and_not_too_often() -> None:
    appends = [7]
    pace = ScriptPace(lambda: appends[0])
    assert pace.left(1.0) == 0
    appends[0] = 8
    assert pace.left(1.0001) == 0
    assert pace.left(1.01) > 0
    assert pace.left(1.0101) == 0
    assert pace.left(1.05) > 0
    assert pace.left(1.2) == 0


def test_stretches_that_go_on() -> None:
    stretches = LinkStretches()
    stretches.add(range(100, 200))
    stretches.add(range(0))
    stretches.add(range(200, 300))
    stretches.add(range(400, 1_000_000))
    assert [stretches.behind(position) for position in (50, 100, 250, 300, 400)] == [50, 300, 300, 300, 1_000_000]
    assert stretches.before(0, 5000) == 400
    assert stretches.before(0, 300) == 300


spans = st.lists(st.integers(1, 50), max_size=30)


@given(spans, st.randoms(use_true_random=False))
def test_nothing_else_is_ever_left_out(lengths: list[int], random: Random) -> None:
    """Every other stretch is of links; they may become known in any order."""
    ends = [sum(lengths[: at + 1]) for at in range(len(lengths))]
    links = [range(ends[at - 1] if at else 0, end) for at, end in enumerate(ends) if at % 2]
    random.shuffle(links)
    stretches = LinkStretches()
    for stretch in links:
        stretches.add(stretch)
    covered = {position for stretch in links for position in stretch}
    for position in range(ends[-1] if ends else 0):
        behind = stretches.behind(position)
        assert covered.issuperset(range(position, behind))
        assert behind not in covered or behind == position


def test_the_longest_are_kept() -> None:
    stretches = LinkStretches()
    stretches.add(range(1_000_000))
    for start in range(2_000_000, 2_010_000, 10):
        stretches.add(range(start, start + 5))
    assert stretches.behind(0) == 1_000_000
    assert len(stretches._starts) <= 256
