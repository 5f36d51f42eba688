"""A position in a file.

Owns: what the file looks like, and that it is there either before or after a change, whatever happens.
Must not know: consumers.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from uuid import uuid4

from esdb_lite._json import parse_json
from esdb_lite.checkpoints.positions import to_text
from esdb_lite.checkpoints.store import BoundStore
from esdb_lite.consumers import ConsumerPosition
from esdb_lite.errors import InvalidArgument, WrongArgumentType

_FORMAT = 1
_LARGEST_FILE = 100_000
_LEFTOVER = re.compile(r"\.[0-9a-f]{32}\.tmp")


class FileCheckpoint(BoundStore):
    """Keeps a consumer's position in a file, which is replaced as a whole and synced to the disk.

    Delivery is at least once: if the process is killed after the handler and before the save, the event comes again.
    Every save waits for the disk (on the event loop, with asyncio), so save less often if events are many:
    `checkpoint_every` or `checkpoint_interval`. One file is for one consumer: if another one changed it,
    CheckpointConflict is raised; if it cannot be understood, CheckpointCorrupt.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """`path`: the file, which need not exist, in a folder that does. Raises InvalidArgument."""
        self._path = checked_file("path", path)
        super().__init__(f"the checkpoint file {self._path!r}", self._path)
        self._writer = uuid4().hex
        self._content: bytes | None = None
        self._loaded = False

    @property
    def path(self) -> str:
        """The file, as an absolute path."""
        return self._path

    def __repr__(self) -> str:
        return f"FileCheckpoint({self._path!r})"

    def load(self) -> ConsumerPosition | None:
        """Return the position in the file; None where there is no file."""
        checked_file("path", self._path)
        self._remove_leftovers()
        content = self._read()
        position = None if content is None else self._understood(content)
        self._content, self._loaded = content, True
        return position

    def save(self, position: ConsumerPosition) -> None:
        """Replace the file. Raises CheckpointConflict if somebody else has changed it."""
        if not self._loaded:
            self.load()
        if self._read() != self._content:
            raise self._conflict("the file has changed")
        record = {
            "format": _FORMAT,
            "source": self._source,
            "position": to_text(position),
            "writer": self._writer,  # tells two consumers apart that are at the same position
        }
        content = json.dumps(record).encode() + b"\n"
        self._replace(content)
        self._content = content

    def forget(self) -> None:
        """Remove the file, so that a consumer begins anew."""
        with suppress(FileNotFoundError):
            os.unlink(self._path)
            _sync_folder(os.path.dirname(self._path))
        self._content = None

    def _read(self) -> bytes | None:
        try:
            with open(self._path, "rb") as file:
                return file.read(_LARGEST_FILE)
        except FileNotFoundError:
            return None

    def _understood(self, content: bytes) -> ConsumerPosition:
        try:
            record = parse_json(content)
        except ValueError as error:
            raise self._corrupt(f"it is not JSON ({error})") from error
        if not isinstance(record, dict) or record.get("format") != _FORMAT:
            raise self._corrupt(f"it is not of format {_FORMAT}")
        source, text = record.get("source"), record.get("position")
        if not isinstance(source, str) or not isinstance(text, str):
            raise self._corrupt("source or position are missing")
        return self._position(source, text)

    def _replace(self, content: bytes) -> None:
        temporary = f"{self._path}.{self._writer}.tmp"
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._path)
        except FileNotFoundError as error:
            raise self._conflict("its new content was removed") from error
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
        _sync_folder(os.path.dirname(self._path))

    def _remove_leftovers(self) -> None:
        """Remove what processes have left that were killed while they wrote."""
        folder, name = os.path.split(self._path)
        for found in os.listdir(folder):
            if _LEFTOVER.fullmatch(found.removeprefix(name)):
                with suppress(OSError):
                    os.unlink(os.path.join(folder, found))


def checked_file(argument: str, path: str | os.PathLike[str]) -> str:
    """Return the absolute path of a file that can be read and replaced, or made. Raises InvalidArgument."""
    if not isinstance(path, (str, os.PathLike)):
        raise WrongArgumentType(argument, path, "must be a path")
    name = os.fsdecode(path)
    if not name or "\0" in name:
        raise InvalidArgument(argument, name, "must be the path of a file")
    name = os.path.abspath(name)
    folder = os.path.dirname(name)
    if not os.path.isdir(folder):
        raise InvalidArgument(argument, name, "must be in a folder that exists")
    if os.path.exists(name) and not os.path.isfile(name):
        raise InvalidArgument(argument, name, f"must be a file, not a {'folder' if os.path.isdir(name) else 'device'}")
    if not _allowed(folder, os.W_OK | os.X_OK) or not (not os.path.exists(name) or _allowed(name, os.R_OK | os.W_OK)):
        raise InvalidArgument(argument, name, "must be a file that this process may replace")
    return name


def _allowed(path: str, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _sync_folder(folder: str) -> None:
    """See to it that the new name is on the disk, too, where a system can do that."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
