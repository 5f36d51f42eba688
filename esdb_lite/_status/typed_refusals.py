"""The server's side of the errors of the newer services: each with a reason and typed details.

Owns: one function for each condition, returning the `RpcError` to raise (section B.2 of the notes on KurrentDB, and
section 24 of the protocol notes for the texts). Must not know: how an answer is sent, the database.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import timedelta

from esdb_lite_protos.google.rpc import BadRequest, BadRequestFieldViolation, ResourceInfo, RetryInfo
from esdb_lite_protos.kurrent.rpc import (
    AccessDeniedErrorDetails,
    NotLeaderNodeErrorDetails,
    NotLeaderNodeErrorDetailsNodeInfo,
)
from esdb_lite_protos.kurrentdb.protocol.v2.indexes.errors import (
    IndexAlreadyExistsErrorDetails,
    IndexNotFoundErrorDetails,
)
from esdb_lite_protos.kurrentdb.protocol.v2.streams import errors as pb

from esdb_lite._status.codes import RpcError, StatusCode
from esdb_lite._status.details import detailed, unnamed

_SERVER, _STREAMS, _INDEXES = "server", "streams", "indexes"
_RETRY_SECONDS = 5
_MAX_INT32 = 2**31 - 1


# --- of any service ---------------------------------------------------------------------------------------------------


def bad_request(message: str, violations: Iterable[tuple[str, str]]) -> RpcError:
    """Fields of the request, each with what is wrong with it."""
    fields = [BadRequestFieldViolation(field, text) for field, text in violations]
    return detailed(StatusCode.INVALID_ARGUMENT, message, "BAD_REQUEST", _SERVER, BadRequest(fields))


def insufficient_permissions(operation: str, username: str | None) -> RpcError:
    """These credentials may not do this; `operation` such as streams:write:order-1."""
    return detailed(
        StatusCode.PERMISSION_DENIED,
        f"Access denied. Insufficient permissions to perform {operation}",
        "ACCESS_DENIED",
        _SERVER,
        AccessDeniedErrorDetails(operation, username),
    )


def not_leader_node(host: str, port: int, node_id: str | None) -> RpcError:
    """Only the leader does this, which is there."""
    return detailed(
        StatusCode.FAILED_PRECONDITION,
        "The server is not the leader node and cannot handle the request. Please retry your request against the leader"
        f" node directly at {host}:{port}",
        "NOT_LEADER_NODE",
        _SERVER,
        NotLeaderNodeErrorDetails(NotLeaderNodeErrorDetailsNodeInfo(host, port, node_id)),
    )


def server_not_ready() -> RpcError:
    """The node is starting or changing its role."""
    return _later(StatusCode.UNAVAILABLE, "The server is not yet ready to handle requests.", "SERVER_NOT_READY")


def server_overloaded() -> RpcError:
    """The node has no room for the call."""
    text = "The server is currently overloaded and cannot handle the request."
    return _later(StatusCode.UNAVAILABLE, text, "SERVER_OVERLOADED")


def server_shutting_down() -> RpcError:
    """The node stops."""
    return detailed(
        StatusCode.UNAVAILABLE,
        f"The server is shutting down. Please retry after {_RETRY_SECONDS} seconds.",
        "SERVER_SHUTTING_DOWN",
        _SERVER,
        _retry_info(),
    )


def operation_timeout(operation: str) -> RpcError:
    """A write that was not answered in time; it may be written all the same."""
    text = f"Operation timed out: {operation} timed out while waiting for commit"
    return _later(StatusCode.DEADLINE_EXCEEDED, text, "OPERATION_TIMEOUT")


def _later(code: StatusCode, text: str, reason: str) -> RpcError:
    message = f"{text} Please try again after {_RETRY_SECONDS} seconds."
    return detailed(code, message, reason, _SERVER, _retry_info())


def _retry_info() -> RetryInfo:
    return RetryInfo(timedelta(seconds=_RETRY_SECONDS))


# --- of atomic appends ------------------------------------------------------------------------------------------------


def record_size_exceeded(message: str, stream: str, record_id: str, size: int, limit: int) -> RpcError:
    """A record is too large."""
    details = pb.AppendRecordSizeExceededErrorDetails(stream, record_id, _int32(size), _int32(limit))
    return detailed(StatusCode.INVALID_ARGUMENT, message, "APPEND_RECORD_SIZE_EXCEEDED", _STREAMS, details)


def transaction_size_exceeded(message: str, size: int, limit: int) -> RpcError:
    """The records are too large together."""
    details = pb.AppendTransactionSizeExceededErrorDetails(_int32(size), _int32(limit))
    return detailed(StatusCode.ABORTED, message, "APPEND_TRANSACTION_SIZE_EXCEEDED", _STREAMS, details)


def stream_already_in_session(message: str, stream: str) -> RpcError:
    """A session has two requests for one stream."""
    details = pb.StreamAlreadyInAppendSessionErrorDetails(stream)
    return detailed(StatusCode.ABORTED, message, "STREAM_ALREADY_IN_APPEND_SESSION", _STREAMS, details)


def session_without_requests(message: str) -> RpcError:
    """A session has no requests."""
    return detailed(StatusCode.FAILED_PRECONDITION, message, "APPEND_SESSION_NO_REQUESTS", _STREAMS)


def revision_conflict(stream: str, expected: int, actual: int) -> RpcError:
    """The first stream of a session that is not where it was expected."""
    return detailed(
        StatusCode.FAILED_PRECONDITION,
        f"Append failed due to a revision conflict on stream '{stream}'. Expected revision: {expected}."
        f" Actual revision: {actual}.",
        "STREAM_REVISION_CONFLICT",
        _STREAMS,
        pb.StreamRevisionConflictErrorDetails(stream, expected, actual),
    )


def stream_tombstoned(stream: str) -> RpcError:
    """A stream of a session is deleted: tombstoned, or soft-deleted and expected to exist."""
    return detailed(
        StatusCode.FAILED_PRECONDITION,
        f"Stream '{stream}' has been tombstoned. It has been permanently removed from the system and cannot be"
        " restored.",
        "STREAM_TOMBSTONED",
        _STREAMS,
        pb.StreamTombstonedErrorDetails(stream),
    )


def consistency_violation(violations: Sequence[tuple[int, str, int, int]]) -> RpcError:
    """Streams are not in their expected states: index, stream, expected and actual state of each."""
    lines = "\n".join(f" - {_violation(stream, expected, actual)}" for _, stream, expected, actual in violations)
    return detailed(
        StatusCode.FAILED_PRECONDITION,
        f"Append failed due to consistency violations.\n\n{lines}",
        "APPEND_CONSISTENCY_VIOLATION",
        _STREAMS,
        pb.AppendConsistencyViolationErrorDetails(
            [
                pb.ConsistencyViolation(index, pb.ConsistencyViolationStreamStateViolation(stream, expected, actual))
                for index, stream, expected, actual in violations
            ]
        ),
    )


_NO_STREAM, _ANY, _EXISTS, _DELETED, _TOMBSTONED = -1, -2, -4, -5, -6
_STATES = {_NO_STREAM: "does not exist", _DELETED: "is deleted", _TOMBSTONED: "is tombstoned"}


def _violation(stream: str, expected: int, actual: int) -> str:
    state = _STATES.get(actual, f"is at revision {actual}")
    if expected == _TOMBSTONED and actual == _NO_STREAM:
        return f"Stream '{stream}' {state}, explicitly expected tombstoned."
    if expected == _TOMBSTONED or (expected in (_ANY, _EXISTS) and actual >= 0):
        return f"Stream '{stream}': expected state {expected}, actual state {actual}."
    if expected >= 0:
        return f"Stream '{stream}' {state}, expected revision {expected}."
    if expected == _DELETED:
        return f"Stream '{stream}' {state}, explicitly expected deleted."
    if expected == _NO_STREAM and actual >= 0:
        return f"Stream '{stream}' already exists at revision {actual}."
    return f"Stream '{stream}' {state}."


def _int32(value: int) -> int:
    return min(value, _MAX_INT32)


# --- of indexes -------------------------------------------------------------------------------------------------------


def index_not_found(name: str) -> RpcError:
    """There is no such index."""
    text = f"Index '{name}' does not exist"
    return detailed(StatusCode.NOT_FOUND, text, "INDEX_NOT_FOUND", _INDEXES, IndexNotFoundErrorDetails(name))


def index_already_exists(name: str) -> RpcError:
    """There is an index of this name that is defined otherwise."""
    text, details = f"Index '{name}' already exists", IndexAlreadyExistsErrorDetails(name)
    return detailed(StatusCode.ALREADY_EXISTS, text, "INDEX_ALREADY_EXISTS", _INDEXES, details)


# --- of the schema registry (section B.7 of the notes on KurrentDB) ---------------------------------------------------


def invalid_schema_request(violations: Sequence[tuple[str, str]]) -> RpcError:
    """Fields of the request, each with what is wrong with it; the text has them in JSON."""
    text = json.dumps([{"field": field, "error": text} for field, text in violations], ensure_ascii=False)
    fields = [BadRequestFieldViolation(field, text) for field, text in violations]
    return unnamed(StatusCode.INVALID_ARGUMENT, text, BadRequest(fields))


def schema_not_found(what: str) -> RpcError:
    """There is no such schema or version."""
    return unnamed(StatusCode.NOT_FOUND, f"{what} was not found", ResourceInfo("schema", what))


def schema_already_exists(name: str) -> RpcError:
    """There is a schema of this name, or was one."""
    text = f"Schema '{name}' already exists"
    return unnamed(StatusCode.ALREADY_EXISTS, text, ResourceInfo("schema", name))


def schema_access_denied(operation: str) -> RpcError:
    """These credentials may not use the registry."""
    text = f"Access denied. Insufficient permissions to perform {operation}"
    return detailed(StatusCode.PERMISSION_DENIED, text, "ACCESS_DENIED", "authorization")
