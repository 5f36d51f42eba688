"""The test suites of other clients, with their import replaced by our adapters: all pass but for what is listed.

ESDB_FOREIGN_SUITES names a folder with checkouts of their repositories; none is part of this one. tests/README.md says
which, and what comes of it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import environment

ROOT = Path(__file__).resolve().parents[2]
SUITES = os.environ.get("ESDB_FOREIGN_SUITES")

pytestmark = [pytest.mark.interop, pytest.mark.slow]

AT_ONCE = "a projection with an empty query answers, and there is no waiting for a timeout"
NAMES = "the container gives its host another name"
WORDS = "words of grpc in messages"
INNER = "an inner part: messages of gRPC"
PACKAGES = "their examples need packages that tox does not install"
OTHERS = "fails with their own client, too: it needs other packages, or another server at a fixed port"

DIFFERENCES = {
    r"test_get_projection_state$": AT_ONCE,
    r"test_gossip_read$": NAMES,
    r"DiscoverScheme::test_calls_dns_": WORDS,
    r"test_persistent_subscription_read_reqs$": INNER,
    r"::test_readme$": PACKAGES,
    r"test_dog_school_with_sqlite$|TestNonInterleaving::|test_construct_secure_without": OTHERS,
    r"TestKurrentDBApplicationRecorder::test_insert_select$": WORDS,
}
"""Which of their tests fail -> why."""

TESTS = {
    "kurrentdbclient": ("25.1", "client", "client_async", "docs", "events", "persistent_subscription", "samples"),
    "esdbclient": ("24.10", "client", "asyncio_client", "docs", "events", "persistent_subscription", "samples"),
    "eventsourcing-kurrentdb": ("25.1",),
}
"""The server that a suite is for, and its modules; none: all."""


@pytest.mark.parametrize("suite", TESTS)
def test_suite(suite: str) -> None:
    checkout = Path(SUITES or ".") / suite
    if SUITES is None or not checkout.is_dir():
        pytest.skip("their repository is not here (ESDB_FOREIGN_SUITES)")
    version, *modules = TESTS[suite]
    files = [f"tests/test_{name}.py" for name in modules] or ["tests"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.compat.foreign", str(checkout), "--compatibility", version, *files, "-q", "-rfE"],
        cwd=ROOT,
        env={**environment(), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    unknown = [name for name in failed if not any(re.search(pattern, name) for pattern in DIFFERENCES)]
    assert not unknown, done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None, done.stdout + done.stderr
    assert int(passed[1]) > 20
