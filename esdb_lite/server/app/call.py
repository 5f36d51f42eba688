"""One call on the server: the `ServerCall` that handlers see, and how it ends.

Owns: gRPC's part of a stream: messages, response headers, trailers. Must not know: connections, services.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Hashable, Mapping
from email.utils import formatdate
from functools import lru_cache
from time import time
from urllib.parse import quote

from esdb_lite._http2.streams import (
    Headers,
    Stream,
    peer_address,
    push,
    receive_data,
    send_data,
    send_data_at_once,
    send_headers,
)
from esdb_lite._http2.whole_requests import WholeRequest
from esdb_lite._status import RpcError, StatusCode, refusals
from esdb_lite._version import __version__
from esdb_lite._wire.framing import PREFIX, CompressedMessage, MessageSplitter, MessageTooLong, frame
from esdb_lite._wire.primitives import WireError
from esdb_lite.server.engine.access import SYSTEM
from esdb_lite.server.handlers import CallWatcher

_UNQUOTED = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
_TIMEOUT = re.compile(r"(\d{1,8})([HMSmun])")
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


class GrpcCall:
    """Implements `ServerCall` over one HTTP/2 stream."""

    def __init__(self, stream: Stream, metadata: Mapping[str, str], limit: int, cut: Callable[[], None]) -> None:
        """`limit`: bytes that a message may have. `cut`: closes the connection."""
        self.metadata = metadata
        self.principal = SYSTEM
        self.tap: CallWatcher | None = None
        self._stream = stream
        self._cut = cut
        self._splitter = MessageSplitter(limit)
        self._answered = False
        self._half_closed = False

    @property
    def peer(self) -> Hashable:
        """The connection that it comes over, to tell one from another."""
        return self._stream.connection

    @property
    def address(self) -> str:
        """Where that connection comes from, for logs."""
        return peer_address(self._stream)

    async def receive(self) -> list[bytes]:
        """Return all messages that have arrived, waiting for at least one; the empty list after the half-close."""
        while not self._half_closed:
            data = await receive_data(self._stream)
            messages = self._split(data) if data else self._end_of_requests()
            if messages:
                return messages
        return []

    def _split(self, data: bytes) -> list[bytes]:
        try:
            return self._splitter.feed(data)
        except MessageTooLong:
            raise refusals.message_too_long() from None
        except CompressedMessage:
            raise _unsupported_encoding(self.metadata.get("grpc-encoding", "identity")) from None
        except WireError as error:
            raise refusals.internal(f"Malformed gRPC framing: {error}.") from None

    def _end_of_requests(self) -> list[bytes]:
        self._half_closed = True
        if not self._splitter.complete:
            raise refusals.internal("Incomplete message: the requests end within a message.")
        return []

    async def send(self, messages: list[bytes]) -> None:
        """Send messages in order; returns when the flow-control window and the socket have taken them."""
        if not messages:
            return
        if self.tap is not None and (allowed := self.tap.allowed(messages)) is not None:
            self.tap = None
            await self.send(messages[:allowed])
            self.cut()
            await asyncio.get_running_loop().create_future()  # until it is noticed that the connection is gone
        framed = frame(messages)
        del messages  # it may take long
        await self._send(framed)

    async def send_framed(self, framed: bytes) -> None:
        """Send messages as they stand in the stream."""
        if self.tap is not None:
            await self.send(MessageSplitter().feed(framed))
        elif framed:
            await self._send(framed)

    async def _send(self, data: bytes) -> None:
        if not self._answered:
            self._answered = True
            await send_headers(self._stream, response_headers())
        await send_data(self._stream, data)

    def cut(self) -> None:
        """Close the connection after what has been sent, without a word."""
        self._cut()

    def send_at_once(self, messages: list[bytes]) -> bool:
        """Send messages if window and socket take them now, and do not wait for others to be sent with them."""
        if not self._answered or not send_data_at_once(self._stream, frame(messages)):
            return False
        push(self._stream)
        return True

    def send_with_others(self, framed: bytes) -> bool:
        """Send framed messages at the end of this turn of the loop if window and socket take them now."""
        return self._answered and self.tap is None and send_data_at_once(self._stream, framed)

    async def finish(self, error: RpcError | None) -> None:
        """End the call: with OK, or with the status of an error."""
        headers = [] if self._answered else response_headers()
        self._answered = True
        headers.append(("grpc-status", str(int(error.code if error else StatusCode.OK))))
        if error is not None:
            if error.message:
                headers.append(("grpc-message", quote(error.message, safe=_UNQUOTED, errors="replace")))
            headers.extend(error.trailers)
        await send_headers(self._stream, headers, end=True)


def response_headers() -> list[tuple[str, str]]:
    """Return what every gRPC answer begins with."""
    return [*_response_headers(int(time()))]


@lru_cache(2)
def _response_headers(second: int) -> Headers:
    return ((":status", "200"), ("content-type", "application/grpc"), *plain_headers())


_SUCCESS = (("grpc-status", "0"),)


def answer_whole(request: WholeRequest, data: bytes) -> bool:
    """Answer a call with framed messages, and end it with OK, if there is room for that; else nothing is sent."""
    return request.answer(_response_headers(int(time())), data, _SUCCESS)


def only_message(request: WholeRequest, limit: int) -> bytes | None:
    """Return the one message of a call that has come whole; None where it is not like that."""
    size = len(request.data) - PREFIX.size
    if size < 0 or size > limit or PREFIX.unpack_from(request.data) != (0, size):
        return None
    return request.data[PREFIX.size :]


def plain_headers() -> list[tuple[str, str]]:
    """Return the headers of any answer of a web server."""
    return [("date", _date(int(time()))), ("server", f"esdb-lite/{__version__}")]


@lru_cache(2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def _unsupported_encoding(encoding: str) -> RpcError:
    if encoding == "identity":
        return refusals.internal("A message is marked as compressed, but there is no 'grpc-encoding' header.")
    return RpcError(
        StatusCode.UNIMPLEMENTED,
        f"Unsupported grpc-encoding value '{encoding}'. Supported encodings: identity",
        [("grpc-accept-encoding", "identity")],
    )


def timeout_of(metadata: Mapping[str, str]) -> float | None:
    """Return the seconds that the client gives the call, None for no limit. Raises RpcError."""
    text = metadata.get("grpc-timeout")
    if text is None:
        return None
    match = _TIMEOUT.fullmatch(text)
    if match is None:
        raise refusals.invalid_argument("The header 'grpc-timeout' is not a number with a unit, such as 500m.")
    return int(match[1]) * _UNITS[match[2]]


def is_grpc(headers: Mapping[str, str]) -> bool:
    """Whether a request is a gRPC call; one of grpc-web is not, whose frames differ."""
    content_type = headers.get("content-type", "")
    is_type = content_type.startswith("application/grpc") and content_type[len("application/grpc") :][:1] in (
        "",
        "+",
        ";",
    )
    return is_type and headers.get(":method") == "POST"
