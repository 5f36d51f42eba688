"""Which exception of kurrentdbclient each of ours becomes.

Owns: the one table, and the one place where it is applied (`translated`). Must not know: calls.
Our exception is the cause of theirs, and its attributes are on theirs as well. What is the caller's mistake stays as
it is: a ValueError, TypeError or RuntimeError.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

import esdb_lite
from esdb_lite.compat.kurrentdbclient import exceptions as theirs
from esdb_lite.compat.kurrentdbclient.events import StreamState

Failure = Callable[[esdb_lite.EsdbClientException], Exception]
"""Makes an exception of theirs from one of ours."""

_NUMBERS: Mapping[object, int] = {
    None: -1,
    esdb_lite.StreamState.NO_STREAM: -1,
    esdb_lite.StreamState.ANY: -2,
    esdb_lite.StreamState.EXISTS: -4,
    esdb_lite.StreamState.DELETED: -5,
    esdb_lite.StreamState.TOMBSTONED: -6,
}


def _wrong_version(error: esdb_lite.EsdbClientException) -> Exception:
    assert isinstance(error, esdb_lite.ExpectedPositionError)
    stream, actual = error.stream_name, error.current
    expected = _version(error.expected)
    text = (
        f"Stream {stream!r} does not exist"
        if actual is None
        else f"Stream position of last event is {actual} not {expected}"
    )
    return theirs.WrongCurrentVersionError(
        text,
        stream_name=stream,
        actual_version=StreamState.NO_STREAM if actual is None else actual,
        expected_version=expected,
    )


def _version(expected: esdb_lite.ExpectedPosition) -> int | StreamState:
    if isinstance(expected, int):
        return expected
    return StreamState.NO_STREAM if expected is None else StreamState[expected.name]


def _missing_or_wrong(error: esdb_lite.EsdbClientException) -> Exception:
    """What is to be deleted where there is nothing."""
    assert isinstance(error, esdb_lite.ExpectedPositionError)
    return theirs.NotFoundError(str(error)) if error.current is None else _wrong_version(error)


def _not_leader(error: esdb_lite.EsdbClientException) -> Exception:
    assert isinstance(error, esdb_lite.NotLeader)
    return theirs.NodeIsNotLeaderError(str(error), host=error.host or None, port=error.port or None)


def _wrong_or_tombstoned(error: esdb_lite.EsdbClientException) -> Exception:
    assert isinstance(error, esdb_lite.ConsistencyError)
    gone = error.violations and error.violations[0].actual is esdb_lite.StreamState.TOMBSTONED
    return _tombstoned(error) if gone else _wrong_version(error)


def _tombstoned(error: esdb_lite.EsdbClientException) -> Exception:
    assert isinstance(error, (esdb_lite.StreamDeleted, esdb_lite.ConsistencyError))
    return theirs.StreamTombstonedError(str(error), stream_name=error.stream_name)


def _record_too_large(error: esdb_lite.EsdbClientException) -> Exception:
    assert isinstance(error, esdb_lite.EventTooLarge)
    return theirs.RecordMaxSizeExceededError(
        str(error),
        stream_name=error.stream_name,
        event_id=UUID(error.event_id),
        size=error.size,
        max_size=error.limit,
    )


def _transaction_too_large(error: esdb_lite.EsdbClientException) -> Exception:
    assert isinstance(error, esdb_lite.AppendTooLarge)
    return theirs.TransactionMaxSizeExceededError(str(error), size=error.size, max_size=error.limit)


def _checks_failed(error: esdb_lite.EsdbClientException) -> Exception:
    assert isinstance(error, esdb_lite.ConsistencyError)
    return theirs.ConsistencyChecksFailedError(
        str(error),
        failures=tuple(
            theirs.ConsistencyCheckFailure(
                check_index=violation.index,
                stream_state_failure=theirs.StreamStateCheckFailure(
                    violation.stream_name, _number(violation.expected), _number(violation.actual)
                ),
            )
            for violation in error.violations
        ),
    )


def _number(state: int | esdb_lite.StreamState | None) -> int:
    return state if isinstance(state, int) else _NUMBERS[state]


def _said(cls: type[theirs.KurrentDBClientError]) -> Failure:
    return lambda error: cls(getattr(error, "details", "") or str(error))


_BY_CODE: Mapping[esdb_lite.StatusCode, type[theirs.KurrentDBClientError]] = {
    esdb_lite.StatusCode.CANCELLED: theirs.CancelledError,
    esdb_lite.StatusCode.UNKNOWN: theirs.UnknownError,
    esdb_lite.StatusCode.DEADLINE_EXCEEDED: theirs.GrpcDeadlineExceededError,
    esdb_lite.StatusCode.NOT_FOUND: theirs.NotFoundError,
    esdb_lite.StatusCode.ALREADY_EXISTS: theirs.AlreadyExistsError,
    esdb_lite.StatusCode.PERMISSION_DENIED: theirs.AccessDeniedError,
    esdb_lite.StatusCode.FAILED_PRECONDITION: theirs.FailedPreconditionError,
    esdb_lite.StatusCode.ABORTED: theirs.AbortedByServerError,
    esdb_lite.StatusCode.INTERNAL: theirs.InternalError,
    esdb_lite.StatusCode.UNAVAILABLE: theirs.ServiceUnavailableError,
    esdb_lite.StatusCode.UNAUTHENTICATED: theirs.UnauthenticatedError,
}
"""What a status becomes that means nothing more."""


def _by_code(error: esdb_lite.EsdbClientException) -> Exception:
    assert isinstance(error, esdb_lite.GrpcError)
    return _said(_BY_CODE.get(error.code, theirs.GrpcError))(error)


_FAILURES: Mapping[type[esdb_lite.EsdbClientException], Failure] = {
    esdb_lite.ClientClosed: _said(theirs.CancelledByClientError),
    esdb_lite.TlsError: _said(theirs.SSLError),
    esdb_lite.DiscoveryFailed: _said(theirs.DiscoveryFailedError),
    esdb_lite.ServiceUnavailable: _said(theirs.ServiceUnavailableError),
    esdb_lite.DeadlineExceeded: _said(theirs.GrpcDeadlineExceededError),
    esdb_lite.ConsistencyError: _checks_failed,
    esdb_lite.ExpectedPositionError: _wrong_version,
    esdb_lite.StreamDeleted: _said(theirs.StreamIsDeletedError),
    **dict.fromkeys(
        (
            esdb_lite.StreamNotFound,
            esdb_lite.SubscriptionNotFound,
            esdb_lite.ProjectionNotFound,
            esdb_lite.IndexNotFound,
        ),
        _said(theirs.NotFoundError),
    ),
    **dict.fromkeys(
        (esdb_lite.SubscriptionExists, esdb_lite.ProjectionExists, esdb_lite.IndexExists),
        _said(theirs.AlreadyExistsError),
    ),
    esdb_lite.InvalidPosition: _said(theirs.InvalidCommitPositionError),
    esdb_lite.AppendTooLarge: _said(theirs.MaximumAppendSizeExceededError),
    esdb_lite.NotLeader: _not_leader,
    esdb_lite.OperationTimedOut: _said(theirs.AppendDeadlineExceededError),
    esdb_lite.ConsumerTooSlow: _said(theirs.ConsumerTooSlowError),
    esdb_lite.TooManySubscribers: _said(theirs.MaximumSubscriptionsReachedError),
    esdb_lite.ProjectionFailed: _said(theirs.OperationFailedError),
    esdb_lite.HandlerFailed: _said(theirs.ExceptionThrownByHandlerError),
    esdb_lite.GrpcError: _by_code,
}
"""The first class in the order of resolution of ours counts."""

_OF_SETTINGS: Mapping[type[esdb_lite.EsdbClientException], Failure] = {
    esdb_lite.InvalidArgument: _said(theirs.InternalError)
}
_OF_GROUPS: Mapping[type[esdb_lite.EsdbClientException], Failure] = {
    esdb_lite.ServerNotReady: _said(theirs.NodeIsNotLeaderError)
}
"""What followers say when they are asked about groups."""
_OF_CALLS: Mapping[str, Mapping[type[esdb_lite.EsdbClientException], Failure]] = {
    "create_projection": {esdb_lite.InvalidArgument: _said(theirs.ExceptionThrownByHandlerError)},
    "create_subscription_to_all": _OF_SETTINGS,
    "create_subscription_to_stream": _OF_SETTINGS,
    "update_subscription_to_all": {**_OF_SETTINGS, **_OF_GROUPS},
    "update_subscription_to_stream": {**_OF_SETTINGS, **_OF_GROUPS},
    "get_subscription_info": _OF_GROUPS,
    "list_subscriptions": _OF_GROUPS,
    "list_subscriptions_to_stream": _OF_GROUPS,
    "append_to_stream": {esdb_lite.InvalidRequest: _said(theirs.BadRequestError)},
    "delete_stream": {esdb_lite.ExpectedPositionError: _missing_or_wrong},
    "tombstone_stream": {esdb_lite.ExpectedPositionError: _missing_or_wrong},
    "multi_append_to_stream": {
        esdb_lite.ConsistencyError: _wrong_or_tombstoned,
        esdb_lite.StreamDeleted: _tombstoned,
        esdb_lite.EventTooLarge: _record_too_large,
        esdb_lite.AppendTooLarge: _transaction_too_large,
    },
    "append_records": {
        esdb_lite.StreamDeleted: _tombstoned,
        esdb_lite.EventTooLarge: _record_too_large,
        esdb_lite.AppendTooLarge: _transaction_too_large,
    },
}
"""What is otherwise in some calls: also where our client refuses what kurrentdbclient leaves to the server."""


def failure_of(error: esdb_lite.EsdbClientException, call: str = "") -> Exception:
    """Return the exception of kurrentdbclient for one of ours; the error itself where there is none."""
    if isinstance(error, theirs.KurrentDBClientError):
        return error
    special = _OF_CALLS.get(call, {})
    for cls in type(error).__mro__:
        make = special.get(cls) or _FAILURES.get(cls)
        if make is not None:
            found = make(error)
            for name, value in vars(error).items():
                vars(found).setdefault(name, value)
            return found
    return error


@contextmanager
def translated(call: str = "", timeout: float | None = None) -> Iterator[None]:
    """Raise what kurrentdbclient raises in place of our exceptions.

    `timeout` is that of the call: when it is over, it counts as the reason also where there was no connection.
    """
    began = 0.0 if timeout is None else time.monotonic()
    try:
        yield
    except esdb_lite.EsdbClientException as error:
        found = failure_of(error, call)
        if timeout is not None and type(error) is esdb_lite.ServiceUnavailable:
            late = time.monotonic() - began >= timeout
            found = theirs.GrpcDeadlineExceededError(str(error)) if late else found
        if found is error:
            raise
        raise found from error
