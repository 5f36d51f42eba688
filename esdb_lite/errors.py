"""Every exception of the package, in one tree (with those of the schema registry in `esdb_lite.schemas`).

Owns: the classes and the data on them. Must not know: grpclib, protobuf, how a status becomes an exception (`_status`).

    EsdbClientException
    ├── UsageError                       the caller's mistake: nothing was sent
    │   ├── InvalidArgument              (ValueError)      .argument .value
    │   │   ├── WrongArgumentType        (TypeError too)
    │   │   └── InvalidUri
    │   └── ClientClosed, WrongContext   (RuntimeError)    the latter: another event loop, thread or process
    ├── ServerStartError                 an embedded server could not be started (`esdb_lite.server.errors`)
    ├── CredentialsUnavailable           the function that should return a token failed
    ├── CheckpointError                  a consumer's stored position cannot be used  .checkpoint
    │   └── CheckpointCorrupt, CheckpointMismatch, CheckpointConflict
    ├── OutcomeUnknown                   may be done       .stream_name .expected_position .events
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
            │   │   └── ConsistencyError                   .violations
            │   └── StreamNotFound, StreamDeleted
            ├── InvalidRequest           (ValueError)
            │   ├── InvalidPosition      no event begins where a read of all events was to start
            │   └── AppendTooLarge                         .limit .size
            │       └── EventTooLarge                      .event_id .stream_name
            ├── NotLeader                                  .host .port
            ├── OperationTimedOut        a write that timed out on the server
            ├── ConsumerTooSlow, CallCancelled                 ended by the server, the latter without a reason
            ├── ResourceExhausted, NotSupported                beyond the server's limits; a call that it does not have
            ├── SubscriptionError        .stream_name .group_name
            │   ├── SubscriptionNotFound, SubscriptionExists, SubscriptionDropped, TooManySubscribers
            │   └── SubscriptionFailed                     .reason
            ├── ProjectionError          .projection_name
            │   ├── ProjectionNotFound, ProjectionExists
            │   └── ProjectionFailed                       .reason
            ├── IndexRefused             .index_name
            │   └── IndexNotFound, IndexExists
            ├── UserError                .login
            │   └── UserNotFound, UserConflict
            └── HandlerFailed            an error inside the server that it does not explain
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from esdb_lite._texts import printable, shortened
from esdb_lite.statuses import StatusCode as StatusCode

if TYPE_CHECKING:
    from typing_extensions import Self

    from esdb_lite.events import NewEvent
    from esdb_lite.positions import ExpectedPosition
    from esdb_lite.records import ConsistencyViolation, NewRecord


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
    """An argument has a value that no server would accept, or that makes no sense."""

    def __init__(self, argument: str, value: object, reason: str) -> None:
        says_all = not reason.startswith("must") or value == "" or (value is None and "given" in reason)
        super().__init__(f"{argument}: {reason}" if says_all else f"{argument}: {reason}, not {shortened(value)}")
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
    """An object was used on an event loop, thread or process where it cannot work."""


# --- what the link or the server says -------------------------------------------------------------------------------


class GrpcError(EsdbClientException):
    """A call failed. `str()` gives a text for people; programs should decide by class and attributes."""

    code: StatusCode = StatusCode.UNKNOWN
    """The gRPC status."""
    retry_after: float = 0.0
    """Seconds after which the server asks to be tried again; 0: it has not said."""

    def __init__(
        self,
        message: str = "",
        *,
        code: StatusCode | None = None,
        details: str = "",
        trailers: Iterable[tuple[str, str]] = (),
    ) -> None:
        self.code = type(self).code if code is None else code
        super().__init__(printable(message or details or self.code.name))
        self.details = details
        """The text of the status, as the server sent it."""
        self.trailers = tuple(trailers)
        """The trailers of the answer, without those of gRPC itself (but with its details of the status)."""


class LinkError(GrpcError):
    """No answer, or none that can be understood."""

    code = StatusCode.UNAVAILABLE

    def __init__(
        self,
        message: str = "",
        *,
        code: StatusCode | None = None,
        details: str = "",
        trailers: Iterable[tuple[str, str]] = (),
        sent: bool = True,
    ) -> None:
        super().__init__(message, code=code, details=details, trailers=trailers)
        self.sent = sent
        """Whether anything of the call may have been sent; if not, the server has certainly not done it."""


class ServiceUnavailable(LinkError, ConnectionError):
    """The server cannot be reached, or the connection to it broke."""

    host: str = ""
    """The host of the server; empty if it is not known."""
    port: int = 0
    """The port of the server; 0 if it is not known."""

    def at(self, host: str, port: int) -> ServiceUnavailable:
        """Say which server it was. Returns the exception itself."""
        self.host, self.port = host, port
        return self


class ServerNotReady(ServiceUnavailable):
    """The server is starting, stopping, electing a leader or too busy: wait and try again."""


class TlsError(ServiceUnavailable):
    """The TLS handshake failed; the text says what was wrong."""


class DiscoveryFailed(ServiceUnavailable):
    """No node of the cluster can be used."""


class DeadlineExceeded(LinkError, TimeoutError):
    """The call did not end within its timeout."""

    code = StatusCode.DEADLINE_EXCEEDED


class ProtocolError(LinkError):
    """The peer sent something that cannot be understood."""

    code = StatusCode.INTERNAL


class ServerAnswer(GrpcError):
    """The server answered with a refusal."""


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
    """Name of the stream."""


class ExpectedPositionError(StreamError):
    """The stream does not end where it was expected to; nothing was written."""

    expected: ExpectedPosition = None
    """What was expected: a position, None for no stream, or a `StreamState`."""
    current: int | None = None
    """The position of the last event; None if there is no stream."""


class ConsistencyError(ExpectedPositionError):
    """Streams of an atomic append are not in their expected states; nothing was written. The first is on the error."""

    violations: Sequence[ConsistencyViolation] = ()
    """All of them if the server has AppendRecords, else the first."""


class StreamNotFound(StreamError):
    """The stream has no events: it was never written, or it was deleted."""

    code = StatusCode.NOT_FOUND


class StreamDeleted(StreamError):
    """The stream was tombstoned, for ever; or it was deleted where `StreamState.EXISTS` was expected."""


class InvalidRequest(ServerAnswer, ValueError):
    """The server says that the request is wrong in itself."""

    code = StatusCode.INVALID_ARGUMENT


class InvalidPosition(InvalidRequest):
    """No event begins where all events were to be read from, or, backwards, the log ends before that."""


class AppendTooLarge(InvalidRequest):
    """The events of one append are together larger than the server takes (by default 1 MiB, 256 MiB since 25.1)."""

    limit: int = 0
    """The server's limit in bytes; 0 when the server did not say."""
    size: int = 0
    """Size in bytes of what was too large, as the server counts it; 0 when the server did not say."""


class EventTooLarge(AppendTooLarge):
    """One event is larger than the server takes (since 24.10)."""

    event_id: str = ""
    """The id of the event, as the server spells it."""
    stream_name: str = ""
    """Where it was to be appended; empty when the server did not say (it does for appends to several streams)."""


class NotLeader(ServerAnswer):
    """The node is not the leader of its cluster, and only the leader can do this."""

    code = StatusCode.NOT_FOUND
    host: str = ""
    """Where the leader is, as far as the node knows; it may be gone by now."""
    port: int = 0
    """The port of the leader."""


class OperationTimedOut(ServerAnswer):
    """The server gave up waiting for a write. It may have been written."""

    code = StatusCode.ABORTED


class ConsumerTooSlow(ServerAnswer):
    """The server ended a subscription because its events were read too slowly (up to 23.10)."""

    code = StatusCode.ABORTED


class CallCancelled(ServerAnswer):
    """The server ended the call without a reason."""

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
    """Name of the stream, `$all` for a group on all events."""
    group_name: str = ""
    """Name of the group."""


class SubscriptionNotFound(SubscriptionError):
    """There is no such group."""

    code = StatusCode.NOT_FOUND


class SubscriptionExists(SubscriptionError):
    """There is such a group already."""

    code = StatusCode.ALREADY_EXISTS


class SubscriptionDropped(SubscriptionError):
    """The server dropped the consumer: the group was changed or deleted, or its node no longer leads."""

    code = StatusCode.CANCELLED


class TooManySubscribers(SubscriptionError):
    """The group has as many consumers as it may have (`max_subscriber_count`)."""

    code = StatusCode.FAILED_PRECONDITION


class SubscriptionFailed(SubscriptionError):
    """The server could not create, change or replay the group."""

    code = StatusCode.INTERNAL
    reason: str = ""
    """Why, in the server's words."""


class ProjectionError(ServerAnswer):
    """A refusal that concerns a projection, or a projection that cannot go on."""

    projection_name: str = ""
    """Its name."""


class ProjectionNotFound(ProjectionError):
    """There is no such projection."""

    code = StatusCode.NOT_FOUND


class ProjectionExists(ProjectionError):
    """There is such a projection already."""

    code = StatusCode.ALREADY_EXISTS


class ProjectionFailed(ProjectionError):
    """The projection has faulted, or is not in a state in which the server does this."""

    code = StatusCode.FAILED_PRECONDITION
    reason: str = ""
    """Why, in the server's words where it has any."""


class IndexRefused(ServerAnswer):
    """A refusal that concerns an index."""

    index_name: str = ""
    """As the server names it: by reads with its prefix and its value, such as `$idx-user-orders:DE`."""


class IndexNotFound(IndexRefused):
    """There is no such index, or it is stopped."""

    code = StatusCode.NOT_FOUND


class IndexExists(IndexRefused):
    """There is an index of this name with another definition."""

    code = StatusCode.ALREADY_EXISTS


class UserError(ServerAnswer):
    """A refusal that concerns a user."""

    login: str = ""
    """The user's name."""


class UserNotFound(UserError):
    """There is no such user."""

    code = StatusCode.NOT_FOUND


class UserConflict(UserError):
    """There is such a user already, or somebody else changed it at the same time."""

    code = StatusCode.FAILED_PRECONDITION


class HandlerFailed(ServerAnswer):
    """Something went wrong inside the server, and it does not say what."""


# --- who is calling ---------------------------------------------------------------------------------------------------


class CredentialsUnavailable(EsdbClientException):
    """The function that should return a bearer token failed; its exception is the cause. Nothing was sent."""


# --- what consumers store ---------------------------------------------------------------------------------------------


class CheckpointError(EsdbClientException):
    """The position of a consumer cannot be loaded or stored."""

    checkpoint: str = ""
    """Which one: the path of a file, the name in a database."""

    def of(self, checkpoint: str) -> Self:
        """Say which checkpoint it was. Returns the exception itself."""
        self.checkpoint = checkpoint
        return self


class CheckpointCorrupt(CheckpointError):
    """What is stored is not a position."""


class CheckpointMismatch(CheckpointError):
    """A position belongs to another stream or filter, or to another database: one that was restored or begun anew."""


class CheckpointConflict(CheckpointError):
    """Another consumer uses the same checkpoint: the stored position is not the one that this consumer stored."""


# --- may be done ----------------------------------------------------------------------------------------------------


class OutcomeUnknown(EsdbClientException):
    """A change was sent, and no answer came: the server may or may not have done it.

    For an append, the client has retried for as long as it may (see `RetryPolicy`). Append the same `events` with the
    same `expected_position` again to settle it: their ids make that safe. With `StreamState.ANY`, use the same client,
    which first looks whether they are there. Other calls (such as deletes) were not retried: look before you repeat.
    """

    stream_name: str = ""
    """The stream of an append; empty for other calls."""
    expected_position: ExpectedPosition = None
    """What an append expected: a position, None for no stream, or a `StreamState`."""
    events: Sequence[NewEvent] = ()
    """What was to be appended; empty for other calls."""
    records: Sequence[NewRecord] = ()
    """Of an atomic append, for which the same holds."""


class WriteDeadlineExceeded(OutcomeUnknown, DeadlineExceeded):
    """The timeout was over before the answer to a change came."""


class WriteInterrupted(OutcomeUnknown, ServiceUnavailable):
    """The connection broke before the answer to a change came."""


class WriteTimedOut(OutcomeUnknown, OperationTimedOut):
    """The server gave up waiting for its own write."""
