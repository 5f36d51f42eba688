"""A server for calls of stubs, one at a time."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import betterproto
from grpclib.client import Channel

from esdb_lite._wire.framing import MessageSplitter
from tests.rpc.fake import FakeCall

M = TypeVar("M", bound=betterproto.Message)


class Peer:
    """A server that keeps requests, and answers as it is told."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.requests: list[tuple[str, bytes]] = []
        self.answer = b""

    async def serve(self, call: FakeCall) -> None:
        self.requests += [(call.method, request) for request in MessageSplitter().feed(await call.read())]
        call.answer(self.answer)

    async def asked(self, call: Awaitable[object], method: str, kind: type[M]) -> M:
        """Make a call, and return what it asks for."""
        await call
        ((name, request),) = self.requests
        self.requests.clear()
        assert name == method
        return kind().parse(request)
