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

from esdb_lite import errors
from esdb_lite._status.details import Details, read_details
from esdb_lite.positions import state_of
from esdb_lite.records import ConsistencyViolation

M = TypeVar("M", bound=betterproto.Message)
_Choice = tuple[type[errors.GrpcError], dict[str, object]]
_Choose = Callable[[Details], _Choice]


class TypedError(NamedTuple):
    """An exception and what to set on it."""

    kind: type[errors.GrpcError]
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


def _plain(kind: type[errors.GrpcError]) -> _Choose:
    return lambda details: (kind, {})


def _as_said(kind: type[errors.GrpcError], said: type[betterproto.Message], names: Mapping[str, str]) -> _Choose:
    """Attributes of `kind`, each with the name of a field of its detail."""

    def make(details: Details) -> _Choice:
        found = _read(details, said)
        return kind, {attribute: getattr(found, name) for attribute, name in names.items()}

    return make


def _not_leader(details: Details) -> _Choice:
    leader = _read(details, NotLeaderNodeErrorDetails).current_leader
    return errors.NotLeader, {"host": leader.host, "port": leader.port}


def _conflict(details: Details) -> _Choice:
    conflict = _read(details, pb.StreamRevisionConflictErrorDetails)
    return _inconsistent([(0, conflict.stream, conflict.expected_revision, conflict.actual_revision)])


def _violations(details: Details) -> _Choice:
    found = _read(details, pb.AppendConsistencyViolationErrorDetails).violations
    states = ((violation.check_index, violation.stream_state) for violation in found)
    return _inconsistent([(index, state.stream, state.expected_state, state.actual_state) for index, state in states])


def _inconsistent(found: Sequence[tuple[int, str, int, int]]) -> _Choice:
    """`found`: index, stream, expected and actual state of each violation."""
    if not found:
        return errors.ConsistencyError, {}
    _, stream, expected, actual = found[0]
    return errors.ConsistencyError, {
        "violations": tuple(
            ConsistencyViolation(stream, state_of(expected), state_of(actual), index)
            for index, stream, expected, actual in found
        ),
        "stream_name": stream,
        "expected": state_of(expected),
        "current": actual if actual >= 0 else None,
    }


_BY_REASON: Mapping[str, _Choose] = {
    "ACCESS_DENIED": _plain(errors.AccessDenied),
    "BAD_REQUEST": _plain(errors.InvalidRequest),
    "NOT_LEADER_NODE": _not_leader,
    "OPERATION_TIMEOUT": _plain(errors.OperationTimedOut),
    "SERVER_NOT_READY": _plain(errors.ServerNotReady),
    "SERVER_OVERLOADED": _plain(errors.ServerNotReady),
    # what had begun may be done, other than where a server says that it is not ready
    "SERVER_SHUTTING_DOWN": _plain(errors.ServiceUnavailable),
    "SERVER_MALFUNCTION": _plain(errors.HandlerFailed),
    "STREAM_REVISION_CONFLICT": _conflict,
    "STREAM_TOMBSTONED": _as_said(errors.StreamDeleted, pb.StreamTombstonedErrorDetails, {"stream_name": "stream"}),
    "APPEND_CONSISTENCY_VIOLATION": _violations,
    "APPEND_RECORD_SIZE_EXCEEDED": _as_said(
        errors.EventTooLarge,
        pb.AppendRecordSizeExceededErrorDetails,
        {"stream_name": "stream", "event_id": "record_id", "size": "size", "limit": "max_size"},
    ),
    "APPEND_TRANSACTION_SIZE_EXCEEDED": _as_said(
        errors.AppendTooLarge, pb.AppendTransactionSizeExceededErrorDetails, {"size": "size", "limit": "max_size"}
    ),
    "STREAM_ALREADY_IN_APPEND_SESSION": _plain(errors.InvalidRequest),
    "APPEND_SESSION_NO_REQUESTS": _plain(errors.InvalidRequest),
    "INDEX_NOT_FOUND": _as_said(errors.IndexNotFound, IndexNotFoundErrorDetails, {"index_name": "name"}),
    "INDEX_ALREADY_EXISTS": _as_said(errors.IndexExists, IndexAlreadyExistsErrorDetails, {"index_name": "name"}),
    "INDEXES_NOT_READY": _plain(errors.ServerNotReady),
}
