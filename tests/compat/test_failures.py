"""Which exception of kurrentdbclient each of ours becomes, and which of both it is."""

from __future__ import annotations

import copy
import pickle

import pytest

import esdb_lite
from esdb_lite import errors
from esdb_lite.compat.kurrentdbclient import StreamState, exceptions
from esdb_lite.compat.kurrentdbclient._failures import failure_of, translated

BECOMES = {
    "AccessDenied": "AccessDeniedError",
    "AppendTooLarge": "MaximumAppendSizeExceededError",
    "CallCancelled": "CancelledError",
    "ClientClosed": "CancelledByClientError",
    "ConsistencyError": "ConsistencyChecksFailedError",
    "ConsumerTooSlow": "ConsumerTooSlowError",
    "DeadlineExceeded": "GrpcDeadlineExceededError",
    "DiscoveryFailed": "DiscoveryFailedError",
    "EventTooLarge": "MaximumAppendSizeExceededError",
    "ExpectedPositionError": "WrongCurrentVersionError",
    "GrpcError": "UnknownError",
    "HandlerFailed": "ExceptionThrownByHandlerError",
    "IndexExists": "AlreadyExistsError",
    "IndexNotFound": "NotFoundError",
    "InvalidPosition": "InvalidCommitPositionError",
    "InvalidRequest": "GrpcError",
    "NotLeader": "NodeIsNotLeaderError",
    "NotSupported": "GrpcError",
    "OperationTimedOut": "AppendDeadlineExceededError",
    "ProjectionExists": "AlreadyExistsError",
    "ProjectionFailed": "OperationFailedError",
    "ProjectionNotFound": "NotFoundError",
    "ProtocolError": "InternalError",
    "ResourceExhausted": "GrpcError",
    "ServerNotReady": "ServiceUnavailableError",
    "ServiceUnavailable": "ServiceUnavailableError",
    "StreamDeleted": "StreamIsDeletedError",
    "StreamNotFound": "NotFoundError",
    "SubscriptionDropped": "CancelledError",
    "SubscriptionExists": "AlreadyExistsError",
    "SubscriptionFailed": "InternalError",
    "SubscriptionNotFound": "NotFoundError",
    "TlsError": "SSLError",
    "TooManySubscribers": "MaximumSubscriptionsReachedError",
    "Unauthenticated": "UnauthenticatedError",
    "UserConflict": "FailedPreconditionError",
    "UserNotFound": "NotFoundError",
    "WriteDeadlineExceeded": "GrpcDeadlineExceededError",
    "WriteInterrupted": "ServiceUnavailableError",
    "WriteTimedOut": "AppendDeadlineExceededError",
}


@pytest.mark.parametrize("name", BECOMES)
def test_each(name: str) -> None:
    error = getattr(errors, name)("what the server says")
    found = failure_of(error)
    assert type(found) is getattr(exceptions, BECOMES[name])
    assert isinstance(found, exceptions.KurrentDBClientError)
    if name not in ("ExpectedPositionError", "ConsistencyError"):
        assert str(found) == "what the server says"
    again = pickle.loads(pickle.dumps(copy.copy(found)))
    assert (type(again), again.args) == (type(found), found.args)


def test_the_table_is_complete() -> None:
    """But for bases of others, and for what is the caller's mistake or comes from calls that they do not have."""
    given = {name for name, cls in vars(errors).items() if isinstance(cls, type) and issubclass(cls, errors.GrpcError)}
    bases = {"LinkError", "ServerAnswer", "StreamError", "SubscriptionError", "ProjectionError", "IndexRefused"}
    assert given - bases - {"UserError"} == BECOMES.keys() - {"ClientClosed"}


def test_what_ours_knows_is_on_theirs() -> None:
    error = esdb_lite.NotLeader("no", trailers=[("a", "b")])
    error.host, error.port = "127.0.0.1", 2112
    found = failure_of(error)
    assert isinstance(found, exceptions.NodeIsNotLeaderError)
    assert (found.host, found.port, found.node_id) == ("127.0.0.1", 2112, None)
    assert found.leader_grpc_target == "127.0.0.1:2112"
    assert found.trailers == (("a", "b"),)
    assert exceptions.NodeIsNotLeaderError("x").leader_grpc_target is None


def test_calls_that_have_their_own() -> None:
    wrong = esdb_lite.ExpectedPositionError("no")
    wrong.expected, wrong.current = 3, None
    assert type(failure_of(wrong, "delete_stream")) is exceptions.NotFoundError
    assert type(failure_of(esdb_lite.InvalidRequest("x"), "append_to_stream")) is exceptions.BadRequestError
    large = esdb_lite.AppendTooLarge("x")
    large.limit, large.size = 7, 9
    found = failure_of(large, "multi_append_to_stream")
    assert isinstance(found, exceptions.TransactionMaxSizeExceededError)
    assert (found.max_size, found.size) == (7, 9)


def test_mistakes_stay_what_they_are() -> None:
    with pytest.raises(esdb_lite.InvalidArgument) as caught, translated("append_to_stream"):
        raise esdb_lite.InvalidArgument("timeout", -1, "must not be negative")
    assert isinstance(caught.value, ValueError)
    already = exceptions.NotFoundError("x")
    assert failure_of(already) is already


def test_numbers_of_states() -> None:
    error = exceptions.WrongCurrentVersionError("x", actual_version=-1, expected_version=-4)
    assert (error.actual_version, error.expected_version) == (StreamState.NO_STREAM, StreamState.EXISTS)
