"""An embedded server for a client whose connection string asks for one.

Owns: being the one place that knows both client and server. Imported only when it is needed.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from esdb_lite.server import EmbeddedServer
from esdb_lite.server.node import ServerSettings
from esdb_lite.server.services.tokens import TOKEN_HEADER
from esdb_lite.settings import Embedded


class PrivateServer(EmbeddedServer):
    """A server that answers only to who has its token: other programs of the machine reach its port, too."""

    def __init__(self, path: str | None) -> None:
        super().__init__(path)
        self.token = secrets.token_hex(32)

    def _settings(self, port: int) -> ServerSettings:
        return replace(super()._settings(port), token=self.token)


@dataclass(frozen=True)
class RunningServer:
    """A server in this process, on the event loop of the client that has started it."""

    server: PrivateServer

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What calls have to bring."""
        return ((TOKEN_HEADER, self.server.token),)

    @property
    def host(self) -> str:
        """Where it listens."""
        return self.server.host

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server.port

    async def stop(self) -> None:
        """Stop it, when its client is closed."""
        await self.server.stop_async()


async def start(settings: Embedded) -> RunningServer:
    """Start a server on a port of its own. Raises what `EmbeddedServer` does."""
    server = PrivateServer(settings.path)
    await server.start_async()
    return RunningServer(server)
