"""What a refused call about a projection means: servers before 26.2 say it in a text only.

Owns: the decision. Must not know: how an answer arrives, which call it was.
"""

from __future__ import annotations

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
_NO_PROJECTIONS = "the server runs no projections: it takes --run-projections all, or system for its own five"
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


def projection_error(error: GrpcError, name: str) -> GrpcError:
    """Return the exception that stands for a failed call about a projection: the same one where it says nothing more.

    24.10 and 26.1 answer UNKNOWN with a text (NOT_FOUND for a projection that there is not), 26.2 with proper codes.
    """
    if error.code is StatusCode.UNIMPLEMENTED and error.details == _NO_SERVICE:
        return NotSupported(_NO_PROJECTIONS, code=error.code, details=error.details, trailers=error.trailers)
    cls = _class_of(error)
    if cls is None:
        return error
    text = _TEXTS.get(cls, "{why}").format(name=name, why=_reason(error))
    found = cls(text, code=error.code, details=error.details, trailers=error.trailers)
    if isinstance(found, ProjectionError):
        found.projection_name = name
    if isinstance(found, ProjectionFailed):
        found.reason = _reason(error)
    return found


def _class_of(error: GrpcError) -> type[GrpcError] | None:
    # Where there is a trailer, it has said what it is (a follower answers NOT_FOUND for itself).
    if any(name == "exception" for name, _ in error.trailers):
        return None
    if error.code is StatusCode.UNKNOWN and error.details.startswith(_ENVELOPE):
        return _ANSWERS.get(error.details.rpartition("received ")[2].partition(" ")[0])
    return _CODES.get(error.code)


def _reason(error: GrpcError) -> str:
    if "received OperationFailed" in error.details:
        return "it is not stopped (disable it first, also after an abort), or not of a kind, or cannot have this name"
    return error.details
