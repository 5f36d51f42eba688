"""Short reads, answered in the turn of the loop in which they come.

Owns: which reads are short. Must not know: what they are answered with (the engine does), how it is encoded and sent.
"""

from __future__ import annotations

from collections.abc import Sequence

from esdb_lite_protos.tags import PATH_STREAMS_READ

from esdb_lite._wire.read_request import FilterRequest, ReadOptions, StreamRange, decode_read_request
from esdb_lite.server.engine.read import Read
from esdb_lite.server.handlers import QuickQuery
from esdb_lite.server.services.context import Context
from esdb_lite.server.services.read_messages import Item, framed
from esdb_lite.server.services.read_plans import SubscriptionPlan, plan_read
from esdb_lite.server.storage import Reader, Record

MOST = 128
"""Events that a short read may ask for, or its stream may have from there on."""
_PAGES = 4
"""Into which these fit; where there are more, much is looked at that is not shown."""


def quick_query(path: str, context: Context) -> QuickQuery | None:
    """Return what answers a path at once where everybody may do everything; None: nothing."""
    return _QuickReads(context) if path == PATH_STREAMS_READ else None


class _QuickReads:
    """Streams/Read, of a few events. Whatever is refused is left to the handler, and so are links and filters."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __call__(self, request: bytes, room: int) -> bytes | None:
        """See `QuickQuery`."""
        wanted = decode_read_request(request)
        if wanted is None or wanted.subscription or wanted.resolve_links or isinstance(wanted.filter, FilterRequest):
            return None
        read, now = plan_read(wanted), self._context.now()
        if isinstance(read, SubscriptionPlan):
            return None
        items = self._context.read_at_once(
            lambda reader: _items(read, reader, now, room) if _is_short(wanted, reader) else None
        )
        if items is None:
            return None
        answer = framed(items, now, structured=wanted.structured is True)
        return answer if len(answer) <= room else None


def _is_short(wanted: ReadOptions, reader: Reader) -> bool:
    if wanted.limit is not None and wanted.limit <= MOST:
        return True
    source = wanted.source
    head = reader.head(source.stream) if isinstance(source, StreamRange) and source.stream else None
    if head is None or not isinstance(source, StreamRange):
        return False
    start = source.start if isinstance(source.start, int) and wanted.direction == 0 else 0
    return head.last_revision - start < MOST


def _items(read: Read, reader: Reader, now: int, room: int) -> Sequence[Item] | None:
    """Return everything that a read is answered with; None where that is too much."""
    items: list[Item] = []
    for _ in range(_PAGES):
        before, events, after, done = read.page(reader, now)
        items += (*before, *events, *after)
        room -= sum([len(event.data) for event in events if isinstance(event, Record)])
        if done or room < 0:
            return items if room >= 0 else None
    return None
