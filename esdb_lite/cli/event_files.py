"""Files of events: plain or compressed, a file or a pipe.

Owns: opening them, and what of an interrupted one can be kept. Must not know: what a line says, servers.
"""

from __future__ import annotations

import gzip
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, cast

from esdb_lite.cli import NO_ROOM, CommandFailed

STREAM = "-"
_LEVEL = 5
_BUFFER = 1 << 20
_LONGEST = 256 * 1024 * 1024
"""Bytes of a line: no event has as many, and a file that is another one may have no line feed at all."""
_ANOTHER = "is not what an export has left; it stays as it is"
_NO_LINE = b"\0"
"""What cannot be made out begins like no line."""


def is_compressed(path: str) -> bool:
    """Whether a file is compressed, by its name."""
    return path.endswith(".gz")


@contextmanager
def writing(path: str, *, append: bool = False) -> Iterator[BinaryIO]:
    """Open a file for writing; it must not exist, unless it is appended to. Raises CommandFailed."""
    if path == STREAM:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        opened = _open(path, "ab" if append else "xb")
    except FileExistsError:
        if os.path.isdir(path):
            raise CommandFailed(f"{path} is a folder") from None
        if not os.path.isfile(path):
            raise CommandFailed(f"{path} is not a regular file; - writes to stdout") from None
        raise CommandFailed(f"{path} is there already; --resume goes on with it") from None
    except OSError as error:
        raise CommandFailed(f"{path} cannot be written: {error.strerror or error}") from None
    try:
        with opened:
            yield opened
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise CommandFailed(f"{path} cannot be written: {error.strerror}; --resume goes on with it") from None


def _open(path: str, mode: Literal["ab", "rb", "xb"]) -> BinaryIO:
    if is_compressed(path):
        return cast(BinaryIO, gzip.open(path, mode, _LEVEL))
    return open(path, mode, _BUFFER)


@contextmanager
def reading(path: str) -> Iterator[BinaryIO]:
    """Open a file for reading. Raises CommandFailed."""
    if path == STREAM:
        yield sys.stdin.buffer
        return
    try:
        opened = _open(path, "rb")
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror or error}") from None
    with opened:
        yield opened


def lines_of(file: BinaryIO, path: str) -> Iterator[bytes]:
    """The lines of a file that are complete. Raises CommandFailed where the rest cannot be read."""
    try:
        for line in _lines(file):
            if len(line) > _LONGEST:
                raise CommandFailed(f"{path} has a line of more than {_LONGEST:,} bytes, which is not an event")
            yield line
    except (EOFError, OSError, zlib.error) as error:
        raise CommandFailed(f"{path} is damaged: {error}") from None


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file, or pieces of them that are too long."""
    return iter(lambda: file.readline(_LONGEST + 1), b"")


class Kept:
    """What an interrupted export has left: the complete lines, and the last of them."""

    def __init__(self) -> None:
        self.lines = 0
        self.last: bytes | None = None


def mend(path: str, beginning: bytes) -> Kept:
    """Cut off what is incomplete at the end of a file whose lines begin like this; return what is left.

    Raises CommandFailed, and leaves the file alone, where it is another one.
    """
    if not os.path.isfile(path):
        raise CommandFailed(f"{path} is not a regular file: --resume cannot go on with it")
    kept, good = Kept(), 0
    rest: bytes | None = None
    with reading(path) as file:
        try:
            for line in _lines(file):
                if len(line) > _LONGEST:
                    raise CommandFailed(f"{path} {_ANOTHER}")
                if not line.endswith(b"\n"):
                    rest = line
                    break
                kept.lines, kept.last = kept.lines + 1, line
                good += len(line)
        except EOFError:
            rest = b""
        except (OSError, zlib.error):
            rest = _NO_LINE
    if rest is not None:
        known = rest if kept.last is None else kept.last
        if known[: len(beginning)] != beginning[: len(known)]:
            raise CommandFailed(f"{path} {_ANOTHER}")
        _cut(path, good)
    return kept


def _cut(path: str, size: int) -> None:
    if not is_compressed(path):
        os.truncate(path, size)
        return
    part = Path(f"{path}.part")
    try:
        with reading(path) as file, gzip.open(part, "wb", _LEVEL) as copy:
            left = size
            while left > 0:
                data = file.read(min(left, _BUFFER))
                copy.write(data)
                left -= len(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
