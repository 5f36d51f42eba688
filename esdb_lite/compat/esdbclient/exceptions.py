"""The exceptions of esdbclient: those of kurrentdbclient under their former names.

Owns: the names. Must not know: what raises them.
"""

from __future__ import annotations

from esdb_lite.compat.kurrentdbclient import exceptions as _named

AbortedByServer = _named.AbortedByServerError
AccessDeniedError = _named.AccessDeniedError
AlreadyExists = _named.AlreadyExistsError
AppendDeadlineExceeded = _named.AppendDeadlineExceededError
BadRequestError = _named.BadRequestError
CancelledByClient = _named.CancelledByClientError
ConsumerTooSlow = _named.ConsumerTooSlowError
DeadlineExceeded = _named.DeadlineExceededError
DiscoveryFailed = _named.DiscoveryFailedError
EventStoreDBClientException = _named.KurrentDBClientError
ExceptionIteratingRequests = _named.ExceptionIteratingRequestsError
ExceptionThrownByHandler = _named.ExceptionThrownByHandlerError
FailedPrecondition = _named.FailedPreconditionError
FollowerNotFound = _named.FollowerNotFoundError
GrpcDeadlineExceeded = _named.GrpcDeadlineExceededError
GrpcError = _named.GrpcError
InternalError = _named.InternalError
InvalidTransactionError = _named.InvalidTransactionError
LeaderNotFound = _named.LeaderNotFoundError
MaximumAppendSizeExceededError = _named.MaximumAppendSizeExceededError
MaximumSubscriptionsReached = _named.MaximumSubscriptionsReachedError
NodeIsNotLeader = _named.NodeIsNotLeaderError
NotFound = _named.NotFoundError
OperationFailed = _named.OperationFailedError
ProgrammingError = _named.ProgrammingError
ReadOnlyReplicaNotFound = _named.ReadOnlyReplicaNotFoundError
SSLError = _named.SSLError
ServiceUnavailable = _named.ServiceUnavailableError
StreamIsDeleted = _named.StreamIsDeletedError
SubscriptionConfirmationError = _named.SubscriptionConfirmationError
UnknownError = _named.UnknownError
WrongCurrentVersion = _named.WrongCurrentVersionError
WrongExpectedVersion = WrongCurrentVersion
