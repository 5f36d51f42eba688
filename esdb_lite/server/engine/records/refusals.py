"""Why an atomic append is refused before anybody has looked at the streams.

Owns: the refusals, with what they say. Must not know: statuses, how they are told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class FieldViolation(NamedTuple):
    """A field of a request that breaks a rule."""

    field: str
    text: str


class RecordsRefused(Exception):
    """Base of all refusals."""


class InvalidRecords(RecordsRefused):
    """Fields of a request break rules."""

    def __init__(self, request: str, violations: Sequence[FieldViolation]) -> None:
        super().__init__(_invalid(request, violations))
        self.violations = violations


class MeaninglessRecords(RecordsRefused):
    """The request makes no sense; a real server fails inside, and does not say why."""


class RecordTooLarge(RecordsRefused):
    """A record is larger than one record may be."""

    def __init__(self, stream: str, record_id: str, size: int, limit: int) -> None:
        super().__init__(
            f"The size of record {record_id} ({human(size)}) exceeds the maximum allowed size of {human(limit)} bytes"
            f" by {human(size - limit)}"
        )
        self.stream, self.record_id, self.size, self.limit = stream, record_id, size, limit


class TransactionTooLarge(RecordsRefused):
    """The records are larger together than they may be."""

    def __init__(self, size: int, limit: int, count: int) -> None:
        """`count`: records up to the one that crosses the limit."""
        super().__init__(
            f"Transaction size ({human(size)}) exceeded the maximum allowed size of {human(limit)}"
            f" by {human(size - limit)}, after {count} record(s)."
        )
        self.size, self.limit = size, limit


class StreamTwice(RecordsRefused):
    """A session has two requests for one stream."""

    def __init__(self, stream: str) -> None:
        super().__init__(
            f"Stream '{stream}' already has a different group of messages in this session. Appends for the same"
            " stream must currently be grouped together and not interleaved with appends for other streams."
        )
        self.stream = stream


class EmptySession(RecordsRefused):
    """A session has no requests."""

    def __init__(self) -> None:
        super().__init__("Append session started, but no append requests were sent before ending the session.")


def _invalid(request: str, violations: Sequence[FieldViolation]) -> str:
    if len(violations) == 1:
        return f"The '{request}' is invalid: {violations[0].text}"
    return f"The '{request}' is invalid:\n" + "".join(f" -- {violation.text}\n" for violation in violations)


def human(size: float) -> str:
    """A number of bytes as the texts have it: three decimals."""
    for unit in ("B", "KB", "MB"):
        if size < 1024:
            return f"{size:.3f} {unit}"
        size /= 1024
    return f"{size:.3f} GB"
