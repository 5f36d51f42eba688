"""`serve`: a server in this process until a signal ends it.

Owns: signals, the line on stdout, the log. Must not know: what the server does.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import re
import signal
import sys
from contextlib import AbstractAsyncContextManager

from esdb_lite.cli import OK, CommandFailed
from esdb_lite.cli.signals import stop_on_signals
from esdb_lite.server import EmbeddedServer
from esdb_lite.server.addresses import is_loopback
from esdb_lite.server.app.limits import raise_handle_limit
from esdb_lite.server.errors import ServerStartError

log = logging.getLogger("esdb_lite.server")

_SWITCH_INTERVAL = 0.0005
"""Seconds after which a thread that computes lets others have the interpreter. (Python's default is 0.005.) The thread
that writes needs it between two calls of SQLite, and appends wait for that thread."""

_COLLECT_AFTER = 5_000
"""Objects after which the garbage collector looks for cycles, of which there are few. (Python's default is 700, which
is reached several times by the events of one message, all of which it would look at.)"""


def serve(options: argparse.Namespace) -> int:
    """Serve until a signal or a client's Shutdown, then stop cleanly; a second signal ends the process at once."""
    logging.basicConfig(
        stream=sys.stderr,
        level=options.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    sys.setswitchinterval(_SWITCH_INTERVAL)
    raise_handle_limit()
    try:
        asyncio.run(_run(_server(options), options))
    except ServerStartError as error:
        raise CommandFailed(str(error)) from error
    return OK


def _server(options: argparse.Namespace) -> EmbeddedServer:
    if not options.web and (options.allow_changes or options.allowed_host):
        raise CommandFailed("--allow-changes and --allowed-host are about the console: --web is missing")
    if not (options.insecure or options.certificate_file or options.dev_certificate or is_loopback(options.host)):
        raise CommandFailed(
            f"without TLS, whoever reaches {options.host or 'this machine'} may do everything: "
            "use a certificate, or --insecure if that is meant"
        )
    try:
        return EmbeddedServer(
            options.db,
            host=options.host,
            port=options.port,
            durability=options.durability,
            certificate_file=options.certificate_file,
            certificate_private_key_file=options.certificate_private_key_file,
            trusted_root_certificates_path=options.trusted_root_certificates_path,
            dev_certificate=options.dev_certificate,
            run_projections=options.run_projections,
            compatibility=options.compatibility,
            max_append_size=options.max_append_size,
            max_append_event_size=options.max_append_event_size,
            start_standard_projections=options.start_standard_projections,
            insecure=options.insecure,
            advertise_as=options.advertise_as,
        )
    except ValueError as error:
        # The options have the names of the arguments.
        raise CommandFailed(re.sub(r"\b[a-z]+(_[a-z]+)+\b", _option_name, str(error))) from error


def _option_name(argument: re.Match[str]) -> str:
    return "--" + argument[0].replace("_", "-")


async def _run(server: EmbeddedServer, options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    stop_on_signals(stop)
    async with server if not options.web else _with_console(server, options):
        _reload_on_signal(server)
        if hasattr(gc, "freeze"):  # what is there now stays, and the garbage collector takes 30 ms to look at it
            gc.collect()
            gc.freeze()
            gc.set_threshold(_COLLECT_AFTER)
        print(server.uri, flush=True)
        if options.web:
            print(f"console: {_console_address(server)}", file=sys.stderr, flush=True)
        waiting = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(server.wait_stopped())]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        log.info("%s ends the server", "a signal" if stop.is_set() else "a client")
        for waiter in waiting:
            waiter.cancel()


def _console_address(server: EmbeddedServer) -> str:
    host = server.uri.partition("://")[2].partition("?")[0].rstrip("/")
    return f"{'https' if server.secure else 'http'}://{host}/"


def _with_console(server: EmbeddedServer, options: argparse.Namespace) -> AbstractAsyncContextManager[None]:
    """Run a server with its console."""
    from esdb_lite.cli.web import serving_console

    return serving_console(server, allow_changes=options.allow_changes, hosts=options.allowed_host)


def _reload_on_signal(server: EmbeddedServer) -> None:
    """SIGHUP, where there is one, makes the server read its certificate again."""

    def reload() -> None:
        try:
            server.reload_certificate()
        except ServerStartError as error:
            log.error("the certificate was not changed: %s", error)
        else:
            log.info("the certificate was read again")

    if server.secure and hasattr(signal, "SIGHUP"):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
