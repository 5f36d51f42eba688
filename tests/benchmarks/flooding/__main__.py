"""The process that floods: `python -m tests.benchmarks.flooding NAME PORT SECONDS [tls]`.

Prints `begun`, and at the end what has come of it, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
from contextlib import suppress

from tests.benchmarks.flooding.catalogue import catalogue
from tests.benchmarks.flooding.peers import Attack, Tally, Target


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


async def _flood(attack: Attack, target: Target, seconds: float) -> Tally:
    tally = Tally()
    print("begun", flush=True)
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(attack(target, tally), seconds)
    return tally


def main() -> None:
    """Flood, and say what has come of it."""
    name, port, seconds, *more = sys.argv[1:]
    target = Target(int(port), _tls() if more else None)
    tally = asyncio.run(_flood(catalogue()[name].attack, target, float(seconds)))
    print(json.dumps(vars(tally)), flush=True)
    os._exit(0)  # the system closes the sockets


if __name__ == "__main__":
    main()
