"""Where clients come in: the listening sockets, and what happens to those who knock.

Owns: accepting, a few at a time; TLS handshakes; leaving connections waiting in the system's queue, closing them on
arrival. Must not know: what a connection is for, how many there may be (it asks).
"""

from __future__ import annotations

import asyncio
import enum
import errno
import logging
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from esdb_lite._loop_thread import serve_no_more, serve_on

log = logging.getLogger("esdb_lite.server")

_HANDSHAKE_TIMEOUT = 10.0
"""Seconds that a client gets for the TLS handshake."""
MAX_HANDSHAKES = 128
"""Handshakes at a time, of which each costs some 300 KB. One more waits for one of them to end, or ends the oldest."""
HANDSHAKE_PATIENCE = 1.0
"""Seconds that a handshake may take in any case: an honest one takes milliseconds, or longer where its client begins
hundreds of them at once, or is far away."""
_AT_A_TIME = 4
"""Connections that are accepted in one turn of the loop: to begin one and serve a page takes a millisecond."""
_PATIENCE = 1.0
_BACKLOG = 1024
_TRIES = 20
"""How often a free port is looked for that all addresses of a host have in common."""
_PAUSE = 0.2
"""Seconds without accepting when the system has no more handles."""
_QUIET = 60.0
"""Seconds for which the log has been told enough of that."""


class DoorState(enum.Enum):
    """What becomes of those who knock."""

    OPEN = enum.auto()
    WAITING = enum.auto()
    """The system accepts them, and nobody looks after them: what a frozen process does."""
    TURNED_AWAY = enum.auto()
    """They are accepted, and closed at once."""


class _Arrival(NamedTuple):
    """Somebody who has been accepted and is no connection yet."""

    socket: socket.socket
    since: float


class Door:
    """The sockets of one address."""

    def __init__(
        self, accept: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None, has_room: Callable[[int], bool]
    ) -> None:
        """`has_room` says whether one more may come in beside so many who are in the middle of their handshake."""
        self._accept = accept
        self._tls = tls
        self._has_room = has_room
        self._sockets: list[socket.socket] = []
        self._state = DoorState.OPEN
        self._arriving: dict[asyncio.Task[None], _Arrival] = {}
        """The oldest first."""
        self._ending: set[asyncio.Task[None]] = set()
        """Those of them who were told to go."""
        self._loops: dict[socket.socket, asyncio.Task[None]] = {}
        """What accepts on loops that cannot watch sockets."""
        self._pause: asyncio.TimerHandle | None = None
        self._full = False
        """It pauses until somebody's handshake ends, or has taken too long."""
        self._complained = -_QUIET
        self._closed = False
        self._place: tuple[str, int] | None = None

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens."""
        return [each.getsockname()[:2] for each in self._sockets]

    async def open(self, host: str, port: int) -> int:
        """Listen; returns the port (a free one for port 0). Raises OSError."""
        self._loop = asyncio.get_running_loop()
        wanted = port
        for _ in range(_TRIES):
            try:
                sockets = await self._bind(host, wanted)
            except OSError:
                if wanted == port:
                    raise
                wanted = port  # somebody else has taken it meanwhile
                continue
            bound: list[int] = [each.getsockname()[1] for each in sockets]
            if len(set(bound)) == 1:
                for each in sockets:
                    each.listen(_BACKLOG)
                self._sockets = sockets
                self._watch()
                self._place = host, bound[0]
                serve_on(self._loop, *self._place)
                return bound[0]
            # A host with several addresses got a free port for each: they are to have the same.
            _close(sockets)
            wanted = bound[0]
        raise OSError(errno.EADDRINUSE, f"no port is free on all addresses of {host}")

    async def _bind(self, host: str, port: int) -> list[socket.socket]:
        found = await self._loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        made: list[socket.socket] = []
        try:
            for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
                if (bound := _listener(family, address)) is not None:
                    made.append(bound)
            if not made:
                raise OSError(errno.EADDRNOTAVAIL, f"{host} has no address that can be listened on")
        except BaseException:
            _close(made)
            raise
        return made

    # --- accepting ---

    def use_tls(self, tls: ssl.SSLContext) -> None:
        """Meet those who knock from now on with another context."""
        self._tls = tls

    def set(self, state: DoorState) -> None:
        """Treat those who knock from now on like this."""
        self._state = state
        if not self._closed:
            self._watch()

    def _watch(self) -> None:
        """Look at the sockets, or do not."""
        if self._pause is not None:
            self._pause.cancel()
        self._pause, self._full = None, False
        for each in self._sockets:
            if self._closed or self._state is DoorState.WAITING:
                self._look_away(each)
            else:
                self._look_at(each)

    def _look_at(self, listening: socket.socket) -> None:
        try:
            self._loop.add_reader(listening, self._knocked, listening)
        except NotImplementedError:  # the usual loop of Windows
            if listening not in self._loops:
                self._loops[listening] = self._loop.create_task(self._accept_from(listening))

    def _look_away(self, listening: socket.socket) -> None:
        if (task := self._loops.pop(listening, None)) is not None:
            task.cancel()
        else:
            with suppress(NotImplementedError):
                self._loop.remove_reader(listening)

    async def _accept_from(self, listening: socket.socket) -> None:
        while True:
            if self._is_crowded:
                await asyncio.sleep(_PAUSE)
                continue
            try:
                accepted, _ = await self._loop.sock_accept(listening)
            except OSError as error:
                self._complain(error)
                await asyncio.sleep(_PAUSE)
            else:
                self._admit(accepted)

    def _knocked(self, listening: socket.socket) -> None:
        """Accept who has come, a few at a time: those who are in have to be served, too."""
        for _ in range(_AT_A_TIME):
            if self._is_crowded:
                self._rest()
                self._full = True
                return
            try:
                accepted, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no handles, as a rule
                self._complain(error)
                self._rest()
                return
            self._admit(accepted)

    def _rest(self) -> None:
        """Leave everybody waiting in the system's queue for a moment."""
        for each in self._sockets:
            self._look_away(each)
        if self._pause is None:
            self._pause = self._loop.call_later(_PAUSE, self._watch)

    @property
    def _is_crowded(self) -> bool:
        """Whether there are as many handshakes as there may be, and not even the oldest has had its time."""
        if len(self._arriving) < MAX_HANDSHAKES:
            return False
        oldest = next(iter(self._arriving.values()))
        return self._loop.time() - oldest.since < HANDSHAKE_PATIENCE

    def _complain(self, reason: object) -> None:
        if self._loop.time() - self._complained >= _QUIET:
            self._complained = self._loop.time()
            log.error("no connection can be accepted for now: %s", reason)

    def _admit(self, accepted: socket.socket) -> None:
        if self._state is not DoorState.OPEN:
            accepted.close()
            return
        if not self._has_room(len(self._arriving)):
            accepted.close()
            self._complain("there are as many as the process may have handles for, and all are at work")
            return
        if len(self._arriving) >= MAX_HANDSHAKES:
            self._send_away(next(iter(self._arriving)))
        accepted.setblocking(False)
        task = self._loop.create_task(self._let_in(accepted))
        self._arriving[task] = _Arrival(accepted, self._loop.time())
        task.add_done_callback(self._arrived)

    def _send_away(self, task: asyncio.Task[None]) -> None:
        """Have somebody find out that it is over for them."""
        with suppress(OSError):
            self._arriving.pop(task).socket.shutdown(socket.SHUT_RDWR)
        self._ending.add(task)

    def _arrived(self, task: asyncio.Task[None]) -> None:
        self._arriving.pop(task, None)
        self._ending.discard(task)
        if self._full:
            self._watch()

    async def _let_in(self, accepted: socket.socket) -> None:
        timeout = None if self._tls is None else _HANDSHAKE_TIMEOUT
        try:
            await self._loop.connect_accepted_socket(
                self._accept, accepted, ssl=self._tls, ssl_handshake_timeout=timeout
            )
        except OSError as error:  # of TLS, too
            log.debug("a client could not be connected: %r", error)
            error.__traceback__ = None  # its frames know the error: 300 KB would wait for the garbage collector
            accepted.close()
            await asyncio.sleep(0)  # asyncio ends its transport in the next turn

    # --- closing ---

    async def close(self) -> None:
        """Stop listening; who has been accepted becomes a connection. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._place is not None:
            serve_no_more(self._loop, *self._place)
        self._watch()
        _close(self._sockets)
        if self._tls is None and self._arriving:
            await asyncio.wait(self._arriving)

    async def wait_closed(self) -> None:
        """Wait until everything about it has ended. Connections must have ended before."""
        for task in [*self._arriving]:
            self._send_away(task)  # where a client has not got beyond the handshake there is nothing to wait for
        if self._ending:
            await asyncio.wait(self._ending, timeout=_PATIENCE)


def _listener(family: int, address: object) -> socket.socket | None:
    """Return a socket that is bound; None where the system does not have such addresses."""
    try:
        # asyncio switches Nagle's algorithm off, which holds back small answers, only where it is told that it is TCP
        made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError:
        return None
    try:
        made.setblocking(False)
        if os.name == "posix":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)  # type: ignore[arg-type]
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRNOTAVAIL:  # as that of IPv6 in a container without it: others of the host may do
            return None
        raise
    except BaseException:
        made.close()
        raise
    return made


def _close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()
