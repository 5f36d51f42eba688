"""The Redaction service: listed as on every node of that version, and not offered.

Owns: that answer, and the names of the methods. Must not know: anything else.
"""

from __future__ import annotations

from collections.abc import Mapping

from esdb_lite._status import RpcError, StatusCode
from esdb_lite.server.handlers import Handler, ServerCall

METHODS = ("GetEventPositions", "SwitchChunks")


def refusing(service: str) -> Mapping[str, Handler]:
    """The handlers by path; the service has another name in newer versions."""
    return {f"/{service}/{method}": _refuse for method in METHODS}


async def _refuse(_: ServerCall) -> None:
    raise RpcError(StatusCode.UNIMPLEMENTED, "Redaction works on chunk files, which this server does not have.")
