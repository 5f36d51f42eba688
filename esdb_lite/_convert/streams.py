"""The cold calls of the Streams service: deleting a stream, so that it may come again or for ever.

Owns: these calls and their messages (Append, BatchAppend and Read are in `_wire`). Must not know: connections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from esdb_lite_protos.event_store.client import Empty, StreamIdentifier
from esdb_lite_protos.event_store.client import streams as pb

from esdb_lite.positions import ANY, EXISTS, NO_STREAM

if TYPE_CHECKING:
    from grpclib.client import Channel

_STATES = {NO_STREAM: "no_stream", ANY: "any", EXISTS: "stream_exists"}


async def delete(channel: Channel, stream_name: str, expected: int) -> int | None:
    """Delete a stream; return the commit position of that, None when the server does not tell it.

    `expected` is the number of the last event, or NO_STREAM, ANY, EXISTS.
    """
    options = pb.DeleteReqOptions(**_options(stream_name, expected))
    return _position(await pb.StreamsStub(channel).delete(pb.DeleteReq(options=options)))


async def tombstone(channel: Channel, stream_name: str, expected: int) -> int | None:
    """Delete a stream for ever, otherwise like `delete`."""
    options = pb.TombstoneReqOptions(**_options(stream_name, expected))
    return _position(await pb.StreamsStub(channel).tombstone(pb.TombstoneReq(options=options)))


def _options(stream_name: str, expected: int) -> dict[str, Any]:
    state = _STATES.get(expected)
    return {
        "stream_identifier": StreamIdentifier(stream_name=stream_name.encode()),
        **({"revision": expected} if state is None else {state: Empty()}),
    }


def _position(answer: pb.DeleteResp | pb.TombstoneResp) -> int | None:
    return answer.position.commit_position if answer.is_set("position") else None
