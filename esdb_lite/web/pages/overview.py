"""The first page: what the server is, and how it does.

Owns: which figures are shown. Must not know: how the page looks, how charts are drawn.
"""

from __future__ import annotations

from contextlib import suppress

from starlette.responses import Response

from esdb_lite import NotSupported, ServerInfo
from esdb_lite.web.history import ChartLine, FigureHistory, FigureSample, drives
from esdb_lite.web.visit import Visit

_LOG_END = ("es-checksum",)
_WRITES = ("es-queue-StorageWriterQueue-totalItemsProcessed", "es-queue-Storage Writer-totalItemsProcessed")
_CONNECTIONS = ("proc-tcp-connections",)


async def overview(visit: Visit) -> Response:
    """The server, its nodes, and charts of the last minutes."""
    nodes = await visit.client.read_gossip(**visit.options)
    history = visit.desk.history
    with suppress(NotSupported):
        await visit.desk.take_figures()
    sample = history.last
    return visit.render(
        "overview.html",
        info=await _info(visit),
        nodes=nodes,
        charts=charts(history),
        drives={} if sample is None else drives(sample),
        sample=sample,
    )


async def _info(visit: Visit) -> ServerInfo | None:
    try:
        return await visit.client.server_info(**visit.options)
    except NotSupported:
        return None


def charts(history: FigureHistory) -> list[ChartLine]:
    """The charts; those that this server has figures for."""
    made = [
        history.rate("Writes per second", "number", *_WRITES),
        history.rate("Log growth", "rate", *_LOG_END),
        history.chart("Connections", lambda sample: sample.get(*_CONNECTIONS), "number"),
        history.chart("Waiting commands", _waiting, "number"),
        history.chart("Memory", lambda sample: sample.get("proc-mem"), "size"),
        history.chart("Processor", lambda sample: sample.get("proc-cpu"), "percent"),
        history.chart("Disk used", _used, "size"),
        history.rate("Disk writes", "rate", "proc-diskIo-writtenBytes"),
    ]
    return [each for each in made if each.now is not None or each.unit == "rate"]


def _used(sample: FigureSample) -> float | None:
    found = [drive["usedBytes"] for drive in drives(sample).values() if "usedBytes" in drive]
    return sum(found) if found else None


def _waiting(sample: FigureSample) -> float | None:
    lengths = [
        value for name, value in sample.figures.items() if name.startswith("es-queue-") and name.endswith("-length")
    ]
    return sum(lengths) if lengths else None
