"""The recordings of a real server with TLS and authentication, replayed against this one."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from esdb_lite.server.stack import Security, Settings, Stack
from esdb_lite.server.tls import dev_certificate
from tests.conformance.replaying import Clock, recorded_order, replay_folder
from tests.conformance.schema import Schema

pytest.importorskip("trustme", reason="trustme is not installed")

ROOT = Path(__file__).resolve().parent.parent.parent
SCHEMA = Schema(ROOT / "proto")
RECORDINGS = sorted((ROOT / "tests" / "goldens" / "tls").glob("*.json"), key=recorded_order)
assert len(RECORDINGS) == 7

# The recorded server had projections: their events, and their methods among those that it lists.
PROJECTIONS = ("fresh_database, step 1 Streams/Read", "ServerFeatures/GetSupportedMethods")


async def test_answers_are_the_same(tmp_path: Path) -> None:
    certificate = dev_certificate(str(tmp_path))
    context = ssl.create_default_context(cafile=certificate.authority)
    context.set_alpn_protocols(["h2"])
    clock = Clock()
    stack = await Stack.start(Settings(now=clock, security=Security(certificate.files)), lambda: None)
    try:
        differences = await replay_folder(SCHEMA, RECORDINGS, ("127.0.0.1", stack.port), clock, context)
    finally:
        await stack.stop()
    others = [line for line in differences if not any(known in line for known in PROJECTIONS)]
    assert not others, "\n".join(others)
    assert len(differences) == 10
