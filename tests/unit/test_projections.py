"""What the client makes of servers' words about projections."""

from __future__ import annotations

import dataclasses
from itertools import islice

import pytest
from betterproto.lib.google.protobuf import ListValue, NullValue, Struct, Value
from esdb_lite_protos.event_store.client.projections import StatisticsRespDetails

from esdb_lite import (
    AccessDenied,
    GrpcError,
    NotSupported,
    ProjectionExists,
    ProjectionFailed,
    ProjectionInfo,
    ProjectionMode,
    ProjectionNotFound,
    ProjectionStatus,
    StatusCode,
)
from esdb_lite._convert.projections import _info, _value
from esdb_lite._status.exceptions import error_for
from esdb_lite._status.projections import ProjectionCall, projection_error
from esdb_lite.client.projections.progress import CatchUp, pauses
from esdb_lite.compat.kurrentdbclient._values import their_projection
from esdb_lite.projections import status_of


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("Running", ProjectionStatus.RUNNING),
        ("Stopped", ProjectionStatus.STOPPED),
        ("Stopped/Writing results", ProjectionStatus.STOPPED),
        ("Aborted/Stopped", ProjectionStatus.ABORTED),
        ("Faulted", ProjectionStatus.FAULTED),
        ("Faulted (Enabled)", ProjectionStatus.FAULTED),
        ("Faulted/Stopped (Enabled)", ProjectionStatus.FAULTED),
        ("Stopped/Faulted", ProjectionStatus.FAULTED),
        ("Completed/Stopped/Writing results", ProjectionStatus.COMPLETED),
        ("Deleting/Stopped", ProjectionStatus.DELETING),
        *((word, ProjectionStatus.STARTING) for word in ("Creating", "Loading", "Loaded", "Preparing", "Prepared")),
        ("Starting", ProjectionStatus.STARTING),
        ("LoadingStopped", ProjectionStatus.STARTING),
        ("Stopping", ProjectionStatus.STOPPING),
        ("Aborting", ProjectionStatus.STOPPING),
        ("Suspended/Running", ProjectionStatus.UNKNOWN),
        ("", ProjectionStatus.UNKNOWN),
    ],
)
def test_status(text: str, status: ProjectionStatus) -> None:
    assert status_of(text) is status


INFO = ProjectionInfo(
    name="p",
    mode=ProjectionMode.CONTINUOUS,
    status=ProjectionStatus.RUNNING,
    status_text="Running",
    fault=None,
    progress=100.0,
    position="C:500/P:500",
    last_checkpoint="C:0/P:-1",
    version=0,
    epoch=-1,
    partitions_cached=1,
    events_processed=0,
    buffered_events=0,
)


def info(**changes: object) -> ProjectionInfo:
    return dataclasses.replace(INFO, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        *[("C:500/P:499", 500), ("C:0/P:-1", None), ("C:7/P:7; T: 2; ", 7), ("orders-1: 5", None), ("", None)],
        (f"C:{'9' * 5000}/P:0", None),
    ],
)
def test_commit_position(position: str, expected: int | None) -> None:
    assert info(position=position).commit_position == expected


def test_the_adapter_passes_on_all_that_a_server_says() -> None:
    kinds = {field.name: field.type for field in dataclasses.fields(StatisticsRespDetails)}
    said = {name: str(number) if kinds[name] in (str, "str") else number for number, name in enumerate(kinds, 1)}
    said |= {"mode": "Continuous", "status": "Faulted"}
    assert vars(their_projection(_info(StatisticsRespDetails(**said)))) == said


def test_caught_up() -> None:
    assert CatchUp(None).is_done(INFO)
    assert not CatchUp(None).is_done(info(progress=99.9))
    assert not CatchUp(None).is_done(info(status=ProjectionStatus.STOPPED))
    assert CatchUp(None).is_done(info(status=ProjectionStatus.COMPLETED, progress=0.0))


def test_caught_up_to_a_position() -> None:
    assert CatchUp(500).is_done(info(progress=5.0))
    catch_up = CatchUp(501)
    assert not catch_up.is_done(info(progress=5.0))
    # What was said once may have been true before the event was there.
    assert not catch_up.is_done(INFO)
    assert catch_up.is_done(INFO)
    catch_up = CatchUp(501)
    assert [catch_up.is_done(each) for each in (INFO, info(progress=99.0), INFO, INFO)] == [False, False, False, True]


def test_a_fault_ends_the_wait() -> None:
    faulted = info(status=ProjectionStatus.FAULTED, status_text="Faulted (Enabled)", fault="oh\r\nno")
    with pytest.raises(ProjectionFailed, match="'p' has faulted: oh no") as caught:
        CatchUp(None).is_done(faulted)
    assert (caught.value.projection_name, caught.value.reason) == ("p", "oh\r\nno")


def test_pauses_grow() -> None:
    first = list(islice(pauses(), 20))
    assert first == sorted(first)
    assert (first[0], first[-1]) == (0.01, 0.5)


ENVELOPE = "Envelope callback expected Updated, received {} instead"


@pytest.mark.parametrize(
    ("code", "details", "cls"),
    [
        # 24.10 and 26.1
        (StatusCode.NOT_FOUND, "Projection 'p' not found", ProjectionNotFound),
        (StatusCode.UNKNOWN, ENVELOPE.format("Conflict"), ProjectionExists),
        (StatusCode.UNKNOWN, ENVELOPE.format("OperationFailed"), ProjectionFailed),
        (StatusCode.UNKNOWN, ENVELOPE.format("NotAuthorized"), AccessDenied),
        (
            StatusCode.FAILED_PRECONDITION,
            "Projection Subsystem cannot be restarted as it is in the wrong state: Stopped",
            ProjectionFailed,
        ),
        # up to 23.10
        (StatusCode.UNKNOWN, "Envelope callback expected Statistics, received NotFound instead", ProjectionNotFound),
        # 26.2
        (StatusCode.ALREADY_EXISTS, "exists", ProjectionExists),
        (StatusCode.FAILED_PRECONDITION, "other", ProjectionFailed),
    ],
)
def test_failures(code: StatusCode, details: str, cls: type[GrpcError]) -> None:
    original = error_for(code, details)
    found = projection_error(original, "p")
    assert type(found) is cls
    assert (found.code, found.details) == (code, details)
    assert "'p'" in str(found)
    if not isinstance(found, AccessDenied):
        assert getattr(found, "projection_name") == "p"  # noqa: B009


@pytest.mark.parametrize(
    ("call", "name", "reason"),
    [
        (ProjectionCall.CREATE, "p", "it cannot have this name, or a transient one has it"),
        (ProjectionCall.DELETE, "p", "it is not stopped (disable it first, also after an abort)"),
        (ProjectionCall.DELETE, "$by_category", "system projections stay (disable it instead)"),
    ],
)
def test_the_call_tells_why_it_was_refused(call: ProjectionCall, name: str, reason: str) -> None:
    found = projection_error(error_for(StatusCode.UNKNOWN, ENVELOPE.format("OperationFailed")), name, call)
    assert isinstance(found, ProjectionFailed)
    assert found.reason == reason
    assert str(found).endswith(reason)


def test_a_server_without_projections() -> None:
    found = projection_error(error_for(StatusCode.UNIMPLEMENTED, "Service is unimplemented."), "p")
    assert type(found) is NotSupported
    assert "runs no projections" in str(found)


@pytest.mark.parametrize(
    ("code", "details", "trailers"),
    [
        (StatusCode.UNKNOWN, "Exception was thrown by handler.", ()),
        (StatusCode.UNKNOWN, "Envelope callback expected Updated, received Something instead", ()),
        (StatusCode.PERMISSION_DENIED, "Access Denied", ()),
        (StatusCode.INVALID_ARGUMENT, "too large", ()),
        (StatusCode.UNIMPLEMENTED, "This server runs the system projections only.", ()),
        (StatusCode.NOT_FOUND, "Leader info available", (("exception", "not-leader"),)),
    ],
)
def test_other_failures_stay(code: StatusCode, details: str, trailers: tuple[tuple[str, str], ...]) -> None:
    error = error_for(code, details, trailers)
    assert projection_error(error, "p") is error


def number(value: float) -> Value:
    return Value(number_value=value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (number(3.0), 3),
        (number(1.5), 1.5),
        (number(-0.5), -0.5),
        (number(2.0**60), 2.0**60),
        (number(0.0), 0),
        (Value(string_value=""), ""),
        (Value(bool_value=False), False),
        (Value(null_value=NullValue(0)), None),
        (Value(), None),
        (Value(struct_value=Struct()), None),
        (Value(struct_value=Struct({"a": Value(struct_value=Struct()), "n": number(1.0)})), {"a": {}, "n": 1}),
        (Value(list_value=ListValue([number(1.0), Value(bool_value=True)])), [1, True]),
        (Value(list_value=ListValue()), []),
    ],
)
def test_values(value: Value, expected: object) -> None:
    found = _value(Value().parse(bytes(value)))
    assert found == expected
    assert type(found) is type(expected)
