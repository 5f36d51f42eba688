"""The client's side of the table of errors: which exception stands for a status with its trailers.

Owns: the decision, by the trailer `exception` first, then by status, by text last; the same for the errors inside
BatchAppend responses and for what HTTP/2 itself says. Must not know: how an answer arrives.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from uuid import UUID

from esdb_lite._status.codes import DETAILS_TRAILER
from esdb_lite._wire.batch_append import (
    BatchError,
    decode_bad_request,
    decode_maximum_append_size,
    decode_maximum_event_size,
    decode_wrong_expected_version,
)
from esdb_lite.errors import (
    AccessDenied,
    AppendTooLarge,
    CallCancelled,
    ConsumerTooSlow,
    DeadlineExceeded,
    EventTooLarge,
    ExpectedPositionError,
    GrpcError,
    HandlerFailed,
    IndexNotFound,
    InvalidPosition,
    InvalidRequest,
    NotLeader,
    NotSupported,
    OperationTimedOut,
    ResourceExhausted,
    ServerAnswer,
    ServerNotReady,
    ServiceUnavailable,
    StatusCode,
    StreamDeleted,
    StreamNotFound,
    SubscriptionDropped,
    SubscriptionExists,
    SubscriptionFailed,
    SubscriptionNotFound,
    TooManySubscribers,
    Unauthenticated,
    UserConflict,
    UserNotFound,
)
from esdb_lite.events import StreamState
from esdb_lite.positions import state_of

_NUMBER = "-?[0-9]{1,19}"
"""What a number of a trailer may be: a server may send anything, and Python reads more digits than it can bear."""
_STATUS = "[0-9]{1,3}"

_Attributes = dict[str, object]
_Choice = tuple[type[GrpcError], _Attributes]


def error_for(code: int, details: str, trailers: Iterable[tuple[str, str]] = ()) -> GrpcError:
    """Return the exception that stands for a status with its trailers."""
    status = _known(code)
    values = {name: readable(value) for name, value in trailers}
    choose = _BY_TRAILER.get(values.get("exception", ""))
    if choose is None and DETAILS_TRAILER in values:
        # imported here: only the newer services send details, and only errors have them
        typed = import_module("esdb_lite._status.typed_exceptions").choose(values[DETAILS_TRAILER])
        if typed is not None:
            return _build(typed.kind, details, status, values.items(), typed.attributes)
    cls, attributes = choose(values) if choose else (_by_status(status, details), {})
    return _build(cls, details, status, values.items(), attributes)


def error_for_batch(error: BatchError, stream_name: str, expected: int) -> GrpcError:
    """Return the exception that stands for the error inside a BatchAppend response."""
    if error.detail == "WrongExpectedVersion":
        return wrong_expected_position(stream_name, expected, decode_wrong_expected_version(error.value).current)
    cls, attributes = _batch_choice(error, stream_name)
    message = (decode_bad_request(error.value) if error.detail == "BadRequest" else "") or error.message
    return _build(cls, message, _known(error.code), (), attributes)


def wrong_expected_position(stream_name: str, expected: int, current: int | None) -> ExpectedPositionError:
    """Return the exception for a stream that is not where it was expected; `expected` as on the wire."""
    error = ExpectedPositionError(_not_where_expected(stream_name, state_of(expected), current))
    error.stream_name, error.current = stream_name, current
    error.expected = state_of(expected)
    return error


def http_error(status: str) -> GrpcError:
    """Return the exception for an answer that is HTTP's alone (a proxy, or a server in trouble)."""
    code = _HTTP.get(status, StatusCode.UNKNOWN)
    return _build(_by_status(code, ""), f"the server answered with HTTP status {status}", code, (), {})


def reset_error(http2_code: int) -> GrpcError:
    """Return the exception for a call that the server, or a proxy before it, has reset.

    gRPC's table makes internal errors of most codes. Proxies send them when their server goes away, and what a client
    has to do is the same as after any other lost link. That goes for REFUSED_STREAM, too: it should say that nothing
    was done, and HAProxy says it of every call that it has not begun to answer, whatever the server has done.
    """
    text = f"the server has reset the call (HTTP/2 error {http2_code})"
    code = _RESET.get(http2_code, StatusCode.UNAVAILABLE)
    return _build(_by_status(code, ""), text, code, (), {})


def cut_off(text: str) -> GrpcError:
    """Return the exception for a call whose end does not say how it went."""
    return _build(ServiceUnavailable, text, StatusCode.UNAVAILABLE, (), {})


def status_of(text: str) -> int:
    """Return the number of a status; UNKNOWN for what is none."""
    return int(text) if re.fullmatch(_STATUS, text) else StatusCode.UNKNOWN


def unescaped(text: str) -> str:
    """Undo the percent-encoding of a message."""
    if "%" not in text:
        return text
    from urllib.parse import unquote  # here: few calls fail

    return unquote(text)


def readable(value: str) -> str:
    """Decode a trailer in which a server had to escape something: what is not ASCII, or not printable.

    Others are left alone, also with a % in them: `refusals.printable` sends them as they are.
    """
    decoded = unescaped(value)
    return value if decoded.isascii() and decoded.isprintable() else decoded


def _build(
    cls: type[GrpcError],
    details: str,
    code: StatusCode,
    trailers: Iterable[tuple[str, str]],
    attributes: Mapping[str, object],
) -> GrpcError:
    error = cls(_text(cls, details, attributes), code=code, details=details, trailers=trailers)
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


def _text(cls: type[GrpcError], details: str, attributes: Mapping[str, object]) -> str:
    """Return what an exception says: what the server says, or the same as for others of its class."""
    stream = attributes.get("stream_name")
    if issubclass(cls, AppendTooLarge):
        return f"events: more than the server takes: {details}"
    if cls is InvalidPosition:
        return f"position: no event begins there: {details}"
    if cls is StreamDeleted and stream:
        return f"stream {stream!r} is deleted"
    if cls is ExpectedPositionError and stream:
        return _not_where_expected(str(stream), attributes.get("expected"), attributes.get("current"))
    return details


def _not_where_expected(stream_name: str, expected: object, current: object) -> str:
    at = "does not exist" if current is None else f"is at position {current}"
    return f"stream {stream_name!r} {at}, expected {_EXPECTED.get(expected, expected)}"


def _known(code: int) -> StatusCode:
    return StatusCode(code) if 0 <= code <= 16 else StatusCode.UNKNOWN


def _number(text: str | None) -> int:
    return int(text) if text and re.fullmatch(_NUMBER, text) else 0


def _port(text: str | None) -> int:
    number = _number(text)
    return number if 0 < number < 2**16 else 0


def _plain(cls: type[GrpcError], **names: str) -> Callable[[Mapping[str, str]], _Choice]:
    """Attributes of `cls`, each with the name of its trailer."""
    return lambda values: (cls, {attribute: values.get(name, "") for attribute, name in names.items()})


def _group(cls: type[GrpcError]) -> Callable[[Mapping[str, str]], _Choice]:
    return _plain(cls, stream_name="stream-name", group_name="group-name")


def _wrong_version(values: Mapping[str, str]) -> _Choice:
    expected, current = _number(values.get("expected-version")), _number(values.get("actual-version"))
    return ExpectedPositionError, {
        "stream_name": values.get("stream-name", ""),
        "expected": state_of(expected),
        "current": None if current == -1 else current,
    }


def _too_large(values: Mapping[str, str]) -> _Choice:
    return AppendTooLarge, {"limit": _number(values.get("maximum-append-size"))}


def _event_too_large(values: Mapping[str, str]) -> _Choice:
    return EventTooLarge, {
        "limit": _number(values.get("maximum-append-event-size")),
        "size": _number(values.get("proposed-append-event-size")),
        "event_id": _event_id(values.get("event-id", "")),
    }


def _event_id(text: str) -> str:
    """Read the id out of protobuf's JSON for it."""
    try:
        form = json.loads(text)
        if "string" in form:
            return str(form["string"])
        halves = (int(form["structured"][f"{half}SignificantBits"]) % 2**64 for half in ("most", "least"))
        most, least = halves
        return str(UUID(int=most << 64 | least))
    except (ValueError, KeyError, TypeError, RecursionError):
        return text


def _not_leader(values: Mapping[str, str]) -> _Choice:
    return NotLeader, {
        "host": values.get("leader-endpoint-host", ""),
        "port": _port(values.get("leader-endpoint-port")),
    }


def _failed_group(values: Mapping[str, str]) -> _Choice:
    cls, attributes = _group(SubscriptionFailed)(values)
    return cls, {**attributes, "reason": values.get("reason", "")}


_BY_TRAILER: Mapping[str, Callable[[Mapping[str, str]], _Choice]] = {
    "access-denied": _plain(AccessDenied),
    "not-leader": _not_leader,
    "stream-deleted": _plain(StreamDeleted, stream_name="stream-name"),
    "stream-not-found": _plain(StreamNotFound, stream_name="stream-name"),
    "wrong-expected-version": _wrong_version,
    "maximum-append-size-exceeded": _too_large,
    "maximum-append-event-size-exceeded": _event_too_large,
    "missing-required-metadata-property": _plain(InvalidRequest),
    "invalid-transaction": _plain(InvalidRequest),
    "persistent-subscription-failed": _failed_group,
    "persistent-subscription-does-not-exist": _group(SubscriptionNotFound),
    "persistent-subscription-exists": _group(SubscriptionExists),
    "persistent-subscription-dropped": _group(SubscriptionDropped),
    "maximum-subscribers-reached": _group(TooManySubscribers),
    "index-not-found": _plain(IndexNotFound, index_name="index-name"),
    "user-not-found": _plain(UserNotFound, login="login-name"),
    "user-conflict": _plain(UserConflict, login="login-name"),
}

_BY_STATUS: Mapping[StatusCode, type[GrpcError]] = {
    StatusCode.CANCELLED: CallCancelled,
    StatusCode.INVALID_ARGUMENT: InvalidRequest,
    StatusCode.OUT_OF_RANGE: InvalidRequest,
    StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    StatusCode.PERMISSION_DENIED: AccessDenied,
    StatusCode.UNAUTHENTICATED: Unauthenticated,
    StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    StatusCode.UNIMPLEMENTED: NotSupported,
    StatusCode.UNAVAILABLE: ServiceUnavailable,
}

_BY_TEXT: tuple[tuple[StatusCode, str, type[GrpcError]], ...] = (
    # what had begun may be done, other than where a server says that it is not ready
    (StatusCode.UNAVAILABLE, "Server Is Shutting Down", ServiceUnavailable),
    (StatusCode.UNAVAILABLE, "Server Is", ServerNotReady),
    (StatusCode.ABORTED, "Consumer too slow", ConsumerTooSlow),
    (StatusCode.ABORTED, "Operation timed out", OperationTimedOut),
    (StatusCode.UNKNOWN, "No leader info available", NotLeader),
    (StatusCode.UNKNOWN, "ReadAllResult: InvalidPosition", InvalidPosition),
    (StatusCode.INVALID_ARGUMENT, "read from an invalid position", InvalidPosition),
    (StatusCode.UNKNOWN, "Exception was thrown by handler", HandlerFailed),
)

_HTTP = {
    "400": StatusCode.INTERNAL,
    "401": StatusCode.UNAUTHENTICATED,
    "403": StatusCode.PERMISSION_DENIED,
    "404": StatusCode.UNIMPLEMENTED,
    "429": StatusCode.UNAVAILABLE,
    "502": StatusCode.UNAVAILABLE,
    "503": StatusCode.UNAVAILABLE,
    "504": StatusCode.UNAVAILABLE,
}

_RESET = {
    8: StatusCode.CANCELLED,
    11: StatusCode.RESOURCE_EXHAUSTED,
    12: StatusCode.PERMISSION_DENIED,
}

_EXPECTED: Mapping[object, str] = {
    None: "no stream",
    StreamState.ANY: "any",
    StreamState.EXISTS: "that the stream exists",
}


def _by_status(code: StatusCode, details: str) -> type[GrpcError]:
    for status, text, cls in _BY_TEXT:
        if code is status and text in details:
            return cls
    return _BY_STATUS.get(code, ServerAnswer)


def _batch_choice(error: BatchError, stream_name: str) -> _Choice:
    if error.detail == "StreamDeleted":
        return StreamDeleted, {"stream_name": stream_name}
    if error.detail == "Timeout":
        return OperationTimedOut, {}
    if error.detail == "MaximumAppendSizeExceeded":
        return AppendTooLarge, {"limit": decode_maximum_append_size(error.value)}
    if error.detail == "MaximumAppendEventSizeExceeded":
        event_id, size, limit = decode_maximum_event_size(error.value)
        return EventTooLarge, {"event_id": event_id, "size": size, "limit": limit}
    if error.code == StatusCode.OK and error.message.startswith("Server Is"):
        return ServerNotReady, {}
    return _by_status(_known(error.code), error.message), {}
