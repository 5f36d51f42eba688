"""Deletes: what is asked for, and what is told."""

from __future__ import annotations

from typing import Any

import pytest
from esdb_lite_protos.event_store.client import Empty, StreamIdentifier
from esdb_lite_protos.event_store.client.streams import (
    DeleteReq,
    DeleteReqOptions,
    DeleteResp,
    DeleteRespPosition,
    TombstoneReq,
    TombstoneReqOptions,
    TombstoneResp,
    TombstoneRespPosition,
)

from esdb_lite._convert import streams
from tests.unit.peer import Peer

STREAM = StreamIdentifier("größe".encode())


@pytest.mark.parametrize(
    ("expected", "fields"),
    [
        (5, {"revision": 5}),
        (0, {"revision": 0}),
        (-1, {"no_stream": Empty()}),
        (-2, {"any": Empty()}),
        (-4, {"stream_exists": Empty()}),
    ],
)
async def test_deletes(peer: Peer, expected: int, fields: dict[str, Any]) -> None:
    peer.answer = bytes(DeleteResp(position=DeleteRespPosition(8, 8)))
    call = streams.delete(peer.channel, "größe", expected)
    request = await peer.asked(call, "Delete", DeleteReq)
    assert request == DeleteReq(DeleteReqOptions(stream_identifier=STREAM, **fields))
    peer.answer = bytes(TombstoneResp(position=TombstoneRespPosition(8, 8)))
    call = streams.tombstone(peer.channel, "größe", expected)
    tombstone = await peer.asked(call, "Tombstone", TombstoneReq)
    assert tombstone == TombstoneReq(TombstoneReqOptions(stream_identifier=STREAM, **fields))


async def test_what_is_told(peer: Peer) -> None:
    peer.answer = bytes(DeleteResp(position=DeleteRespPosition(8, 8)))
    assert await streams.delete(peer.channel, "s", 0) == 8
    peer.answer = bytes(DeleteResp(no_position=Empty()))
    assert await streams.delete(peer.channel, "s", 0) is None
    peer.answer = bytes(TombstoneResp(position=TombstoneRespPosition(9, 9)))
    assert await streams.tombstone(peer.channel, "s", 0) == 9
    peer.answer = b""
    assert await streams.tombstone(peer.channel, "s", 0) is None
