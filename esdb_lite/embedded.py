"""An embedded server for a client whose connection string asks for one.

Owns: being the one place that knows both client and server. Imported only when it is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

from esdb_lite.server import EmbeddedServer
from esdb_lite.settings import Embedded


@dataclass(frozen=True)
class RunningServer:
    """A server in this process, on the event loop of the client that has started it."""

    server: EmbeddedServer

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
    server = EmbeddedServer(settings.path)
    await server.start_async()
    return RunningServer(server)
