"""A server put together: database, services, and the port they are served on.

Owns: the order in which the parts start and stop. Must not know: what the parts do, threads.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from esdb_lite.server.app import Route, RpcServer
from esdb_lite.server.calls import Handler
from esdb_lite.server.database import Database, Durability, ticks_now
from esdb_lite.server.errors import (
    AddressUnavailable,
    DatabaseInUse,
    DatabaseTooNew,
    DatabaseUnavailable,
    NotADatabase,
    PortInUse,
    ServerStartError,
)
from esdb_lite.server.persistent_groups import PersistentGroups
from esdb_lite.server.services import redaction, streams, users
from esdb_lite.server.services.cluster import Gossip, ServerFeatures
from esdb_lite.server.services.common import guarded
from esdb_lite.server.services.context import Context
from esdb_lite.server.services.monitoring import Monitoring
from esdb_lite.server.services.operations import Operations
from esdb_lite.server.services.persistent import PersistentSubscriptions
from esdb_lite.server.storage.errors import StorageError, StorageLocked, StorageNotADatabase, StorageTooNew

_MAX_MESSAGE = 4 * 1024 * 1024
_MAX_STREAMS_MESSAGE = 16 * 1024 * 1024 - 10_000


@dataclass(frozen=True)
class Settings:
    """How a server is to run."""

    path: str | None = None
    """The database file; None: in memory."""
    host: str = "127.0.0.1"
    port: int = 0
    durability: Durability = Durability.FULL
    now: Callable[[], int] = ticks_now
    """100-ns ticks since 1970."""


class Stack:
    """A running server, on one event loop."""

    def __init__(self, settings: Settings, database: Database, shut_down: Callable[[], None]) -> None:
        self.port = 0
        """Where it listens; a free port was taken for port 0."""
        self._settings = settings
        self._database = database
        self._groups = PersistentGroups(database, ticks=settings.now)
        self._operations = Operations(database, shut_down=shut_down, restart_groups=self._groups.restart)
        self._server = RpcServer(self._routes())

    @classmethod
    async def start(cls, settings: Settings, shut_down: Callable[[], None]) -> Stack:
        """Start a server; it calls `shut_down` when a client asks for that. Raises ServerStartError."""
        try:
            database = await Database.open(settings.path, durability=settings.durability, now=settings.now)
        except StorageError as error:
            raise _database_error(error) from error
        stack = cls(settings, database, shut_down)
        try:
            await stack._groups.start()
            stack.port = await stack._server.start(settings.host, settings.port)
        except BaseException as error:
            await stack.stop()
            if isinstance(error, OSError):
                raise _address_error(error, settings.host, settings.port) from error
            if isinstance(error, StorageError):
                raise _database_error(error) from error
            raise
        return stack

    async def stop(self) -> None:
        """End all calls, stop listening, commit what waits, close the file. Takes a few seconds at most."""
        await self._groups.stop()
        await self._server.stop()
        await self._operations.stop()
        await self._database.close()

    def _routes(self) -> Mapping[str, Route]:
        handlers = self._handlers()
        return {
            path: Route(
                guarded(handler), _MAX_STREAMS_MESSAGE if path.startswith(f"/{streams.SERVICE}/") else _MAX_MESSAGE
            )
            for path, handler in handlers.items()
        }

    def _handlers(self) -> Mapping[str, Handler]:
        settings, database = self._settings, self._database
        handlers: dict[str, Handler] = {}
        # In the order in which a real server lists them.
        for part in (
            PersistentSubscriptions(self._groups, lambda: database.last_position).handlers(),
            users.without_authentication(),
            streams.handlers(Context(database, settings.now)),
            self._operations.handlers(),
            Gossip(self._endpoint, settings.now).handlers(),
            Monitoring(lambda: database.log_end, settings.path).handlers(),
            ServerFeatures(lambda: handlers).handlers(),
            redaction.refusing(),
        ):
            handlers.update(part)
        return handlers

    def _endpoint(self) -> tuple[str, int]:
        return reachable(self._settings.host), self.port


def reachable(host: str) -> str:
    """Return a host at which clients of this machine reach a server that listens on `host`."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


_DATABASE_ERRORS: tuple[tuple[type[StorageError], type[DatabaseUnavailable]], ...] = (
    (StorageLocked, DatabaseInUse),
    (StorageNotADatabase, NotADatabase),
    (StorageTooNew, DatabaseTooNew),
)


def _database_error(error: StorageError) -> ServerStartError:
    kind = next((kind for cause, kind in _DATABASE_ERRORS if isinstance(error, cause)), DatabaseUnavailable)
    return kind(str(error))


def _address_error(error: OSError, host: str, port: int) -> ServerStartError:
    if isinstance(error, socket.gaierror):
        return AddressUnavailable(f"the host {host!r} cannot be resolved")
    if error.errno == errno.EADDRINUSE:
        return PortInUse(f"port {port} of {host} is in use")
    if error.errno == errno.EACCES:
        return AddressUnavailable(f"port {port} of {host} may not be used without more rights")
    if error.errno == errno.EADDRNOTAVAIL:
        return AddressUnavailable(f"{host} is not an address of this machine")
    return AddressUnavailable(f"port {port} of {host} cannot be used ({error.strerror or error})")
