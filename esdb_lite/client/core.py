"""What all calls of one client share: the connections, credentials, defaults, trying again, and being closed.

Owns: the life of a client from its first use to `close()`. Must not know: what the calls say, but for one: which
methods a server has.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from esdb_lite._checks import Seconds
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite._rpc.shapes import unary
from esdb_lite._rpc.shared import Shared
from esdb_lite._rpc.stubs import Attempt, Delivery, channel_by
from esdb_lite._wire.features import GET_SUPPORTED_METHODS, KnownFeatures, decode_features
from esdb_lite._wire.primitives import WireError
from esdb_lite.client.arguments import checked_timeout
from esdb_lite.client.authorization import Authorization, Metadata
from esdb_lite.client.credentials import checked_credentials
from esdb_lite.client.retry import RetryState, Safety
from esdb_lite.client.retry_log import RetryLog, outcome_of, wait_for_another_try
from esdb_lite.client.slow_calls import SlowCalls
from esdb_lite.client.topology.need import Need
from esdb_lite.client.topology.nodes import Moved, Nodes, Single, Topology
from esdb_lite.connection_strings import ConnectionSettings
from esdb_lite.errors import (
    ClientClosed,
    DeadlineExceeded,
    EsdbClientException,
    GrpcError,
    NotSupported,
    ProtocolError,
    ServerAnswer,
    Unauthenticated,
    WrongContext,
)
from esdb_lite.settings import Address, BearerToken, Credentials, CredentialsLike

if TYPE_CHECKING:
    from grpclib.client import Channel

    from esdb_lite.embedded import PrivateServer

_log = logging.getLogger("esdb_lite.client")

_MOST_STRANGERS = 10
"""Hosts about which there is a warning."""

T = TypeVar("T")
Meaning = Callable[[GrpcError], GrpcError]


async def _nothing_else() -> None:
    pass


class ClientCore:
    """The connections of a client. Belongs to the event loop on which it is used first."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self.settings = settings
        self._nodes: Nodes | None = None
        self._topology: Topology | None = None
        self._server: PrivateServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting = Shared(self._start)
        self._asking = Shared(self._ask_features)
        self._together: dict[Hashable, Shared[Any]] = {}
        self._features: KnownFeatures | None = None
        self._closed = False
        self._closing: asyncio.Future[None] | None = None
        self._last: ConnectionPool | None = None
        self._warned = False
        self._strangers: set[str] = set()
        self._authorization = Authorization()
        self._retry_log = RetryLog()
        self.slow = SlowCalls(self._awaited)
        """The calls that wait and have no timeout."""

    def __str__(self) -> str:
        """Which server it is, and whether there is a connection."""
        settings = self.settings
        where = "embedded" if settings.embedded is not None else ",".join(map(str, settings.nodes))
        if self._closed:
            return f"{where}, closed"
        connected = self._last is not None and self._last.connected
        return f"{where}, {'connected' if connected else 'not connected'}"

    def deadline(self, timeout: Seconds | None) -> Deadline:
        """Begin the budget of a call. Raises where there can be none."""
        self.check()
        return self.budget(timeout)

    def budget(self, timeout: Seconds | None) -> Deadline:
        """Begin a budget, on any thread."""
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
            raise WrongContext("the client belongs to another event loop, where it was first used")

    async def node(self, deadline: Deadline, need: Need = Need.PREFERRED) -> ConnectionPool:
        """Return the server to talk to, which is started here where it is an embedded one."""
        self.check()
        if self._topology is None:
            await self._starting.get(deadline)
            self.check()
        if self._topology is None:
            raise DeadlineExceeded(f"the embedded server did not start within {deadline.timeout:g} seconds", sent=False)
        node = self._last = await self._topology.node(need, deadline)
        self.check_open()
        return node

    async def connect(self, timeout: Seconds | None) -> None:
        """Make sure that there is a connection; with a timeout, wait also for a server that has not started yet."""
        deadline, patient = self.deadline(timeout), timeout is not None
        retries = RetryState(self.settings.retry, Safety.REPEATABLE, endless=patient)
        reason: EsdbClientException | None = None
        while True:
            node: ConnectionPool | None = None
            try:
                node = await self.node(deadline)
                await node.connect(deadline)
            except EsdbClientException as error:
                if not await self.try_again(retries, node, error, deadline, "connect", known=patient):
                    if reason is None:
                        raise
                    raise reason from None
                reason = error  # says more than that the time is over
            else:
                return

    @property
    def known(self) -> bool:
        """Whether the client has been connected before."""
        return self._nodes is not None and self._nodes.met

    def failed(self, node: ConnectionPool, error: Exception) -> None:
        """Take note of how a call on a node has failed: the next one may go elsewhere."""
        if self._topology is not None:
            self._topology.failed(node, error)

    def is_current(self, node: ConnectionPool, need: Need) -> bool:
        """Whether calls of this need still go to this node."""
        return self._topology is not None and self._topology.is_current(node, need)

    def watch(self, node: ConnectionPool, moved: Moved) -> Callable[[], None]:
        """Have `moved` called when what is open on this node belongs elsewhere. Returns a function that ends it."""
        assert self._topology is not None
        return self._topology.watch(node, moved)

    async def metadata(
        self, node: ConnectionPool, credentials: CredentialsLike, deadline: Deadline, need: Need
    ) -> Metadata:
        """Return the headers for a call, credentials included. Raises CredentialsUnavailable, DeadlineExceeded."""
        leader = self._topology is not None and self._topology.requires_leader(need)
        headers: Metadata = (("requires-leader", "true"),) if leader else ()
        if self._server is not None:
            headers = (*headers, *self._server.headers)
        chosen = self._chosen(credentials)
        return headers if chosen is None else (*headers, *await self._who(node, deadline, chosen))

    async def _who(
        self, node: ConnectionPool, deadline: Deadline, chosen: Credentials | BearerToken | None = None
    ) -> Metadata:
        """Return the header with the credentials: by default those of the settings."""
        chosen = chosen or self.settings.credentials
        if chosen is None:
            return ()
        if not node.secure and not self.settings.send_credentials_insecurely:
            self._warn_insecure()
            return ()
        if not node.trusted:
            self._warn_of(node)
            return ()
        return await self._authorization.header(chosen, deadline)

    def renew(self, credentials: CredentialsLike) -> bool:
        """After a refusal: True where there may be a better token now, so that the call is worth another try."""
        return self._authorization.renew(self._chosen(credentials))

    def _chosen(self, credentials: CredentialsLike) -> Credentials | BearerToken | None:
        return checked_credentials(credentials) or self.settings.credentials

    def channel(
        self,
        deadline: Deadline,
        credentials: CredentialsLike = None,
        *,
        need: Need = Need.LEADER,
        repeatable: bool = False,
        delivery: Delivery = Delivery.TOGETHER,
        needs: str = "",
        meaning: Meaning | None = None,
    ) -> Channel:
        """Return a channel for a generated stub: `UsersStub(core.channel(deadline)).create(CreateReq(...))`.

        Its calls are made again where that is safe; `repeatable` says that it always is. Where one may have been done
        all the same, it raises OutcomeUnknown. `needs`: what is said where the server does not have the call.
        `meaning` returns what is raised for a refusal.
        """
        safety = Safety.REPEATABLE if repeatable else Safety.ONCE

        async def attempts(method: str, attempt: Attempt[T], deadline: Deadline) -> T:
            number = self.slow.begin(method.rpartition("/")[2]) if deadline.timeout is None else 0
            try:
                return await self._attempts(attempt, method, deadline, credentials, need, safety)
            except ServerAnswer as error:
                found: GrpcError = error
                if needs and isinstance(error, NotSupported):
                    text = f"{needs}, and this server does not have it"
                    found = NotSupported(text, code=error.code, details=error.details, trailers=error.trailers)
                elif meaning is not None:
                    found = meaning(error)
                if found is error:
                    raise
                raise found from error
            finally:
                self.slow.end(number)

        return channel_by(attempts, deadline, delivery)

    async def _attempts(
        self,
        attempt: Attempt[T],
        method: str,
        deadline: Deadline,
        credentials: CredentialsLike,
        need: Need,
        safety: Safety,
    ) -> T:
        """Make a call until it succeeds or is not to be made again."""
        retries, renewed = RetryState(self.settings.retry, safety), False
        while True:
            node: ConnectionPool | None = None
            try:
                node = await self.node(deadline, need)
                metadata = await self.metadata(node, credentials, deadline, need)
                return await attempt(node, deadline, metadata)
            except Unauthenticated:
                if renewed or not self.renew(credentials):
                    raise
                renewed = True
            except EsdbClientException as error:
                if await self.try_again(retries, node, error, deadline, method):
                    continue
                failure = outcome_of(error, safety)
                if failure is error:
                    raise
                raise failure from error

    async def try_again(
        self,
        retries: RetryState,
        node: ConnectionPool | None,
        error: EsdbClientException,
        deadline: Deadline,
        what: str,
        *,
        known: bool = False,
    ) -> bool:
        """Note a failure, and wait for the next attempt; False if there is none."""
        if node is not None:
            self.failed(node, error)
        return await wait_for_another_try(retries, error, deadline, what, self._retry_log, known=known or self.known)

    async def together(self, key: Hashable, ask: Callable[[], Awaitable[T]], deadline: Deadline) -> T | None:
        """Ask once for all who ask for the same at the same time; None when there is no answer before the deadline."""
        run = self._together.setdefault(key, Shared(ask))
        try:
            return await run.get(deadline)
        finally:
            if not run.running:
                self._together.pop(key, None)

    async def features(self, deadline: Deadline) -> KnownFeatures:
        """Return what the server can do; asked once, and not tried again."""
        if self._features is None:
            found = await self._asking.get(deadline)
            if found is None:
                node = await self.node(deadline, Need.LEADER)
                raise node.too_late(deadline, "the server did not say what it can do")
            self._features = found
        return self._features

    def is_known_to_have(self, method: str) -> bool:
        """Whether the server has said that it has the call with this path."""
        return self._features is not None and self._features.has(method)

    async def require_version(self, least: tuple[int, int], what: str, deadline: Deadline) -> None:
        """Refuse a server that is older, and would misunderstand what it is asked. Raises NotSupported."""
        version = (await self.features(deadline)).version
        if tuple(map(int, re.findall(r"\d{1,9}", version)[:2])) < least:
            self.forget_features()  # it may be upgraded
            first = ".".join(map(str, least))
            raise NotSupported(f"{what} needs KurrentDB {first} or later, and the server is {version!r}")

    def forget_features(self) -> None:
        """Ask again next time: behind the same address there may be another server now."""
        self._features = None

    async def close(self, also: Callable[[], Awaitable[None]] = _nothing_else) -> None:
        """Close all connections, stop the embedded server if there is one, and do what else is to be done. Idempotent.

        On another loop than that of the connections it does not wait: these are closed when their loop runs.
        """
        self._closed = True
        loop = self._loop
        if loop is None or loop is asyncio.get_running_loop():
            await self._close(also)
        else:
            self._close_elsewhere(loop, also)

    def abandon(self, also: Callable[[], Awaitable[None]]) -> bool:
        """Close when nobody holds the client any more, from whatever thread; False where there is nothing to close."""
        loop = self._loop
        if self._closed or loop is None or loop.is_closed():
            return False
        self._closed = True
        self._close_elsewhere(loop, also)
        return True

    def _close_elsewhere(self, loop: asyncio.AbstractEventLoop, also: Callable[[], Awaitable[None]]) -> None:
        def close() -> None:
            self._closing = asyncio.ensure_future(self._close(also))

        with suppress(RuntimeError):  # the loop is closed, and the connections with it
            loop.call_soon_threadsafe(close)

    async def _close(self, also: Callable[[], Awaitable[None]]) -> None:
        self.slow.close()
        self._starting.cancel()
        for run in (self._asking, *self._together.values()):
            run.cancel()
        if self._topology is not None:
            await self._topology.close()
        if self._nodes is not None:
            await self._nodes.close()
        await also()
        server, self._server = self._server, None
        if server is not None:
            await server.stop_async()

    def _awaited(self) -> str:
        """What calls wait for that do not come to their end."""
        node = self._last
        if node is None:
            return "the server to be found" if self.settings.embedded is None else "the embedded server to start"
        return f"an answer of {node.authority}" if node.connected else f"a connection to {node.authority}"

    async def _start(self) -> None:
        settings = self.settings
        if settings.embedded is not None:
            # imported here: only those who ask for a server get its code
            embedded = import_module("esdb_lite.embedded")
            server = self._server = await embedded.start(settings.embedded)
            self._nodes = Nodes(settings, None)
            self._topology = Single(self._nodes, Address(server.host, server.port))
            return
        tls = import_module("esdb_lite._rpc.tls").client_context(settings) if settings.tls else None
        self._nodes = Nodes(settings, tls)
        if settings.discover:
            cluster = import_module("esdb_lite.client.topology.cluster")
            topology: Topology = cluster.Cluster(self._nodes, settings, self._who)
        else:
            topology = Single(self._nodes, settings.nodes[0])
        if not settings.retry.follows_leader:
            staying = import_module("esdb_lite.client.topology.staying")
            topology = staying.Staying(topology, settings.node_preference)
        self._topology = topology

    async def _ask_features(self) -> KnownFeatures:
        """Ask once: the caller has attempts of its own."""
        deadline = Deadline(None)
        node = await self.node(deadline, Need.LEADER)
        try:
            metadata = await self.metadata(node, None, deadline, Need.LEADER)
            return decode_features(await unary(node, GET_SUPPORTED_METHODS, b"", deadline, metadata))
        except NotSupported:
            return KnownFeatures()
        except WireError as error:
            raise ProtocolError(f"the server's list of its calls cannot be understood: {error}") from error
        except EsdbClientException as error:
            self.failed(node, error)
            raise

    def _warn_of(self, node: ConnectionPool) -> None:
        if node.authority not in self._strangers and len(self._strangers) < _MOST_STRANGERS:
            self._strangers.add(node.authority)
            _log.warning(
                "credentials are not sent to %s: a server has named it, and neither the connection string nor a "
                "certificate that is verified says that it belongs to them",
                node.authority,
            )

    def _warn_insecure(self) -> None:
        if not self._warned:
            self._warned = True
            _log.warning(
                "credentials are not sent over a connection without TLS (sendCredentialsInsecurely=true in the"
                " connection string, or send_credentials_insecurely=True, changes that)"
            )
