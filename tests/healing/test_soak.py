"""A short form of the soak: everybody at work on both faces, things going wrong, and nothing missing at the end.

The long form is `python -m tests.benchmarks.soak`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import soak

SECONDS = 6.0
PACE = 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "seconds"), [*((mode, SECONDS) for mode in soak.MODES), ("embedded", 0.0)])
def test_nothing_is_lost_or_doubled_or_left(mode: str, seconds: float, tmp_path: Path) -> None:
    """Also where the beginning has taken all the time, as on a machine that is busy."""
    if mode == "proxied" and not soak.proxies_here():
        pytest.skip("neither nginx nor haproxy is installed")
    done = soak.soak(mode, 1, seconds, pace=PACE, folder=tmp_path)
    violations = done.world.ledger.violations
    assert not violations.count, "\n".join(violations.kept)
    assert done.outcome.faults
    assert done.outcome.stored == sum(done.world.ledger.acknowledged.values()) > 0
    assert all(each.sequence is not None and each.sequence.seen for each in done.subscribers)
    assert all(group.tally.processed for group in done.groups)
