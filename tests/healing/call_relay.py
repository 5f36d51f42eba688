"""A reverse proxy that a test directs. It passes on calls one by one, so that its clients keep their connection while
the server behind it dies and comes back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from esdb_lite import EmbeddedServer
from esdb_lite._rpc.call import ClientCall
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite._rpc.tls import client_context
from esdb_lite.connection_strings import parse_uri
from esdb_lite.errors import GrpcError, LinkError
from esdb_lite.server.tls import ServerTls, dev_certificate
from tests.rpc.fake import FakeCall, fake_server

UNAVAILABLE = 14

_APPENDS = ("Append", "BatchAppend", "AppendRecords", "AppendSession")
_HOP = ("te", "content-type", "user-agent")

OnAppend = Callable[["Append"], Awaitable[None]]


class Append:
    """An append on its way through the proxy. What the test does not do with it is done when it has had its say."""

    def __init__(self, relay: CallRelay, call: FakeCall, data: bytes, number: int) -> None:
        self.number = number
        """How many there have been, with this one."""
        self.kept = False
        """The client is told that the server is gone, and the append stays here until it is delivered."""
        self.reset: int | None = None
        """The same, and the client's call is reset with this code."""
        self._relay = relay
        self._call = call
        self._data = data

    async def deliver(self) -> None:
        """Bring it to the server that is there now; returns when that has answered, which nobody hears."""
        async with self._relay.open(self._call) as behind:
            await behind.send(self._data, end=self._call.method != "BatchAppend")
            await behind.receive()


class CallRelay:
    """Serves the clients. `on_append`: is asked about every append before it is passed on."""

    def __init__(self, node: ConnectionPool) -> None:
        self.on_append: OnAppend | None = None
        self.appends: list[Append] = []
        self._node = node

    async def __call__(self, call: FakeCall) -> None:
        """Serve one call."""
        streaming = call.method == "BatchAppend"
        data = await (call.received.get() if streaming else call.read())
        if call.method in _APPENDS:
            append = Append(self, call, data, len(self.appends) + 1)
            self.appends.append(append)
            if self.on_append is not None:
                await self.on_append(append)
            if append.reset is not None:
                call.reset(append.reset)
                return
            if append.kept:
                call.fail(UNAVAILABLE, "the proxy has given up")
                return
        try:
            async with self.open(call) as behind:
                await behind.send(data, end=not streaming)
                await self._converse(call, behind, streaming=streaming)
        except LinkError as error:
            call.fail(UNAVAILABLE, str(error))
        except GrpcError as error:
            call.fail(error.code.value, error.details, [*error.trailers])

    def open(self, call: FakeCall) -> ClientCall:
        """Make the same call of the server that is there now."""
        kept = [(name, value) for name, value in call.headers.items() if not name.startswith(":") and name not in _HOP]
        return ClientCall(self._node, call.headers[":path"], deadline=Deadline(None), metadata=kept)

    async def _converse(self, call: FakeCall, behind: ClientCall, *, streaming: bool) -> None:
        sending = asyncio.ensure_future(self._send(call, behind)) if streaming else None
        begun = False
        try:
            while data := await behind.receive():
                if not begun:
                    call.begin()
                    begun = True
                call.send_data(data)
        finally:
            if sending is not None:
                sending.cancel()
        if not begun:
            call.begin()
        call.finish()

    async def _send(self, call: FakeCall, behind: ClientCall) -> None:
        while data := await call.received.get():
            append = Append(self, call, data, len(self.appends) + 1)
            self.appends.append(append)
            if self.on_append is not None:
                await self.on_append(append)
            await behind.send(data)


@asynccontextmanager
async def call_relay(server: EmbeddedServer) -> AsyncIterator[tuple[CallRelay, str]]:
    """A relay, with TLS on both sides if the server has it, and the connection string that leads through it."""
    assert server.port is not None
    settings = parse_uri(server.uri)
    front = behind = None
    if settings.tls_ca_file is not None:
        front = ServerTls(dev_certificate(os.path.dirname(settings.tls_ca_file)).files).context
        behind = client_context(settings)
    node = ConnectionPool(server.host, server.port, tls=behind)
    try:
        relay = CallRelay(node)
        async with fake_server(relay, tls=front) as fake:
            yield relay, server.uri.replace(f":{server.port}", f":{fake.port}")
    finally:
        await node.close()
