"""The command line's grammar: commands, their arguments, and what is said about wrong ones.

Owns: the parser and its manners. Must not know: what a command does; it is imported when it is called.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import NoReturn

from esdb_lite._version import __version__
from esdb_lite.cli import OK, REFUSED

_ABOUT = "EventStoreDB and KurrentDB from a shell: look at any server, move its events, and run one on SQLite."
_STATUSES = """\
servers are named by connection strings: esdb://localhost:2113?tls=false, localhost:2113, or
esdb+embedded:///path/events.db for a file that no server uses; by default that in ESDB_URI

exit statuses:
  0    done; serve: stopped by SIGINT or SIGTERM
  1    the command ran and something is wrong (verify: the file has faults; others: the server has refused, and why)
  2    it could not run: wrong arguments, port in use, file unreadable, not a database of ours, or of a later version
  3    the server cannot be reached, or does not answer in time
  130  interrupted by Ctrl-C
  141  nobody reads the output any more
"""

Commands = argparse._SubParsersAction


class CommandParser(argparse.ArgumentParser):
    """A parser that says what is wrong on one line, with what may have been meant."""

    def error(self, message: str) -> NoReturn:
        """Say it, and exit."""
        choice = re.match(r"argument (.*?): invalid choice: '(.*?)' \(choose from (.*)\)", message, re.S)
        if choice:
            known = re.findall(r"[\w-]+", choice[3])
            message = f"{choice[1]}: there is no {choice[2]!r}{_meant(choice[2], known)}"
        own = "" if self.prog == "esdb-lite" else f" and {self.prog} --help"
        self.exit(REFUSED, f"{self.prog}: {message}\n(see esdb-lite --help{own})\n")

    def refuse_unknown(self, words: Sequence[str]) -> NoReturn:
        """Say which arguments are unknown, and exit."""
        known = [option for action in self._actions for option in action.option_strings]
        option = next((word for word in words if word.startswith("-")), None)
        if option is None:
            self.error(f"unknown argument: {words[0]}")
        self.error(f"unknown option: {option}{_meant(option.partition('=')[0], known)}")


def _meant(word: str, known: Iterable[str]) -> str:
    found = get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {found[0]!r}?" if found else ""


def add_command(
    commands: Commands[CommandParser], name: str, function: str, about: str, *, epilog: str | None = None
) -> CommandParser:
    """Add a command, done by a function: `module:name`, in this package unless it has a dot."""
    parser = commands.add_parser(
        name,
        help=about,
        description=f"{about[0].upper()}{about[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(function=function, parser=parser)
    return parser


def add_group(commands: Commands[CommandParser], name: str, about: str) -> Commands[CommandParser]:
    """Add a command that has commands of its own."""
    parser = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.", allow_abbrev=False)
    return parser.add_subparsers(dest="action", required=True, metavar="ACTION")


def parser() -> CommandParser:
    """Return the whole of it."""
    from esdb_lite.cli.client_arguments import add_client_commands
    from esdb_lite.cli.server_arguments import add_server_commands

    made = CommandParser(
        prog="esdb-lite",
        description=_ABOUT,
        epilog=_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--version", action="version", version=f"esdb-lite {__version__}")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_client_commands(commands)
    add_server_commands(commands)
    return made


def command_line(arguments: Sequence[str]) -> int:
    """Do what a command line says; returns the exit status. Raises CommandFailed, SystemExit for wrong arguments."""
    made = parser()
    _complete(made)
    if not arguments:
        made.print_help()
        return OK
    options, unknown = made.parse_known_args(arguments)
    settle = getattr(options, "settle", None)
    # argparse takes no more of the words that may be missing once an option has come between them
    if unknown and (settle is None or any(word.startswith("-") for word in unknown)):
        options.parser.refuse_unknown(unknown)
    if settle is not None:
        settle(options, unknown)
    module, _, name = options.function.partition(":")
    found = import_module(module if "." in module else f"esdb_lite.cli.{module}")
    return int(getattr(found, name)(options))


def _complete(made: argparse.ArgumentParser) -> None:
    """Answer the shell, where it asks what may come next."""
    if "_ARGCOMPLETE" in __import__("os").environ and "argcomplete" not in sys.modules:
        try:
            argcomplete = import_module("argcomplete")
        except ImportError:
            return
        argcomplete.autocomplete(made)
