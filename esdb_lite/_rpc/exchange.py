"""A call with one request and one answer, for as long as it goes as most such calls do.

Owns: watching it, and making it a call like others where something unusual happens. Must not know: messages, framing,
how a call goes on then (`call`).
"""

from __future__ import annotations

import asyncio

from esdb_lite._http2.client import ExchangeWatcher
from esdb_lite._http2.exchange import Exchange
from esdb_lite._rpc.call import ClientCall
from esdb_lite._rpc.connection import ClientConnection
from esdb_lite._rpc.pool import ConnectionPool


async def exchange(pool: ConnectionPool, call: ClientCall, request: bytes) -> bytes | None:
    """Send the whole request of a call that is new, and return the whole answer, which was a success.

    None: it cannot be sent like this, and the call is still new; or it does not go on like this, and the call is open.
    """
    if call.deadline.passed:
        return None
    link = await pool.acquire(long=False, deadline=call.deadline)
    watcher = _Watcher(pool, call, link)
    try:
        return await watcher.answer if watcher.begin(request) else None
    except asyncio.CancelledError:
        watcher.unusual()
        raise
    finally:
        watcher.end()


class _Watcher(ExchangeWatcher):
    """Who watches one exchange."""

    def __init__(self, pool: ConnectionPool, call: ClientCall, link: ClientConnection) -> None:
        self._pool = pool
        self._call = call
        self._link = link
        self._exchange: Exchange | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._adopted = False
        self.answer: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()

    def begin(self, request: bytes) -> bool:
        """Send the request; False, and nothing is sent, where that is not possible like this."""
        self._exchange = self._link.begin_exchange(self, self._call.headers_to_send(), request)
        if self._exchange is None:
            return False
        remaining = self._call.deadline.remaining()
        if remaining is not None:
            self._timer = self.answer.get_loop().call_later(remaining, self.unusual)
        return True

    def end(self) -> None:
        """Nobody waits any more; the place is given back, unless the call goes on there."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._adopted:
            self._pool.release(self._link, long=False)

    # --- told by the connection ---

    def finished(self, data: bytes) -> None:
        """The answer is there, and has ended as usual."""
        self._exchange = None
        if not self.answer.done():
            self.answer.set_result(data)

    def unusual(self) -> None:
        """The call goes on as others do."""
        if self._exchange is not None and not self._link.lost:
            self._adopted = True
            self._call.adopt(self._link, self._link.adopt(self._exchange, self._call))
            self._exchange = None
            if not self.answer.done():
                self.answer.set_result(None)

    def answered(self) -> None:
        """Not told of an exchange."""

    def ended(self) -> None:
        """Not told of an exchange."""

    def reset(self, code: int) -> None:
        """The server has reset the stream."""
        self.unusual()
        self._call.reset(code)

    def lost(self, reason: str) -> None:
        """The connection is gone: there is no stream any more of which the call could hear it."""
        self._exchange = None
        if not self.answer.done():
            self.answer.set_exception(self._pool.broken(self._link, reason))

    def refused(self, reason: str) -> None:
        """The server has not looked at the stream."""
        self.unusual()
        self._call.refused(reason)

    def forewarned(self, reason: str) -> None:
        """The server says goodbye: the call may end."""
        self.unusual()
        self._call.forewarned(reason)
