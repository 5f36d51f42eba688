"""Servers that belong to one client: calls of others are refused.

Owns: looking for the token. Must not know: where it comes from, users.
"""

from __future__ import annotations

import hmac

from esdb_lite._status import refusals
from esdb_lite.server.handlers import Handler, ServerCall

TOKEN_HEADER = "esdb-lite-token"


def with_token(token: str, handler: Handler) -> Handler:
    """Make a handler that serves only calls which bring the token."""

    async def handle(call: ServerCall) -> None:
        brought = call.metadata.get(TOKEN_HEADER, "")
        if not hmac.compare_digest(brought.encode("utf-8", "surrogatepass"), token.encode()):
            raise refusals.belongs_to_another()
        await handler(call)

    return handle
