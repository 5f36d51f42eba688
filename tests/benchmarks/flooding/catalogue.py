"""All floods by name."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from tests.benchmarks.flooding import on_pages, on_services, on_streams, on_wire
from tests.benchmarks.flooding.flood import Flood
from tests.benchmarks.flooding.peers import Tally, Target


async def _rest(target: Target, tally: Tally) -> None:
    await asyncio.get_running_loop().create_future()


_QUIET = Flood("nothing", "no flood at all", _rest)


def catalogue() -> Mapping[str, Flood]:
    """Return them in the order in which they are measured."""
    parts = (on_wire, on_streams, on_services, on_pages)
    return {_QUIET.name: _QUIET} | {flood.name: flood for part in parts for flood in part.floods()}
