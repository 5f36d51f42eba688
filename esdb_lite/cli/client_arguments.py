"""The commands that talk to a server: what they understand.

Owns: their arguments and help, and telling a connection string from what may stand in its place. Must not know: how
anything is done.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Sequence

from esdb_lite.cli.console_arguments import add_web
from esdb_lite.cli.parser import CommandParser, Commands, add_command, add_group

_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+):\d{1,5}(,.*)?")

_READ_EXAMPLES = """\
examples:
  esdb-lite read localhost:2113 order-1 --limit 10
  esdb-lite read --backwards --limit 20                 the last events of all streams (server: ESDB_URI)
  esdb-lite read --type OrderPlaced --json | jq .data
"""
_APPEND_EXAMPLES = """\
examples:
  esdb-lite append order-1 OrderPlaced '{"total": 5}'
  esdb-lite append order-1 OrderPaid '{}' --expect 0
  esdb-lite read order-1 | esdb-lite append order-2     JSON lines: type, data, metadata, id

Lines from stdin are appended as one transaction.
"""
_EXPORT_EXAMPLES = """\
examples:
  esdb-lite export events.jsonl.gz                      all events but the server's own
  esdb-lite export orders.jsonl --category order
  esdb-lite export events.jsonl.gz --resume             go on where it was interrupted
  esdb-lite import localhost:2114 events.jsonl.gz       again after an interruption: it goes on, too
"""


def _positional(parser: CommandParser, *names: str) -> None:
    """Declare what stands behind the connection string, which may be missing; names in brackets may be missing, too."""
    for name in ("[uri]", *names):
        word = name.strip("[]")
        about = "connection string (default: ESDB_URI)" if word == "uri" else _ABOUT.get(word, "")
        parser.add_argument(word, metavar=word.upper(), nargs="?", help=about)
    shown = " ".join(name.upper() for name in ("[uri]", *names))
    parser.usage = f"%(prog)s {shown} [options]"
    parser.set_defaults(settle=_settling(names))


_ABOUT = {
    "stream": "name of a stream; $all: all events",
    "type": "type of the event; without it, events are read from stdin",
    "data": "its data, as JSON or any text",
    "file": "path, - for stdin or stdout; compressed if it ends in .gz",
    "group": "name of the persistent subscription",
    "name": "its name",
    "login": "name to log in with",
    "query": "JavaScript, or @PATH of a file with it",
    "target": "connection string of the server that gets the events",
    "value": "JSON of the new metadata; without it, the metadata is shown",
}


def _settling(names: tuple[str, ...]) -> Callable[[argparse.Namespace, Sequence[str]], None]:
    """Return a function that finds out what each word was, the first of which may be a connection string."""

    def settle(options: argparse.Namespace, more: Sequence[str]) -> None:
        words = ["uri", *(name.strip("[]") for name in names)]
        given: list[str | None] = [value for word in words if (value := getattr(options, word)) is not None]
        given.extend(more)
        if not given or not _is_uri(given[0] or "", alone=len(given) < len(words)):
            given.insert(0, None)
        if len(given) > len(words):
            options.parser.error(_too_much(options.parser, given))
        for index, word in enumerate(words):
            setattr(options, word, given[index] if index < len(given) else None)
        if names == ("target",) and options.target is None:  # the server is that of the environment
            options.uri, options.target = None, options.uri
        for name in names:
            if not name.startswith("[") and getattr(options, name) is None:
                options.parser.error(f"{name.upper()} is missing")

    return settle


def _too_much(parser: CommandParser, given: Sequence[str | None]) -> str:
    """What is said about words of which the last one has no place; it may belong to an option."""
    first = "" if given[0] else f"{given[1]!r} is not a connection string"
    last = f"unexpected argument {given[-1]!r}" if given[0] or len(given) > 2 else ""
    option = next((each for each in ("--partition", "--stream") if each in parser._option_string_actions), None)
    hint = f"; if it is a {option.strip('-')}, use {option} {given[-1]}" if option else ""
    return ", and ".join(filter(None, (first, last))) + hint


def _is_uri(word: str, *, alone: bool) -> bool:
    """Whether a word is a connection string; a host with a port may be the name of a stream instead.

    `alone`: the connection string may be missing.
    """
    if "://" in word or word.startswith("esdb+embedded:"):
        return True
    return bool(_HOST_AND_PORT.fullmatch(word)) and not (alone and os.environ.get("ESDB_URI"))


def _number(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"not a whole number of at least {least}: {text!r}")
        return int(text)

    return number


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"not a number of seconds: {text!r}")
    return value


def _expectation(text: str) -> int | str:
    if text in ("any", "none", "exists"):
        return text
    return _number(0)(text)


def add_client_commands(commands: Commands[CommandParser]) -> None:
    """Add them all."""
    _add_reading(commands)
    _add_writing(commands)
    _add_node(commands)
    _add_groups(commands)
    _add_users(commands)
    _add_projections(commands)
    _add_transfer(commands)


def _common(
    parser: CommandParser,
    *,
    json: str = "a JSON object a line, also on a terminal",
    timeout: str = "for each call (default: none)",
) -> None:
    parser.add_argument("--json", action="store_true", help=json)
    parser.add_argument("--timeout", type=_seconds, metavar="SECONDS", help=timeout)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("which events", "Of all streams; the server looks for them.")
    group.add_argument("--type", dest="types", action="append", metavar="TYPE", help="of this type (repeatable)")
    group.add_argument("--category", action="append", metavar="NAME", help="of streams NAME-... (repeatable)")
    group.add_argument("--filter", metavar="REGEX", help="of types that match, anywhere, this regular expression")
    group.add_argument("--stream-filter", metavar="REGEX", help="of streams whose names match")
    group.add_argument("--system", action="store_true", help="also the server's own, whose types begin with $")


def _add_shown(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--raw", action="store_true", help="only the data, as it is")
    parser.add_argument("--resolve-links", action="store_true", help="show the events that links point to")


def _add_reading(commands: Commands[CommandParser]) -> None:
    read = add_command(commands, "read", "reading:read", "show events of a stream or of all", epilog=_READ_EXAMPLES)
    _positional(read, "[stream]")
    where = "position to begin at: in a stream, or a commit position"
    read.add_argument("--from", dest="start", type=_number(0), metavar="POSITION", help=where)
    read.add_argument("--limit", type=_number(0), metavar="N", help="how many events (default: all)")
    read.add_argument("--backwards", action="store_true", help="the last ones first")
    _add_shown(read)
    _add_filters(read)
    _common(read)
    tail = add_command(commands, "tail", "reading:tail", "show events as they are appended")
    _positional(tail, "[stream]")
    tail.add_argument("--from", dest="start", type=_number(0), metavar="POSITION", help="begin behind it, not now")
    tail.add_argument("--limit", type=_number(0), metavar="N", help="end after so many events")
    _add_shown(tail)
    _add_filters(tail)
    _common(tail, timeout="end when no event has come for so long (default: never); with --limit, that is a failure")
    streams = add_command(commands, "streams", "names:streams", "list streams, categories or types of events")
    _positional(streams)
    streams.add_argument("--prefix", default="", help="names that begin like this; those with $ only if this has it")
    streams.add_argument("--limit", type=_number(0), metavar="N", help="so many")
    what = streams.add_mutually_exclusive_group()
    what.add_argument("--categories", action="store_true", help="categories: names up to the first hyphen")
    what.add_argument("--types", action="store_true", help="types of events")
    _common(streams)


def _add_writing(commands: Commands[CommandParser]) -> None:
    append = add_command(commands, "append", "writing:append", "append events to a stream", epilog=_APPEND_EXAMPLES)
    _positional(append, "stream", "[type]", "[data]")
    append.add_argument("--metadata", metavar="JSON", help="metadata of the event")
    append.add_argument("--id", metavar="UUID", help="id of the event (default: a random one)")
    append.add_argument("--text", action="store_true", help="DATA is a text and no JSON, whatever it looks like")
    _add_expectation(append, "any, none, exists, or the number of its last event (default: any)")
    _common(append)
    metadata = add_command(commands, "metadata", "writing:metadata", "show or replace the metadata of a stream")
    _positional(metadata, "stream", "[value]")
    _common(metadata)
    for name, about in (
        ("delete", "delete a stream; it can be written again"),
        ("tombstone", "delete a stream for ever, its name included"),
    ):
        parser = add_command(commands, name, f"writing:{name}", about)
        _positional(parser, "stream")
        _add_expectation(parser, "any, exists, or the number of its last event (default: any)")
        _common(parser)


def _add_expectation(parser: CommandParser, about: str) -> None:
    parser.add_argument("--expect", type=_expectation, default="any", metavar="STATE", help=f"of the stream: {about}")


def _add_node(commands: Commands[CommandParser]) -> None:
    ping = add_command(commands, "ping", "node:ping", "see whether a server answers, and how soon")
    info = add_command(commands, "info", "node:info", "show a server's version, and the nodes of its cluster")
    stats = add_command(commands, "stats", "node:stats", "show a server's figures")
    for parser in (ping, info, stats):
        _positional(parser)
        _common(parser)
    web = add_command(commands, "web", "web:web", "show what is in a server, in a browser")
    _positional(web)
    add_web(web)
    ping.add_argument("--count", type=_number(1), default=1, metavar="N", help="how often (default: %(default)s)")
    stats.add_argument("--follow", action="store_true", help="again and again")
    stats.add_argument("--interval", type=_seconds, default=1.0, metavar="SECONDS", help="how often (default: 1)")
    stats.add_argument("--prefix", default="", help="only figures whose names begin like this")


def _add_groups(commands: Commands[CommandParser]) -> None:
    groups = add_group(commands, "groups", "persistent subscriptions: list them, their parked events, replay")
    listed = add_command(groups, "list", "groups:show_all", "list them")
    listed.add_argument("--stream", help="only those of this stream")
    _positional(listed)
    for name, about in (
        ("info", "show one, with its consumers"),
        ("create", "create one"),
        ("delete", "delete one"),
        ("parked", "show its parked events, with the reasons"),
        ("replay", "deliver its parked events again"),
        ("truncate", "throw its parked events away"),
    ):
        parser = add_command(groups, name, f"groups:{name}", about)
        _positional(parser, "group")
        parser.add_argument("--stream", help="its stream (default: all events)")
        if name == "create":
            parser.add_argument("--from", dest="start", type=_number(0), metavar="POSITION", help="where it begins")
            parser.add_argument("--from-end", action="store_true", help="with the next event")
        _common(parser)
    _common(listed)


def _add_users(commands: Commands[CommandParser]) -> None:
    users = add_group(commands, "users", "users of a server with authentication")
    listed = add_command(users, "list", "users:show_all", "list them")
    _positional(listed)
    _common(listed)
    for name, about in (
        ("create", "create one; the password is asked for, or read from stdin"),
        ("password", "replace a password; it is asked for, or read from stdin"),
        ("enable", "let one log in again"),
        ("disable", "lock one out"),
        ("delete", "delete one"),
    ):
        parser = add_command(users, name, f"users:{name}", about)
        _positional(parser, "login")
        if name == "create":
            parser.add_argument("--full-name", default="", help="the name to show")
            parser.add_argument("--group", dest="groups", action="append", default=[], help="$admins, $ops, others")
        _common(parser)


_AGAIN = {"create": "", "update": "; to be said again, servers do not keep it"}


def _add_projections(commands: Commands[CommandParser]) -> None:
    projections = add_group(commands, "projections", "projections: list, create and steer them, see their state")
    listed = add_command(projections, "list", "projections:show_all", "list them")
    _positional(listed)
    _common(listed)
    for name, about in (
        ("info", "show one"),
        ("state", "show what it holds"),
        ("result", "show what has come out"),
        ("create", "create one"),
        ("enable", "have it run"),
        ("disable", "stop it"),
        ("abort", "stop it at once; enabled again, it goes on from its last checkpoint"),
        ("wait", "wait until it has caught up"),
        ("update", "replace its query; it goes on where it is"),
        ("reset", "have it begin anew"),
        ("delete", "delete one"),
    ):
        parser = add_command(projections, name, f"projections:{name}", about)
        _positional(parser, "name", *(("query",) if name in ("create", "update") else ()))
        if name in ("create", "update"):
            parser.add_argument("--emit", action="store_true", help="it may write events and links" + _AGAIN[name])
        if name == "wait":
            about = "until it has come to the event at this commit position (`append` shows it)"
            parser.add_argument("--position", type=_number(0), metavar="POSITION", help=about)
        if name in ("state", "result"):
            parser.add_argument("--partition", help="that of this partition")
        _common(parser)
    query = add_command(commands, "query", "projections:query", "run a query in JavaScript, and show its result")
    _positional(query, "query")
    _common(query)


def _add_transfer(commands: Commands[CommandParser]) -> None:
    export = add_command(
        commands, "export", "export:export", "write events to a file, one JSON object a line", epilog=_EXPORT_EXAMPLES
    )
    _positional(export, "file")
    export.add_argument("--stream", help="only those of this stream")
    export.add_argument("--from", dest="start", type=_number(0), metavar="POSITION", help="commit position to begin at")
    export.add_argument("--limit", type=_number(0), metavar="N", help="so many events")
    export.add_argument("--resume", action="store_true", help="go on behind what the file has")
    imported = add_command(commands, "import", "importing:import_file", "append the events of a file, with their ids")
    _positional(imported, "file")
    copy = add_command(commands, "copy", "importing:copy", "append the events of one server to another, with their ids")
    _positional(copy, "target")
    copy.add_argument("--from", dest="start", type=_number(0), metavar="POSITION", help="commit position to begin at")
    for parser in (export, copy):
        _add_filters(parser)
    for parser in (imported, copy):
        parser.add_argument(
            "--by-stream",
            action="store_true",
            help="append the events of a stream together: quicker where the server is not an embedded one,"
            " but events of different streams change places",
        )
    for parser in (export, imported, copy):
        _common(parser, json="the counts as a JSON object on stdout")
