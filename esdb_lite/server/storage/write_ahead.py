"""What SQLite would silently pass over in a write-ahead log: commits behind a damaged place.

Owns: the layout of `-wal` and `-shm` (sqlite.org/walformat.html), and telling damage from what a crash leaves.
Must not know: tables, connections.

SQLite reads the log up to the first frame whose checksum is wrong. After a crash that is where a transaction was being
written, and nobody had been told that it was there. But a transaction is written only when the one before it is on the
disk (with durability "full"). So where there is, behind the place at which SQLite stopped, a commit and a frame that
was written after it, that commit was on the disk, and something before it has been damaged since.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

_HEADER = 32
_FRAME_HEADER = 24
_MAGIC = 0x377F0682
"""With the lowest bit set: checksums are of big-endian words."""
_SHARED_INDEX = struct.Struct("=12xB3xI12x8s")
"""The start of `-shm`, in the machine's byte order: ..., initialised, ..., valid frames, ..., salts."""
_PATIENCE = 10


class _WriteAheadState(NamedTuple):
    """What SQLite has made of the log (None: nothing), and how the log begins."""

    valid: int
    """Frames up to the last commit that it sees."""
    salts: bytes
    header: bytes


def lost_commits(path: str) -> str | None:
    """Say what is damaged in the log beside a database file; None: nothing is.

    A connection must have read from the file before, and still be open. Others may be writing.
    """
    for _ in range(_PATIENCE):
        seen = _look(path)
        if seen is None:
            return None
        with open(path + "-wal", "rb") as file:
            found = _unseen_commit(file, *_layout(path, file, seen), seen.valid)
        if found is None:
            return None
        now = _look(path)
        if now is not None and now[1:] == seen[1:] and now.valid < found:
            return f"{path}-wal is damaged behind its frame {seen.valid}: commits that follow cannot be read"
        # Somebody else has been writing meanwhile.
    return None


def committed_pages(file: BinaryIO, page_size: int) -> dict[int, int]:
    """Where in a log each page begins, by its number, as the last commit has it that can be read."""
    found: dict[int, int] = {}
    uncommitted: dict[int, int] = {}
    for frame, place in _sound_frames(file, page_size):
        uncommitted[int.from_bytes(frame[:4], "big")] = place
        if _count_of(frame):
            found.update(uncommitted)
            uncommitted.clear()
    return found


def committed_count(file: BinaryIO, page_size: int) -> int:
    """How many pages the database has after the last commit of a log that can be read; 0: there is none."""
    return next(filter(None, reversed([_count_of(frame) for frame, _ in _sound_frames(file, page_size)])), 0)


def _count_of(frame: bytes) -> int:
    """Pages that the database has after a frame that ends a commit; 0: it does not."""
    return int.from_bytes(frame[4:8], "big")


def _sound_frames(file: BinaryIO, page_size: int) -> Iterator[tuple[bytes, int]]:
    """Header and place of the page of each frame, up to the first with a wrong checksum, or of an older log."""
    header = file.read(_HEADER)
    if len(header) < _HEADER or not _is_sound(header) or int.from_bytes(header[8:12], "big") != page_size:
        return
    before, big_endian = header[24:], bool(header[3] & 1)
    for _, frame in _frames(file, page_size, 1):
        place = file.tell()
        content = frame[:8] + file.read(page_size)
        if frame[8:16] != header[16:24] or frame[16:] != _checksum(content, before, big_endian=big_endian):
            return
        before = frame[16:]
        yield frame, place


def _look(path: str) -> _WriteAheadState | None:
    try:
        index = Path(path + "-shm").read_bytes()[: _SHARED_INDEX.size]
        with open(path + "-wal", "rb") as file:
            header = file.read(_HEADER)
    except FileNotFoundError:
        return None
    if len(index) < _SHARED_INDEX.size or len(header) < _HEADER:
        return None
    initialised, valid, salts = _SHARED_INDEX.unpack(index)
    return _WriteAheadState(valid, salts, header) if initialised else None


def _layout(path: str, file: BinaryIO, seen: _WriteAheadState) -> tuple[int, bytes]:
    """Page size and salts: SQLite's, unless it took the log for empty because its header is damaged."""
    if _is_sound(seen.header):
        return int.from_bytes(seen.header[8:12], "big"), seen.salts
    with open(path, "rb") as database:
        page_size = int.from_bytes(database.read(18)[16:], "big")
    file.seek(_HEADER)
    # 65536 does not fit, and is given as 1.
    return page_size if page_size > 1 else 65536, file.read(_FRAME_HEADER)[8:16]


def _is_sound(header: bytes) -> bool:
    (magic,) = struct.unpack_from(">I", header)
    return magic & ~1 == _MAGIC and header[24:] == _checksum(header[:24], bytes(8), big_endian=bool(magic & 1))


def _unseen_commit(file: BinaryIO, page_size: int, salts: bytes, valid: int) -> int | None:
    """The number of the first commit that SQLite does not see and that was followed by another frame."""
    before, commit = b"", False
    for number, header in _frames(file, page_size, valid + 1):
        ours = header[8:16] == salts
        if ours and commit:
            content = header[:8] + file.read(page_size)
            if header[16:] in (_checksum(content, before, big_endian=order) for order in (False, True)):
                return number - 1
        commit = ours and header[4:8] != bytes(4)
        before = header[16:]
    return None


def _frames(file: BinaryIO, page_size: int, first: int) -> Iterator[tuple[int, bytes]]:
    """Number and header of each complete frame; the file is then at the frame's page."""
    size = _FRAME_HEADER + page_size
    file.seek(0, 2)
    count = (file.tell() - _HEADER) // size
    for number in range(first, count + 1):
        file.seek(_HEADER + (number - 1) * size)
        header = file.read(_FRAME_HEADER)
        if len(header) < _FRAME_HEADER:
            return
        yield number, header


def _checksum(content: bytes, seed: bytes, *, big_endian: bool) -> bytes:
    """SQLite's checksum of a part of the log, which goes on from that of the part before it."""
    first, second = struct.unpack(">II", seed)
    words = struct.unpack(f"{'>' if big_endian else '<'}{len(content) // 4}I", content)
    for index in range(0, len(words), 2):
        first = (first + words[index] + second) & 0xFFFFFFFF
        second = (second + words[index + 1] + first) & 0xFFFFFFFF
    return struct.pack(">II", first, second)
