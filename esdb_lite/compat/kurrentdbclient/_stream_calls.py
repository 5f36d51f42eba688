"""The calls about streams: appends, deletes, metadata, reads and subscriptions.

Owns: what each asks of our client. Must not know: whether that is the one with asyncio (`_faces`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

import esdb_lite
from esdb_lite.compat.kurrentdbclient import _values as values
from esdb_lite.compat.kurrentdbclient._faces import Answer, Ours, Reading, nothing
from esdb_lite.compat.kurrentdbclient._signatures import CallOptions
from esdb_lite.compat.kurrentdbclient.common import DEFAULT_CHECKPOINT_INTERVAL_MULTIPLIER, DEFAULT_WINDOW_SIZE
from esdb_lite.compat.kurrentdbclient.events import (
    CaughtUp,
    Checkpoint,
    ConsistencyCheck,
    FellBehind,
    NewEvent,
    NewEvents,
    NewRecord,
    RecordedEvent,
    StreamState,
    StreamStateCheck,
)
from esdb_lite.compat.kurrentdbclient.v2streams import AppendRecordsResult, StreamPositionResult

if TYPE_CHECKING:
    from esdb_lite.compat.kurrentdbclient._reads import Kinds

KDB_SYSTEM_EVENTS_REGEX = r"\$.+"
KDB_PERSISTENT_CONFIG_EVENTS_REGEX = r"PersistentConfig\d+"
KDB_RESULT_EVENTS_REGEX = r"Result"
DEFAULT_EXCLUDE_FILTER = (KDB_SYSTEM_EVENTS_REGEX, KDB_PERSISTENT_CONFIG_EVENTS_REGEX, KDB_RESULT_EVENTS_REGEX)

_EVENTS: Kinds = (RecordedEvent,)
_METADATA = "$metadata"


def _limit(limit: int) -> int | None:
    return None if limit >= sys.maxsize else limit


# --- writing ---


def append_to_stream(
    ours: Ours,
    stream_name: str,
    *,
    events: NewEvent | Iterable[NewEvent],
    current_version: int | StreamState,
    **options: Unpack[CallOptions],
) -> Answer[int]:
    """Append an event or several to a stream, and return the commit position of the last one."""
    new = [events] if isinstance(events, NewEvent) else events
    given = ours.append_events(
        stream_name, values.our_state(current_version), [values.our_event(event) for event in new], **options
    )
    return Answer(given, int)


def append_events(
    ours: Ours,
    stream_name: str,
    *,
    events: Iterable[NewEvent],
    current_version: int | StreamState,
    **options: Unpack[CallOptions],
) -> Answer[int]:
    """Append events to a stream, and return the commit position of the last one."""
    return append_to_stream(ours, stream_name, events=events, current_version=current_version, **options)


def append_event(
    ours: Ours, stream_name: str, *, event: NewEvent, current_version: int | StreamState, **options: Unpack[CallOptions]
) -> Answer[int]:
    """Append an event to a stream, and return its commit position."""
    return append_to_stream(ours, stream_name, events=event, current_version=current_version, **options)


def multi_append_to_stream(
    ours: Ours, /, events: NewEvents | Iterable[NewEvents], **options: Unpack[CallOptions]
) -> Answer[int]:
    """Append events to several streams, all or none, and return the commit position of the last one."""
    appends = [events] if isinstance(events, NewEvents) else events
    records = [values.our_records(each) for each in appends]
    return Answer(ours.append_records(records, **options), _commit_position)


def _commit_position(result: esdb_lite.RecordsResult) -> int:
    return result.commit_position or 0


def append_records(
    ours: Ours,
    /,
    records: NewRecord | Iterable[NewRecord],
    checks: ConsistencyCheck | Iterable[ConsistencyCheck] | None = None,
    **options: Unpack[CallOptions],
) -> Answer[AppendRecordsResult]:
    """Append records to several streams, all or none, if all checks hold."""
    given = ours.append_records(
        [values.our_record(record) for record in ([records] if isinstance(records, NewRecord) else records)],
        checks=[
            esdb_lite.StreamCheck(check.stream_name, values.our_state(check.expected_state))
            for check in ([checks] if isinstance(checks, StreamStateCheck) else checks or ())
        ],
        **options,
    )
    return Answer(given, _records_result)


def _records_result(result: esdb_lite.RecordsResult) -> AppendRecordsResult:
    places = (StreamPositionResult(stream, position) for stream, position in result.stream_positions.items())
    return AppendRecordsResult(_commit_position(result), tuple(places))


def delete_stream(
    ours: Ours, stream_name: str, *, current_version: int | StreamState, **options: Unpack[CallOptions]
) -> Answer[None]:
    """Delete a stream, which can be written again."""
    expected = values.our_state(current_version)
    return Answer(ours.delete_stream(stream_name, expected, **options), nothing)


def tombstone_stream(
    ours: Ours, stream_name: str, *, current_version: int | StreamState, **options: Unpack[CallOptions]
) -> Answer[None]:
    """Delete a stream for ever."""
    expected = values.our_state(current_version)
    return Answer(ours.tombstone_stream(stream_name, expected, **options), nothing)


def set_stream_metadata(
    ours: Ours,
    stream_name: str,
    *,
    metadata: dict[str, Any],
    current_version: int | StreamState = StreamState.ANY,
    **options: Unpack[CallOptions],
) -> Answer[None]:
    """Replace the metadata of a stream."""
    event = NewEvent(_METADATA, json.dumps(metadata).encode())
    answer = append_to_stream(ours, f"$${stream_name}", events=event, current_version=current_version, **options)
    return Answer(answer.given, nothing)


# --- reading ---


def read_stream(
    ours: Ours,
    stream_name: str,
    *,
    stream_position: int | None = None,
    backwards: bool = False,
    resolve_links: bool = False,
    limit: int = sys.maxsize,
    **options: Unpack[CallOptions],
) -> Reading:
    """Read events of a stream. Iterating raises NotFoundError."""
    given = ours.read_stream_events(
        stream_name, stream_position, backwards, _limit(limit), resolve_links=resolve_links, **options
    )
    return Reading(given, _EVENTS, options.get("timeout"))


def get_stream(
    ours: Ours,
    stream_name: str,
    *,
    stream_position: int | None = None,
    backwards: bool = False,
    resolve_links: bool = False,
    limit: int = sys.maxsize,
    **options: Unpack[CallOptions],
) -> Answer[tuple[RecordedEvent, ...]]:
    """Return events of a stream."""
    reading = read_stream(
        ours,
        stream_name,
        stream_position=stream_position,
        backwards=backwards,
        resolve_links=resolve_links,
        limit=limit,
        **options,
    )
    return Answer(reading.given, _all_events)


def _all_events(events: Iterable[esdb_lite.RecordedEvent]) -> tuple[RecordedEvent, ...]:
    return tuple(map(values.their_event, events))


def read_all(
    ours: Ours,
    *,
    commit_position: int | None = None,
    backwards: bool = False,
    resolve_links: bool = False,
    filter_exclude: Sequence[str] = DEFAULT_EXCLUDE_FILTER,
    filter_include: Sequence[str] = (),
    filter_by_stream_name: bool = False,
    filter_by_prefix: bool = False,
    limit: int = sys.maxsize,
    **options: Unpack[CallOptions],
) -> Reading:
    """Read events of all streams."""
    chosen = values.our_filter(
        filter_exclude, filter_include, by_stream_name=filter_by_stream_name, by_prefix=filter_by_prefix
    )
    given = ours.read_all_events(
        commit_position,
        backwards,
        limit=_limit(limit),
        resolve_links=resolve_links,
        **options,
        **values.filtering(chosen),
    )
    return Reading(given, _EVENTS, options.get("timeout"))


def read_index(
    ours: Ours,
    index_name: str,
    *,
    commit_position: int | None = None,
    limit: int = sys.maxsize,
    **options: Unpack[CallOptions],
) -> Reading:
    """Read events of an index (KurrentDB 25.1 and later)."""
    return read_all(
        ours,
        commit_position=commit_position,
        filter_include=(_index(index_name),),
        filter_by_stream_name=True,
        filter_by_prefix=True,
        limit=limit,
        **options,
    )


def _index(name: str) -> str:
    return name if name.startswith("$idx-") else f"$idx-{name}"


def get_current_version(ours: Ours, stream_name: str, **options: Unpack[CallOptions]) -> Answer[int | StreamState]:
    """Return the position of a stream's last event, NO_STREAM where there is none."""
    given = ours.get_stream_position(stream_name, **options)
    return Answer(given, values.their_version)


def get_commit_position(
    ours: Ours,
    *,
    filter_exclude: Sequence[str] = DEFAULT_EXCLUDE_FILTER,
    filter_include: Sequence[str] = (),
    filter_by_stream_name: bool = False,
    **options: Unpack[CallOptions],
) -> Answer[int]:
    """Return the commit position of the last event that passes the filter; 0 if there is none."""
    chosen = values.our_filter(filter_exclude, filter_include, by_stream_name=filter_by_stream_name)
    return Answer(ours.get_commit_position(filter=chosen, **options), int)


def get_stream_metadata(
    ours: Ours, stream_name: str, **options: Unpack[CallOptions]
) -> Answer[tuple[dict[str, Any], int | StreamState]]:
    """Return the metadata of a stream, and the position of the event that holds them."""
    given = ours.read_stream_events(f"$${stream_name}", backwards=True, limit=1, **options)
    return Answer(given, _metadata, absent=lambda: ({}, StreamState.NO_STREAM))


def _metadata(found: Iterable[esdb_lite.RecordedEvent]) -> tuple[dict[str, Any], int | StreamState]:
    event = next(iter(found))
    return event.json(), event.stream_position


# --- subscribing ---


def subscribe_to_all(
    ours: Ours,
    *,
    commit_position: int | None = None,
    from_end: bool = False,
    resolve_links: bool = False,
    filter_exclude: Sequence[str] = DEFAULT_EXCLUDE_FILTER,
    filter_include: Sequence[str] = (),
    filter_by_stream_name: bool = False,
    filter_by_prefix: bool = False,
    include_checkpoints: bool = False,
    window_size: int = DEFAULT_WINDOW_SIZE,
    checkpoint_interval_multiplier: int = DEFAULT_CHECKPOINT_INTERVAL_MULTIPLIER,
    include_caught_up: bool = False,
    include_fell_behind: bool = False,
    **options: Unpack[CallOptions],
) -> Reading:
    """Subscribe to the events of all streams."""
    chosen = values.our_filter(
        filter_exclude,
        filter_include,
        by_stream_name=filter_by_stream_name,
        by_prefix=filter_by_prefix,
        window=window_size,
        interval=checkpoint_interval_multiplier,
    )
    given = ours.subscribe_all_events(
        commit_position,
        from_end=from_end,
        resolve_links=resolve_links,
        include_control=True,
        reconnect=False,
        **options,
        **values.filtering(chosen),
    )
    return Reading(given, _kinds(include_checkpoints, include_caught_up, include_fell_behind))


def _kinds(checkpoints: bool, caught_up: bool, fell_behind: bool) -> Kinds:
    more = ((Checkpoint, checkpoints), (CaughtUp, caught_up), (FellBehind, fell_behind))
    return (RecordedEvent, *(kind for kind, included in more if included))


def subscribe_to_index(
    ours: Ours, index_name: str, *, commit_position: int | None = None, **options: Unpack[CallOptions]
) -> Reading:
    """Subscribe to the events of an index (KurrentDB 25.1 and later)."""
    return subscribe_to_all(
        ours,
        commit_position=commit_position,
        filter_include=(_index(index_name),),
        filter_by_stream_name=True,
        filter_by_prefix=True,
        **options,
    )


def subscribe_to_stream(
    ours: Ours,
    stream_name: str,
    *,
    stream_position: int | None = None,
    from_end: bool = False,
    resolve_links: bool = False,
    include_caught_up: bool = False,
    include_fell_behind: bool = False,
    **options: Unpack[CallOptions],
) -> Reading:
    """Subscribe to the events of a stream."""
    given = ours.subscribe_stream_events(
        stream_name,
        stream_position,
        from_end=from_end,
        resolve_links=resolve_links,
        include_control=True,
        reconnect=False,
        **options,
    )
    return Reading(given, _kinds(False, include_caught_up, include_fell_behind))
