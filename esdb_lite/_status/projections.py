"""What a refused call about a projection means: servers before 26.2 say it in a text only.

Owns: the decision. Must not know: how an answer arrives.
"""

from __future__ import annotations

import enum

from esdb_lite.errors import (
    AccessDenied,
    GrpcError,
    NotSupported,
    ProjectionError,
    ProjectionExists,
    ProjectionFailed,
    ProjectionNotFound,
    StatusCode,
)

_NO_SERVICE = "Service is unimplemented."
_NO_PROJECTIONS = "the server runs no projections: start it with --run-projections all, or with system for its own five"
_ENVELOPE = "Envelope callback expected "
_ANSWERS: dict[str, type[GrpcError]] = {
    "NotFound": ProjectionNotFound,
    "Conflict": ProjectionExists,
    "OperationFailed": ProjectionFailed,
    "NotAuthorized": AccessDenied,
}
_CODES: dict[StatusCode, type[GrpcError]] = {
    StatusCode.NOT_FOUND: ProjectionNotFound,
    StatusCode.ALREADY_EXISTS: ProjectionExists,
    StatusCode.FAILED_PRECONDITION: ProjectionFailed,
}
_TEXTS: dict[type[GrpcError], str] = {
    ProjectionNotFound: "there is no projection {name!r}",
    ProjectionExists: "there is a projection {name!r} already",
    AccessDenied: "access denied to the projection {name!r}",
    ProjectionFailed: "the server does not do this with the projection {name!r}: {why}",
}


class ProjectionCall(enum.Enum):
    """Which call was refused, where that tells why."""

    CREATE = "create"
    DELETE = "delete"
    OTHER = "other"


_SYSTEM = frozenset({"$streams", "$stream_by_category", "$by_category", "$by_event_type", "$by_correlation_id"})


def projection_error(error: GrpcError, name: str, call: ProjectionCall = ProjectionCall.OTHER) -> GrpcError:
    """Return the exception that stands for a failed call about a projection: the same one where it says nothing more.

    24.10 and 26.1 answer UNKNOWN with a text (NOT_FOUND for a projection that there is not), 26.2 with proper codes.
    """
    if error.code is StatusCode.UNIMPLEMENTED and error.details == _NO_SERVICE:
        return NotSupported(_NO_PROJECTIONS, code=error.code, details=error.details, trailers=error.trailers)
    cls = _class_of(error)
    if cls is None:
        return error
    why = _reason(error, name, call)
    text = _TEXTS.get(cls, "{why}").format(name=name, why=why)
    found = cls(text, code=error.code, details=error.details, trailers=error.trailers)
    if isinstance(found, ProjectionError):
        found.projection_name = name
    if isinstance(found, ProjectionFailed):
        found.reason = why
    return found


def _class_of(error: GrpcError) -> type[GrpcError] | None:
    # Where there is a trailer, it has said what it is (a follower answers NOT_FOUND for itself).
    if any(name == "exception" for name, _ in error.trailers):
        return None
    if error.code is StatusCode.UNKNOWN and error.details.startswith(_ENVELOPE):
        return _ANSWERS.get(error.details.rpartition("received ")[2].partition(" ")[0])
    return _CODES.get(error.code)


def _reason(error: GrpcError, name: str, call: ProjectionCall) -> str:
    if "received OperationFailed" not in error.details:
        return error.details
    if call is ProjectionCall.CREATE:
        return "it cannot have this name, or a transient one has it"
    if call is ProjectionCall.DELETE:
        if name in _SYSTEM:
            return "system projections stay (disable it instead)"
        return "it is not stopped (disable it first, also after an abort)"
    return "it is not in a state for this"
