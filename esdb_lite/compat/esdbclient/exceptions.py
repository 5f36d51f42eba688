"""The exceptions of esdbclient: those of kurrentdbclient under their former names.

Owns: the names. Must not know: what raises them.
"""

from __future__ import annotations

from esdb_lite.compat.kurrentdbclient.exceptions import AbortedByServerError as AbortedByServer
from esdb_lite.compat.kurrentdbclient.exceptions import (
    AccessDeniedError,
    BadRequestError,
    GrpcError,
    InternalError,
    InvalidTransactionError,
    MaximumAppendSizeExceededError,
    ProgrammingError,
    SSLError,
    SubscriptionConfirmationError,
    UnknownError,
)
from esdb_lite.compat.kurrentdbclient.exceptions import AlreadyExistsError as AlreadyExists
from esdb_lite.compat.kurrentdbclient.exceptions import AppendDeadlineExceededError as AppendDeadlineExceeded
from esdb_lite.compat.kurrentdbclient.exceptions import CancelledByClientError as CancelledByClient
from esdb_lite.compat.kurrentdbclient.exceptions import ConsumerTooSlowError as ConsumerTooSlow
from esdb_lite.compat.kurrentdbclient.exceptions import DeadlineExceededError as DeadlineExceeded
from esdb_lite.compat.kurrentdbclient.exceptions import DiscoveryFailedError as DiscoveryFailed
from esdb_lite.compat.kurrentdbclient.exceptions import ExceptionIteratingRequestsError as ExceptionIteratingRequests
from esdb_lite.compat.kurrentdbclient.exceptions import ExceptionThrownByHandlerError as ExceptionThrownByHandler
from esdb_lite.compat.kurrentdbclient.exceptions import FailedPreconditionError as FailedPrecondition
from esdb_lite.compat.kurrentdbclient.exceptions import FollowerNotFoundError as FollowerNotFound
from esdb_lite.compat.kurrentdbclient.exceptions import GrpcDeadlineExceededError as GrpcDeadlineExceeded
from esdb_lite.compat.kurrentdbclient.exceptions import KurrentDBClientError as EventStoreDBClientException
from esdb_lite.compat.kurrentdbclient.exceptions import LeaderNotFoundError as LeaderNotFound
from esdb_lite.compat.kurrentdbclient.exceptions import MaximumSubscriptionsReachedError as MaximumSubscriptionsReached
from esdb_lite.compat.kurrentdbclient.exceptions import NodeIsNotLeaderError as NodeIsNotLeader
from esdb_lite.compat.kurrentdbclient.exceptions import NotFoundError as NotFound
from esdb_lite.compat.kurrentdbclient.exceptions import OperationFailedError as OperationFailed
from esdb_lite.compat.kurrentdbclient.exceptions import ReadOnlyReplicaNotFoundError as ReadOnlyReplicaNotFound
from esdb_lite.compat.kurrentdbclient.exceptions import ServiceUnavailableError as ServiceUnavailable
from esdb_lite.compat.kurrentdbclient.exceptions import StreamIsDeletedError as StreamIsDeleted
from esdb_lite.compat.kurrentdbclient.exceptions import WrongCurrentVersionError as WrongCurrentVersion

WrongExpectedVersion = WrongCurrentVersion

__all__ = [
    "AbortedByServer",
    "AccessDeniedError",
    "AlreadyExists",
    "AppendDeadlineExceeded",
    "BadRequestError",
    "CancelledByClient",
    "ConsumerTooSlow",
    "DeadlineExceeded",
    "DiscoveryFailed",
    "EventStoreDBClientException",
    "ExceptionIteratingRequests",
    "ExceptionThrownByHandler",
    "FailedPrecondition",
    "FollowerNotFound",
    "GrpcDeadlineExceeded",
    "GrpcError",
    "InternalError",
    "InvalidTransactionError",
    "LeaderNotFound",
    "MaximumAppendSizeExceededError",
    "MaximumSubscriptionsReached",
    "NodeIsNotLeader",
    "NotFound",
    "OperationFailed",
    "ProgrammingError",
    "ReadOnlyReplicaNotFound",
    "SSLError",
    "ServiceUnavailable",
    "StreamIsDeleted",
    "SubscriptionConfirmationError",
    "UnknownError",
    "WrongCurrentVersion",
    "WrongExpectedVersion",
]
