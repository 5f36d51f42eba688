"""A server put together: database, services, and the port they are served on.

Owns: the order in which the parts start and stop. Must not know: what the parts do, threads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from esdb_lite_protos.tags import (
    PATH_IMPORTS_IMPORT_EVENTS,
    PATH_PERSISTENT_SUBSCRIPTIONS_TRUNCATE_PARKED,
    PATH_STREAMS_SERVICE_APPEND_RECORDS,
    PATH_STREAMS_SERVICE_APPEND_SESSION,
)

from esdb_lite._version import __version__
from esdb_lite.server.addresses import Advertised, is_loopback, reachable
from esdb_lite.server.app import PlainHttp, Route, RpcServer
from esdb_lite.server.compatibility import BEHAVIOURS, Behaviour
from esdb_lite.server.database.database import Database, ticks_now
from esdb_lite.server.engine.users import FIRST_USERS
from esdb_lite.server.errors import (
    DatabaseInUse,
    DatabaseTooNew,
    DatabaseUnavailable,
    NotADatabase,
    ServerStartError,
    address_error,
)
from esdb_lite.server.faults.admission import FORWARDING_TIMEOUT, Admission
from esdb_lite.server.faults.api import Faults
from esdb_lite.server.faults.membership import ClusterMember, Membership
from esdb_lite.server.groups.registry import PersistentGroups
from esdb_lite.server.handlers import Handler, Http1Factory, Page
from esdb_lite.server.indexes.catalogue import Indexes
from esdb_lite.server.node_pages import node_figures
from esdb_lite.server.options import DEFAULT_COMPATIBILITY, Compatibility, Durability, RunProjections
from esdb_lite.server.projections.manager import ProjectionManager
from esdb_lite.server.projections.user.engine import UserEngine
from esdb_lite.server.schemas.catalogue import SchemaRegistry
from esdb_lite.server.services import own, redaction, streams, users
from esdb_lite.server.services.authorization import authenticated
from esdb_lite.server.services.cluster import Gossip, ServerFeatures
from esdb_lite.server.services.context import Context
from esdb_lite.server.services.groups import PersistentSubscriptions
from esdb_lite.server.services.indexes import IndexService
from esdb_lite.server.services.monitoring import Monitoring
from esdb_lite.server.services.operations import Operations
from esdb_lite.server.services.pages import NodePages
from esdb_lite.server.services.projections import Projections
from esdb_lite.server.services.quick_reads import quick_query
from esdb_lite.server.services.records import AtomicAppends, quick_method
from esdb_lite.server.services.schemas import SchemaService
from esdb_lite.server.services.tokens import with_token
from esdb_lite.server.services.unary import GeneratedBase, pipeline, reporting_storage_errors, routes
from esdb_lite.server.storage.errors import StorageError, StorageLocked, StorageNotADatabase, StorageTooNew
from esdb_lite.server.storage.losses import is_new as is_new_file
from esdb_lite.server.tls import CertificateFiles, ServerTls
from esdb_lite.server.users.authentication import Authenticator
from esdb_lite.server.users.store import UserStore

log = logging.getLogger("esdb_lite.server")

DEFAULT_PASSWORD = "changeit"
"""What a real server gives its first users."""
FIRST_LOGINS = tuple(login for login, _, _ in FIRST_USERS)

_DROPPED_WITHIN = 1.0
"""Seconds that consumers get to be told that they were dropped: only who does not read needs them."""
_MAX_MESSAGE = 4 * 1024 * 1024
_MAX_STREAMS_MESSAGE = 16 * 1024 * 1024 - 10_000


@dataclass(frozen=True)
class ServerSettings:
    """How a server is to run."""

    path: str | None = None
    """The database file; None: in memory."""
    host: str = "127.0.0.1"
    port: int = 0
    durability: Durability = Durability.FULL
    now: Callable[[], int] = ticks_now
    """100-ns ticks since 1970."""
    security: Security | None = None
    """None: no TLS, and everybody may do everything."""
    run_projections: RunProjections = RunProjections.NONE
    """Which projections there are."""
    start_standard_projections: bool = False
    """Whether the system projections are enabled at the start."""
    compatibility: Compatibility = DEFAULT_COMPATIBILITY
    max_append_size: int | None = None
    """Bytes that the events of one append may have together; None: as in that version."""
    max_append_event_size: int | None = None
    """The same for one event."""
    token: str | None = None
    """What every call has to bring in its metadata; None: nothing."""
    http1: Http1Factory | None = None
    """Serves connections that speak HTTP/1.1; None: the server has a few pages for them."""
    advertised: Advertised | None = None
    """Where gossip says that it is; None: where it listens."""

    @property
    def behaviour(self) -> Behaviour:
        """What the version that it passes for does, with the limits that are set."""
        behaviour = BEHAVIOURS[self.compatibility]
        total, event = self.max_append_size, self.max_append_event_size
        return replace(
            behaviour,
            max_append_size=behaviour.max_append_size if total is None else total,
            max_append_event_size=behaviour.max_append_event_size if event is None else event,
        )


@dataclass(frozen=True)
class Security:
    """TLS, and the first users."""

    certificate: CertificateFiles
    initial_passwords: Mapping[str, str] = field(default_factory=dict)
    """By login: for the first users of a database, where they are to differ from what a real server gives them."""


@dataclass(frozen=True)
class ClusterSeat:
    """A server's place in a cluster whose nodes share a database."""

    database: Database
    membership: Membership
    member: ClusterMember
    forwarding_timeout: float = FORWARDING_TIMEOUT
    """Seconds that a write takes to fail which is forwarded to a leader that is not there."""
    resign: Callable[[], None] = lambda: None
    """Called when a client asks the node to stop leading."""


class ServerNode:
    """A running server, on one event loop."""

    def __init__(
        self,
        settings: ServerSettings,
        database: Database,
        shut_down: Callable[[], None],
        faults: Faults | None = None,
        place: ClusterSeat | None = None,
    ) -> None:
        self.port = 0
        """Where it listens; a free port was taken for port 0."""
        self._settings = settings
        self._behaviour = settings.behaviour
        self._database = database
        self._shared = place is not None
        self._faults = Faults() if faults is None else faults
        self._plan = self._faults._attach(self)
        if place is None:
            host = settings.advertised.host if settings.advertised else reachable(settings.host)
            self._membership = Membership.alone(host, settings.port)
            self._member = self._membership.members[0]
            self._admission = Admission(self._plan)
        else:
            self._membership, self._member = place.membership, place.member
            timeout = place.forwarding_timeout
            self._admission = Admission(self._plan, self._membership, self._member, forwarding_timeout=timeout)
        security = settings.security
        self._tls = ServerTls(security.certificate, http1=settings.http1 is not None) if security else None
        self._authenticator = None if settings.security is None else Authenticator(database)
        self._gossip = Gossip(self._membership, self._member, settings.now)
        self._context = Context(
            database,
            settings.now,
            self._behaviour.max_append_size,
            self._behaviour.max_append_event_size,
            admission=self._admission,
            node_event=self._gossip.node_event,
            indexes=Indexes(database, now=settings.now) if self._behaviour.index_reads else None,
        )
        self._groups = PersistentGroups(database, ticks=settings.now)
        self._projections = _projections(settings, database)
        self.pages = self._pages()
        """What it has to say to others than clients, by path."""
        self._operations = Operations(
            database,
            shut_down=shut_down,
            restart_groups=self._restart_groups,
            resign=None if place is None else place.resign,
        )
        plain = PlainHttp(self.pages, settings.http1, self._context.cold_calls.costly)
        self._server = RpcServer(self._routes(), self._admission, plain)

    @classmethod
    async def start(
        cls,
        settings: ServerSettings,
        shut_down: Callable[[], None],
        faults: Faults | None = None,
        place: ClusterSeat | None = None,
    ) -> ServerNode:
        """Start a server; it calls `shut_down` when a client asks for that. Raises ServerStartError.

        `place`: in a cluster it serves the database that the cluster has, instead of opening one.
        """
        is_new = place is None and settings.path is not None and is_new_file(settings.path)
        database = place.database if place is not None else await open_database(settings)
        try:
            node = cls(settings, database, shut_down, faults, place)
        except BaseException:
            if place is None:
                await database.close()
            raise
        try:
            await node._begin()
            if log.isEnabledFor(logging.INFO):
                await node._say_what_is_served("new, " if is_new else "")
        except BaseException as error:
            await node.stop()
            if isinstance(error, OSError):
                raise address_error(error, settings.host, settings.port) from error
            if isinstance(error, StorageError):
                raise _database_error(error) from error
            raise
        return node

    async def _begin(self) -> None:
        """Begin with what the database needs to have; listen last."""
        settings = self._settings
        await self._begin_users()
        if self._projections is not None:
            await self._projections.begin()
        if self._leads:
            await self.start_leading()
        context = None if self._tls is None else self._tls.context
        self.port = await self._server.start(settings.host, settings.port, context)
        self._member.port = (settings.advertised and settings.advertised.port) or self.port
        self.faults_changed()

    async def _say_what_is_served(self, new: str) -> None:
        settings = self._settings
        what = "events in memory" if settings.path is None else f"{settings.path} ({new}{settings.durability.value})"
        log.info(
            "esdb_lite %s, as %s, serves %s on %s port %d: %s events, %s",
            __version__,
            self._behaviour.version,
            what,
            settings.host or "all addresses",
            self.port,
            f"{await self._database.count():,}",
            "without TLS, and without users" if settings.security is None else "with TLS and users",
        )

    async def stop(self) -> None:
        """End all calls, stop listening, commit what waits, close the file. Takes a few seconds at most."""
        log.info("the server on port %d stops", self.port)
        self._faults._detach()
        await self.stop_leading()
        await self._admission.consumers.wait_ended(_DROPPED_WITHIN)
        await self._server.stop()
        await self._close()

    async def kill(self) -> None:
        """End everything at once, as far as that is possible within a process: connections are reset without a word.

        What had been handed to the writer is committed; what waited for it is not.
        """
        self._faults._detach()
        await self._server.kill()
        await self.stop_leading()
        await self._close()

    async def _close(self) -> None:
        await self._operations.stop()
        if self._authenticator is not None:
            await self._authenticator.stop()
        if self._context.indexes is not None:
            await self._context.indexes.close()
        if not self._shared:
            await self._database.close()

    # --- faults ---

    def faults_changed(self) -> None:
        """Look at the plan again."""
        self._admission.refresh()
        for call in self._server.open_calls():
            self._admission.watch(call.metadata.get(":path", ""), call)
        self._server.set_faults(frozen=self._plan.frozen, turning_away=self._plan.refuses_connections)

    def break_connections(self) -> None:
        """Cut all connections."""
        self._server.break_connections()

    def go_away(self, code: int, reset_after: float) -> None:
        """Send GOAWAY on all connections, and reset them after so many seconds."""
        self._server.go_away(code, reset_after)

    def end_subscriptions(self) -> None:
        """End all subscriptions."""
        self._admission.subscriptions.end_all()
        self._admission.consumers.end_all()

    # --- roles ---

    @property
    def _leads(self) -> bool:
        return self._member.leads

    def role_changed(self) -> None:
        """Its own state or the leader has changed: serve calls accordingly."""
        self._admission.refresh()

    async def start_leading(self) -> None:
        """Begin to lead: serve persistent subscriptions, run projections."""
        await self._groups.start()
        if self._projections is not None:
            await self._projections.start()

    async def stop_leading(self) -> None:
        """Stop leading: drop the consumers of persistent subscriptions, stop projections. Idempotent."""
        await self._groups.stop()
        if self._projections is not None:
            await self._projections.stop()

    async def leave(self) -> None:
        """Shut down as a real node does: drop consumers, tell clients to go, and answer nothing any more."""
        await self.stop_leading()
        await self._admission.consumers.wait_ended(_DROPPED_WITHIN)
        await self._server.leave()

    async def _restart_groups(self) -> None:
        if self._leads:
            await self._groups.restart()

    def reload_certificate(self) -> None:
        """Use what the certificate's files hold now for new connections. Raises CertificateUnusable."""
        if self._tls is not None:
            self._tls.reload()
            self._server.use_tls(self._tls.context)

    async def _begin_users(self) -> None:
        security, authenticator = self._settings.security, self._authenticator
        if security is None or authenticator is None:
            return
        passwords = {login: security.initial_passwords.get(login, DEFAULT_PASSWORD) for login in FIRST_LOGINS}
        await UserStore(self._database, authenticator).begin(passwords)
        level = logging.INFO if is_loopback(self._settings.host) else logging.WARNING
        for login in FIRST_LOGINS if log.isEnabledFor(level) else ():
            if await authenticator.has_password(login, DEFAULT_PASSWORD):
                log.log(
                    level,
                    "user %s still has the default password, and the server listens on %s: change it",
                    login,
                    self._settings.host or "all addresses",
                )

    def _counts(self) -> dict[str, int]:
        """What the statistics tell besides: connections, and events since the start."""
        return {
            "proc-tcp-connections": self._server.connections,
            "es-queue-StorageWriterQueue-totalItemsProcessed": self._database.written,
        }

    def _monitoring(self) -> Monitoring:
        database = self._database
        return Monitoring(lambda: database.log_end, lambda: database.waiting, self._settings.path, counts=self._counts)

    def _routes(self) -> Mapping[str, Route]:
        return {path: self._route(path, handler) for path, handler in self._handlers().items()}

    def _route(self, path: str, handler: Handler) -> Route:
        def authenticate(inner: Handler) -> Handler:
            return inner if self._authenticator is None else authenticated(path, inner, self._authenticator)

        def admit(inner: Handler) -> Handler:
            return self._admission.admitting(path, inner)

        def check_token(inner: Handler) -> Handler:
            return inner if self._settings.token is None else with_token(self._settings.token, inner)

        everybody = not (self._authenticator or self._settings.token)
        return Route(
            pipeline(reporting_storage_errors, check_token, authenticate, handler=handler),
            self._max_message(path),
            pipeline(reporting_storage_errors, check_token, authenticate, admit, handler=handler),
            quick_method(path, self._context) if everybody else None,
            quick_query(path, self._context) if everybody else None,
        )

    def _max_message(self, path: str) -> int:
        if path in (PATH_STREAMS_SERVICE_APPEND_SESSION, PATH_STREAMS_SERVICE_APPEND_RECORDS):
            return self._behaviour.max_append_size * 3 // 2
        takes_events = path.startswith(f"/{streams.SERVICE}/") or path == PATH_IMPORTS_IMPORT_EVENTS
        return _MAX_STREAMS_MESSAGE if takes_events else _MAX_MESSAGE

    def _cold(self, service: GeneratedBase) -> Mapping[str, Handler]:
        return routes(service, self._context.cold_calls, self._context.pages)

    def _index_commands(self) -> Mapping[str, Handler]:
        indexes = self._context.indexes if self._behaviour.append_records else None
        return {} if indexes is None else self._cold(IndexService(indexes))

    def _schemas(self) -> Mapping[str, Handler]:
        service = SchemaService(SchemaRegistry(self._database, now=self._settings.now))
        return self._cold(service) if self._behaviour.schema_registry else {}

    def _is_offered(self, path: str) -> bool:
        """Whether there is a method in the version that it passes for."""
        behaviour = self._behaviour
        newer = {
            PATH_STREAMS_SERVICE_APPEND_SESSION: behaviour.append_sessions,
            PATH_STREAMS_SERVICE_APPEND_RECORDS: behaviour.append_records,
            PATH_PERSISTENT_SUBSCRIPTIONS_TRUNCATE_PARKED: behaviour.truncates_parked,
        }
        return newer.get(path, True)

    def _pages(self) -> Mapping[str, Page]:
        settings, statistics = self._settings, self._monitoring().figures
        return NodePages(
            self._behaviour.version,
            self._membership,
            self._member,
            projections=self._projections is not None,
            users=settings.security is not None,
            now=settings.now,
            statistics=statistics,
            figures=node_figures(self._database, self._groups, lambda: self._server, statistics),
        ).by_path()

    def _users(self) -> Mapping[str, Handler]:
        authenticator = self._authenticator
        if authenticator is None:
            return users.without_authentication()
        return self._cold(users.Users(UserStore(self._database, authenticator), authenticator))

    def _handlers(self) -> Mapping[str, Handler]:
        handlers: dict[str, Handler] = {}
        # In the order in which a real server lists them.
        for part in (
            {}
            if self._projections is None
            else self._cold(Projections(self._projections, second_engine=self._behaviour.second_projection_engine)),
            PersistentSubscriptions(self._groups, self._context).handlers(),
            self._users(),
            streams.handlers(self._context),
            AtomicAppends(self._context).handlers(),
            self._index_commands(),
            self._schemas(),
            self._cold(self._operations),
            self._cold(self._gossip),
            self._cold(self._monitoring()),
            self._cold(ServerFeatures(self._behaviour.version, lambda: filter(_is_of_real_servers, handlers))),
            redaction.refusing(self._behaviour.redaction_service),
            own.handlers(self._context),
        ):
            handlers.update((path, handler) for path, handler in part.items() if self._is_offered(path))
        return handlers


def _is_of_real_servers(path: str) -> bool:
    """Whether a server of the version that it passes for has the method: clients are told of no others."""
    return path not in own.PATHS


def _projections(settings: ServerSettings, database: Database) -> ProjectionManager | None:
    if settings.run_projections is RunProjections.NONE:
        return None
    starts = settings.start_standard_projections
    runs_all = settings.run_projections is RunProjections.ALL
    engine = UserEngine(database, now=settings.now) if runs_all else None
    return ProjectionManager(database, now=settings.now, engine=engine, starts_standard=starts)


async def open_database(settings: ServerSettings) -> Database:
    """Open the database that a server is to serve. Raises ServerStartError."""
    try:
        return await Database.open(settings.path, durability=settings.durability, now=settings.now)
    except StorageError as error:
        raise _database_error(error) from error


_DATABASE_ERRORS: tuple[tuple[type[StorageError], type[DatabaseUnavailable]], ...] = (
    (StorageLocked, DatabaseInUse),
    (StorageNotADatabase, NotADatabase),
    (StorageTooNew, DatabaseTooNew),
)


def _database_error(error: StorageError) -> ServerStartError:
    kind = next((kind for cause, kind in _DATABASE_ERRORS if isinstance(error, cause)), DatabaseUnavailable)
    return kind(str(error))
