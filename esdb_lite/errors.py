"""Every exception of the package, in one tree.

Owns: the classes and the data on them. Must not know: grpclib, protobuf, how a status becomes an exception (`_status`).

    EsdbClientException
    ├── UsageError                       the caller's mistake: nothing was sent
    │   ├── InvalidArgument              (ValueError)      .argument .value
    │   │   ├── WrongArgumentType        (TypeError too)
    │   │   └── InvalidUri
    │   ├── ClientClosed                 (RuntimeError)
    │   └── WrongContext                 (RuntimeError)    another event loop, thread or process
    ├── CredentialsUnavailable           the function that was to return a token has failed
    ├── CheckpointError                  what a consumer has remembered cannot be used  .checkpoint
    │   └── CheckpointCorrupt, CheckpointMismatch, CheckpointConflict
    ├── OutcomeUnknown                   perhaps done      .stream_name .expected_position .events
    │   └── WriteDeadlineExceeded, WriteInterrupted, WriteTimedOut     (each also the class that says why)
    └── GrpcError                        .code .details .trailers
        ├── LinkError                    no answer, or none that can be understood
        │   ├── ServiceUnavailable       (ConnectionError) .host .port
        │   │   ├── ServerNotReady       wait and ask again
        │   │   ├── TlsError             the handshake failed
        │   │   └── DiscoveryFailed      no node of the cluster can be used
        │   ├── DeadlineExceeded         (TimeoutError)
        │   └── ProtocolError            the peer broke the protocol
        └── ServerAnswer                 the server said no
            ├── AccessDenied, Unauthenticated
            ├── StreamError              .stream_name
            │   ├── ExpectedPositionError                  .expected .current
            │   ├── StreamNotFound
            │   └── StreamDeleted
            ├── InvalidRequest           (ValueError)
            │   └── AppendTooLarge                         .limit
            │       └── EventTooLarge                      .event_id .size
            ├── NotLeader                                  .host .port
            ├── OperationTimedOut        a write that timed out on the server
            ├── ConsumerTooSlow          a subscription ended by the server
            ├── CallCancelled            ended by the server without a reason
            ├── ResourceExhausted        a message or a number of calls beyond the server's limits
            ├── NotSupported             the server does not have this call
            ├── SubscriptionError        .stream_name .group_name
            │   ├── SubscriptionNotFound, SubscriptionExists, SubscriptionDropped, TooManySubscribers
            │   └── SubscriptionFailed                     .reason
            ├── UserError                .login
            │   └── UserNotFound, UserConflict
            └── HandlerFailed            an error inside the server that it does not explain
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

    from esdb_lite.events import NewEvent


class StatusCode(enum.IntEnum):
    """The status codes of gRPC."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class EsdbClientException(Exception):
    """Base of every exception that this package raises."""

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (type(self), self.args, self.__dict__)


def _restore(cls: type[EsdbClientException], args: tuple[object, ...], state: dict[str, object]) -> EsdbClientException:
    """Unpickle without the constructor, whose keyword arguments a pickle of an exception does not carry."""
    error = cls.__new__(cls)
    BaseException.__init__(error, *args)
    error.__dict__.update(state)
    return error


# --- the caller's mistake -------------------------------------------------------------------------------------------


class UsageError(EsdbClientException):
    """The caller's mistake; nothing was sent."""


class InvalidArgument(UsageError, ValueError):
    """An argument has a value that no server would accept, or that the client cannot mean."""

    def __init__(self, argument: str, value: object, reason: str) -> None:
        super().__init__(f"{argument}: {reason}, not {_shorten(value)}")
        self.argument = argument
        """Name of the argument."""
        self.value = value
        """What was passed."""


class WrongArgumentType(InvalidArgument, TypeError):
    """An argument has a wrong type."""


class InvalidUri(InvalidArgument):
    """A connection string cannot be understood. The text never shows the password in it."""

    def __init__(self, value: str, reason: str) -> None:
        UsageError.__init__(self, f"uri: {reason}")
        self.argument = "uri"
        self.value = value


class ClientClosed(UsageError, RuntimeError):
    """The client was used after `close()`."""


class WrongContext(UsageError, RuntimeError):
    """An object was used from an event loop, a thread or a process where it cannot work."""


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


# --- what the link or the server says -------------------------------------------------------------------------------


class GrpcError(EsdbClientException):
    """A call has failed. `str()` gives a text for people; decide by class and attributes instead."""

    code: StatusCode = StatusCode.UNKNOWN
    """The gRPC status."""

    def __init__(
        self,
        message: str = "",
        *,
        code: StatusCode | None = None,
        details: str = "",
        trailers: Iterable[tuple[str, str]] = (),
    ) -> None:
        self.code = type(self).code if code is None else code
        super().__init__(message or details or self.code.name)
        self.details = details
        """The text that came with the status, as sent by the server."""
        self.trailers = tuple(trailers)
        """The trailers of the answer, without those of gRPC itself."""


class LinkError(GrpcError):
    """No answer, or none that can be understood."""

    code = StatusCode.UNAVAILABLE
    sent: bool = True
    """False when nothing of the call had been sent: it has certainly not been done."""


class ServiceUnavailable(LinkError, ConnectionError):
    """The server cannot be reached, or the connection to it has broken."""

    host: str = ""
    port: int = 0

    def at(self, host: str, port: int) -> ServiceUnavailable:
        """Say which server it was. Returns the exception itself."""
        self.host, self.port = host, port
        return self


class ServerNotReady(ServiceUnavailable):
    """The server is starting, stopping, electing a leader or too busy: wait and ask again."""


class TlsError(ServiceUnavailable):
    """The TLS handshake has failed."""


class DiscoveryFailed(ServiceUnavailable):
    """No node of the cluster can be used."""


class DeadlineExceeded(LinkError, TimeoutError):
    """The call did not end within its timeout."""

    code = StatusCode.DEADLINE_EXCEEDED


class ProtocolError(LinkError):
    """The peer sent something that cannot be understood."""

    code = StatusCode.INTERNAL


class ServerAnswer(GrpcError):
    """The server has answered, with a refusal."""


class AccessDenied(ServerAnswer):
    """The user may not do this."""

    code = StatusCode.PERMISSION_DENIED


class Unauthenticated(ServerAnswer):
    """The server does not accept the credentials."""

    code = StatusCode.UNAUTHENTICATED


class StreamError(ServerAnswer):
    """A refusal that concerns one stream."""

    code = StatusCode.FAILED_PRECONDITION
    stream_name: str = ""


class ExpectedPositionError(StreamError):
    """The end of the stream is not where it was expected."""

    expected: int | None = None
    """The position that was expected; None: no stream; negative: any, or (-4) that the stream exists."""
    current: int | None = None
    """The position of the last event; None when there is no stream."""


class StreamNotFound(StreamError):
    """The stream has no events: it was never written, or it was deleted."""

    code = StatusCode.NOT_FOUND


class StreamDeleted(StreamError):
    """The stream was tombstoned; it can never be read or written again. (Or: deleted, where it had to exist.)"""


class InvalidRequest(ServerAnswer, ValueError):
    """The server says that the request is wrong in itself."""

    code = StatusCode.INVALID_ARGUMENT


class AppendTooLarge(InvalidRequest):
    """The events of one append are larger together than the server takes."""

    limit: int = 0
    """The server's limit in bytes; 0 when the server did not say."""


class EventTooLarge(AppendTooLarge):
    """One event is larger than the server takes."""

    event_id: str = ""
    size: int = 0


class NotLeader(ServerAnswer):
    """The node is not the leader of its cluster, and only the leader can do this."""

    code = StatusCode.NOT_FOUND
    host: str = ""
    """Where the leader is, as far as the node knows."""
    port: int = 0


class OperationTimedOut(ServerAnswer):
    """The server gave up a write that took too long. It may be written all the same."""

    code = StatusCode.ABORTED


class ConsumerTooSlow(ServerAnswer):
    """The server has ended a subscription because its events were not taken fast enough."""

    code = StatusCode.ABORTED


class CallCancelled(ServerAnswer):
    """The server has ended the call without giving a reason."""

    code = StatusCode.CANCELLED


class ResourceExhausted(ServerAnswer):
    """A message is larger, or there are more calls at a time, than the server takes."""

    code = StatusCode.RESOURCE_EXHAUSTED


class NotSupported(ServerAnswer):
    """The server does not have this call."""

    code = StatusCode.UNIMPLEMENTED


class SubscriptionError(ServerAnswer):
    """A refusal that concerns a persistent subscription."""

    stream_name: str = ""
    """Name of the stream, `$all` for one to all events."""
    group_name: str = ""


class SubscriptionNotFound(SubscriptionError):
    """There is no such group."""

    code = StatusCode.NOT_FOUND


class SubscriptionExists(SubscriptionError):
    """There is such a group already."""

    code = StatusCode.ALREADY_EXISTS


class SubscriptionDropped(SubscriptionError):
    """The server has ended the consumer: the group was changed or deleted, or its node is leader no more."""

    code = StatusCode.CANCELLED


class TooManySubscribers(SubscriptionError):
    """The group has all the consumers that it may have."""

    code = StatusCode.FAILED_PRECONDITION


class SubscriptionFailed(SubscriptionError):
    """The server could not create, change or replay the group."""

    code = StatusCode.INTERNAL
    reason: str = ""


class UserError(ServerAnswer):
    """A refusal that concerns a user."""

    login: str = ""


class UserNotFound(UserError):
    """There is no such user."""

    code = StatusCode.NOT_FOUND


class UserConflict(UserError):
    """There is such a user already, or another change of it was made at the same time."""

    code = StatusCode.FAILED_PRECONDITION


class HandlerFailed(ServerAnswer):
    """Something went wrong inside the server, which does not say what."""


# --- who is calling ---------------------------------------------------------------------------------------------------


class CredentialsUnavailable(EsdbClientException):
    """The function that was to return a bearer token has failed: its own exception is the cause. Nothing was sent."""


# --- what consumers remember ------------------------------------------------------------------------------------------


class CheckpointError(EsdbClientException):
    """The position of a consumer cannot be loaded or stored."""

    checkpoint: str = ""
    """Which one: the path of a file, the name in a database."""

    def of(self, checkpoint: str) -> Self:
        """Say which checkpoint it was. Returns the exception itself."""
        self.checkpoint = checkpoint
        return self


class CheckpointCorrupt(CheckpointError):
    """What is stored is no position."""


class CheckpointMismatch(CheckpointError):
    """What is stored belongs to a consumer of another stream, or with another filter."""


class CheckpointConflict(CheckpointError):
    """Another consumer uses the same checkpoint: the stored position is not the one that was stored last."""


# --- perhaps done ---------------------------------------------------------------------------------------------------


class OutcomeUnknown(EsdbClientException):
    """What was to be changed has been sent, and the answer did not come: perhaps it is done, perhaps not.

    For an append, the client has tried again for as long as it may (see `RetryPolicy`). Appending the same `events`
    (their ids make it safe) with the same `expected_position` again settles it; where any end of the stream will do, it
    has to be the same client, which looks whether they are there. For other calls (deleting a stream, changing a group
    or a user) nothing was tried again, because it is not the same to do them twice: look first.
    """

    stream_name: str = ""
    expected_position: int | None = None
    events: Sequence[NewEvent] = ()


class WriteDeadlineExceeded(OutcomeUnknown, DeadlineExceeded):
    """The timeout passed while waiting for the answer to something that changes the database."""


class WriteInterrupted(OutcomeUnknown, ServiceUnavailable):
    """The connection broke while waiting for the answer to something that changes the database."""


class WriteTimedOut(OutcomeUnknown, OperationTimedOut):
    """The server gave up waiting for something to be written."""
