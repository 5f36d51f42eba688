"""IndexesService: its calls, requests from arguments, indexes from answers.

Owns: the translation. Must not know: connections, what may be defined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from esdb_lite_protos.kurrentdb.protocol.v2 import indexes as pb

from esdb_lite.errors import ProtocolError
from esdb_lite.indexes import IndexField, IndexFieldType, IndexInfo, IndexState

if TYPE_CHECKING:
    from grpclib.client import Channel


async def create(channel: Channel, name: str, filter: str, fields: Sequence[IndexField], *, start: bool) -> None:
    """Define an index."""
    sent = [pb.IndexField(field.name, field.selector, pb.IndexFieldType(field.type.value)) for field in fields]
    await pb.IndexesServiceStub(channel).create(pb.CreateIndexRequest(name, filter, sent, start))


async def start(channel: Channel, name: str) -> None:
    """Have an index filled, and read."""
    await pb.IndexesServiceStub(channel).start(pb.StartIndexRequest(name))


async def stop(channel: Channel, name: str) -> None:
    """Let nobody read an index."""
    await pb.IndexesServiceStub(channel).stop(pb.StopIndexRequest(name))


async def delete(channel: Channel, name: str) -> None:
    """Delete an index."""
    await pb.IndexesServiceStub(channel).delete(pb.DeleteIndexRequest(name))


async def get(channel: Channel, name: str) -> IndexInfo:
    """Return an index."""
    answer = await pb.IndexesServiceStub(channel).get(pb.GetIndexRequest(name))
    return _info(answer.index)


async def all_of_them(channel: Channel) -> list[IndexInfo]:
    """Return all indexes that users have defined."""
    answer = await pb.IndexesServiceStub(channel).list(pb.ListIndexesRequest())
    return [_info(index) for index in answer.indexes]


def _info(index: pb.Index) -> IndexInfo:
    try:
        fields = tuple(
            IndexField(field.name or "", field.selector or "", IndexFieldType(int(field.type or 0)))
            for field in index.fields
        )
        return IndexInfo(index.name or "", index.filter or None, fields, IndexState(int(index.state or 0)))
    except ValueError as error:
        raise ProtocolError(f"the index {index.name!r} is described by what is not known here: {error}") from error
