"""Writes of one turn of the event loop, made as one.

Owns: gathering what HTTP/2 writes piece by piece (headers, data, trailers, of many streams), since each write costs
a call of the system. Must not know: what is written.
"""

from __future__ import annotations

import asyncio
import enum
import struct
import sys
from contextlib import suppress
from typing import Any

_AT_MOST = 64 * 1024
"""Bytes that are gathered before they are written in any case: the transport must notice when its peer is slow."""


class Deaf(enum.Enum):
    """Why nothing is read for now."""

    FROZEN = "the server stands still"
    TURN = "it has had its share of this turn of the loop"
    CALLS = "more calls are ending than may be open"
    ANSWERS = "the peer does not take the answers that it asks for"


class GatheringTransport(asyncio.Transport):
    """A transport that writes at the end of the loop's turn."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._gathered: list[bytes] = []
        self._size = 0
        self._written = 0
        self._held = False
        self._corked = False
        self._deaf: set[Deaf] = set()

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Write at the end of this turn, or now if that is much."""
        if not self._gathered and not self._corked:
            self._loop.call_soon(self.flush)
        self._gathered.append(bytes(data))
        self._size += len(data)
        self._written += len(data)
        if self._size > _AT_MOST:
            self.flush()

    def flush(self) -> None:
        """Write what has been gathered."""
        if self._held:
            return
        gathered, self._gathered, self._size = self._gathered, [], 0
        if gathered and not self._transport.is_closing():
            self._transport.write(gathered[0] if len(gathered) == 1 else b"".join(gathered))

    def cork(self) -> None:
        """What comes now is written by `uncork`, or sooner if it is much."""
        self._corked = True

    def uncork(self) -> None:
        """Write what has come."""
        self._corked = False
        self.flush()

    def hold(self) -> None:
        """Neither read nor write, until `go_on`."""
        self._held = True
        self.stop_reading(Deaf.FROZEN)

    def go_on(self) -> None:
        """Write what has been gathered meanwhile, and read again."""
        self._held = False
        self.flush()
        self.read_again(Deaf.FROZEN)

    def stop_reading(self, why: Deaf) -> None:
        """Read nothing until this and all other reasons are gone."""
        if not self._deaf and not self._transport.is_closing():
            self._transport.pause_reading()
        self._deaf.add(why)

    def read_again(self, why: Deaf) -> None:
        """Drop a reason for not reading."""
        if self._deaf:
            self._deaf.discard(why)
            if not self._deaf and not self._transport.is_closing():
                self._transport.resume_reading()

    @property
    def held(self) -> bool:
        """Whether it stands still."""
        return self._held

    @property
    def is_deaf(self) -> bool:
        """Whether nothing is read for now."""
        return bool(self._deaf)

    def is_deaf_beside(self, why: Deaf) -> bool:
        """Whether there is another reason for not reading."""
        return bool(self._deaf - {why})

    def get_write_buffer_size(self) -> int:
        """Return how many bytes have not been taken by the socket."""
        return self._size + self._transport.get_write_buffer_size()

    @property
    def untaken(self) -> int:
        """How many bytes the peer has not taken. What the system has taken for it counts, where the system tells."""
        return self.get_write_buffer_size() + _held_by_system(self._transport.get_extra_info("socket"))

    @property
    def taken(self) -> int:
        """How many bytes the peer has taken in all, as far as that is known."""
        return self._written - self.untaken

    def close(self) -> None:
        """Write what has been gathered, and close."""
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._gathered = []
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the transport knows of itself."""
        return self._transport.get_extra_info(name, default)


def _held_by_system(socket: Any) -> int:
    """Return how many bytes of what was written to a socket its peer has not confirmed; 0 where that is not known.

    These may be megabytes, and the system takes no more before a third of them is gone.
    """
    if sys.platform != "win32" and socket is not None:
        import fcntl  # here: clients do not ask
        import termios

        with suppress(OSError, ValueError):  # a system that does not say; a socket that is closed
            return int(struct.unpack("i", fcntl.ioctl(socket, termios.TIOCOUTQ, bytes(4)))[0])
    return 0
