"""The answers of reads and subscriptions, as bytes.

Owns: the choice of the encoder, and how much is encoded at once: a client that does not read must not cost more than
that. Must not know: where the events come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TypeAlias, cast

from esdb_lite._wire.framing import frame
from esdb_lite._wire.read_response_encode import (
    encode_caught_up,
    encode_checkpoint,
    encode_event,
    encode_first_position,
    encode_last_position,
    encode_record,
    encode_stream_missing,
    frame_events,
)
from esdb_lite.server.engine.links import Resolved
from esdb_lite.server.engine.read import FirstPosition, LastPosition, NotFound
from esdb_lite.server.engine.subscriptions import Message, PassedOver, ReachedLive
from esdb_lite.server.handlers import ServerCall
from esdb_lite.server.services.page_room import HeldPage
from esdb_lite.server.storage import Record

Item: TypeAlias = Message | NotFound | FirstPosition | LastPosition

AT_ONCE = 128 * 1024
"""Bytes of events that are encoded before the client has taken what was encoded before."""


async def send(call: ServerCall, items: Sequence[Item], now: int, page: HeldPage, *, structured: bool) -> None:
    """Encode and send, a part at a time. `now` is in 100-ns ticks since 1970; `structured` is the form of ids."""
    size = sum([len(item.data) + len(item.metadata) for item in items if isinstance(item, Record)])
    size += sum([_size(item) for item in items if isinstance(item, Resolved)])
    step = max(1, len(items) * AT_ONCE // size) if size > AT_ONCE else len(items)
    for start in range(0, len(items), step or 1):
        page.weigh(size)
        await call.send_framed(framed(items[start : start + step], now, structured=structured))


def _size(item: Resolved) -> int:
    linked = 0 if item.event is None else len(item.event.data) + len(item.event.metadata)
    return linked + len(item.link.data) + len(item.link.metadata)


def framed(items: Iterable[Item], now: int, *, structured: bool) -> bytes:
    """Encode messages as they stand in a gRPC stream, in order."""
    parts = [
        frame_events(cast("Iterable[Record]", group), structured=structured)
        if kind is Record
        else frame([_encode_one(item, now, structured=structured) for item in group])
        for kind, group in groupby(items, type)
    ]
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _encode_one(item: Item, now: int, *, structured: bool) -> bytes:
    if isinstance(item, Resolved):
        target = None if item.event is None else record_message(item.event, structured)
        return encode_event(target, record_message(item.link, structured), item.link.position)
    if isinstance(item, PassedOver):
        return encode_checkpoint(item.commit, item.prepare, now=now)
    if isinstance(item, ReachedLive):
        return encode_caught_up(now=now, stream_position=item.revision, position=item.position)
    if isinstance(item, NotFound):
        return encode_stream_missing(item.stream)
    if isinstance(item, FirstPosition):
        return encode_first_position(item.revision)
    if isinstance(item, LastPosition):
        return encode_last_position(item.revision)
    return encode_event(record_message(item, structured), None, item.position)


def record_message(record: Record, structured: bool) -> bytes:
    """Encode a record as part of an answer."""
    return encode_record(
        id=record.id,
        structured=structured,
        stream=record.stream,
        revision=record.revision,
        position=record.position,
        type=record.type,
        is_json=record.is_json,
        created=record.created,
        metadata=record.metadata,
        data=record.data,
    )
