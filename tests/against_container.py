"""Runs the contract suite against a real server, where the environment names one.

ESDB_URI=esdb://localhost:2113?tls=false python tests/against_container.py [PYTEST_ARGUMENTS...]
"""

from __future__ import annotations

import os
import sys

import pytest

HOW = """\
container: skipped, because ESDB_URI is not set. To run the contract suite against a real server:
    docker run -d --rm -p 2113:2113 kurrentplatform/kurrentdb:25.1 --insecure --mem-db
    ESDB_URI='esdb://localhost:2113?tls=false' tox -e container"""


def main(arguments: list[str]) -> int:
    """The exit status of pytest, or 0 with an explanation where there is no server."""
    if not os.environ.get("ESDB_URI"):
        print(HOW)
        return 0
    return int(pytest.main(["tests/contract", *arguments]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
