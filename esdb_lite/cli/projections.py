"""`projections` and `query`: JavaScript that a server runs.

Owns: what of them is shown. Must not know: how they run.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from esdb_lite import AsyncEsdbClient, ProjectionInfo
from esdb_lite.cli import OK, WRONG, CommandFailed
from esdb_lite.cli.session import uses_client
from esdb_lite.cli.terminal import Output, as_json, shown


@uses_client
async def show_all(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """List them."""
    found = await client.list_projections(timeout=options.timeout)
    rows = [(each.name, each.status_text, each.mode.value, each.progress, each.position) for each in found]
    Output(as_json=options.json).table(("name", "status", "mode", "progress", "position"), rows)


@uses_client
async def info(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Show one."""
    found = await client.get_projection(options.name, timeout=options.timeout)
    Output(as_json=options.json).record(_object(found))


def _object(found: ProjectionInfo) -> dict[str, object]:
    return {name: getattr(value, "value", value) for name, value in vars(found).items()}


@uses_client
async def state(client: AsyncEsdbClient, options: argparse.Namespace) -> int:
    """Show what it holds."""
    found = await client.get_projection_state(options.name, options.partition, timeout=options.timeout)
    Output().line(as_json(found))
    return await _health(client, options)


@uses_client
async def result(client: AsyncEsdbClient, options: argparse.Namespace) -> int:
    """Show what has come out."""
    found = await client.get_projection_result(options.name, options.partition, timeout=options.timeout)
    Output().line(as_json(found))
    return await _health(client, options)


async def _health(client: AsyncEsdbClient, options: argparse.Namespace) -> int:
    """Say why a projection cannot go on, if it has faulted: what is shown is old then, or nothing."""
    fault = (await client.get_projection(options.name, timeout=options.timeout)).fault
    if fault is None:
        return OK
    print(f"esdb-lite: the projection {shown(options.name)} has faulted: {shown(fault)}", file=sys.stderr)
    return WRONG


@uses_client
async def query(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Run a query to its end."""
    Output().line(as_json(await client.run_query(_script(options.query), timeout=options.timeout)))


@uses_client
async def create(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Create one."""
    query = _script(options.query)
    await client.create_projection(options.name, query, emit=options.emit, timeout=options.timeout)


@uses_client
async def update(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Replace its query."""
    query = _script(options.query)
    await client.update_projection(options.name, query, emit=options.emit or None, timeout=options.timeout)


@uses_client
async def wait(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Wait until it has caught up."""
    await client.wait_for_projection(options.name, options.position, timeout=options.timeout)


@uses_client
async def enable(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Have it run."""
    await client.enable_projection(options.name, timeout=options.timeout)


@uses_client
async def disable(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Stop it."""
    await client.disable_projection(options.name, timeout=options.timeout)


@uses_client
async def abort(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Stop it at once."""
    await client.abort_projection(options.name, timeout=options.timeout)


@uses_client
async def reset(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Have it begin anew."""
    await client.reset_projection(options.name, timeout=options.timeout)


@uses_client
async def delete(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Delete it."""
    await client.delete_projection(options.name, timeout=options.timeout)


def _script(given: str) -> str:
    if not given.startswith("@"):
        if given.endswith(".js") or "(" not in given:  # a query calls from...()
            raise CommandFailed(f"{shown(given)} is not a query in JavaScript; if it is a file, write @{shown(given)}")
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"{given[1:]} cannot be read: {error}") from None
