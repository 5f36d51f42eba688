"""The Directory service: names of streams, categories and types. Only embedded servers have it.

Owns: its messages, and that it takes the right to read $all. Must not know: which names are listed, how they are kept.
"""

from __future__ import annotations

from functools import partial

from esdb_lite_protos.esdb_lite.directory import DirectoryBase, ListReq, ListResp

from esdb_lite._status import refusals
from esdb_lite.positions import ALL_STREAM
from esdb_lite.server.engine.access import Action
from esdb_lite.server.engine.names import AT_ONCE, Listed, NamesPage, names_page
from esdb_lite.server.services.context import Context
from esdb_lite.server.services.unary import current_call
from esdb_lite.server.storage import Reader


class DirectoryService(DirectoryBase):
    """The method of the service."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def list(self, list_req: ListReq) -> ListResp:
        """Tell a page of names."""
        await self._context.require(current_call().principal, ALL_STREAM, Action.READ)
        try:
            what = Listed(int(list_req.kind))
        except ValueError:
            raise refusals.invalid_argument(f"kind: {int(list_req.kind)} is not a kind of names.") from None
        page = await self._context.database.read(partial(_page, what, list_req, self._context.now()))
        return ListResp(names=page.names, end=page.end)


def _page(what: Listed, asked: ListReq, now: int, reader: Reader) -> NamesPage:
    return names_page(reader, what, asked.prefix, asked.after, asked.limit or AT_ONCE, now)
