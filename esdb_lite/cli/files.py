"""`backup`, `scavenge` and `verify`: commands on a database file.

Owns: what they print and how they end. Must not know: what a database file looks like.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from esdb_lite.cli import FOUND_FAULTS, OK, CommandFailed
from esdb_lite.server import maintenance
from esdb_lite.server.storage.errors import StorageError


def backup(options: argparse.Namespace) -> int:
    """Copy a database."""
    with _refusals():
        maintenance.backup(options.path, options.target, salvage=options.salvage)
    print(f"{options.target} is a copy of {options.path}")
    return OK


def scavenge(options: argparse.Namespace) -> int:
    """Give space back."""
    with _refusals():
        done = maintenance.scavenge(options.path)
    print(f"{options.path}: events removed: {done.removed}, bytes given back: {done.freed}")
    return OK


def verify(options: argparse.Namespace) -> int:
    """Check a database; 1 if it has faults, each of which is a line on stdout."""
    with _refusals():
        findings = maintenance.verify(options.path)
    for finding in findings or ["no faults"]:
        print(f"{options.path}: {finding}")
    return FOUND_FAULTS if findings else OK


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise CommandFailed(str(error)) from error
