"""The client's side of the errors of the newer services: which exception stands for a reason with its details.

Owns: that table. Must not know: how an answer arrives. Imported when the first of these errors has come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import betterproto
from esdb_lite_protos.google.rpc import RetryInfo
from esdb_lite_protos.kurrent.rpc import NotLeaderNodeErrorDetails
from esdb_lite_protos.kurrentdb.protocol.v2.indexes.errors import (
    IndexAlreadyExistsErrorDetails,
    IndexNotFoundErrorDetails,
)
from esdb_lite_protos.kurrentdb.protocol.v2.streams import errors as pb

from esdb_lite._status.details import Details, read_details
from esdb_lite.errors import (
    AccessDenied,
    AppendTooLarge,
    ConsistencyError,
    EventTooLarge,
    GrpcError,
    HandlerFailed,
    IndexExists,
    IndexNotFound,
    InvalidRequest,
    NotLeader,
    OperationTimedOut,
    ServerNotReady,
    ServiceUnavailable,
    StreamDeleted,
)
from esdb_lite.positions import state_of
from esdb_lite.records import ConsistencyViolation

M = TypeVar("M", bound=betterproto.Message)


class TypedError(NamedTuple):
    """An exception and what to set on it."""

    kind: type[GrpcError]
    attributes: dict[str, object]


def choose(trailer: str) -> TypedError | None:
    """Return what stands for the details of a status; None where the reason is unknown, or there is none."""
    details = read_details(trailer)
    make = _BY_REASON.get(details.reason)
    if make is None:
        return None
    kind, attributes = make(details)
    retry = _read(details, RetryInfo)
    if retry.retry_delay.total_seconds() > 0:
        attributes["retry_after"] = retry.retry_delay.total_seconds()
    return TypedError(kind, attributes)


def _read(details: Details, kind: type[M]) -> M:
    """A detail; one that is missing or cannot be read has nothing but defaults."""
    try:
        return details.find(kind) or kind()
    except (ValueError, TypeError, IndexError, EOFError):
        return kind()


def _plain(kind: type[GrpcError]) -> Callable[[Details], tuple[type[GrpcError], dict[str, object]]]:
    return lambda details: (kind, {})


def _not_leader(details: Details) -> tuple[type[GrpcError], dict[str, object]]:
    leader = _read(details, NotLeaderNodeErrorDetails).current_leader
    return NotLeader, {"host": leader.host, "port": leader.port}


def _record_too_large(details: Details) -> tuple[type[GrpcError], dict[str, object]]:
    size = _read(details, pb.AppendRecordSizeExceededErrorDetails)
    known: dict[str, object] = {
        "stream_name": size.stream,
        "event_id": size.record_id,
        "size": size.size,
        "limit": size.max_size,
    }
    return EventTooLarge, known


def _too_large(details: Details) -> tuple[type[GrpcError], dict[str, object]]:
    size = _read(details, pb.AppendTransactionSizeExceededErrorDetails)
    return AppendTooLarge, {"size": size.size, "limit": size.max_size}


def _tombstoned(details: Details) -> tuple[type[GrpcError], dict[str, object]]:
    return StreamDeleted, {"stream_name": _read(details, pb.StreamTombstonedErrorDetails).stream}


def _conflict(details: Details) -> tuple[type[GrpcError], dict[str, object]]:
    conflict = _read(details, pb.StreamRevisionConflictErrorDetails)
    return _inconsistent([(0, conflict.stream, conflict.expected_revision, conflict.actual_revision)])


def _violations(details: Details) -> tuple[type[GrpcError], dict[str, object]]:
    found = _read(details, pb.AppendConsistencyViolationErrorDetails).violations
    states = ((violation.check_index, violation.stream_state) for violation in found)
    return _inconsistent([(index, state.stream, state.expected_state, state.actual_state) for index, state in states])


def _inconsistent(found: Sequence[tuple[int, str, int, int]]) -> tuple[type[GrpcError], dict[str, object]]:
    """`found`: index, stream, expected and actual state of each violation."""
    if not found:
        return ConsistencyError, {}
    _, stream, expected, actual = found[0]
    return ConsistencyError, {
        "violations": tuple(
            ConsistencyViolation(stream, state_of(expected), state_of(actual), index)
            for index, stream, expected, actual in found
        ),
        "stream_name": stream,
        "expected": state_of(expected),
        "current": actual if actual >= 0 else None,
    }


def _no_index(details: Details) -> tuple[type[GrpcError], dict[str, object]]:
    return IndexNotFound, {"index_name": _read(details, IndexNotFoundErrorDetails).name}


def _index_there(details: Details) -> tuple[type[GrpcError], dict[str, object]]:
    return IndexExists, {"index_name": _read(details, IndexAlreadyExistsErrorDetails).name}


_BY_REASON: Mapping[str, Callable[[Details], tuple[type[GrpcError], dict[str, object]]]] = {
    "ACCESS_DENIED": _plain(AccessDenied),
    "BAD_REQUEST": _plain(InvalidRequest),
    "NOT_LEADER_NODE": _not_leader,
    "OPERATION_TIMEOUT": _plain(OperationTimedOut),
    "SERVER_NOT_READY": _plain(ServerNotReady),
    "SERVER_OVERLOADED": _plain(ServerNotReady),
    # what had begun may be done, other than where a server says that it is not ready
    "SERVER_SHUTTING_DOWN": _plain(ServiceUnavailable),
    "SERVER_MALFUNCTION": _plain(HandlerFailed),
    "STREAM_REVISION_CONFLICT": _conflict,
    "STREAM_TOMBSTONED": _tombstoned,
    "APPEND_CONSISTENCY_VIOLATION": _violations,
    "APPEND_RECORD_SIZE_EXCEEDED": _record_too_large,
    "APPEND_TRANSACTION_SIZE_EXCEEDED": _too_large,
    "STREAM_ALREADY_IN_APPEND_SESSION": _plain(InvalidRequest),
    "APPEND_SESSION_NO_REQUESTS": _plain(InvalidRequest),
    "INDEX_NOT_FOUND": _no_index,
    "INDEX_ALREADY_EXISTS": _index_there,
    "INDEXES_NOT_READY": _plain(ServerNotReady),
}
