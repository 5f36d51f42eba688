"""The calls that append: to one stream, and to several at once, for code without asyncio.

Owns: `AppendApi`, the part of the client for threads that has them, and what is asked of events on the caller's thread,
where those that are generators have to run. Must not know: how anything is done.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from esdb_lite.client.append.calls import AsyncAppendApi
from esdb_lite.sync.blocking import Face, blocking, quickly

if TYPE_CHECKING:
    from esdb_lite.events import NewEvent
    from esdb_lite.records import NewRecord, RecordsLike, StreamAppend, StreamCheck


def _parts(face: Face, value: RecordsLike) -> list[NewRecord | StreamAppend]:
    from esdb_lite.client.append.atomic_request import checked_parts

    return checked_parts(value, face._event_types)


def _checks(_: Face, value: StreamCheck | Iterable[StreamCheck]) -> list[StreamCheck]:
    from esdb_lite.client.append.atomic_request import checked_checks

    return checked_checks(value)


def _stream_events(_: Face, value: Iterable[tuple[str, NewEvent]]) -> list[tuple[str, NewEvent]]:
    from esdb_lite.client.append.import_request import checked_stream_events

    return checked_stream_events(value)


class AppendApi(Face):
    """Appends."""

    append_events = quickly(AsyncAppendApi.append_events, AsyncAppendApi._append_run)
    append_records = blocking(AsyncAppendApi.append_records, records=_parts, checks=_checks)
    import_events = blocking(AsyncAppendApi.import_events, events=_stream_events)
