"""What differs between the servers that this one can pass for.

Owns: the versions, and for each what it is called, what it serves and how much it takes (section 25 of the protocol
notes). Must not know: how anything is served.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from esdb_lite.server.options import Compatibility

_MEBIBYTE = 2**20


@dataclass(frozen=True)
class Behaviour:
    """How a server of one version behaves."""

    version: str
    """As it names itself."""
    max_append_size: int = 256 * _MEBIBYTE
    """Bytes that the events of one append may have together."""
    max_append_event_size: int = 16 * _MEBIBYTE
    append_sessions: bool = True
    """Whether there is AppendSession."""
    append_records: bool = True
    """Whether there is AppendRecords, and user-defined indexes."""
    index_reads: bool = True
    """Whether $all can be read by index."""
    schema_registry: bool = True
    second_projection_engine: bool = True
    """Whether projections may be created for it; older servers do not read what is said of engines."""
    truncates_parked: bool = True
    """Whether there is TruncateParked."""
    redaction_service: str = "kurrent.client.redaction.Redaction"


BEHAVIOURS: Mapping[Compatibility, Behaviour] = {
    Compatibility.V24_10: Behaviour(
        "24.10.0",
        max_append_size=_MEBIBYTE,
        max_append_event_size=2**31 - 1,
        append_sessions=False,
        append_records=False,
        index_reads=False,
        schema_registry=False,
        second_projection_engine=False,
        truncates_parked=False,
        redaction_service="event_store.client.redaction.Redaction",
    ),
    Compatibility.V25_1: Behaviour(
        "25.1.0", append_records=False, second_projection_engine=False, truncates_parked=False
    ),
    Compatibility.V26_1: Behaviour("26.1.0"),
}
