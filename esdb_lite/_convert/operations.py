"""The services about a node: Operations, Monitoring, and Directory, which only embedded servers have.

Owns: their calls, requests from arguments, values from answers. Must not know: connections, which node is asked.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from esdb_lite_protos.esdb_lite.directory import DirectoryStub, ListReq, ListReqKind
from esdb_lite_protos.event_store.client import Empty
from esdb_lite_protos.event_store.client import operations as pb
from esdb_lite_protos.event_store.client.monitoring import MonitoringStub, StatsReq, StatsResp

from esdb_lite.administration import ScavengeInfo, ScavengeState, Statistics
from esdb_lite.errors import ProtocolError

if TYPE_CHECKING:
    from grpclib.client import Channel

_LONGEST_PERIOD = 2**31 - 1
_STATES = (ScavengeState.STARTED, ScavengeState.IN_PROGRESS, ScavengeState.STOPPED)
_KINDS = {
    "streams": ListReqKind(ListReqKind.Streams),
    "categories": ListReqKind(ListReqKind.Categories),
    "types": ListReqKind(ListReqKind.EventTypes),
}


async def start_scavenge(channel: Channel, threads: int, first_chunk: int) -> ScavengeInfo:
    """Start a scavenge, unless one runs."""
    options = pb.StartScavengeReqOptions(thread_count=threads, start_from_chunk=first_chunk)
    return _scavenge(await pb.OperationsStub(channel).start_scavenge(pb.StartScavengeReq(options=options)))


async def stop_scavenge(channel: Channel, scavenge_id: str) -> ScavengeInfo:
    """Stop a scavenge."""
    options = pb.StopScavengeReqOptions(scavenge_id=scavenge_id)
    return _scavenge(await pb.OperationsStub(channel).stop_scavenge(pb.StopScavengeReq(options=options)))


def _scavenge(answer: pb.ScavengeResp) -> ScavengeInfo:
    number = int(answer.scavenge_result)
    if not 0 <= number < len(_STATES):
        raise ProtocolError(f"a scavenge is in the state {number}, which nobody knows")
    return ScavengeInfo(answer.scavenge_id, _STATES[number])


async def shutdown(channel: Channel) -> None:
    """Stop the server."""
    await pb.OperationsStub(channel).shutdown(Empty())


async def merge_indexes(channel: Channel) -> None:
    """Merge the files of the index."""
    await pb.OperationsStub(channel).merge_indexes(Empty())


async def resign(channel: Channel) -> None:
    """Have another node lead."""
    await pb.OperationsStub(channel).resign_node(Empty())


async def set_priority(channel: Channel, priority: int) -> None:
    """Say how much the node is to be preferred in an election."""
    await pb.OperationsStub(channel).set_node_priority(pb.SetNodePriorityReq(priority=priority))


async def statistics(channel: Channel) -> Statistics:
    """Return the first figures that a node tells, and hear no more of them."""
    asked = StatsReq(refresh_time_period_in_ms=_LONGEST_PERIOD)
    async with aclosing(cast("AsyncGenerator[StatsResp, None]", MonitoringStub(channel).stats(asked))) as answers:
        async for answer in answers:
            return answer.stats
    raise ProtocolError("the server has told no statistics")


async def names(channel: Channel, what: str, prefix: str, after: str, limit: int) -> tuple[list[str], str]:
    """Return a page of names, and where the next one begins (empty: nowhere)."""
    asked = ListReq(kind=_KINDS[what], prefix=prefix, after=after, limit=limit)
    answer = await DirectoryStub(channel).list(asked)
    return answer.names, answer.end
