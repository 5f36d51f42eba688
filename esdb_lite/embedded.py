"""An embedded server for a client whose connection string asks for one.

Owns: being the one place that knows both client and server. Imported only when it is needed.
"""

from __future__ import annotations

import secrets
from dataclasses import replace

from esdb_lite.server import EmbeddedServer
from esdb_lite.server.node import ServerSettings
from esdb_lite.server.services.tokens import TOKEN_HEADER
from esdb_lite.settings import Embedded


class PrivateServer(EmbeddedServer):
    """A server that answers only to who has its token: other programs of the machine reach its port, too."""

    def __init__(self, path: str | None) -> None:
        super().__init__(path)
        self._token = secrets.token_hex(32)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What calls have to bring."""
        return ((TOKEN_HEADER, self._token),)

    def _settings(self, port: int) -> ServerSettings:
        return replace(super()._settings(port), token=self._token)


async def start(settings: Embedded) -> PrivateServer:
    """Start a server on a port of its own, on this event loop. Raises what `EmbeddedServer` does."""
    server = PrivateServer(settings.path)
    await server.start_async()
    return server
