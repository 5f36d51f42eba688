"""Runs the measurements and prints their medians, and how they compare.

    python -m tests.benchmarks read [--events N] [--size BYTES] [--rounds N]

All contenders take turns in one run, so that what else the machine does hits all of them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from tests.benchmarks.contenders import CONTENDERS
from tests.support import environment

Result = dict[str, float]


@contextmanager
def replay_server(events: int, size: int) -> Iterator[int]:
    """Run the replay server; gives its port."""
    command = [sys.executable, "-m", "tests.benchmarks.replay", str(events), str(size)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(), text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def run(name: str, port: int) -> Result | None:
    """Measure one contender; None when it is not installed."""
    command = [sys.executable, "-m", "tests.benchmarks.contenders", name, str(port)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return None if "missing" in result else result


def read(arguments: argparse.Namespace) -> None:
    """Reading a stream from the replay server."""
    results: dict[str, list[Result]] = {}
    with replay_server(arguments.events, arguments.size) as port:
        for _ in range(arguments.rounds):
            for name in CONTENDERS:
                if (result := run(name, port)) is not None:
                    results.setdefault(name, []).append(result)
    print(f"reading {arguments.events} events with {arguments.size} bytes of data, {arguments.rounds} rounds, medians:")
    table(results)


def table(results: dict[str, list[Result]]) -> None:
    """Print what every contender took, and its speed as a multiple of the best of kurrentdbclient."""
    speeds = {name: median(each["events"] / each["wall"] for each in runs) for name, runs in results.items()}
    base = max((speed for name, speed in speeds.items() if name.startswith("kurrentdbclient")), default=None)
    print(f"{'':24}{'events/s':>10}{'cpu us/event':>14}{'peak MB':>9}{'ratio':>8}")
    for name, runs in results.items():
        cpu = median(each["cpu"] / each["events"] for each in runs) * 1e6
        peak = median(each["peak_mb"] for each in runs)
        ratio = f"{speeds[name] / base:7.2f}x" if base else ""
        print(f"{name:24}{speeds[name]:10,.0f}{cpu:14.1f}{peak:9.0f}{ratio:>8}")


def main() -> None:
    """Choose what to measure."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(required=True)
    reading = commands.add_parser("read", help="reading a stream")
    reading.add_argument("--events", type=int, default=50_000)
    reading.add_argument("--size", type=int, default=240, help="bytes of data in an event (default: 240)")
    reading.add_argument("--rounds", type=int, default=5)
    reading.set_defaults(run=read)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
