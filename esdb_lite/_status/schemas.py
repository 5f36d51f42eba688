"""What a refused call about a schema means: the registry says it by the status alone.

Owns: the decision. Must not know: how an answer arrives, which call it was.
"""

from __future__ import annotations

from esdb_lite.errors import GrpcError, StatusCode
from esdb_lite.schemas import SchemaError, SchemaExists, SchemaNotFound, SchemaRefused

_CODES: dict[StatusCode, type[SchemaError]] = {
    StatusCode.NOT_FOUND: SchemaNotFound,
    StatusCode.ALREADY_EXISTS: SchemaExists,
    StatusCode.FAILED_PRECONDITION: SchemaRefused,
}


def schema_error(error: GrpcError, name: str) -> GrpcError:
    """Return the exception that stands for a failed call about a schema: the same one where it says nothing more."""
    cls = _CODES.get(error.code)
    # Where there is a trailer, it has said what it is (a follower answers NOT_FOUND for itself).
    if cls is None or any(trailer == "exception" for trailer, _ in error.trailers):
        return error
    about = f"schema {name!r}: " if name else ""
    found = cls(f"{about}{error.details}", code=error.code, details=error.details, trailers=error.trailers)
    found.schema_name = name
    return found
