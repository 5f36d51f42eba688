"""What the console is told on the command line, on a port of its own and on that of our server.

Owns: its arguments and help. Must not know: how it is served.
"""

from __future__ import annotations

import argparse

from esdb_lite.cli.parser import CommandParser


def add_web(parser: CommandParser) -> None:
    """Add the arguments of `web`."""
    parser.description = (
        "Show what is in a server, in a browser: any server. Needs the extra web.\n"
        "Runs until SIGINT or SIGTERM, and prints one line on stdout when it is ready: the address."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=port_number, default=2114, help="port; 0 picks a free one (%(default)s)")
    parser.add_argument(
        "--no-login",
        action="store_true",
        help="do not ask visitors who they are: everybody acts as the user of the connection string",
    )
    parser.add_argument(
        "--insecure", action="store_true", help="listen on an address that others reach: passwords pass in plain text"
    )
    _add_common(parser)


def add_serve_web(group: argparse._ArgumentGroup) -> None:
    """Add the arguments of `serve` that are about the console."""
    group.add_argument("--web", action="store_true", help="show what is in the server, in a browser, at its own port")
    _add_common(group)


def _add_common(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--allow-changes",
        action="store_true",
        help="let visitors change things, as far as their user may; otherwise they only look",
    )
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name by which browsers may call the console, besides addresses and localhost; can be repeated",
    )


def port_number(text: str) -> int:
    """Read a port. Raises ArgumentTypeError."""
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"not a port between 0 and 65535: {text!r}")
    return int(text)
