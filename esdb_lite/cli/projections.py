"""`projections` and `query`: JavaScript that a server runs.

Owns: what of them is shown. Must not know: how they run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from esdb_lite import AsyncEsdbClient, ProjectionInfo
from esdb_lite.cli import OK, WRONG, CommandFailed
from esdb_lite.cli.session import with_client
from esdb_lite.cli.terminal import Output, as_json, shown


def show_all(options: argparse.Namespace) -> int:
    """List them."""

    async def work(client: AsyncEsdbClient) -> int:
        found = await client.list_projections(timeout=options.timeout)
        rows = [(each.name, each.status_text, each.mode.value, each.progress, each.position) for each in found]
        Output(as_json=options.json).table(("name", "status", "mode", "progress", "position"), rows)
        return OK

    return with_client(options, work)


def info(options: argparse.Namespace) -> int:
    """Show one."""

    async def work(client: AsyncEsdbClient) -> int:
        found = await client.get_projection(options.name, timeout=options.timeout)
        Output(as_json=options.json).record(_object(found))
        return OK

    return with_client(options, work)


def _object(found: ProjectionInfo) -> dict[str, object]:
    return {name: getattr(value, "value", value) for name, value in vars(found).items()}


def state(options: argparse.Namespace) -> int:
    """Show what it holds."""

    async def work(client: AsyncEsdbClient) -> int:
        found = await client.get_projection_state(options.name, options.partition, timeout=options.timeout)
        Output().line(as_json(found))
        return await _health(client, options)

    return with_client(options, work)


def result(options: argparse.Namespace) -> int:
    """Show what has come out."""

    async def work(client: AsyncEsdbClient) -> int:
        found = await client.get_projection_result(options.name, options.partition, timeout=options.timeout)
        Output().line(as_json(found))
        return await _health(client, options)

    return with_client(options, work)


async def _health(client: AsyncEsdbClient, options: argparse.Namespace) -> int:
    """Say why a projection cannot go on, if it has faulted: what is shown is old then, or nothing."""
    fault = (await client.get_projection(options.name, timeout=options.timeout)).fault
    if fault is None:
        return OK
    print(f"esdb-lite: the projection {shown(options.name)} has faulted: {shown(fault)}", file=sys.stderr)
    return WRONG


def query(options: argparse.Namespace) -> int:
    """Run a query to its end."""
    text = _script(options.query)

    async def work(client: AsyncEsdbClient) -> int:
        Output().line(as_json(await client.run_query(text, timeout=options.timeout)))
        return OK

    return with_client(options, work)


def create(options: argparse.Namespace) -> int:
    """Create one."""
    text = _script(options.query)
    return _do(
        options,
        lambda client: client.create_projection(options.name, text, emit=options.emit, timeout=options.timeout),
    )


def update(options: argparse.Namespace) -> int:
    """Replace its query."""
    text, emit = _script(options.query), options.emit or None
    return _do(options, lambda client: client.update_projection(options.name, text, emit=emit, timeout=options.timeout))


def wait(options: argparse.Namespace) -> int:
    """Wait until it has caught up."""
    return _do(
        options, lambda client: client.wait_for_projection(options.name, options.position, timeout=options.timeout)
    )


def enable(options: argparse.Namespace) -> int:
    """Have it run."""
    return _do(options, lambda client: client.enable_projection(options.name, timeout=options.timeout))


def disable(options: argparse.Namespace) -> int:
    """Stop it."""
    return _do(options, lambda client: client.disable_projection(options.name, timeout=options.timeout))


def abort(options: argparse.Namespace) -> int:
    """Stop it at once."""
    return _do(options, lambda client: client.abort_projection(options.name, timeout=options.timeout))


def reset(options: argparse.Namespace) -> int:
    """Have it begin anew."""
    return _do(options, lambda client: client.reset_projection(options.name, timeout=options.timeout))


def delete(options: argparse.Namespace) -> int:
    """Delete it."""
    return _do(options, lambda client: client.delete_projection(options.name, timeout=options.timeout))


def _do(options: argparse.Namespace, call: Callable[[AsyncEsdbClient], Awaitable[object]]) -> int:
    async def work(client: AsyncEsdbClient) -> int:
        await call(client)
        return OK

    return with_client(options, work)


def _script(given: str) -> str:
    if not given.startswith("@"):
        if given.endswith(".js") or "(" not in given:  # a query calls from...()
            raise CommandFailed(f"{shown(given)} is no query in JavaScript; if it is a file, write @{shown(given)}")
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"{given[1:]} cannot be read: {error}") from None
