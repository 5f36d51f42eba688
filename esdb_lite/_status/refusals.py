"""The server's side of the table of errors: which status, text and trailers stand for which condition.

Owns: one function for each condition, returning the `RpcError` to raise. Texts and trailers are those that clients of
EventStoreDB 24.10 look at. Must not know: how an answer is sent, the database, protobuf.
"""

from __future__ import annotations

from urllib.parse import quote

from esdb_lite._status.codes import RpcError, StatusCode

_PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


def printable(value: str) -> str:
    """Return a trailer's value: as it is when it is printable ASCII, else percent-encoded UTF-8."""
    return value if value.isascii() and value.isprintable() else quote(value, safe=_PRINTABLE)


def _error(code: StatusCode, message: str, exception: str = "", **trailers: str | int) -> RpcError:
    named = {"exception": exception, **{name.replace("_", "-"): str(value) for name, value in trailers.items()}}
    return RpcError(code, _short(message), [(name, printable(_short(value))) for name, value in named.items() if value])


LONGEST = 2048
"""Characters of a message or a trailer, as sent: clients take some 8,000 for all of them."""


def _short(text: str) -> str:
    """Cut what is too long for a header, where it takes a long time, and clients refuse it."""
    if len(text) * 12 <= LONGEST or (len(text) <= LONGEST and text.isascii() and text.isprintable()):
        return text
    size = 0
    for at, letter in enumerate(text):
        size += 1 if letter.isascii() and letter.isprintable() else 3 * len(letter.encode("utf-8", "surrogatepass"))
        if size > LONGEST:
            return text[:at]
    return text


# --- what is wrong with the request -----------------------------------------------------------------------------------


def invalid_argument(message: str) -> RpcError:
    """The request cannot be served; `message` names the field and says why."""
    return _error(StatusCode.INVALID_ARGUMENT, message)


def thrown_by_handler(message: str) -> RpcError:
    """The request cannot be served, and clients look for the words that a real server says of all such: no more."""
    return _error(StatusCode.UNKNOWN, f"Exception was thrown by handler: {message}")


def not_a_valid(value: str, type_name: str) -> RpcError:
    """A choice was left unset, or has a value that does not exist; `type_name` is without `EventStore.Client.`."""
    return invalid_argument(f"'{value}' is not a valid EventStore.Client.{type_name}")


def missing_uuid_option() -> RpcError:
    """A read without `uuid_option`."""
    kind = "EventStore.Client.Streams.ReadReq+Types+Options+Types+UUIDOption"
    return invalid_argument(f" `uuidOption` is a required argument of type {kind}")


def invalid_combination(stream: str, count: str, direction: str, filter_option: str) -> RpcError:
    """A read that cannot be: the names of the cases that were set, `None` for those that were not."""
    return invalid_argument(f"The combination of ({stream}, {count}, {direction}, {filter_option}) is invalid.")


def invalid_position() -> RpcError:
    """A subscription that starts inside a record of the log."""
    return invalid_argument("Trying to read from an invalid position.")


def invalid_read_position(*, filtered: bool) -> RpcError:
    """A read of all events that starts inside a record of the log; clients look at the text."""
    return _error(StatusCode.UNKNOWN, f"Unexpected {'Filtered' if filtered else ''}ReadAllResult: InvalidPosition")


def missing_required_metadata_property(name: str) -> RpcError:
    """An event without `type` or `content-type`."""
    return _error(
        StatusCode.INVALID_ARGUMENT,
        f"Required Metadata Property '{name}' is missing",
        "missing-required-metadata-property",
        required_metadata_properties="type,content-type",
    )


def maximum_append_size(limit: int) -> RpcError:
    """The events of one append are together larger than the server takes (by default 1 MiB, 256 MiB since 25.1)."""
    return _error(
        StatusCode.INVALID_ARGUMENT,
        f"Maximum Append Size of {limit} Exceeded.",
        "maximum-append-size-exceeded",
        maximum_append_size=limit,
    )


def maximum_append_event_size(event_id: str, size: int, limit: int) -> RpcError:
    """One event is larger than the server takes; `event_id` is the id message in protobuf's JSON."""
    return _error(
        StatusCode.INVALID_ARGUMENT,
        f"Event with Id: {event_id}, Size: {size}, exceeds Maximum Append Event Size of {limit}.",
        "maximum-append-event-size-exceeded",
        maximum_append_event_size=limit,
        event_id=event_id,
        proposed_append_event_size=size,
    )


def message_too_long() -> RpcError:
    """A message over the limit of its service."""
    return _error(StatusCode.RESOURCE_EXHAUSTED, "Received message exceeds the maximum configured message size.")


# --- what is wrong with the stream ------------------------------------------------------------------------------------


def index_unreadable(name: str) -> RpcError:
    """There is no index of this name that can be read."""
    trailers = {"index_name": name} if name.isascii() else {}
    return _error(StatusCode.NOT_FOUND, f"Index '{name}' not found.", "index-not-found", **trailers)


def stream_deleted(stream: str) -> RpcError:
    """The stream is tombstoned, or it is soft-deleted and was expected to exist."""
    return _error(
        StatusCode.FAILED_PRECONDITION, f"Event stream '{stream}' is deleted.", "stream-deleted", stream_name=stream
    )


def wrong_expected_version_for_delete(stream: str, expected: int, actual: int) -> RpcError:
    """A delete or tombstone at another version. -1 stands for no stream, -2 for any, -4 for a stream that exists."""
    return _error(
        StatusCode.FAILED_PRECONDITION,
        f"Delete failed due to WrongExpectedVersion. Stream: {stream}, Expected version: {expected}, "
        f"Actual version: {actual}",
        "wrong-expected-version",
        stream_name=stream,
        expected_version=expected,
        actual_version=actual,
    )


# --- who asks, and whom -----------------------------------------------------------------------------------------------


def access_denied() -> RpcError:
    """These credentials may not do this."""
    return _error(StatusCode.PERMISSION_DENIED, "Access Denied", "access-denied")


def belongs_to_another() -> RpcError:
    """The server is there for the client that has started it."""
    text = "This server was started by a client for itself, with esdb+embedded:, and serves no others."
    return _error(StatusCode.PERMISSION_DENIED, text, "access-denied")


def unauthenticated() -> RpcError:
    """These credentials are wrong."""
    return _error(StatusCode.UNAUTHENTICATED, "Unauthenticated")


def user_changed() -> RpcError:
    """The user's password or rights were changed while the call was open: it has to be made again."""
    return _error(StatusCode.UNAVAILABLE, "The user was changed: call again.")


def not_leader(host: str, port: int) -> RpcError:
    """The call requires the leader, which is there."""
    where: dict[str, str | int] = {"leader_endpoint_host": host, "leader_endpoint_port": port}
    return _error(StatusCode.NOT_FOUND, "Leader info available", "not-leader", **where)


def not_ready() -> RpcError:
    """The node is starting or changing its role."""
    return _error(StatusCode.UNAVAILABLE, "Server Is Not Ready")


def too_busy() -> RpcError:
    """The node has no room for the call."""
    return _error(StatusCode.UNAVAILABLE, "Server Is Too Busy")


def shutting_down() -> RpcError:
    """The call was open when the server stopped."""
    return _error(StatusCode.UNAVAILABLE, "Server Is Shutting Down")


def timed_out(what: str) -> RpcError:
    """A write that was not answered in time: `Prepare phase timeout.`, `Commit phase timeout.` and their like."""
    return _error(StatusCode.ABORTED, f"Operation timed out: {what}")


def deadline_exceeded() -> RpcError:
    """The client's own deadline has passed."""
    return _error(StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")


def service_unimplemented() -> RpcError:
    """No such service on this server."""
    return _error(StatusCode.UNIMPLEMENTED, "Service is unimplemented.")


def method_unimplemented() -> RpcError:
    """No such method in this service."""
    return _error(StatusCode.UNIMPLEMENTED, "Method is unimplemented.")


def internal(message: str) -> RpcError:
    """The server failed; `message` tells the caller what can be told."""
    return _error(StatusCode.INTERNAL, message)


# --- persistent subscriptions -----------------------------------------------------------------------------------------


def subscription_failed(stream: str, group: str, reason: str) -> RpcError:
    """Creating, updating or replaying a persistent subscription was refused."""
    return _of_group(StatusCode.INTERNAL, stream, group, f"failed: '{reason}'", "failed", reason=reason)


def subscription_does_not_exist(stream: str, group: str) -> RpcError:
    """No such persistent subscription."""
    return _of_group(StatusCode.NOT_FOUND, stream, group, "does not exist.", "does-not-exist")


def subscription_exists(stream: str, group: str) -> RpcError:
    """A persistent subscription of that name exists."""
    return _of_group(StatusCode.ALREADY_EXISTS, stream, group, "exists.", "exists")


def subscription_dropped(stream: str, group: str) -> RpcError:
    """The persistent subscription was changed, deleted or stopped while it was read."""
    return _of_group(StatusCode.CANCELLED, stream, group, "was dropped.", "dropped")


def maximum_subscribers(stream: str, group: str) -> RpcError:
    """The persistent subscription has as many consumers as it may have."""
    return _error(
        StatusCode.FAILED_PRECONDITION,
        f"Maximum subscriptions reached for subscription group {group} on stream {stream}.",
        "maximum-subscribers-reached",
        stream_name=stream,
        group_name=group,
    )


def _of_group(code: StatusCode, stream: str, group: str, text: str, exception: str, **more: str) -> RpcError:
    return _error(
        code,
        f"Subscription group {group} on stream {stream} {text}",
        f"persistent-subscription-{exception}",
        stream_name=stream,
        group_name=group,
        **more,
    )


# --- users, projections, operations -----------------------------------------------------------------------------------


def user_not_found(login: str) -> RpcError:
    """No such user."""
    return _error(StatusCode.NOT_FOUND, f"User '{login}' is not found.", "user-not-found", login_name=login)


def user_conflict(login: str) -> RpcError:
    """A user of that name exists."""
    return _error(StatusCode.FAILED_PRECONDITION, "Conflict.", "user-conflict", login_name=login)


def user_try_again(login: str) -> RpcError:
    """The users could not be changed just now."""
    return _error(StatusCode.DEADLINE_EXCEEDED, "Try again.", "user-conflict", login_name=login)


def users_need_authentication() -> RpcError:
    """User management on a server without authentication."""
    return _error(StatusCode.UNIMPLEMENTED, "User management needs authentication.")


def projection_not_found(name: str) -> RpcError:
    """No such projection."""
    return _error(StatusCode.NOT_FOUND, f"Projection '{name}' not found")


def projection_command(answer: str) -> RpcError:
    """A command about a projection was answered with `Conflict`, `NotAuthorized` ...; clients look at the text."""
    return _error(StatusCode.UNKNOWN, f"Envelope callback expected Updated, received {answer} instead")


def projections_not_running() -> RpcError:
    """Projections cannot be restarted where they do not run: on a follower."""
    text = "Projection Subsystem cannot be restarted as it is in the wrong state: Ready"
    return _error(StatusCode.FAILED_PRECONDITION, text)


def scavenge_not_found(running: str = "") -> RpcError:
    """There is no scavenge to stop under that name; `running` is the id of the one that runs."""
    return _error(StatusCode.NOT_FOUND, "Scavenge id was invalid.", "scavenge-not-found", scavenge_id=running)
