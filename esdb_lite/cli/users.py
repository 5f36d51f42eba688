"""`users`: users of a server with authentication.

Owns: what of them is shown, and asking for passwords. Must not know: what users may do.
"""

from __future__ import annotations

import argparse
import getpass
import sys

from esdb_lite import AsyncEsdbClient
from esdb_lite.cli import CommandFailed
from esdb_lite.cli.session import uses_client, with_client
from esdb_lite.cli.terminal import Output


@uses_client
async def show_all(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """List them."""
    found = await client.list_users(timeout=options.timeout)
    rows = [(each.login_name, each.full_name, list(each.groups), each.disabled) for each in found]
    Output(as_json=options.json).table(("login", "full_name", "groups", "disabled"), rows)


def _password() -> str:
    """Ask for a password twice, or read a line of stdin."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("password: ")
    if first != getpass.getpass("once more: "):
        raise CommandFailed("the two passwords are not the same")
    return first


def create(options: argparse.Namespace) -> int:
    """Create one."""
    password = _password()
    return with_client(
        options,
        lambda client: client.create_user(
            options.login, password, full_name=options.full_name, groups=options.groups, timeout=options.timeout
        ),
    )


def password(options: argparse.Namespace) -> int:
    """Replace a password."""
    new = _password()
    return with_client(options, lambda client: client.reset_password(options.login, new, timeout=options.timeout))


@uses_client
async def enable(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Let one in again."""
    await client.enable_user(options.login, timeout=options.timeout)


@uses_client
async def disable(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Lock one out."""
    await client.disable_user(options.login, timeout=options.timeout)


@uses_client
async def delete(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Delete one."""
    await client.delete_user(options.login, timeout=options.timeout)
