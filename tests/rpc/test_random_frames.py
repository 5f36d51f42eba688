"""Frames that make no sense, in any order: they end a connection, and nothing else."""

from __future__ import annotations

import random

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection

from esdb_lite._http2.client import ClientProtocol
from tests.rpc.pair import ANSWER, HEADERS, Wire

PAYLOADS = [b"\x88", bytes(4), b"\0\0\0\1", b"\xff" * 8, b"\0\4\xff\xff\xff\xff", b"\0\5\0\0\0\0", bytes(8)]


class Deaf:
    """A call that wants to know nothing."""

    def answered(self) -> None: ...
    def ended(self) -> None: ...
    def reset(self, code: int) -> None: ...
    def lost(self, reason: str) -> None: ...
    def refused(self, reason: str) -> None: ...
    def forewarned(self, reason: str) -> None: ...


def frame(rng: random.Random) -> bytes:
    kind = rng.choice([0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 77])
    flags, stream = rng.choice([0, 1, 4, 5, 8, 9, 0x20, 0x2C, 255]), rng.choice([0, 1, 3, 5, 2, 7, 99, 2**31 - 1])
    payload = rng.choice(PAYLOADS) if rng.random() < 0.4 else rng.randbytes(rng.choice([0, 1, 4, 5, 6, 8, 12, 30]))
    size = len(payload) if rng.random() < 0.9 else rng.choice([0, 1, 2**24 - 1, len(payload) + 1])
    return size.to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


@pytest.mark.parametrize("seeds", [range(at, at + 200) for at in range(0, 1000, 200)], ids=str)
async def test_nothing_escapes(seeds: range) -> None:
    for seed in seeds:
        rng, wire, protocol = random.Random(seed), Wire(), ClientProtocol()
        protocol.connection_made(wire)
        peer = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        peer.initiate_connection()
        protocol.data_received(peer.data_to_send())
        streams = [protocol.open_stream(Deaf(), HEADERS) for _ in range(3)]
        protocol.flush()
        peer.receive_data(wire.take())
        for stream in streams[: rng.randrange(4)]:
            peer.send_headers(stream.id or 0, ANSWER)
        protocol.data_received(peer.data_to_send())
        for _ in range(rng.randrange(1, 12)):
            protocol.data_received(frame(rng))
        protocol.connection_lost(None)
        assert protocol.lost
