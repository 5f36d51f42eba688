"""`ping`, `info` and `stats`: what a server is, and how it does.

Owns: what of that is shown. Must not know: where it comes from.
"""

from __future__ import annotations

import argparse

from esdb_lite import AsyncEsdbClient, NotSupported, Statistics
from esdb_lite.cli.session import uses_client
from esdb_lite.cli.terminal import Output

_PATIENCE = 10.0
"""Seconds that an answer to a ping may take."""


@uses_client
async def ping(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """See whether the server answers; the first time has connecting in it."""
    output = Output(as_json=options.json)
    for _ in range(options.count):
        seconds = await client.ping(timeout=options.timeout or _PATIENCE)
        if output.json:
            output.one({"milliseconds": round(1000 * seconds, 3)})
        else:
            output.line(f"answered in {1000 * seconds:.1f} ms")
        output.flush()


@uses_client
async def info(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Show the version, and the nodes."""
    output = Output(as_json=options.json)
    try:
        found = await client.server_info(timeout=options.timeout)
        known: dict[str, object] = {"version": found.version, "address": found.address}
        known["calls"] = len(found.methods)
    except NotSupported:
        known = {"version": None}
    nodes = await client.read_gossip(timeout=options.timeout)
    rows = [(f"{node.host}:{node.port}", node.role.value, node.is_alive, str(node.instance_id or "")) for node in nodes]
    columns = ("node", "role", "alive", "instance")
    if output.json:
        output.one({**known, "nodes": [dict(zip(columns, row, strict=True)) for row in rows]})
    else:
        output.record(known)
        output.line("")
        output.table(columns, rows)


@uses_client
async def stats(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Show figures, once or again and again."""
    output = Output(as_json=options.json)
    if not options.follow:
        _show(output, await client.read_statistics(timeout=options.timeout), options.prefix)
        return
    async with await client.subscribe_statistics(options.interval) as feed:
        async for statistics in feed:
            _show(output, statistics, options.prefix)
            if not output.json:
                output.line("")
            output.flush()


def _show(output: Output, statistics: Statistics, prefix: str) -> None:
    output.record({name: statistics[name] for name in sorted(statistics) if name.startswith(prefix)})
