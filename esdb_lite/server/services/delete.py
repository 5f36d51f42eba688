"""Streams/Delete and Tombstone: the ends of streams.

Owns: their messages and answers (section 9 of the protocol notes). Must not know: when a stream may be deleted (the
engine does).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import betterproto
from esdb_lite_protos.event_store.client import Empty
from esdb_lite_protos.event_store.client import streams as pb

from esdb_lite._status import refusals
from esdb_lite._wire.append import ANY, EXISTS, NO_STREAM, AppendOptions
from esdb_lite.server.engine.access import Action
from esdb_lite.server.engine.model import DeletedStream, Outcome, WrongVersion
from esdb_lite.server.services.context import Context
from esdb_lite.server.services.unary import current_call, required, stream_text
from esdb_lite.server.services.write_target import check_name, target_of

_EXPECTED = {"no_stream": NO_STREAM, "any": ANY, "stream_exists": EXISTS}

_Delete = Callable[[str, int], Awaitable[Outcome]]


class Deleting(pb.StreamsBase):
    """The cold methods of the Streams service."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def delete(self, delete_req: pb.DeleteReq) -> pb.DeleteResp:
        """Delete a stream, which may come again."""
        options = required(delete_req.options, "options")
        at = await self._delete(options, "DeleteReq", self._context.database.delete)
        if at is None:
            return pb.DeleteResp(no_position=Empty())
        return pb.DeleteResp(position=pb.DeleteRespPosition(at, at))

    async def tombstone(self, tombstone_req: pb.TombstoneReq) -> pb.TombstoneResp:
        """Delete a stream for ever."""
        options = required(tombstone_req.options, "options")
        at = await self._delete(options, "TombstoneReq", self._context.database.tombstone)
        if at is None:
            return pb.TombstoneResp(no_position=Empty())
        return pb.TombstoneResp(position=pb.TombstoneRespPosition(at, at))

    async def _delete(
        self, options: pb.DeleteReqOptions | pb.TombstoneReqOptions, request: str, delete: _Delete
    ) -> int | None:
        """Return the position of the deletion, None where nothing was left to delete."""
        call, context = current_call(), self._context
        stream, _, expected = await target_of(call, _told(options), request, Action.DELETE, context)
        check_name(stream)
        outcome = await context.write(call, partial(delete, stream, expected))
        if isinstance(outcome, DeletedStream):
            raise refusals.stream_deleted(outcome.stream)
        if isinstance(outcome, WrongVersion):
            raise refusals.wrong_expected_version_for_delete(stream, expected, outcome.current)
        return outcome.position


def _told(options: pb.DeleteReqOptions | pb.TombstoneReqOptions) -> AppendOptions:
    which, revision = betterproto.which_one_of(options, "expected_stream_revision")
    identifier = options.stream_identifier
    return AppendOptions(
        stream_text(identifier.stream_name) if betterproto.serialized_on_wire(identifier) else None,
        _EXPECTED.get(which, revision),
    )
