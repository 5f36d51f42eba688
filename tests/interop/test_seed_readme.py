"""Code written for esdbclient 0.4.12 runs with only the name of the package replaced.

The page itself is not part of this repository: ESDB_SEED_README names it, or it lies in shared/ beside.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import ServeProcess
from tests.test_readme import blocks

BESIDE = Path(__file__).resolve().parents[3] / "shared" / "seed" / "esdbclient-0.4.12-readme.txt"
PAGE = Path(os.environ.get("ESDB_SEED_README", BESIDE))


@pytest.mark.skipif(not PAGE.is_file(), reason="the README of esdbclient 0.4.12 is not here (ESDB_SEED_README)")
def test_every_block_in_order(serve: Callable[..., ServeProcess]) -> None:
    address = serve().address
    scope: dict[str, object] = {"__name__": "esdbclient_readme"}
    found = blocks(PAGE, "python")
    assert len(found) > 15
    for block in found:
        code = block.replace("esdbclient", "esdb_lite").replace("localhost:2113", address)
        exec(compile(code, str(PAGE), "exec"), scope)
    scope["client"].close()  # type: ignore[attr-defined]
