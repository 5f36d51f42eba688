"""Says which versions of what is depended on are installed, and whether they are those that were to be tested.

python tests/versions.py lowest|newest
"""

from __future__ import annotations

import sys
from importlib.metadata import requires, version

LOWEST = {"grpclib": "0.4.9", "h2": "3.1.0", "betterproto": "2.0.0b7", "typing_extensions": "4.12.0"}


def main(which: str) -> None:
    """Print the versions; raises SystemExit where the lowest were asked for, and these are others."""
    found = {name: version(name) for name in LOWEST}
    print(which, *(f"{name} {number}" for name, number in found.items()))
    declared = [line for line in requires("esdb-lite") or () if "extra" not in line]
    print("declared:", *declared)
    if which == "lowest" and found != LOWEST:
        sys.exit(f"not the lowest versions: {found}")


if __name__ == "__main__":
    main(*sys.argv[1:])
