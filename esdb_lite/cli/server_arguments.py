"""The commands that run a server, or that work on its file: what they understand.

Owns: their arguments and help. Must not know: how anything is done.
"""

from __future__ import annotations

import argparse
import os

from esdb_lite.cli.console_arguments import add_serve_web, port_number
from esdb_lite.cli.parser import CommandParser, Commands, add_command

_SERVE_EXAMPLES = """\
examples:
  esdb-lite serve                                  in memory, on 127.0.0.1:2113
  esdb-lite serve --db events.db                   kept in a file
  esdb-lite serve --web                            with a console for browsers, at http://127.0.0.1:2113/
  esdb-lite serve --host 0.0.0.0 --insecure        reachable from outside, by everybody
  esdb-lite serve --dev-certificate certificates   with TLS and users, for developing

passwords of the users admin and ops of a new database: ESDB_ADMIN_PASSWORD and ESDB_OPS_PASSWORD, else changeit.
SIGHUP makes a server with TLS read its certificate again.
"""


def add_server_commands(commands: Commands[CommandParser]) -> None:
    """Add them all."""
    serve = add_command(commands, "serve", "serve:serve", "run a server", epilog=_SERVE_EXAMPLES)
    _add_serve(serve)
    about = "see it work: writers, readers, a subscription, a restart (a few seconds)"
    add_command(commands, "demo", "esdb_lite.demo:demo", about)
    backup = _add_file(commands, "backup", "copy a database, also while a server uses it, and check the copy")
    backup.add_argument("target", metavar="TO", help="the copy; must not exist yet")
    backup.add_argument(
        "--salvage",
        action="store_true",
        help="copy what can still be read of a database that is damaged, or has lost its last appends",
    )
    _add_file(commands, "scavenge", "give back the space of deleted and expired events")
    _add_file(commands, "verify", "check a database; exit with 1 and say what is wrong if it has faults")


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run a server until SIGINT or SIGTERM. Prints one line on stdout when it is ready: the connection string. "
        "The log goes to stderr."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=port_number, default=2113, help="port; 0 picks a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--advertise-as",
        metavar="HOST[:PORT]",
        help="where clients that discover nodes are told that it is (default: where it listens)",
    )
    parser.add_argument("--db", metavar="PATH", help="database file, made if missing (default: in memory)")
    parser.add_argument(
        "--durability",
        choices=("full", "relaxed"),
        default="full",
        help="full: an acknowledged append survives a power cut; relaxed: it survives the end of the process, "
        "but a power cut may take the last of them (default: %(default)s)",
    )
    parser.add_argument(
        "--run-projections",
        choices=("none", "system", "all"),
        default="none",
        help="system: have the five system projections, which write $ce-..., $et-... and the like once they are "
        "enabled; all: JavaScript projections, too, which need the extra projections (default: %(default)s)",
    )
    parser.add_argument(
        "--start-standard-projections", action="store_true", help="enable the system projections at the start"
    )
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="serve without TLS on an address that others reach, where everybody may do everything",
    )
    _add_versions(parser.add_argument_group("versions", "What clients may expect of the server."))
    add_serve_web(parser.add_argument_group("web console", "With the extra web: pages at http://HOST:PORT/."))
    _add_tls(parser.add_argument_group("TLS and users", "With a certificate callers have to say who they are."))
    parser.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="warning",
        help="what goes to stderr (default: %(default)s)",
    )


def _add_versions(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--compatibility",
        choices=("24.10", "25.1", "26.1"),
        default="26.1",
        help="the server that it passes for: its version, methods and limits (default: %(default)s)",
    )
    for name, what in (("append", "all events of one append"), ("append-event", "one event")):
        variable = f"ESDB_MAX_{name.replace('-', '_').upper()}_SIZE"
        group.add_argument(
            f"--max-{name}-size",
            type=_size,
            default=os.environ.get(variable) or None,
            metavar="BYTES",
            help=f"how large {what} may be (default: {variable} of the environment, else as in that version)",
        )


def _add_tls(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--certificate-file", metavar="PEM", help="certificate of the server, with its chain")
    group.add_argument("--certificate-private-key-file", metavar="PEM", help="its key")
    group.add_argument(
        "--trusted-root-certificates-path",
        metavar="PATH",
        help="authorities (a file, or a folder of them) whose certificates clients may show",
    )
    group.add_argument(
        "--dev-certificate",
        metavar="DIR",
        help="instead: use the certificate for localhost in DIR, which is made if there is none (extra: tls)",
    )


def _add_file(commands: Commands[CommandParser], name: str, about: str) -> argparse.ArgumentParser:
    parser = add_command(commands, name, f"files:{name}", about)
    parser.add_argument("path", metavar="PATH", help="the database file")
    return parser


def _size(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 2**31:
        raise argparse.ArgumentTypeError(f"not a number of bytes between 1 and {2**31 - 1}: {text!r}")
    return int(text)
