"""The manual of the house says truly which files an append, a read, a live event and an acknowledgement pass."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests import trips

MANUAL = Path(__file__).resolve().parent.parent / "esdb_lite" / "README.md"
MOST = 15
"""Files of one trip on one side."""


def described(title: str) -> trips.Files:
    """What the manual says of a trip."""
    part = MANUAL.read_text("utf-8").partition(f"### {title}\n")[2].partition("\n#")[0]
    client, _, server = part.partition("On the server:")
    return _listed(client), _listed(server)


def _listed(text: str) -> list[str]:
    return re.findall(r"^\d+\. `([^`]+)`", text, re.MULTILINE)


# coverage and debuggers use the same hook
@pytest.mark.skipif(sys.getprofile() is not None, reason="a profiler is at work")
@pytest.mark.parametrize("title", trips.TRIPS)
def test_the_manual_has_the_files_of_a_trip(title: str) -> None:
    measure: Callable[[], Awaitable[trips.Files]] = trips.TRIPS[title]
    client, server = asyncio.run(measure())  # type: ignore[arg-type]
    missing = [set(found) - set(told) for found, told in zip((client, server), described(title), strict=True)]
    too_many = [set(told) - set(found) for found, told in zip((client, server), described(title), strict=True)]
    text = "esdb_lite/README.md lacks the first and has the second; python -m tests.trips prints the lists"
    assert (missing, too_many) == ([set(), set()], [set(), set()]), text
    assert max(len(client), len(server)) <= MOST, "a trip has become too long: which hops can be merged?"


def test_what_is_counted() -> None:
    """A file that calls on into another one counts, one that only answers does not."""
    trip = trips.Trip()
    with trip.watched():
        trips.event()
    assert trip.files() == ([], [])
