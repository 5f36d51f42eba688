"""What callers have to be to use a method at all, and the answers to those who are not.

Owns: the table of methods (section 2.3 of the protocol notes), and putting authentication in front of handlers.
Must not know: passwords, access lists: methods that work on streams ask about those themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
from collections.abc import Mapping

from esdb_lite_protos import tags

from esdb_lite._status import RpcError, refusals
from esdb_lite.server.addresses import network_of
from esdb_lite.server.engine.access import Principal
from esdb_lite.server.handlers import Handler, ServerCall
from esdb_lite.server.sparing_log import SparingLog
from esdb_lite.server.users.authentication import Authenticator, Caller, LoginRefused, TooManyLogins, login_of

_refusals = SparingLog(logging.getLogger("esdb_lite.server"), logging.WARNING)


class Permission(enum.Enum):
    """What a method takes."""

    NOTHING = enum.auto()
    """Open to everybody; wrong credentials are refused all the same."""
    STREAM = enum.auto()
    """Rights to a stream, about which the method asks itself, also for those who have not logged in."""
    LOGIN = enum.auto()
    OPERATOR = enum.auto()
    ADMIN = enum.auto()


_PACKAGE = "event_store.client."
_METHODS: Mapping[str, Mapping[Permission, str]] = {
    f"{_PACKAGE}gossip.Gossip": {Permission.NOTHING: "Read"},
    f"{_PACKAGE}server_features.ServerFeatures": {Permission.NOTHING: "GetSupportedMethods"},
    f"{_PACKAGE}monitoring.Monitoring": {Permission.NOTHING: "Stats"},
    # All of these ask about the stream as well.
    f"{_PACKAGE}streams.Streams": {Permission.STREAM: "Append BatchAppend", Permission.LOGIN: "Read Delete Tombstone"},
    "kurrentdb.protocol.v2.streams.StreamsService": {Permission.STREAM: "AppendSession AppendRecords"},
    "esdb_lite.imports.Imports": {Permission.STREAM: "ImportEvents"},
    "esdb_lite.directory.Directory": {Permission.LOGIN: "List"},
    f"{_PACKAGE}persistent_subscriptions.PersistentSubscriptions": {
        Permission.LOGIN: "Read GetInfo List",  # which ask about the stream as well
        Permission.OPERATOR: "Create Update Delete ReplayParked TruncateParked RestartSubsystem",
    },
    # Asks for itself: what is wrong with a request comes first.
    "kurrentdb.protocol.v2.indexes.IndexesService": {Permission.STREAM: "Create Start Stop Delete List Get"},
    # Asks for itself, since it refuses in its own way.
    "kurrentdb.protocol.registry.v2.SchemaRegistryService": {
        Permission.STREAM: "CreateSchema UpdateSchema DeleteSchema GetSchema ListSchemas LookupSchemaName"
        " RegisterSchemaVersion DeleteSchemaVersions GetSchemaVersion GetSchemaVersionById ListSchemaVersions"
        " ListRegisteredSchemas CheckSchemaCompatibility",
    },
    f"{_PACKAGE}projections.Projections": {
        # Those that change a projection ask what kind it is.
        Permission.LOGIN: "Statistics State Result Create Update Enable Disable Reset",
        Permission.OPERATOR: "Delete RestartSubsystem",
    },
    f"{_PACKAGE}users.Users": {
        Permission.LOGIN: "Details ChangePassword",
        Permission.ADMIN: "Create Update Delete Enable Disable ResetPassword",
    },
    f"{_PACKAGE}operations.Operations": {
        Permission.OPERATOR: "StartScavenge StopScavenge Shutdown MergeIndexes ResignNode SetNodePriority"
        " RestartPersistentSubscriptions",
    },
    f"{_PACKAGE}redaction.Redaction": {Permission.ADMIN: "GetEventPositions SwitchChunks"},
    "kurrent.client.redaction.Redaction": {Permission.ADMIN: "GetEventPositions SwitchChunks"},
}
"""What the methods of each service take."""

NEEDS: Mapping[str, Permission] = {
    f"/{service}/{method}": need
    for service, needs in _METHODS.items()
    for need, methods in needs.items()
    for method in methods.split()
}
"""The same by path."""

_WRITES = frozenset(
    (
        tags.PATH_STREAMS_APPEND,
        tags.PATH_STREAMS_BATCH_APPEND,
        tags.PATH_STREAMS_SERVICE_APPEND_SESSION,
        tags.PATH_IMPORTS_IMPORT_EVENTS,
    )
)
_MANY_REQUESTS = _WRITES | {tags.PATH_PERSISTENT_SUBSCRIPTIONS_READ}
"""Calls whose client goes on sending: some take an end before their first request for a lost connection."""
_FIRST_REQUEST_WITHIN = 2.0
"""Seconds that a client has to begin, before it hears that it may not."""

_LONG = _MANY_REQUESTS | {tags.PATH_STREAMS_READ}
"""Calls that may stay open, and are ended when their user is changed."""


def satisfies(principal: Principal, need: Permission) -> bool:
    """Whether a caller may use a method, as far as that does not depend on a stream."""
    if need is Permission.ADMIN:
        return principal.is_admin
    if need is Permission.OPERATOR:
        return principal.is_operator
    return principal.known or need is not Permission.LOGIN


def authenticated(path: str, handler: Handler, authenticator: Authenticator) -> Handler:
    """Make a handler that serves only callers who may use the method; one that is not in the table is for admins."""
    need = NEEDS.get(path, Permission.ADMIN)

    async def handle(call: ServerCall) -> None:
        try:
            call.principal = principal = await _identify(call, authenticator)
            if not satisfies(principal, need):
                raise refusals.access_denied()
        except RpcError:
            if path in _MANY_REQUESTS:
                await _first_request(call)
            raise
        if path in _LONG and principal.known:
            await _until_revoked(call, handler, authenticator, writes=path in _WRITES)
        else:
            await handler(call)

    return handle


async def _first_request(call: ServerCall) -> None:
    with contextlib.suppress(asyncio.TimeoutError, RpcError):
        await asyncio.wait_for(call.receive(), _FIRST_REQUEST_WITHIN)


def caller_of(call: ServerCall) -> Caller:
    """Where a call comes from, as far as logins are concerned."""
    return Caller(call.peer, network_of(call.address))


async def _identify(call: ServerCall, authenticator: Authenticator) -> Principal:
    try:
        return await authenticator.identify(call.metadata.get("authorization"), caller_of(call))
    except LoginRefused:
        _refusals.log("a login as %s from %s was refused", login_of(call.metadata.get("authorization")), call.address)
        raise refusals.unauthenticated() from None
    except TooManyLogins:
        raise refusals.too_busy() from None


async def _until_revoked(call: ServerCall, handler: Handler, authenticator: Authenticator, *, writes: bool) -> None:
    with authenticator.session(call.principal) as session:
        try:
            await handler(call)
        except asyncio.CancelledError:
            if session is None or not session.revoked:
                raise
            # Refused is what has not been done; of a write that is cut off here nobody knows.
            raise refusals.user_changed() if writes else refusals.unauthenticated() from None
