"""The console behind a port: a web server of its own, or the connections that another server hands over.

Owns: what uvicorn is told, how requests end when the server stops. Must not know: pages, signals.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import TypeAlias

import uvicorn
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from esdb_lite.web.console import WebConsole

_IDLE = 30
"""Seconds after which a connection is closed on which nothing is asked."""
_ENDING = 3.0
"""Seconds that requests have to end when the server stops."""
_MOST = 500
"""Connections at a time; requests on others are refused."""
TAKES_NOTHING = 20.0
"""Seconds after which a connection is cut off on which nothing is taken of what is sent."""

log = logging.getLogger("esdb_lite.web")


Pages: TypeAlias = Callable[[str], "tuple[str, bytes] | None"]
"""Content type and body at a path; None: there is no such page."""


class BesidePages:
    """An ASGI application around a console: pages of the server, which programs look at, and its sign of life."""

    def __init__(self, console: WebConsole, pages: Pages) -> None:
        self._console = console
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: Response | None = None
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            answer = self._answer(scope["path"])
        await (self._console if answer is None else answer)(scope, receive, send)

    def _answer(self, path: str) -> Response | None:
        if path == "/health/live":
            return Response(status_code=HTTPStatus.NO_CONTENT)
        if path == "/web" or path.startswith("/web/"):
            return RedirectResponse("/")
        found = self._pages(path)
        if found is None:
            return None
        return Response(found[1], headers={"content-type": found[0], "cache-control": "no-store"})


class BrowserConnection(H11Protocol):
    """A connection over HTTP/1.1 that is cut off when nothing is taken of what is sent on it."""

    _stalled: asyncio.TimerHandle | None = None
    _untaken = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Pause as soon as anything waits to be taken, so that whoever takes nothing is noticed."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=1, low=0)

    def pause_writing(self) -> None:
        """The socket does not take more for now."""
        super().pause_writing()
        self._untaken = self.transport.get_write_buffer_size()
        if self._stalled is None:
            self._stalled = self.loop.call_later(TAKES_NOTHING, self._look)

    def resume_writing(self) -> None:
        """The socket takes more again."""
        self._forget_stall()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self._forget_stall()
        super().connection_lost(exc)

    def _look(self) -> None:
        """See whether anything was taken since the last look."""
        left, before = self.transport.get_write_buffer_size(), self._untaken
        self._stalled, self._untaken = None, left
        if left >= before:
            log.info("a browser is cut off that has taken nothing for %g seconds", TAKES_NOTHING)
            self.transport.abort()
        else:
            self._stalled = self.loop.call_later(TAKES_NOTHING, self._look)

    def _forget_stall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


class ConsoleConnections:
    """The connections of browsers, whoever has accepted them: HTTP/1.1 by uvicorn."""

    def __init__(self, console: WebConsole, pages: Pages | None = None) -> None:
        """`pages`: what is said at a path by the server that the console belongs to; the console has the others."""
        self._console = console
        self._config = uvicorn.Config(
            console if pages is None else BesidePages(console, pages),
            http="h11",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            limit_concurrency=_MOST,
            timeout_keep_alive=_IDLE,
        )
        self._config.load()
        self._state = ServerState()

    def accept(self) -> asyncio.Protocol:
        """Make the protocol of one connection, on the running loop."""
        return BrowserConnection(self._config, self._state, {})

    async def close(self) -> None:
        """End live pages and idle connections, let requests end, and give up those that take too long."""
        self._console.stop()
        for connection in [*self._state.connections]:
            connection.shutdown()
        if tasks := [*self._state.tasks]:
            _, late = await asyncio.wait(tasks, timeout=_ENDING)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for connection in [*self._state.connections]:
            connection.transport.abort()


class ConsoleServer:
    """A web server with nothing but a console, on the running loop. Signals are for others."""

    def __init__(self, console: WebConsole) -> None:
        self._connections = ConsoleConnections(console)

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port (a free one for port 0). Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connections.accept, host or None, port)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Stop listening, and let requests end."""
        self._server.close()
        await self._connections.close()
        await self._server.wait_closed()
