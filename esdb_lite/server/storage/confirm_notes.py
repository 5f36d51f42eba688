"""How far appends have been confirmed: a note beside the database file that costs no call of the system.

Owns: the layout of the `-lock` file, which outlives its holder only if that died. Must not know: who holds it.

The note is a lower bound of what the file must hold. It is made after a commit is on the disk, so that it never says
too much, whatever a power cut leaves of it; after the end of the process it says exactly how far. Nobody makes notes
where commits need not be on the disk (durability "relaxed").
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import NamedTuple
from zlib import crc32

SIZE = 512
"""Of the file: a sector, so that it is not torn."""
_HOLDER, _DURABILITY, _SLOTS = slice(0, 32), slice(32, 64), (64, 128)
_NOTE = struct.Struct("<16sQ")
_CHECK = struct.Struct("<I")
_RELAXED = b"relaxed"


class LastRun(NamedTuple):
    """What a lock file says of the database."""

    relaxed: bool = False
    """Its last commits need not have been on the disk."""
    notes: tuple[tuple[bytes, int], ...] = ()
    """Databases and how far they were confirmed."""

    def confirmed(self, database: bytes) -> int:
        """How far appends were confirmed; 0: not known."""
        return max((end for of, end in self.notes if of == database), default=0)


def read(path: str) -> LastRun:
    """Read the lock file beside a database, which may be in use; there may be none."""
    try:
        with open(os.path.realpath(path) + "-lock", "rb") as file:
            return parse(file.read(SIZE))
    except OSError:
        return LastRun()


def parse(content: bytes) -> LastRun:
    """Read the content of a lock file, as far as it can be understood."""
    found = []
    for slot in _SLOTS:
        end = slot + _NOTE.size
        if len(content) >= end + _CHECK.size and _CHECK.unpack_from(content, end)[0] == crc32(content[slot:end]):
            found.append(_NOTE.unpack_from(content, slot))
    return LastRun(content[_DURABILITY].strip() == _RELAXED, tuple(found))


class Notes:
    """The lock file's content, for its holder. Changes are seen by others at once, and survive the process."""

    def __init__(self, descriptor: int, holder: str = "") -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        content = os.read(descriptor, SIZE)
        self.left = parse(content)
        """What the last holder has left."""
        # Written, not just made longer: a mapped page for which there is no room would end the process.
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, (f"{os.getpid()} {holder}".ljust(31).encode() + b"\n" + content[32:]).ljust(SIZE, b"\0"))
        self._descriptor = descriptor
        self._map = mmap.mmap(descriptor, SIZE)
        self._turn = 0

    def forget(self) -> None:
        """What was noted is of no use any more: the database is a new one, or nothing is left to be written to it."""
        self._map[32:] = bytes(SIZE - 32)
        self.left = LastRun()

    def set_durability(self, *, relaxed: bool) -> None:
        """Note whether commits are on the disk before they are confirmed; that they are not, is then on the disk."""
        self._map[_DURABILITY] = (_RELAXED if relaxed else b"full").ljust(32)
        if relaxed:
            self._map.flush()
            os.fsync(self._descriptor)

    def confirm(self, database: bytes, end: int) -> None:
        """Note that everything before `end` is on the disk."""
        # By turns: one of the two is whole at any moment.
        self._turn = 1 - self._turn
        slot = _SLOTS[self._turn]
        note = _NOTE.pack(database, end)
        self._map[slot : slot + _NOTE.size + _CHECK.size] = note + _CHECK.pack(crc32(note))

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()
