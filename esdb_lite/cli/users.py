"""`users`: users of a server with authentication.

Owns: what of them is shown, and asking for passwords. Must not know: what users may do.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Awaitable, Callable

from esdb_lite import AsyncEsdbClient
from esdb_lite.cli import OK, CommandFailed
from esdb_lite.cli.session import with_client
from esdb_lite.cli.terminal import Output


def show_all(options: argparse.Namespace) -> int:
    """List them."""

    async def work(client: AsyncEsdbClient) -> int:
        found = await client.list_users(timeout=options.timeout)
        rows = [(each.login_name, each.full_name, list(each.groups), each.disabled) for each in found]
        Output(as_json=options.json).table(("login", "full_name", "groups", "disabled"), rows)
        return OK

    return with_client(options, work)


def _password() -> str:
    """Ask for a password twice, or read a line of stdin."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("password: ")
    if first != getpass.getpass("once more: "):
        raise CommandFailed("these were two passwords")
    return first


def create(options: argparse.Namespace) -> int:
    """Create one."""
    password = _password()
    return _do(
        options,
        lambda client: client.create_user(
            options.login, password, full_name=options.full_name, groups=options.groups, timeout=options.timeout
        ),
    )


def password(options: argparse.Namespace) -> int:
    """Replace a password."""
    new = _password()
    return _do(options, lambda client: client.reset_password(options.login, new, timeout=options.timeout))


def enable(options: argparse.Namespace) -> int:
    """Let one in again."""
    return _do(options, lambda client: client.enable_user(options.login, timeout=options.timeout))


def disable(options: argparse.Namespace) -> int:
    """Lock one out."""
    return _do(options, lambda client: client.disable_user(options.login, timeout=options.timeout))


def delete(options: argparse.Namespace) -> int:
    """Delete one."""
    return _do(options, lambda client: client.delete_user(options.login, timeout=options.timeout))


def _do(options: argparse.Namespace, call: Callable[[AsyncEsdbClient], Awaitable[None]]) -> int:
    async def work(client: AsyncEsdbClient) -> int:
        await call(client)
        return OK

    return with_client(options, work)
