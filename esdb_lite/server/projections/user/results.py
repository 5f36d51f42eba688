"""What one-time and transient projections write at their end.

Owns: these records (section 4.7 of the notes on projections). Must not know: how they are written.
"""

from __future__ import annotations

from collections.abc import Mapping

from esdb_lite.server.projections.emitting import Owner
from esdb_lite.server.projections.javascript.definition import QueryDefinition
from esdb_lite.server.projections.javascript.processing import ROOT, Outgoing, results
from esdb_lite.server.storage import PartitionState

COMPLETED = "Phase: 1 (completed)"
"""Where a projection is that has come to its end."""
_END = "$Eof"


def final_results(
    definition: QueryDefinition,
    name: str,
    states: Mapping[str, PartitionState | None],
    owner: Owner,
    *,
    is_transient: bool,
) -> list[Outgoing]:
    """The last result of each partition, and the record that ends the results of the root."""
    stamp = "" if is_transient else f'"$v":"{owner.stamp}",'
    metadata = f'{{{stamp}"$ph":1,"$cp":true}}'
    written: list[Outgoing] = []
    for partition, kept in states.items():
        result = "" if kept is None else kept.result if definition.transforms else kept.state
        if result:
            written += results(definition.result_stream_of(name, partition), result, metadata)
    return [*written, Outgoing(definition.result_stream_of(name, ROOT), _END, True, "", metadata)]
