"""`streams`: what there is on a server.

Owns: which list is asked for. Must not know: where the names come from.
"""

from __future__ import annotations

import argparse

from esdb_lite import AsyncEsdbClient, ScanProgress
from esdb_lite.cli.session import uses_client
from esdb_lite.cli.terminal import Output, progress, shown


@uses_client
async def streams(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """List names."""
    calls = {"category": client.list_categories, "type": client.list_event_types, "stream": client.list_streams}
    what = "category" if options.categories else "type" if options.types else "stream"
    with progress("reading all events") as shows:

        def tell(so_far: ScanProgress) -> None:
            shows.at(so_far.events, so_far.percent)

        names = await calls[what](options.prefix, limit=options.limit, progress=tell, timeout=options.timeout)
    output = Output(as_json=options.json)
    for name in names:
        if output.json:
            output.one({what: name})
        else:
            output.line(shown(name))
