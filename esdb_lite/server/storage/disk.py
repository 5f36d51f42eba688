"""Making sure that what was written is on the disk.

Owns: how the system is asked for that. Must not know: what the files are.
"""

from __future__ import annotations

import os
from contextlib import suppress


def sync_file(path: str) -> None:
    """Wait until the content of a file is on the disk."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_name(path: str) -> None:
    """Wait until it is on the disk that a file has this name, where a system can be asked for that."""
    if os.name != "posix":
        return
    descriptor = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
