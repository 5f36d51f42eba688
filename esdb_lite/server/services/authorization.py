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

from esdb_lite_protos.tags import (
    PATH_DIRECTORY_LIST,
    PATH_IMPORTS_IMPORT_EVENTS,
    PATH_INDEXES_SERVICE_CREATE,
    PATH_INDEXES_SERVICE_DELETE,
    PATH_INDEXES_SERVICE_GET,
    PATH_INDEXES_SERVICE_LIST,
    PATH_INDEXES_SERVICE_START,
    PATH_INDEXES_SERVICE_STOP,
    PATH_PERSISTENT_SUBSCRIPTIONS_READ,
    PATH_STREAMS_APPEND,
    PATH_STREAMS_BATCH_APPEND,
    PATH_STREAMS_READ,
    PATH_STREAMS_SERVICE_APPEND_RECORDS,
    PATH_STREAMS_SERVICE_APPEND_SESSION,
)

from esdb_lite._status import RpcError, refusals
from esdb_lite.server.engine.access import Principal
from esdb_lite.server.handlers import Handler, ServerCall
from esdb_lite.server.sparing_log import SparingLog
from esdb_lite.server.users.authentication import Authenticator, LoginRefused, TooManyLogins, login_of

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


_PACKAGE = "/event_store.client."
_NEWER_REDACTION = "/kurrent.client.redaction.Redaction/"
_INDEXES = (
    PATH_INDEXES_SERVICE_CREATE,
    PATH_INDEXES_SERVICE_START,
    PATH_INDEXES_SERVICE_STOP,
    PATH_INDEXES_SERVICE_DELETE,
    PATH_INDEXES_SERVICE_LIST,
    PATH_INDEXES_SERVICE_GET,
)
"""Ask for themselves: what is wrong with a request comes first."""
_SCHEMAS = tuple(
    f"/kurrentdb.protocol.registry.v2.SchemaRegistryService/{name}"
    for name in (
        *("CreateSchema", "UpdateSchema", "DeleteSchema", "GetSchema", "ListSchemas", "LookupSchemaName"),
        *("RegisterSchemaVersion", "DeleteSchemaVersions", "GetSchemaVersion", "GetSchemaVersionById"),
        *("ListSchemaVersions", "ListRegisteredSchemas", "CheckSchemaCompatibility"),
    )
)
"""Ask for themselves, since they refuse in their own way."""
_ATOMIC = (PATH_STREAMS_SERVICE_APPEND_SESSION, PATH_STREAMS_SERVICE_APPEND_RECORDS)

NEEDS: Mapping[str, Permission] = {
    method if method.startswith("/") else _PACKAGE + method: need
    for need, methods in {
        Permission.NOTHING: (
            "gossip.Gossip/Read",
            "server_features.ServerFeatures/GetSupportedMethods",
            "monitoring.Monitoring/Stats",
        ),
        Permission.STREAM: (
            "streams.Streams/Append",
            "streams.Streams/BatchAppend",
            PATH_IMPORTS_IMPORT_EVENTS,
            *_ATOMIC,
            *_INDEXES,
            *_SCHEMAS,
        ),
        Permission.LOGIN: (
            # These ask about the stream as well.
            PATH_DIRECTORY_LIST,
            "streams.Streams/Read",
            "streams.Streams/Delete",
            "streams.Streams/Tombstone",
            "persistent_subscriptions.PersistentSubscriptions/Read",
            "persistent_subscriptions.PersistentSubscriptions/GetInfo",
            "persistent_subscriptions.PersistentSubscriptions/List",
            "users.Users/Details",
            "users.Users/ChangePassword",
            "projections.Projections/Statistics",
            "projections.Projections/State",
            "projections.Projections/Result",
            # These ask what kind of projection it is about.
            "projections.Projections/Create",
            "projections.Projections/Update",
            "projections.Projections/Enable",
            "projections.Projections/Disable",
            "projections.Projections/Reset",
        ),
        Permission.OPERATOR: (
            "persistent_subscriptions.PersistentSubscriptions/Create",
            "persistent_subscriptions.PersistentSubscriptions/Update",
            "persistent_subscriptions.PersistentSubscriptions/Delete",
            "persistent_subscriptions.PersistentSubscriptions/ReplayParked",
            "persistent_subscriptions.PersistentSubscriptions/TruncateParked",
            "persistent_subscriptions.PersistentSubscriptions/RestartSubsystem",
            "projections.Projections/Delete",
            "projections.Projections/RestartSubsystem",
            "operations.Operations/StartScavenge",
            "operations.Operations/StopScavenge",
            "operations.Operations/Shutdown",
            "operations.Operations/MergeIndexes",
            "operations.Operations/ResignNode",
            "operations.Operations/SetNodePriority",
            "operations.Operations/RestartPersistentSubscriptions",
        ),
        Permission.ADMIN: (
            "users.Users/Create",
            "users.Users/Update",
            "users.Users/Delete",
            "users.Users/Enable",
            "users.Users/Disable",
            "users.Users/ResetPassword",
            "redaction.Redaction/GetEventPositions",
            "redaction.Redaction/SwitchChunks",
            _NEWER_REDACTION + "GetEventPositions",
            _NEWER_REDACTION + "SwitchChunks",
        ),
    }.items()
    for method in methods
}

_WRITES = frozenset(
    (PATH_STREAMS_APPEND, PATH_STREAMS_BATCH_APPEND, PATH_STREAMS_SERVICE_APPEND_SESSION, PATH_IMPORTS_IMPORT_EVENTS)
)
_MANY_REQUESTS = _WRITES | {PATH_PERSISTENT_SUBSCRIPTIONS_READ}
"""Calls whose client goes on sending: some take an end before their first request for a lost connection."""
_FIRST_REQUEST_WITHIN = 2.0
"""Seconds that a client has to begin, before it hears that it may not."""

_LONG = _MANY_REQUESTS | {PATH_STREAMS_READ}
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


async def _identify(call: ServerCall, authenticator: Authenticator) -> Principal:
    try:
        return await authenticator.identify(call.metadata.get("authorization"), call.peer)
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
