"""The exceptions of kurrentdbclient: its names and attributes.

Owns: the classes. All of them are also `esdb_lite.EsdbClientException`s, and those that mean the same as one of
ours are that, too. Must not know: which of our exceptions becomes which (`_failures`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import esdb_lite
from esdb_lite.compat.kurrentdbclient.events import StreamState

if TYPE_CHECKING:
    from uuid import UUID

MAPPING_INT_TO_STREAM_STATE: dict[int | StreamState | None, StreamState] = {
    -1: StreamState.NO_STREAM,
    -2: StreamState.ANY,
    -4: StreamState.EXISTS,
}


class KurrentDBClientError(esdb_lite.EsdbClientException):
    """Base of what the client raises."""

    def __init__(self, *args: object) -> None:
        # Past the constructors of our classes, which take other arguments.
        Exception.__init__(self, *args)


class ProgrammingError(Exception):
    """The program uses the client wrongly."""


class GrpcError(KurrentDBClientError):
    """A call failed."""


class ExceptionThrownByHandlerError(GrpcError, esdb_lite.HandlerFailed):
    """Something went wrong inside the server."""


class ServiceUnavailableError(GrpcError, esdb_lite.ServiceUnavailable):
    """The server cannot be reached."""


class SSLError(ServiceUnavailableError, esdb_lite.TlsError):
    """The TLS handshake failed."""


class DeadlineExceededError(KurrentDBClientError):
    """A time was over."""


class GrpcDeadlineExceededError(GrpcError, DeadlineExceededError, esdb_lite.DeadlineExceeded):
    """The timeout of a call was over."""


class CancelledError(GrpcError):
    """A call was cancelled."""


class CancelledByClientError(CancelledError):
    """A call was cancelled here, as by closing the client."""


class AbortedByServerError(KurrentDBClientError):
    """The server broke a call off."""


class ConsumerTooSlowError(AbortedByServerError, esdb_lite.ConsumerTooSlow):
    """A subscription was ended because its events were read too slowly."""


class NotFoundError(KurrentDBClientError):
    """There is no such stream, group or projection."""


class AlreadyExistsError(KurrentDBClientError):
    """There is such a group or projection already."""


class SubscriptionConfirmationError(KurrentDBClientError):
    """A subscription was not confirmed."""


class WrongCurrentVersionError(KurrentDBClientError, esdb_lite.ExpectedPositionError):
    """The stream does not end where it was expected to."""

    def __init__(
        self,
        *args: object,
        stream_name: str | None = None,
        actual_version: int | StreamState | None = None,
        expected_version: int | StreamState | None = None,
    ) -> None:
        super().__init__(*args)
        self.stream_name = stream_name  # type: ignore[assignment]
        self.actual_version = MAPPING_INT_TO_STREAM_STATE.get(actual_version, actual_version)
        self.expected_version = MAPPING_INT_TO_STREAM_STATE.get(expected_version, expected_version)


class AccessDeniedError(KurrentDBClientError, esdb_lite.AccessDenied):
    """The user may not do this."""


class StreamIsDeletedError(KurrentDBClientError, esdb_lite.StreamDeleted):
    """The stream was tombstoned, or deleted where it was expected to exist."""


class AppendDeadlineExceededError(DeadlineExceededError, esdb_lite.OperationTimedOut):
    """The server gave up waiting for a write."""


class UnknownError(KurrentDBClientError):
    """An error that the server does not explain."""


class InvalidTransactionError(KurrentDBClientError):
    """An append cannot be made as one transaction."""


class OperationFailedError(GrpcError):
    """The server does not do this now, such as deleting a projection that runs."""


class MaximumAppendSizeExceededError(KurrentDBClientError, esdb_lite.AppendTooLarge):
    """The events of an append are together larger than the server takes."""


class BadRequestError(KurrentDBClientError):
    """The server says that an append is wrong in itself."""


class InvalidArgumentError(KurrentDBClientError):
    """The server says that an argument is wrong."""


class RecordMaxSizeExceededError(InvalidArgumentError, esdb_lite.EventTooLarge):
    """A record is larger than the server takes."""

    def __init__(self, *args: object, stream_name: str, event_id: UUID, size: int, max_size: int) -> None:
        super().__init__(*args)
        self.stream_name = stream_name
        self.event_id = event_id  # type: ignore[assignment]
        self.size = size
        self.max_size = max_size


class TransactionMaxSizeExceededError(AbortedByServerError, esdb_lite.AppendTooLarge):
    """Records are together larger than the server takes."""

    def __init__(self, *args: object, size: int, max_size: int) -> None:
        super().__init__(*args)
        self.size = size
        self.max_size = max_size


class MultiAppendToSameStreamError(AbortedByServerError):
    """One stream came twice in an append to several."""

    def __init__(self, *args: object, stream_name: str) -> None:
        super().__init__(*args)
        self.stream_name = stream_name


class DiscoveryFailedError(KurrentDBClientError, esdb_lite.DiscoveryFailed):
    """No node of the cluster can be used."""


class LeaderNotFoundError(DiscoveryFailedError):
    """The cluster has no leader."""


class FollowerNotFoundError(DiscoveryFailedError):
    """The cluster has no follower."""


class ReadOnlyReplicaNotFoundError(DiscoveryFailedError):
    """The cluster has no read-only replica."""


class ExceptionIteratingRequestsError(KurrentDBClientError, ValueError):
    """What was to be acknowledged is no event. Version 1.3 has a ValueError for it."""


class FailedPreconditionError(KurrentDBClientError):
    """The server does not do this as things are."""


class NodeIsNotLeaderError(FailedPreconditionError, esdb_lite.NotLeader):
    """The node is not the leader, and only the leader can do this."""

    def __init__(
        self, *args: object, host: str | None = None, port: int | None = None, node_id: str | None = None
    ) -> None:
        super().__init__(*args)
        self.host = host  # type: ignore[assignment]
        self.port = port  # type: ignore[assignment]
        self.node_id = node_id

    @property
    def leader_grpc_target(self) -> str | None:
        """Where the leader is, as `host:port`; the name that older versions have for it."""
        return f"{self.host}:{self.port}" if self.host and self.port else None


class StreamTombstonedError(FailedPreconditionError, esdb_lite.StreamDeleted):
    """A stream of an append to several was tombstoned."""

    stream_name: str

    def __init__(self, *args: object, stream_name: str) -> None:
        super().__init__(*args)
        self.stream_name = stream_name


class UnauthenticatedError(KurrentDBClientError, esdb_lite.Unauthenticated):
    """The server does not accept the credentials."""


class MaximumSubscriptionsReachedError(FailedPreconditionError, esdb_lite.TooManySubscribers):
    """The group has as many consumers as it may have."""


class InternalError(GrpcError):
    """An error inside the server."""


class InvalidCommitPositionError(UnknownError, esdb_lite.InvalidPosition):
    """No event begins where all events were to be read from. Version 1.0 has an UnknownError for it."""


class ConsistencyChecksFailedError(KurrentDBClientError, esdb_lite.ConsistencyError):
    """Streams of an append of records are not in their expected states."""

    def __init__(self, *args: object, failures: tuple[ConsistencyCheckFailure, ...]) -> None:
        super().__init__(*args)
        self.failures = failures


@dataclass(frozen=True)
class ConsistencyCheckFailure:
    """A check that failed."""

    check_index: int
    stream_state_failure: StreamStateCheckFailure | None


@dataclass(frozen=True)
class StreamStateCheckFailure:
    """What a check of a stream expected, and what there is, as the numbers on the wire."""

    stream_name: str
    expected_state: int
    actual_state: int
