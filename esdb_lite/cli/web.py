"""`web`, and `serve --web`: the console of any server on a port of its own, or of our server on its port.

Owns: which client the console gets, when it begins and ends. Must not know: pages.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from esdb_lite import AsyncEsdbClient, EmbeddedServer
from esdb_lite.cli import OK, CommandFailed
from esdb_lite.cli.session import failures, uri_of
from esdb_lite.cli.signals import stop_on_signals
from esdb_lite.server.addresses import is_loopback, with_port

if TYPE_CHECKING:
    from esdb_lite.web.serving import ConsoleConnections

_MISSING = "the web console needs starlette, uvicorn and jinja2: pip install starlette uvicorn jinja2"


def web(options: argparse.Namespace) -> int:
    """Serve the console of a server until a signal ends it."""
    logging.basicConfig(stream=sys.stderr, level="WARNING", format="%(levelname)s %(name)s: %(message)s")
    if not (options.insecure or is_loopback(options.host)):
        raise CommandFailed(
            "the console speaks no TLS: whoever is between it and its visitors reads passwords and pages; "
            "have a proxy with TLS in front, or use --insecure if that is meant"
        )
    asyncio.run(_run(options))
    return OK


async def _run(options: argparse.Namespace) -> None:
    try:
        from esdb_lite.web import app
        from esdb_lite.web.serving import ConsoleServer
    except ImportError as error:
        raise CommandFailed(_MISSING) from error
    stop = asyncio.Event()
    stop_on_signals(stop)
    with failures():
        async with AsyncEsdbClient(uri_of(options.uri)) as client:
            login = False if options.no_login else None
            console = app(client, allow_changes=options.allow_changes, login=login, hosts=options.allowed_host)
            server = ConsoleServer(console)
            try:
                port = await server.start(options.host, options.port)
            except OSError as error:
                raise CommandFailed(f"cannot listen on {options.host}:{options.port}: {error.strerror}") from error
            watching = asyncio.ensure_future(console.watch())
            print(f"http://{with_port(options.host, port)}/", flush=True)
            try:
                await stop.wait()
            finally:
                watching.cancel()
                await server.stop()


@asynccontextmanager
async def serving_console(server: EmbeddedServer, *, allow_changes: bool, hosts: Sequence[str]) -> AsyncIterator[None]:
    """Run a server that is not running, with its console on its own port."""
    try:
        from esdb_lite.web import app
        from esdb_lite.web.serving import ConsoleConnections
    except ImportError as error:
        raise CommandFailed(_MISSING) from error
    opened: list[ConsoleConnections] = []
    server.hand_http1_to(lambda: opened[0].accept())
    async with server, AsyncEsdbClient(_own_uri(server)) as client:
        console = app(client, allow_changes=allow_changes, hosts=hosts)
        opened.append(ConsoleConnections(console, server.page))
        watching = asyncio.ensure_future(console.watch())
        try:
            yield
        finally:
            watching.cancel()
            await opened[0].close()


def _own_uri(server: EmbeddedServer) -> str:
    """How the console reaches the server: it is in this process, so that its certificate proves nothing."""
    return server.uri if "tlsCaFile" in server.uri or not server.secure else f"{server.uri}?tlsVerifyCert=false"
