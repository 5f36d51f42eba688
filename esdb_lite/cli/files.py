"""`backup`, `scavenge` and `verify`: commands on a database file.

Owns: what they print and how they end. Must not know: what a database file looks like.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from esdb_lite.cli import FOUND_FAULTS, OK, CommandFailed
from esdb_lite.server.database import maintenance
from esdb_lite.server.storage.errors import StorageError

_EVERY = 0.2
"""Seconds."""


def backup(options: argparse.Namespace) -> int:
    """Copy a database."""
    with _refusals():
        salvaged = maintenance.backup(options.path, options.target, salvage=options.salvage)
    print(f"{options.target} is a copy of {options.path}")
    if salvaged is not None:
        print(f"{options.target}: events kept: {salvaged.kept:,}, known to be missing: {salvaged.lost:,}")
    return OK


def scavenge(options: argparse.Namespace) -> int:
    """Give space back."""
    with _refusals(), _progress("events removed") as progress:
        done = maintenance.scavenge(options.path, progress=lambda so_far: progress(so_far.removed))
    print(f"{options.path}: events removed: {done.removed}, bytes given back: {done.freed}")
    return OK


def verify(options: argparse.Namespace) -> int:
    """Check a database; 1 if it has faults, each of which is a line on stdout."""
    with _refusals(), _progress("events checked") as progress:
        findings = maintenance.verify(options.path, progress=progress)
    for finding in findings or ["no faults"]:
        print(f"{options.path}: {finding}")
    return FOUND_FAULTS if findings else OK


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int], None]]:
    """Show now and then on a terminal how far a command has come, and nothing anywhere else."""
    shown = 0.0

    def show(number: int) -> None:
        nonlocal shown
        if sys.stderr.isatty() and time.monotonic() - shown >= _EVERY:
            shown = time.monotonic()
            print(f"\r{what}: {number:,} ", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        if shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise CommandFailed(str(error)) from error
