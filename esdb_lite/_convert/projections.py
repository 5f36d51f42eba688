"""The Projections service: its calls, requests from arguments, values from answers.

Owns: the translation. Must not know: connections, which projections there are, what failures mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import betterproto
from betterproto.lib.google.protobuf import Value
from esdb_lite_protos.event_store.client import Empty
from esdb_lite_protos.event_store.client import projections as pb

from esdb_lite.events import JsonValue
from esdb_lite.projections import ProjectionInfo, ProjectionMode, ProjectionStatus, status_of

if TYPE_CHECKING:
    from grpclib.client import Channel

_EXACT = 2**53
"""Below this, numbers that are whole are told apart from their neighbours."""


async def create(
    channel: Channel, name: str, query: str, *, emit: bool, track_emitted_streams: bool, engine_version: int
) -> None:
    """Create a projection that goes on until it is deleted."""
    continuous = pb.CreateReqOptionsContinuous(name, emit, track_emitted_streams)
    options = pb.CreateReqOptions(continuous=continuous, query=query, engine_version=engine_version)
    await pb.ProjectionsStub(channel).create(pb.CreateReq(options=options))


async def create_transient(channel: Channel, name: str, query: str) -> None:
    """Create a projection that goes to the end of the log."""
    options = pb.CreateReqOptions(transient=pb.CreateReqOptionsTransient(name), query=query)
    await pb.ProjectionsStub(channel).create(pb.CreateReq(options=options))


async def update(channel: Channel, name: str, query: str, *, emit: bool) -> None:
    """Replace a query."""
    options = pb.UpdateReqOptions(name=name, query=query, emit_enabled=emit)
    await pb.ProjectionsStub(channel).update(pb.UpdateReq(options=options))


async def delete(
    channel: Channel, name: str, *, state_stream: bool, checkpoint_stream: bool, emitted_streams: bool
) -> None:
    """Delete a projection."""
    options = pb.DeleteReqOptions(name, emitted_streams, state_stream, checkpoint_stream)
    await pb.ProjectionsStub(channel).delete(pb.DeleteReq(options=options))


async def enable(channel: Channel, name: str) -> None:
    """Let a projection go on."""
    await pb.ProjectionsStub(channel).enable(pb.EnableReq(options=pb.EnableReqOptions(name)))


async def disable(channel: Channel, name: str, *, write_checkpoint: bool) -> None:
    """Stop a projection."""
    await pb.ProjectionsStub(channel).disable(pb.DisableReq(options=pb.DisableReqOptions(name, write_checkpoint)))


async def reset(channel: Channel, name: str) -> None:
    """Let a projection start over."""
    await pb.ProjectionsStub(channel).reset(pb.ResetReq(options=pb.ResetReqOptions(name, write_checkpoint=True)))


async def restart(channel: Channel) -> None:
    """Restart all projections."""
    await pb.ProjectionsStub(channel).restart_subsystem(Empty())


async def statistics_of(channel: Channel, name: str) -> list[ProjectionInfo]:
    """What is said of one projection: one answer, as long as it exists."""
    return await _statistics(channel, pb.StatisticsReqOptions(name=name))


async def statistics_of_all(channel: Channel, mode: ProjectionMode | None) -> list[ProjectionInfo]:
    """What is said of all projections, or of those of a mode."""
    asked = {
        None: pb.StatisticsReqOptions(all=Empty()),
        ProjectionMode.CONTINUOUS: pb.StatisticsReqOptions(continuous=Empty()),
        ProjectionMode.ONE_TIME: pb.StatisticsReqOptions(one_time=Empty()),
        ProjectionMode.TRANSIENT: pb.StatisticsReqOptions(transient=Empty()),
    }
    return await _statistics(channel, asked[mode])


async def _statistics(channel: Channel, options: pb.StatisticsReqOptions) -> list[ProjectionInfo]:
    return [
        _info(found.details)
        async for found in pb.ProjectionsStub(channel).statistics(pb.StatisticsReq(options=options))
    ]


async def state(channel: Channel, name: str, partition: str) -> JsonValue:
    """What a projection holds."""
    answer = await pb.ProjectionsStub(channel).state(pb.StateReq(options=pb.StateReqOptions(name, partition)))
    return _value(answer.state)


async def result(channel: Channel, name: str, partition: str) -> JsonValue:
    """What a projection has put out."""
    answer = await pb.ProjectionsStub(channel).result(pb.ResultReq(options=pb.ResultReqOptions(name, partition)))
    return _value(answer.result)


def _info(details: pb.StatisticsRespDetails) -> ProjectionInfo:
    status = status_of(details.status)
    faulted = status is ProjectionStatus.FAULTED
    return ProjectionInfo(
        name=details.name,
        mode=_MODES.get(details.mode, ProjectionMode.CONTINUOUS),
        status=status,
        status_text=details.status,
        fault=details.state_reason if faulted else None,
        progress=details.progress,
        position=details.position,
        last_checkpoint=details.last_checkpoint,
        version=details.version,
        epoch=details.epoch,
        partitions_cached=details.partitions_cached,
        events_processed=details.events_processed_after_restart,
        buffered_events=details.buffered_events,
        figures={name: getattr(details, name) for name in _FIGURES},
    )


_FIGURES = (
    *("core_processing_time", "effective_name", "reads_in_progress", "writes_in_progress", "checkpoint_status"),
    *("write_pending_events_before_checkpoint", "write_pending_events_after_checkpoint"),
)
"""What few ask for; the names are those of the protocol."""


_MODES: Mapping[str, ProjectionMode] = {mode.value: mode for mode in ProjectionMode}


def _value(value: Value) -> JsonValue:
    """A state or result; where there is none, servers answer with an empty object."""
    return _json(value) or None if betterproto.which_one_of(value, "kind")[0] == "struct_value" else _json(value)


def _json(value: Value) -> JsonValue:
    kind, _ = betterproto.which_one_of(value, "kind")
    if kind == "struct_value":
        return {name: _json(member) for name, member in value.struct_value.fields.items()}
    if kind == "list_value":
        return [_json(item) for item in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) < _EXACT else number
    if kind == "string_value":
        return value.string_value
    return value.bool_value if kind == "bool_value" else None
