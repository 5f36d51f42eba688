"""The calls about projections and nodes.

Owns: what each asks of our client. Must not know: whether that is the one with asyncio (`_faces`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from typing_extensions import Unpack

import esdb_lite
from esdb_lite.compat.kurrentdbclient import _values as values
from esdb_lite.compat.kurrentdbclient._faces import Answer, Ours, nothing
from esdb_lite.compat.kurrentdbclient._signatures import CallOptions
from esdb_lite.compat.kurrentdbclient.gossip import ClusterMember
from esdb_lite.compat.kurrentdbclient.projections import ProjectionState, ProjectionStatistics

_ENGINES = {"v1": None, "v2": 2}


def create_projection(
    ours: Ours,
    *,
    name: str,
    query: str,
    engine_version: Literal["v1", "v2"] = "v1",
    emit_enabled: bool = False,
    track_emitted_streams: bool = False,
    **options: Unpack[CallOptions],
) -> Answer[None]:
    """Create a continuous projection."""
    if engine_version not in _ENGINES:
        raise ValueError(f"engine_version must be 'v1' or 'v2', not {engine_version!r}")
    if engine_version == "v2" and track_emitted_streams:
        raise ValueError("track_emitted_streams is not supported with engine_version='v2'")
    given = ours.create_projection(
        name,
        query,
        emit=emit_enabled,
        track_emitted_streams=track_emitted_streams,
        engine_version=_ENGINES[engine_version],
        **options,
    )
    return Answer(given, nothing)


def update_projection(
    ours: Ours, name: str, *, query: str, emit_enabled: bool = False, **options: Unpack[CallOptions]
) -> Answer[None]:
    """Change the query of a projection."""
    given = ours.update_projection(name, query, emit=emit_enabled, **options)
    return Answer(given, nothing)


def delete_projection(
    ours: Ours,
    name: str,
    *,
    delete_emitted_streams: bool = False,
    delete_state_stream: bool = False,
    delete_checkpoint_stream: bool = False,
    **options: Unpack[CallOptions],
) -> Answer[None]:
    """Delete a projection, which must not run."""
    given = ours.delete_projection(
        name,
        state_stream=delete_state_stream,
        checkpoint_stream=delete_checkpoint_stream,
        emitted_streams=delete_emitted_streams,
        **options,
    )
    return Answer(given, nothing)


def enable_projection(ours: Ours, name: str, **options: Unpack[CallOptions]) -> Answer[None]:
    """Start a projection."""
    return Answer(ours.enable_projection(name, **options), nothing)


def disable_projection(ours: Ours, name: str, **options: Unpack[CallOptions]) -> Answer[None]:
    """Stop a projection, which writes a checkpoint."""
    return Answer(ours.disable_projection(name, **options), nothing)


def abort_projection(ours: Ours, name: str, **options: Unpack[CallOptions]) -> Answer[None]:
    """Stop a projection without a checkpoint."""
    return Answer(ours.abort_projection(name, **options), nothing)


def reset_projection(ours: Ours, name: str, **options: Unpack[CallOptions]) -> Answer[None]:
    """Have a projection begin anew."""
    return Answer(ours.reset_projection(name, **options), nothing)


def restart_projections_subsystem(ours: Ours, **options: Unpack[CallOptions]) -> Answer[None]:
    """Restart all projections."""
    return Answer(ours.restart_projections(**options), nothing)


def get_projection_state(
    ours: Ours, name: str, partition: str = "", **options: Unpack[CallOptions]
) -> Answer[ProjectionState]:
    """Return the state of a projection, or of one of its partitions."""
    given = ours.get_projection_state(name, partition or None, **options)
    return Answer(given, _state)


def _state(value: object) -> ProjectionState:
    return ProjectionState({} if value is None else value)  # as the server says it


def get_projection_statistics(ours: Ours, name: str, **options: Unpack[CallOptions]) -> Answer[ProjectionStatistics]:
    """Describe a projection."""
    given = ours.get_projection(name, **options)
    return Answer(given, values.their_projection)


def list_all_projection_statistics(ours: Ours, **options: Unpack[CallOptions]) -> Answer[list[ProjectionStatistics]]:
    """Describe all projections."""
    return Answer(ours.list_projections(**options), _projections)


def list_continuous_projection_statistics(
    ours: Ours, **options: Unpack[CallOptions]
) -> Answer[list[ProjectionStatistics]]:
    """Describe all continuous projections."""
    mode = esdb_lite.ProjectionMode.CONTINUOUS
    return Answer(ours.list_projections(mode, **options), _projections)


def _projections(found: Iterable[esdb_lite.ProjectionInfo]) -> list[ProjectionStatistics]:
    return [values.their_projection(info) for info in found]


def read_gossip(ours: Ours, **options: Unpack[CallOptions]) -> Answer[Sequence[ClusterMember]]:
    """Return the nodes of the cluster."""
    return Answer(ours.read_gossip(**options), _members)


def _members(found: Iterable[esdb_lite.ClusterNode]) -> Sequence[ClusterMember]:
    return tuple(map(values.their_member, found))
