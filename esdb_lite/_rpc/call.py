"""One gRPC call on an HTTP/2 stream, from its opening to its end.

Owns: headers, deadline, flow control while sending, the status at the end, and leaving nothing behind however the
call ends. Must not know: what the messages mean, framing, which of the four shapes the call has (`shapes`).

Nothing here ever cancels a task to wake it: whatever ends a call sets events, and those who wait look why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime, timezone

from esdb_lite._http2.client import NoStreamLeft
from esdb_lite._http2.streams import (
    CANCEL,
    Headers,
    Stream,
    StreamOver,
    deliver,
    end_input,
    receive_data,
    reset,
    room_in_window,
    send_data,
    send_data_at_once,
    take_whole,
)
from esdb_lite._rpc.call_state import CallEvent, CallState, after
from esdb_lite._rpc.connection import ClientConnection
from esdb_lite._rpc.deadline import Deadline, grpc_timeout
from esdb_lite._rpc.identity import caller_in, named
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite._status.codes import DETAILS_TRAILER
from esdb_lite._status.exceptions import cut_off, error_for, http_error, reset_error, status_of, unescaped
from esdb_lite.errors import (
    CallCancelled,
    DeadlineExceeded,
    EsdbClientException,
    GrpcError,
    ProtocolError,
    ResourceExhausted,
)

_NOT_METADATA = frozenset(("content-type", "te", "user-agent", "date", "server", "content-length"))
_CLOSE_TO_DEADLINE = 0.1

SHORT_GOODBYE, LONG_GOODBYE = 5.0, 1.0
"""Seconds that a call gets to end after a goodbye of the server: a short one, and one that may stay open for ever.

A server that stops may answer nothing any more. Who stays open for long goes on elsewhere and loses nothing by it; of a
short call nobody may know what has become of it.
"""

END_PATIENCE = 5.0
"""Seconds that a call with one answer gets to end once the answer is there: the status comes with the end."""

_SENDING = (CallState.WAITING, CallState.ANSWERED)


class ClientCall:
    """A call. To be used in one task at a time for sending and one for receiving; closed by leaving `async with`."""

    def __init__(
        self,
        pool: ConnectionPool,
        method: str,
        *,
        deadline: Deadline,
        metadata: Iterable[tuple[str, str]] = (),
        long: bool = False,
    ) -> None:
        self._pool = pool
        self._method = method
        self._name = method.rpartition("/")[2]
        self.deadline = deadline
        """The budget of time that it has."""
        self._metadata = tuple(metadata)
        self.long = long
        """It may stay open without end."""
        self._link: ClientConnection | None = None
        self._stream: Stream | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._goodbye: asyncio.TimerHandle | None = None
        self._ending: asyncio.TimerHandle | None = None
        self._state = CallState.NEW
        self._failure: EsdbClientException | None = None
        """Why it has failed, or what it says to who uses it after it was closed."""
        self._void = False
        """What has come does not count: it is no answer, or too late."""
        self.taken = False
        """It has ended with OK, and all of it has been taken. It may be so and not be known."""

    async def __aenter__(self) -> ClientCall:
        try:
            await self.open()
        except BaseException:
            self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    @property
    def heard(self) -> float | None:
        """When something has come last on the connection, on the clock of the loop; None where there is none."""
        return None if self._link is None else self._link.heard

    @property
    def server_time(self) -> datetime | None:
        """What time it was by the clock of the server when it answered; None where it has not said it."""
        headers = None if self._stream is None else self._stream.headers
        said = dict(headers or ()).get("date")
        return None if said is None else _moment(said)

    async def open(self) -> None:
        """Find a connection and open the call there. What is sent first goes with the headers."""
        if self.deadline.passed:
            raise self._pool.too_late(self.deadline, f"{self._name} was not sent")
        while self._stream is None:
            link = await self._pool.acquire(long=self.long, deadline=self.deadline)
            try:
                self._open_on(link)
            except NoStreamLeft:
                self._pool.release(link, long=self.long)
                if link.usable:
                    raise ResourceExhausted(f"{self._pool.authority} takes no more concurrent calls") from None
            except BaseException:
                self._pool.release(link, long=self.long)
                raise
        self._limit_time()

    def _limit_time(self) -> None:
        remaining = self.deadline.remaining()
        if remaining is not None:
            self._timer = asyncio.get_running_loop().call_later(remaining, self._expire)

    @property
    def new(self) -> bool:
        """Whether nothing was sent, and nothing has happened to it."""
        return self._state is CallState.NEW

    def adopt(self, link: ClientConnection, stream: Stream) -> None:
        """Go on with a stream on which the whole request was sent, and its place."""
        self._stream, self._link = stream, link
        self._state = after(self._state, CallEvent.OPENED)
        if stream.headers is not None:
            self.answered()
        self._limit_time()

    def flush(self) -> None:
        """Send the headers, where nothing else is sent for now."""
        if self._link is not None:
            self._link.flush()

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """Send bytes; returns when the flow-control window has taken them, or when the server has ended the call.

        Raises what `receive()` would where the call has failed. What the server says without reading to the end
        is an answer: `receive()` has it.
        """
        stream, link = self._opened()
        at, size = 0, len(data)
        while True:
            if not await self._may_send(link, stream):
                return
            try:
                room = room_in_window(stream)
                if room <= 0 and size:
                    link.flush()
                    stream.window_updated.clear()
                    await self._until(stream.window_updated)
                    continue
                stop = min(size, at + room)
                await send_data(stream, data[at:stop] if at or stop < size else data, end=end and stop == size)
            except (ConnectionResetError, StreamOver) as error:  # it has ended meanwhile, and says how
                if await self._may_send(link, stream):
                    raise self._pool.failure(str(error), sent=True) from error
                return
            at = stop
            if at == size:
                return

    def send_at_once(self, data: bytes, *, end: bool = False) -> bool:
        """Send bytes if that needs no waiting; False, and nothing is sent, where it does. Not during a `send`."""
        if self._stream is None or self._state not in _SENDING:
            return False
        return send_data_at_once(self._stream, data, end=end)

    def deliver(self, take: Callable[[bytes], None]) -> None:
        """Give what arrives to a function from now on, at once; `receive` then waits for the end.

        To be called in the same turn of the loop in which `receive` has returned. `take` must not raise.
        """
        deliver(self._opened()[0], take)

    def fail(self, error: EsdbClientException) -> None:
        """Make the call fail: waiters get this error."""
        self._fail(error)

    def expect_end(self) -> None:
        """Nothing else is to come: the call fails, as if the connection were lost, where it does not end soon."""
        if self._ending is None and self._state is CallState.ANSWERED:
            self._ending = asyncio.get_running_loop().call_later(
                END_PATIENCE, self.lost, "the server has answered, and has not ended the call"
            )

    async def receive(self) -> bytes:
        """Return all data that has arrived, waiting for some; b"" when the server has ended the call with OK.

        Raises the exception that stands for any other end.
        """
        stream, link = self._opened()
        if not stream.headers_received.is_set():
            link.flush()
            await stream.headers_received.wait()
        if self._failure is not None and self._void:
            raise self._failure
        if self._state is CallState.ENDED and self._has_succeeded(stream):
            self.taken = True
            return take_whole(stream) or b""
        data = await receive_data(stream)
        if not data:
            self._finish(stream)
        return data

    async def receive_whole(self) -> bytes | None:
        """Return all data at once where the server answers and ends the call in one go; None where it does not.

        Then nothing is taken. Raises what `receive` does.
        """
        stream, link = self._opened()
        if not stream.headers_received.is_set():
            link.flush()
            await stream.headers_received.wait()
        data = None if self._void or self._state is not CallState.ENDED else take_whole(stream)
        if data is not None:
            self._finish(stream)
            self.taken = True
        return data

    def close(self) -> None:
        """End the call here and now: reset the stream unless it has ended, and give its place back. Idempotent."""
        if self._state is CallState.CLOSED:
            return
        self._state = after(self._state, CallEvent.CLOSED)
        for timer in (self._timer, self._goodbye, self._ending):
            if timer is not None:
                timer.cancel()
        stream, link = self._stream, self._link
        if stream is None or link is None:
            return
        try:
            if not link.lost:
                reset(stream, CANCEL)
        finally:
            self._release(link)
            if not self.taken:
                # the last thing, because releasing has emptied the queue in which waiters find the end
                self._failure = self._failure or CallCancelled("the call was closed here")
                self._wake()

    # --- told by the connection ---

    def answered(self) -> None:
        """The headers of the answer are there."""
        self._state = after(self._state, CallEvent.ANSWERED)
        stream, link = self._stream, self._link
        if stream is None or link is None or stream.headers is link.usual.headers:
            return
        error = _no_grpc(dict(stream.headers or ()))
        if error is None:
            link.usual.headers = stream.headers
        else:
            self._void = True
            self._fail(error)

    def ended(self) -> None:
        """The server has ended the stream."""
        self._state = after(self._state, CallEvent.ENDED)
        self._wake()

    def reset(self, code: int) -> None:
        """The server has reset the stream."""
        self._fail(self._pool.placed(reset_error(code)))

    def lost(self, reason: str) -> None:
        """The connection is gone."""
        link = self._link
        self._fail(self._pool.failure(reason, sent=True) if link is None else self._pool.broken(link, reason))

    def refused(self, reason: str) -> None:
        """The server has not looked at the stream."""
        self._fail(self._pool.failure(reason))

    def forewarned(self, reason: str) -> None:
        """The server says goodbye: the call may end, and is lost if it does not."""
        if self._goodbye is None:
            patience = LONG_GOODBYE if self.long else SHORT_GOODBYE
            self._goodbye = asyncio.get_running_loop().call_later(patience, self.lost, reason)

    def _expire(self) -> None:
        self._void = True
        answered = self._state is CallState.ANSWERED
        self._fail(self._too_late(f"while waiting for the {'end of the ' if answered else ''}answer"))

    # --- inside ---

    def _open_on(self, link: ClientConnection) -> None:
        self._stream, self._link = link.open(self, self.headers_to_send()), link
        self._state = after(self._state, CallEvent.OPENED)

    def headers_to_send(self) -> Headers:
        """Return the headers of the request: of calls of the same kind, the same object."""
        remaining = self.deadline.remaining()
        timeout = "" if remaining is None else grpc_timeout(remaining)
        return self._pool.request_headers(self._method, timeout, self._metadata)

    def _opened(self) -> tuple[Stream, ClientConnection]:
        if self._state is CallState.CLOSED:  # from elsewhere, as when another node leads: the next user finds out
            raise self._failure or CallCancelled("the call was closed here")
        if self._stream is None or self._link is None:
            raise RuntimeError("the call is not open")
        return self._stream, self._link

    def _release(self, link: ClientConnection) -> None:
        if self._stream is not None:
            link.forget(self._stream)
        link.flush()
        self._pool.release(link, long=self.long)

    def _fail(self, error: EsdbClientException) -> None:
        before, self._state = self._state, after(self._state, CallEvent.FAILED)
        if self._state is not before:
            self._failure = error
            self._wake()

    def _wake(self) -> None:
        """Wake everybody who waits for this stream."""
        stream = self._stream
        if stream is not None:
            stream.headers_received.set()
            stream.window_updated.set()
            if self._failure is not None:
                end_input(stream)

    async def _may_send(self, link: ClientConnection, stream: Stream) -> bool:
        """Wait until the socket takes data; False when the call has ended."""
        while True:
            if self._state is CallState.ENDED:
                return False
            if self._failure is not None:
                self._finish(stream)
                return False
            if link.writable.is_set():
                return True
            await self._until(link.writable)

    async def _until(self, event: asyncio.Event) -> None:
        """Wait for an event, or for the end of the call (which sets `window_updated`)."""
        stream, _ = self._opened()
        if event is stream.window_updated:
            await event.wait()
            return
        waits = [asyncio.ensure_future(each.wait()) for each in (event, stream.window_updated)]
        stream.window_updated.clear()
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _finish(self, stream: Stream) -> None:
        """Return when the call has ended with OK, else raise what it has ended with."""
        if self._has_succeeded(stream):
            return
        status = _status_in(stream.trailers) or _status_in(stream.headers)
        if status is None:
            raise self._failure or self._pool.placed(cut_off("the call has ended without a status"))
        if status["grpc-status"] != "0":
            self._failure = self._error(status)
            raise self._failure

    def _has_succeeded(self, stream: Stream) -> bool:
        """Whether the trailers have come, and say OK."""
        link, trailers = self._link, stream.trailers
        if link is None or trailers is None:
            return False
        if trailers is not link.usual.trailers:
            if dict(trailers).get("grpc-status") != "0":
                return False
            link.usual.trailers = trailers
        return True

    def _error(self, status: dict[str, str]) -> GrpcError:
        code = status["grpc-status"]
        trailers = [
            (name, value)
            for name, value in status.items()
            if (not name.startswith((":", "grpc-")) and name not in _NOT_METADATA) or name == DETAILS_TRAILER
        ]
        error = error_for(status_of(code), unescaped(status.get("grpc-message", "")), trailers)
        if isinstance(error, CallCancelled) and (self.deadline.remaining() or 1.0) < _CLOSE_TO_DEADLINE:
            return self._too_late("on the server")
        named(error, caller_in(self._metadata), self._name, secure=self._pool.secure)
        return error

    def _too_late(self, where: str) -> DeadlineExceeded:
        return DeadlineExceeded(f"{self._name} did not end within {self.deadline.timeout:g} seconds ({where})")


def _moment(said: str) -> datetime | None:
    """Return the time that a `date` header says; None where it says none."""
    # imported here: it is hardly ever needed, and brings a lot along
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(said)
    except (ValueError, OverflowError):
        return None
    # without a zone, or with -0000: UTC, in a place that is not told
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _no_grpc(headers: dict[str, str]) -> GrpcError | None:
    """Return what is wrong with the headers of an answer; None where they are those of gRPC."""
    if "grpc-status" in headers:
        return None
    if headers.get(":status") != "200":
        return http_error(headers.get(":status", ""))
    kind = headers.get("content-type", "")
    return None if kind.startswith("application/grpc") else ProtocolError(f"the answer is not gRPC but {kind!r}")


def _status_in(headers: Headers | None) -> dict[str, str] | None:
    if headers is None:
        return None
    found = dict(headers)
    return found if "grpc-status" in found else None
