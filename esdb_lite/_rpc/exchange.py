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
    begun = await begin_exchange(pool, call, request)
    return None if begun is None else await begun.answer()


async def begin_exchange(pool: ConnectionPool, call: ClientCall, request: bytes) -> CallExchange | None:
    """Send the whole request of a call that is new; None, and it still is, where it cannot be sent like this."""
    if call.deadline.passed:
        return None
    link = await pool.acquire(long=call.long, deadline=call.deadline)
    begun = CallExchange(pool, call, link)
    try:
        if begun.begin(request):
            return begun
    except BaseException:
        begun.end()
        raise
    begun.end()
    return None


class CallExchange(ExchangeWatcher):
    """One exchange, whose answer somebody waits for. To be ended."""

    def __init__(self, pool: ConnectionPool, call: ClientCall, link: ClientConnection) -> None:
        self._pool = pool
        self._call = call
        self._link = link
        self._exchange: Exchange | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._data: bytes | None = None
        self._error: Exception | None = None
        self._over = False
        self._has_place = True

    def begin(self, request: bytes) -> bool:
        """Send the request; False, and nothing is sent, where that is not possible like this."""
        self._exchange = self._link.begin_exchange(self, self._call.headers_to_send(), request, long=self._call.long)
        if self._exchange is None:
            return False
        remaining = self._call.deadline.remaining()
        if remaining is not None:
            self._timer = asyncio.get_running_loop().call_later(remaining, self.unusual)
        return True

    async def answer(self) -> bytes | None:
        """Return the whole answer, which was a success, and end this; None: the call is open, and goes on as others do.

        Being cancelled loses nothing: what has come can be asked for again.
        """
        try:
            if not self._over:
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
        except asyncio.CancelledError:
            self.unusual()
            raise
        finally:
            self.end()
        if self._error is not None:
            raise self._error
        return self._data

    def end(self) -> None:
        """Give the place back, unless the call goes on there. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        if self._has_place:
            self._has_place = False
            self._pool.release(self._link, long=self._call.long)

    def _settle(self) -> None:
        self._exchange = None
        self._over = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- told by the connection ---

    def finished(self, data: bytes) -> None:
        """The answer is there, and has ended as usual."""
        self._data = data
        self._settle()

    def unusual(self) -> None:
        """The call goes on as others do."""
        self._hand_over()

    def _hand_over(self) -> bool:
        """Make it a call as others are; False where it is over, or where its connection is."""
        if self._exchange is None or self._link.lost:
            return False
        self._has_place = False
        self._call.adopt(self._link, self._link.adopt(self._exchange, self._call))
        self._settle()
        return True

    def answered(self) -> None:
        """Not told of an exchange."""

    def ended(self) -> None:
        """Not told of an exchange."""

    def reset(self, code: int) -> None:
        """The server has reset the stream."""
        if self._hand_over():
            self._call.reset(code)

    def lost(self, reason: str) -> None:
        """The connection is gone: there is no stream any more of which the call could hear it."""
        self._error = self._pool.broken(self._link, reason)
        self._settle()

    def refused(self, reason: str) -> None:
        """The server has not looked at the stream. Nothing else is told of it, so it ends also where it has no call."""
        if self._hand_over():
            self._call.refused(reason)
        elif not self._over:
            self._error = self._pool.failure(reason)
            self._settle()

    def forewarned(self, reason: str) -> None:
        """The server says goodbye: the call may end."""
        if self._hand_over():
            self._call.forewarned(reason)
