"""A client for one command: which server it talks to, and what its failures mean for the exit status.

Owns: the connection string, errors as one line, Ctrl-C. Must not know: what the command does.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import os
from collections.abc import Awaitable, Callable

import esdb_lite
from esdb_lite.cli import OK, REFUSED, UNREACHABLE, WRONG, CommandFailed
from esdb_lite.cli.terminal import shown

Work = Callable[[esdb_lite.AsyncEsdbClient], Awaitable[int | None]]
Command = Callable[[esdb_lite.AsyncEsdbClient, argparse.Namespace], Awaitable[int | None]]


def uses_client(command: Command) -> Callable[[argparse.Namespace], int]:
    """Decorator: run a command with a client. It returns an exit status, or None for success."""

    @functools.wraps(command)
    def run(options: argparse.Namespace) -> int:
        return with_client(options, lambda client: command(client, options))

    return run


def with_client(options: argparse.Namespace, work: Work) -> int:
    """Run something with a client; returns the exit status of the command. Raises CommandFailed."""
    return asyncio.run(_run(uri_of(options.uri), work)) or OK


def uri_of(given: str | None) -> str:
    """Return the connection string: what is given, else that of the environment. Raises CommandFailed."""
    uri = given or os.environ.get("ESDB_URI")
    if not uri:
        raise CommandFailed("which server? Give a connection string (esdb://localhost:2113?tls=false), or set ESDB_URI")
    return uri


async def _run(uri: str, work: Work) -> int | None:
    with failures():
        async with esdb_lite.AsyncEsdbClient(uri) as client:
            return await work(client)


class failures:
    """Turns exceptions of the client into what the command ends with."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, esdb_lite.EsdbClientException):
            raise CommandFailed(shown(_text(error)), _status(error)) from error


def _text(error: esdb_lite.EsdbClientException) -> str:
    return str(error) or type(error).__name__


def _status(error: esdb_lite.EsdbClientException) -> int:
    if isinstance(
        error,
        (
            esdb_lite.InvalidUri,
            esdb_lite.InvalidArgument,
            esdb_lite.WrongArgumentType,
            esdb_lite.CredentialsUnavailable,
        ),
    ):
        return REFUSED
    return UNREACHABLE if isinstance(error, (esdb_lite.ServiceUnavailable, esdb_lite.DeadlineExceeded)) else WRONG
