"""The recordings of a real server with TLS and authentication, replayed against this one.

The recorded server had projections. A server that runs them answers as it did; one without differs in exactly those
steps in which projections can be seen.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest

from esdb_lite.server.node import Security, ServerNode, ServerSettings
from esdb_lite.server.options import Compatibility, RunProjections
from esdb_lite.server.tls import dev_certificate
from tests.conformance.replaying import Clock, Skip, calls_projections, recorded_order, replay_folder
from tests.conformance.schema import Schema

pytest.importorskip("trustme", reason="trustme is not installed")

ROOT = Path(__file__).resolve().parent.parent.parent
SCHEMA = Schema(ROOT / "proto")
RECORDINGS = sorted((ROOT / "tests" / "goldens" / "tls").glob("*.json"), key=recorded_order)
assert len(RECORDINGS) == 7


async def replay(
    folder: Path,
    skip: Skip,
    *,
    projections: RunProjections,
    recordings: Sequence[Path] = RECORDINGS,
    compatibility: Compatibility = Compatibility.V24_10,
) -> list[str]:
    """What differs when the recordings are replayed against a fresh server."""
    certificate = dev_certificate(str(folder))
    context = ssl.create_default_context(cafile=certificate.authority)
    context.set_alpn_protocols(["h2"])
    clock = Clock()
    settings = ServerSettings(
        now=clock,
        security=Security(certificate.files),
        run_projections=projections,
        start_standard_projections=compatibility is not Compatibility.V24_10,
        compatibility=compatibility,
    )
    stack = await ServerNode.start(settings, lambda: None)
    try:
        return await replay_folder(SCHEMA, recordings, ("127.0.0.1", stack.port), clock, context, skip)
    finally:
        await stack.stop()


async def test_answers_are_the_same(tmp_path: Path) -> None:
    differences = await replay(tmp_path, lambda step: False, projections=RunProjections.ALL)
    assert differences == [], "\n".join(differences)


async def test_without_projections_only_what_shows_them_differs(tmp_path: Path) -> None:
    differences = await replay(tmp_path, calls_projections, projections=RunProjections.NONE)
    # Their events in the log, and their ten methods in the list of all.
    shown = [line for line in differences if "Streams/Read: Differs 7 messages, recorded 18" in line]
    listed = [line for line in differences if "ServerFeatures/GetSupportedMethods" in line]
    assert len(shown) == 1, "\n".join(differences)
    assert all(".methods: 33 messages, recorded 43" in line for line in listed), "\n".join(listed)
    assert (len(listed), len(differences)) == (9, 10), "\n".join(differences)


async def test_who_may_use_what_came_later(tmp_path: Path) -> None:
    differences = await replay(
        tmp_path,
        lambda step: False,
        projections=RunProjections.ALL,
        recordings=[ROOT / "tests" / "goldens" / "tls-26" / "unprivileged_v2.json"],
        compatibility=Compatibility.V26_1,
    )
    assert differences == [], "\n".join(differences)
