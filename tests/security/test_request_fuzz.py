"""Random requests to every method of every service: whatever they are, they get a status, and nothing fails inside.

Half of them are valid messages with random contents, the others have random changes of their bytes: wire types, numbers
of fields, lengths. Seeded.
"""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import random
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import betterproto
import esdb_lite_protos
import pytest

from esdb_lite import AsyncEsdbClient, EmbeddedServer, EsdbClientException, NewEvent
from esdb_lite._rpc.call import ClientCall
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite._wire.framing import frame
from esdb_lite.server.tls import DevCertificate
from tests.security.conftest import basic

DESTRUCTIVE = ("Shutdown", "RestartSubsystem")
NAMES = (
    "s",
    "g",
    "$all",
    "$$s",
    "$s",
    "user",
    "",
    "$by_category",
    "a" * 300,
    "\U0001f600",
    "^(a+)+$",
    "RoundRobin",
    "fromAll().when({$any(s, e) { linkTo('out', e) }})",
    "rec => true",
    "Append",
)


def methods() -> Iterator[tuple[str, type[betterproto.Message]]]:
    for package in pkgutil.walk_packages(esdb_lite_protos.__path__, "esdb_lite_protos."):
        module = importlib.import_module(package.name)
        for name in dir(module):
            base = getattr(module, name)
            if name.endswith("Base") and name != "ServiceBase":
                yield from ((path, about.request_type) for path, about in base().__mapping__().items())


METHODS = [(path, kind) for path, kind in methods() if path.rpartition("/")[2] not in DESTRUCTIVE]


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def message(chance: random.Random, kind: type[betterproto.Message], depth: int = 6) -> bytes:
    """A message with random contents, as bytes: what is unlikely in valid ones is in here, too."""
    about: Any = kind()._betterproto  # type: ignore[misc]
    parts = []
    for name, meta in about.meta_by_field_name.items():
        for _ in range(chance.choice((0, 1, 1, 1, 2))):
            parts.append(field(chance, about.cls_by_field.get(name), meta, depth))
    chance.shuffle(parts)
    return b"".join(parts)


def field(chance: random.Random, kind: Any, meta: Any, depth: int) -> bytes:
    wire_type = chance.choice((0, 1, 2, 5, 3)) if chance.random() < 0.05 else None
    if meta.proto_type in betterproto.WIRE_LEN_DELIM_TYPES:
        value = content(chance, kind, meta, depth)
        return _varint(meta.number << 3 | (2 if wire_type is None else wire_type)) + _varint(len(value)) + value
    number = chance.choice((0, 1, 2, 3, 10, 127, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1))
    if chance.random() < 0.05:
        packed = b"".join(_varint(number) for _ in range(3))
        return _varint(meta.number << 3 | 2) + _varint(len(packed)) + packed
    return _varint(meta.number << 3 | (wire_type or 0)) + _varint(number)


def content(chance: random.Random, kind: Any, meta: Any, depth: int) -> bytes:
    if meta.proto_type in (betterproto.TYPE_MESSAGE, betterproto.TYPE_MAP):
        nested = isinstance(kind, type) and issubclass(kind, betterproto.Message) and depth > 0
        return message(chance, kind, depth - 1) if nested else b""
    if chance.random() < 0.05:
        return chance.randbytes(chance.randint(0, 20))
    return chance.choice(NAMES).encode()


def broken(chance: random.Random, data: bytes) -> bytes:
    found = bytearray(data)
    for _ in range(chance.randint(0, 3)):
        at = chance.randrange(len(found) + 1)
        what = chance.randrange(4)
        if what == 0 and at < len(found):
            found[at] ^= 1 << chance.randrange(8)
        elif what == 1:
            del found[at : at + chance.randint(1, 4)]
        elif what == 2:
            found[at:at] = chance.randbytes(chance.randint(1, 4))
        else:
            found += chance.choice((b"\x0b", b"\xff" * 11, b"\x07", b"\x00", b"\x0c", bytes(found[:at])))
    return bytes(found)


async def call(node: ConnectionPool, path: str, requests: list[bytes]) -> None:
    made = ClientCall(node, path, deadline=Deadline(0.5), metadata=basic("admin", "changeit"))
    try:
        async with made:
            await made.send(frame(requests), end=True)
            while await made.receive():
                pass
    except EsdbClientException:
        pass


@pytest.fixture(params=["24.10", "26.1"])
async def server(certificate: DevCertificate, request: pytest.FixtureRequest) -> AsyncIterator[EmbeddedServer]:
    """With as many methods as there can be, and with those that most clients know."""
    folder = Path(certificate.authority).parent
    projections = "all" if find_spec("_quickjs") else "system"
    async with EmbeddedServer(
        dev_certificate=folder, run_projections=projections, compatibility=request.param
    ) as running:
        yield running


@pytest.mark.parametrize("seed", range(3))
async def test_random_requests(
    server: EmbeddedServer,
    admin: AsyncEsdbClient,
    node: ConnectionPool,
    caplog: pytest.LogCaptureFixture,
    seed: int,
) -> None:
    await admin.append_events("s", None, [NewEvent("T", b"{}") for _ in range(3)])
    await admin.create_subscription("g", "s")
    await admin.create_user("user", "pw")
    chance = random.Random(f"requests {seed}")
    for path, kind in METHODS:
        requests = []
        for number in range(30):
            data = message(chance, kind)
            requests.append([broken(chance, data) if number % 2 else data, *[message(chance, kind)] * (number % 3)])
        await asyncio.gather(*(call(node, path, request) for request in requests))
    failed = [record for record in caplog.records if record.exc_info]
    assert not failed, failed[0].getMessage() + str(failed[0].exc_info)
    await admin.append_events("after", None, [NewEvent("T", b"{}")])
    assert len([item async for item in admin.read_stream_events("after")]) == 1
