"""From statuses, trailers and in-band errors to exceptions."""

from __future__ import annotations

import base64
import copy
import pickle
from typing import Any

import pytest
from esdb_lite_protos.event_store.client import MaximumAppendEventSizeExceeded

from esdb_lite import errors
from esdb_lite._status import refusals, typed_refusals
from esdb_lite._status.codes import RpcError
from esdb_lite._status.details import detailed
from esdb_lite._status.exceptions import (
    error_for,
    error_for_batch,
    http_error,
    readable,
    reset_error,
    status_of,
    wrong_expected_position,
)
from esdb_lite._wire.batch_append import BatchError, encode_wrong_expected_version
from esdb_lite.errors import EsdbClientException, GrpcError, StatusCode
from esdb_lite.events import StreamState
from esdb_lite.records import ConsistencyViolation

CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, EsdbClientException) and value.__module__ == errors.__name__
]


def there_and_back(error: RpcError) -> GrpcError:
    """What the client makes of what the server's side of the table says."""
    return error_for(error.code, error.message, error.trailers)


@pytest.mark.parametrize(
    ("answer", "kind", "attributes"),
    [
        (refusals.access_denied(), errors.AccessDenied, {}),
        (refusals.unauthenticated(), errors.Unauthenticated, {}),
        (refusals.not_leader("n2", 2113), errors.NotLeader, {"host": "n2", "port": 2113}),
        (
            RpcError(StatusCode.UNKNOWN, "No leader info available in response"),
            errors.NotLeader,
            {"host": "", "port": 0},
        ),
        (refusals.not_ready(), errors.ServerNotReady, {}),
        (refusals.too_busy(), errors.ServerNotReady, {}),
        (refusals.shutting_down(), errors.ServiceUnavailable, {"sent": True}),
        (refusals.stream_deleted("größe"), errors.StreamDeleted, {"stream_name": "größe"}),
        (
            refusals.wrong_expected_version_for_delete("s", -1, 3),
            errors.ExpectedPositionError,
            {"stream_name": "s", "expected": None, "current": 3},
        ),
        (
            refusals.wrong_expected_version_for_delete("s", 7, -1),
            errors.ExpectedPositionError,
            {"expected": 7, "current": None},
        ),
        (typed_refusals.bad_request("m", [("f", "t")]), errors.InvalidRequest, {"details": "m"}),
        (typed_refusals.insufficient_permissions("streams:write:s", "me"), errors.AccessDenied, {}),
        (typed_refusals.not_leader_node("n2", 2113, None), errors.NotLeader, {"host": "n2", "port": 2113}),
        (typed_refusals.server_not_ready(), errors.ServerNotReady, {"retry_after": 5.0}),
        (typed_refusals.server_overloaded(), errors.ServerNotReady, {"retry_after": 5.0}),
        (typed_refusals.server_shutting_down(), errors.ServiceUnavailable, {"retry_after": 5.0, "sent": True}),
        (typed_refusals.operation_timeout("Append"), errors.OperationTimedOut, {"retry_after": 5.0}),
        (
            typed_refusals.record_size_exceeded("m", "s", "i", 9, 8),
            errors.EventTooLarge,
            {"event_id": "i", "size": 9, "limit": 8},
        ),
        (
            typed_refusals.transaction_size_exceeded("m", 2**32, 8),
            errors.AppendTooLarge,
            {"size": 2**31 - 1, "limit": 8},
        ),
        (typed_refusals.stream_already_in_session("m", "s"), errors.InvalidRequest, {}),
        (typed_refusals.session_without_requests("m"), errors.InvalidRequest, {}),
        (typed_refusals.stream_tombstoned("größe"), errors.StreamDeleted, {"stream_name": "größe"}),
        (
            typed_refusals.revision_conflict("s", -1, 0),
            errors.ConsistencyError,
            {
                "stream_name": "s",
                "expected": None,
                "current": 0,
                "violations": (ConsistencyViolation("s", None, 0, 0),),
                "retry_after": 0.0,
            },
        ),
        (
            typed_refusals.consistency_violation([(1, "a", -4, -5), (2, "b", 3, -1)]),
            errors.ConsistencyError,
            {
                "stream_name": "a",
                "expected": StreamState.EXISTS,
                "current": None,
                "violations": (
                    ConsistencyViolation("a", StreamState.EXISTS, StreamState.DELETED, 1),
                    ConsistencyViolation("b", 3, None, 2),
                ),
            },
        ),
        (refusals.maximum_append_size(1048576), errors.AppendTooLarge, {"limit": 1048576}),
        (refusals.message_too_long(), errors.ResourceExhausted, {}),
        (refusals.missing_required_metadata_property("type"), errors.InvalidRequest, {}),
        (refusals.timed_out("Prepare phase timeout."), errors.OperationTimedOut, {}),
        (refusals.deadline_exceeded(), errors.DeadlineExceeded, {}),
        (refusals.service_unimplemented(), errors.NotSupported, {}),
        (
            refusals.subscription_failed("s", "g", "because"),
            errors.SubscriptionFailed,
            {"stream_name": "s", "group_name": "g", "reason": "because"},
        ),
        (refusals.subscription_does_not_exist("s", "g"), errors.SubscriptionNotFound, {"group_name": "g"}),
        (refusals.subscription_exists("s", "g"), errors.SubscriptionExists, {"group_name": "g"}),
        (refusals.subscription_dropped("s", "g"), errors.SubscriptionDropped, {"group_name": "g"}),
        (refusals.maximum_subscribers("s", "g"), errors.TooManySubscribers, {"group_name": "g"}),
        (refusals.user_not_found("ann"), errors.UserNotFound, {"login": "ann"}),
        (refusals.user_conflict("ann"), errors.UserConflict, {"login": "ann"}),
        (refusals.user_try_again("ann"), errors.UserConflict, {"login": "ann"}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_the_table(answer: RpcError, kind: type[GrpcError], attributes: dict[str, Any]) -> None:
    error = there_and_back(answer)
    assert type(error) is kind
    assert error.code == answer.code
    assert error.details == answer.message
    assert {name: getattr(error, name) for name in attributes} == attributes


@pytest.mark.parametrize(
    ("event_id", "expected"),
    [
        ('{ "string": "11111111-2222-3333-4444-555555555555" }', "11111111-2222-3333-4444-555555555555"),
        (
            '{ "structured": { "mostSignificantBits": "5", "leastSignificantBits": "-7" } }',
            "00000000-0000-0005-ffff-fffffffffff9",
        ),
        ("something else", "something else"),
    ],
)
def test_an_event_that_is_too_large(event_id: str, expected: str) -> None:
    trailers = [
        ("exception", "maximum-append-event-size-exceeded"),
        ("maximum-append-event-size", "100"),
        ("proposed-append-event-size", "101"),
        ("event-id", event_id),
    ]
    error = error_for(3, "Event with Id ...", trailers)
    assert isinstance(error, errors.EventTooLarge)
    assert (error.limit, error.size, error.event_id) == (100, 101, expected)


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (1, "", errors.CallCancelled),
        (2, "Exception was thrown by handler.", errors.HandlerFailed),
        (2, "Unexpected ReadAllResult: Error", errors.ServerAnswer),
        (2, "Unexpected FilteredReadAllResult: InvalidPosition >> 7", errors.InvalidPosition),
        (3, "x", errors.InvalidRequest),
        (3, "Trying to read from an invalid position.", errors.InvalidPosition),
        (5, "Projection 'x' not found", errors.ServerAnswer),
        (7, "x", errors.AccessDenied),
        (10, "Operation timed out: Consumer too slow to handle event while live.", errors.ConsumerTooSlow),
        (10, "Operation timed out: Commit phase timeout.", errors.OperationTimedOut),
        (12, "", errors.NotSupported),
        (13, "", errors.ServerAnswer),
        (14, "", errors.ServiceUnavailable),
        (16, "", errors.Unauthenticated),
        (99, "from the future", errors.ServerAnswer),
    ],
)
def test_without_trailers_the_status_decides_then_the_text(code: int, text: str, kind: type[GrpcError]) -> None:
    error = error_for(code, text, [("unrelated", "x")])
    assert type(error) is kind
    assert error.code == (code if code <= 16 else StatusCode.UNKNOWN)
    assert error.trailers == (("unrelated", "x"),)


def test_trailers_that_are_not_there_or_make_no_sense() -> None:
    error = error_for(9, "", [("exception", "wrong-expected-version"), ("actual-version", "many")])
    assert isinstance(error, errors.ExpectedPositionError)
    assert (error.stream_name, error.current) == ("", 0)
    assert type(error_for(5, "", [("exception", "of-the-future")])) is errors.ServerAnswer


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ("100%", "100%"),
        ("a%41", "a%41"),
        ("%C3%A9%25", "é%"),
        ("%FF", "\ufffd"),
        ("e%1B%0A", "e\x1b\n"),
    ],
)
def test_readable(value: str, expected: str) -> None:
    assert readable(value) == expected


def test_conflicts_say_what_was_expected_and_found() -> None:
    error = wrong_expected_position("s", -1, 4)
    assert str(error) == "stream 's' is at position 4, expected no stream"
    assert (error.expected, error.current) == (None, 4)
    assert "does not exist" in str(wrong_expected_position("s", 3, None))


def test_errors_of_batches() -> None:
    conflict = error_for_batch(
        BatchError(6, "WrongExpectedVersion", "WrongExpectedVersion", encode_wrong_expected_version(4, 2)), "s", 2
    )
    assert isinstance(conflict, errors.ExpectedPositionError)
    assert (conflict.stream_name, conflict.expected, conflict.current) == ("s", 2, 4)
    large = error_for_batch(
        BatchError(3, "x", "MaximumAppendEventSizeExceeded", bytes(MaximumAppendEventSizeExceeded("id", 9, 8))), "s", 2
    )
    assert isinstance(large, errors.EventTooLarge)
    assert (large.event_id, large.size, large.limit) == ("id", 9, 8)
    deleted = error_for_batch(BatchError(5, "StreamDeleted", "StreamDeleted", b""), "s", 2)
    assert isinstance(deleted, errors.StreamDeleted)
    assert deleted.stream_name == "s"
    assert type(error_for_batch(BatchError(2, "Unknown", "Unknown", b""), "s", 2)) is errors.ServerAnswer
    assert type(error_for_batch(BatchError(3, "BadRequest", "BadRequest", b""), "s", 2)) is errors.InvalidRequest
    assert str(error_for_batch(BatchError(3, "BadRequest", "BadRequest", b"\n\x04this"), "s", 2)) == "this"


def test_http_and_http2() -> None:
    assert isinstance(http_error("503"), errors.ServiceUnavailable)
    assert isinstance(http_error("401"), errors.Unauthenticated)
    assert isinstance(http_error("418"), errors.ServerAnswer)
    assert isinstance(reset_error(7), errors.ServiceUnavailable)
    assert isinstance(reset_error(8), errors.CallCancelled)
    assert isinstance(reset_error(1), errors.ServiceUnavailable)
    assert [reset_error(code).sent for code in (7, 1)] == [True, True]  # type: ignore[attr-defined]


TOO_LONG = "9" * 5000


@pytest.mark.parametrize("number", [TOO_LONG, "-" + TOO_LONG, "--5", "5-", "²", "1e9", "", " 5", "٣"])
def test_numbers_of_a_broken_server_are_none(number: str) -> None:
    """Python's own errors must not come out of this: who appends would not know that it may be done."""
    trailers = {
        "wrong-expected-version": ("expected-version", "actual-version"),
        "maximum-append-size-exceeded": ("maximum-append-size",),
        "maximum-append-event-size-exceeded": ("maximum-append-event-size", "proposed-append-event-size"),
        "not-leader": ("leader-endpoint-port",),
    }
    for exception, names in trailers.items():
        error = error_for(9, "", [("exception", exception), *((name, number) for name in names)])
        assert not any(getattr(error, name, None) for name in ("limit", "size", "port"))
    assert status_of(number) == 2


@pytest.mark.parametrize("port", ["0", "65536", "99999", "-1"])
def test_ports_that_are_none(port: str) -> None:
    error = error_for(5, "", [("exception", "not-leader"), ("leader-endpoint-port", port)])
    assert isinstance(error, errors.NotLeader)
    assert error.port == 0


@pytest.mark.parametrize("text", ["[" * 100_000, '{"string": ' * 50_000, "{", '{"structured": 5}', "\0"])
def test_ids_of_a_broken_server(text: str) -> None:
    trailers = [("exception", "maximum-append-event-size-exceeded"), ("event-id", text)]
    assert isinstance(error_for(3, "", trailers), errors.EventTooLarge)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__ is not None
    for cls in CLASSES:
        assert cls.__name__ in errors.__doc__, cls.__name__
        assert cls.__doc__, cls.__name__


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if issubclass(cls, GrpcError)], ids=lambda cls: cls.__name__)
def test_exceptions_can_be_pickled_and_copied(cls: type[GrpcError]) -> None:
    error = cls("text", details="details", trailers=[("a", "b")])
    error.extra = 5  # type: ignore[attr-defined]
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is cls
        assert str(twin) == "text"
        assert vars(twin) == vars(error)


def test_mistakes_can_be_pickled() -> None:
    error = errors.InvalidArgument("limit", -1, "must be 0 or more")
    twin = pickle.loads(pickle.dumps(error))
    assert (str(twin), twin.argument, twin.value) == ("limit: must be 0 or more, not -1", "limit", -1)


def test_what_else_they_are() -> None:
    assert issubclass(errors.ServiceUnavailable, ConnectionError)
    assert issubclass(errors.DeadlineExceeded, TimeoutError)
    assert issubclass(errors.InvalidArgument, ValueError)
    assert issubclass(errors.WrongArgumentType, TypeError)
    assert issubclass(errors.ClientClosed, RuntimeError)
    assert len(str(errors.InvalidArgument("x", "y" * 1000, "must be short"))) < 120


def test_a_server_that_shuts_down_may_have_done_what_it_had_begun() -> None:
    assert not isinstance(there_and_back(refusals.shutting_down()), errors.ServerNotReady)


@pytest.mark.parametrize(
    "trailer",
    ["", "!", "AAAA", base64.b64encode(b"\x1a\xff").decode(), base64.b64encode(b"\x1a\x03\x0a\x01\xff").decode()],
)
def test_details_that_cannot_be_read_say_nothing(trailer: str) -> None:
    error = error_for(9, "text", [("grpc-status-details-bin", trailer)])
    assert (type(error), error.details) == (errors.ServerAnswer, "text")


def test_a_reason_that_nobody_knows_says_nothing() -> None:
    error = there_and_back(detailed(StatusCode.FAILED_PRECONDITION, "text", "NEW", "streams"))
    assert type(error) is errors.ServerAnswer


def test_details_without_what_belongs_to_the_reason() -> None:
    error = there_and_back(detailed(StatusCode.FAILED_PRECONDITION, "text", "STREAM_REVISION_CONFLICT", "streams"))
    assert isinstance(error, errors.ConsistencyError)
    assert error.violations == (ConsistencyViolation("", 0, 0, 0),)
