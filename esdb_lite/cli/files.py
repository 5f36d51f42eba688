"""`backup`, `scavenge` and `verify`: commands on a database file.

Owns: what they print and how they end. Must not know: what a database file looks like.
"""

from __future__ import annotations

import argparse
import glob
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from esdb_lite.cli import FOUND_FAULTS, OK, CommandFailed
from esdb_lite.cli.terminal import progress
from esdb_lite.server.database import maintenance
from esdb_lite.server.storage.errors import StorageError

_EVERY = 0.2
"""Seconds between two looks at a copy that grows."""


def backup(options: argparse.Namespace) -> int:
    """Copy a database."""
    with _refusals(), _growing(options.path, options.target) as checked:
        salvaged = maintenance.backup(options.path, options.target, salvage=options.salvage, checked=checked)
    print(f"{options.target} is a copy of {options.path}")
    if salvaged is not None:
        print(f"{options.target}: events kept: {salvaged.kept:,}, known to be missing: {salvaged.lost:,}")
    return OK


@contextmanager
def _growing(path: str, target: str) -> Iterator[Callable[[int], None]]:
    """Show how large the copy has become, which SQLite makes in one go; then how much of it is checked."""
    done = threading.Event()

    def watch() -> None:
        with progress("copying", unit="bytes") as shows:
            while not done.wait(_EVERY):
                with suppress(OSError, IndexError):
                    size = os.path.getsize(glob.glob(f"{glob.escape(target)}.partial-*")[0])
                    shows.at(size, 100 * size / max(1, os.path.getsize(path)))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        with progress("checking the copy", unit="events") as shows:

            def checked(count: int) -> None:
                done.set()
                thread.join()
                shows.at(count)

            yield checked
    finally:
        done.set()
        thread.join()


def scavenge(options: argparse.Namespace) -> int:
    """Give space back."""
    with _refusals(), progress("scavenging", unit="events removed") as shows:

        def tell(so_far: maintenance.Scavenged) -> None:
            shows.unit = f"events removed, {so_far.freed:,} bytes given back"
            shows.at(so_far.removed)

        done = maintenance.scavenge(options.path, progress=tell)
    print(f"{options.path}: events removed: {done.removed}, bytes given back: {done.freed}")
    return OK


def verify(options: argparse.Namespace) -> int:
    """Check a database; 1 if it has faults, each of which is a line on stdout."""
    with _refusals(), progress("verifying", unit="events checked") as shows:
        findings = maintenance.verify(options.path, progress=shows.at)
    for finding in findings or [f"no faults in {shows.done:,} events"]:
        print(f"{options.path}: {finding}")
    return FOUND_FAULTS if findings else OK


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise CommandFailed(str(error)) from error
