"""What all calls of one client share: the connection, credentials, defaults, and being closed.

Owns: the life of a client from its first use to `close()`. Must not know: what the calls say.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from esdb_lite._convert import SERVER_FEATURES, ServerFeatures, decode_features
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.node import Node
from esdb_lite._rpc.shared import Shared
from esdb_lite._rpc.streams import unary, unary_for_many
from esdb_lite.client.arguments import checked_timeout
from esdb_lite.client.security import Authorization, Metadata, checked_credentials
from esdb_lite.errors import ClientClosed, DeadlineExceeded, InvalidUri, NotSupported, Unauthenticated, WrongContext
from esdb_lite.settings import BearerToken, Credentials, CredentialsLike, Settings

if TYPE_CHECKING:
    from esdb_lite.embedded import RunningServer

_log = logging.getLogger("esdb_lite.client")

T = TypeVar("T")


class Session:
    """The connection of a client. Belongs to the event loop on which it is used first."""

    def __init__(self, settings: Settings) -> None:
        if settings.discover:
            raise InvalidUri(
                "", "discovery of the nodes of a cluster is not supported yet; name one node, with esdb://"
            )
        self.settings = settings
        self._node: Node | None = None
        self._server: RunningServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting = Shared(self._start)
        self._asking = Shared(self._ask_features)
        self._features: ServerFeatures | None = None
        self._closed = False
        self._warned = False
        self._authorization = Authorization()

    @property
    def closed(self) -> bool:
        """True after `close()`."""
        return self._closed

    def deadline(self, timeout: float | None) -> Deadline:
        """Begin the budget of a call."""
        self.check()
        return Deadline(checked_timeout(self.settings.default_timeout if timeout is None else timeout))

    def check_open(self) -> None:
        """Raise after `close()`."""
        if self._closed:
            raise ClientClosed("the client is closed")

    def check(self) -> None:
        """Raise where the client cannot be used: after `close()`, or from another event loop than before."""
        self.check_open()
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise WrongContext("the client belongs to another event loop, on which it was used first")

    async def node(self, deadline: Deadline) -> Node:
        """Return the server to talk to, which is started here where it is an embedded one."""
        self.check()
        if self._node is None:
            await self._starting.get(deadline)
            self.check()
        if self._node is None:
            raise DeadlineExceeded(f"the embedded server did not start within {deadline.timeout:g} seconds")
        return self._node

    async def metadata(self, node: Node, credentials: CredentialsLike, deadline: Deadline) -> Metadata:
        """Return the headers for a call: who is calling. Raises CredentialsUnavailable, DeadlineExceeded."""
        chosen = self._chosen(credentials)
        if chosen is None:
            return ()
        if not node.secure and not self.settings.send_credentials_insecurely:
            self._warn_insecure()
            return ()
        return await self._authorization.header(chosen, deadline)

    def renew(self, credentials: CredentialsLike) -> bool:
        """After a refusal: True where there may be a better token now, so that the call is worth another try."""
        return self._authorization.renew(self._chosen(credentials))

    def _chosen(self, credentials: CredentialsLike) -> Credentials | BearerToken | None:
        return checked_credentials(credentials) or self.settings.credentials

    async def call(
        self, method: str, message: bytes, *, deadline: Deadline, credentials: CredentialsLike = None
    ) -> bytes:
        """Make a call with one request and one answer."""
        return await self._with_token(unary, method, message, deadline, credentials)

    async def call_for_many(
        self, method: str, message: bytes, *, deadline: Deadline, credentials: CredentialsLike = None
    ) -> list[bytes]:
        """Make a call with one request and a few answers."""
        return await self._with_token(unary_for_many, method, message, deadline, credentials)

    async def _with_token(
        self,
        call: Callable[[Node, str, bytes, Deadline, Metadata], Awaitable[T]],
        method: str,
        message: bytes,
        deadline: Deadline,
        credentials: CredentialsLike,
    ) -> T:
        node = await self.node(deadline)
        metadata = await self.metadata(node, credentials, deadline)
        try:
            return await call(node, method, message, deadline, metadata)
        except Unauthenticated:
            if not self.renew(credentials):
                raise
        metadata = await self.metadata(node, credentials, deadline)
        return await call(node, method, message, deadline, metadata)

    async def features(self, deadline: Deadline) -> ServerFeatures:
        """Return what the server can do; asked once."""
        if self._features is None:
            found = await self._asking.get(deadline)
            if found is None:
                node = await self.node(deadline)
                raise node.too_late(deadline, "the server did not say what it can do")
            self._features = found
        return self._features

    def forget_features(self) -> None:
        """Ask again next time: behind the same address there may be another server now."""
        self._features = None

    async def close(self) -> None:
        """Close the connection, and stop the embedded server if there is one. May be repeated."""
        self._closed = True
        self._starting.cancel()
        self._asking.cancel()
        if self._node is not None:
            await self._node.close()
        server, self._server = self._server, None
        if server is not None:
            await server.stop()

    async def _start(self) -> None:
        settings = self.settings
        if settings.embedded is not None:
            # imported here: only those who ask for a server get its code
            embedded = import_module("esdb_lite.embedded")
            server = self._server = await embedded.start(settings.embedded)
            self._node = Node(server.host, server.port)
            return
        place = settings.nodes[0]
        tls = import_module("esdb_lite._rpc.tls").client_context(settings) if settings.tls else None
        self._node = Node(place.host, place.port, tls=tls)

    async def _ask_features(self) -> ServerFeatures:
        try:
            return decode_features(await self.call(SERVER_FEATURES, b"", deadline=Deadline(None)))
        except NotSupported:
            return ServerFeatures()

    def _warn_insecure(self) -> None:
        if not self._warned:
            self._warned = True
            _log.warning(
                "credentials are not sent over a connection without TLS (send_credentials_insecurely=True changes that)"
            )
