"""Values of ours as values of kurrentdbclient, and the other way round.

Owns: the translation. Must not know: calls.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import cast
from uuid import UUID

from typing_extensions import TypedDict

import esdb_lite
from esdb_lite.compat.kurrentdbclient import events, gossip, persistent, projections
from esdb_lite.compat.kurrentdbclient.common import construct_filter_exclude_regex, construct_filter_include_regex
from esdb_lite.compat.kurrentdbclient.exceptions import ExceptionIteratingRequestsError, ProgrammingError

_STATES = {
    events.StreamState.ANY: esdb_lite.StreamState.ANY,
    events.StreamState.NO_STREAM: esdb_lite.StreamState.NO_STREAM,
    events.StreamState.EXISTS: esdb_lite.StreamState.EXISTS,
}

ALL = "$all"

# --- to ours ---


def our_state(version: int | events.StreamState) -> int | esdb_lite.StreamState:
    """Return what a `current_version` means. Raises ValueError, TypeError."""
    if isinstance(version, events.StreamState):
        return _STATES[version]
    if isinstance(version, bool) or not isinstance(version, int):
        raise TypeError(f"current_version must be an int or a StreamState, not {version!r}")
    if version < 0:
        raise ValueError(f"current_version must not be negative, and is {version}")
    return version


def our_event(event: events.NewEvent) -> esdb_lite.NewEvent:
    """Return an event to append."""
    return esdb_lite.NewEvent(event.type, event.data, event.metadata, event.content_type, event.id)


def our_record(record: events.NewRecord) -> esdb_lite.NewRecord:
    """Return a record to append. Raises ProgrammingError."""
    return _record(record.stream_name, record)


def our_records(appends: events.NewEvents) -> esdb_lite.StreamAppend:
    """Return the events for one stream of an append to several. Raises ProgrammingError."""
    new = list(appends.events)
    for event in new:
        _properties(event)
    return esdb_lite.StreamAppend(appends.stream_name, our_state(appends.current_version), map(our_event, new))


def _record(stream_name: str, event: events.NewEvent | events.NewRecord) -> esdb_lite.NewRecord:
    json_content = event.content_type == "application/json"
    return esdb_lite.NewRecord(
        stream_name,
        event.type,
        event.data,
        _properties(event),
        esdb_lite.SchemaFormat.JSON if json_content else esdb_lite.SchemaFormat.BYTES,
        id=event.id,
    )


def _properties(event: events.NewEvent | events.NewRecord) -> Mapping[str, str]:
    try:
        found = json.loads(event.metadata) if event.metadata else {}
        if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
            raise ValueError("not a JSON object with strings")
    except ValueError as error:
        reason = f"({error}): {event}"
        raise ProgrammingError(f"metadata must be empty or a JSON object with string values {reason}") from error
    return found


def our_filter(
    exclude: Sequence[str],
    include: Sequence[str],
    *,
    by_stream_name: bool,
    by_prefix: bool = False,
    window: int = 32,
    interval: int = 5,
) -> esdb_lite.Filter | None:
    """Return the filter that the arguments of a read or subscription ask for; None: everything."""
    if not exclude and not include:
        return None
    by = esdb_lite.FilterBy.STREAM_NAME if by_stream_name else esdb_lite.FilterBy.EVENT_TYPE
    if by_prefix:
        prefixes = (include,) if isinstance(include, str) else tuple(include)
        return esdb_lite.Filter(by, "", prefixes, window, interval) if prefixes else None
    regex = construct_filter_include_regex(include) if include else construct_filter_exclude_regex(exclude)
    return esdb_lite.Filter(by, regex, (), window, interval)


class Filtering(TypedDict, total=False):
    """How a filter is passed to our client."""

    filter: esdb_lite.Filter
    filter_exclude: tuple[str, ...]


def filtering(chosen: esdb_lite.Filter | None) -> Filtering:
    """Return the arguments for a filter; without one, everything is read."""
    return {"filter_exclude": ()} if chosen is None else {"filter": chosen}


def our_settings(settings: Mapping[str, object]) -> esdb_lite.SubscriptionSettings:
    """Return the settings of a group, which the server is to check."""
    return esdb_lite.SubscriptionSettings.from_server(_renamed(settings))


def _renamed(settings: Mapping[str, object]) -> dict[str, object]:
    names = {"consumer_strategy": "strategy"}
    return {names.get(name, name): _setting(name, value) for name, value in settings.items()}


def _setting(name: str, value: object) -> object:
    if name in ("message_timeout", "checkpoint_after"):
        assert isinstance(value, (int, float))
        return timedelta(seconds=value)
    return _strategy(value) if name == "consumer_strategy" else value


def _strategy(name: object) -> object:
    return next((known for known in esdb_lite.ConsumerStrategy if known.value == name), name)


def our_changes(settings: Mapping[str, object]) -> esdb_lite.SettingsChanges:
    """Return the settings of a group that are to be changed. Raises KeyError for a strategy that there is not."""
    given = {name: value for name, value in settings.items() if value is not None}
    if "consumer_strategy" in given and isinstance(_strategy(given["consumer_strategy"]), str):
        raise KeyError(given["consumer_strategy"])
    return cast("esdb_lite.SettingsChanges", _renamed(given))


def answered(item: UUID | events.RecordedEvent) -> esdb_lite.RecordedEvent:
    """Return something by which our subscription knows the event. Raises ExceptionIteratingRequestsError."""
    id = item.ack_id if isinstance(item, events.RecordedEvent) else item
    if not isinstance(id, UUID):
        text = f"event_id {id!r} is not a UUID"
        raise ExceptionIteratingRequestsError(text) from ValueError(text)
    return esdb_lite.RecordedEvent("-", b"", b"", "-", 0, None, id=id)


NACKS = {
    "unknown": esdb_lite.NackAction.RETRY,  # what servers take it for
    "park": esdb_lite.NackAction.PARK,
    "retry": esdb_lite.NackAction.RETRY,
    "skip": esdb_lite.NackAction.SKIP,
    "stop": esdb_lite.NackAction.STOP,
}

# --- to theirs ---


def their_event(event: esdb_lite.RecordedEvent) -> events.RecordedEvent:
    """Return a recorded event."""
    return events.RecordedEvent(
        event.type,
        event.data,
        event.metadata,
        event.content_type,
        event.id,
        event.stream_name,
        event.stream_position,
        event.commit_position or 0,
        event.prepare_position or 0,
        event.recorded_at,
        None if event.link is None else their_event(event.link),
        event.retry_count,
    )


def their_item(item: esdb_lite.SubscriptionItem) -> events.RecordedEvent | None:
    """Return what a subscription has handed out; None for what kurrentdbclient does not know."""
    if isinstance(item, esdb_lite.RecordedEvent):
        return their_event(item)
    if isinstance(item, esdb_lite.Checkpoint):
        return events.Checkpoint(item.commit_position, item.prepare_position, item.timestamp)
    if isinstance(item, esdb_lite.Reconnected):
        return None
    kind = events.CaughtUp if isinstance(item, esdb_lite.CaughtUp) else events.FellBehind
    return kind(item.stream_position or 0, item.commit_position or 0, item.prepare_position or 0, item.timestamp)


def their_version(position: int | None) -> int | events.StreamState:
    """Return the position of a stream's last event."""
    return events.StreamState.NO_STREAM if position is None else position


def their_member(node: esdb_lite.ClusterNode) -> gossip.ClusterMember:
    """Return a node of a cluster."""
    state = _ROLES.get(node.role, gossip.NODE_STATE_OTHER)
    return gossip.ClusterMember(state, node.host, node.port)


_ROLES = {
    esdb_lite.NodeRole.LEADER: gossip.NODE_STATE_LEADER,
    esdb_lite.NodeRole.FOLLOWER: gossip.NODE_STATE_FOLLOWER,
    esdb_lite.NodeRole.READ_ONLY_REPLICA: gossip.NODE_STATE_REPLICA,
}


def their_group(info: esdb_lite.SubscriptionInfo) -> persistent.SubscriptionInfo:
    """Return what a server says of a group. What ours has as numbers is said in the server's words again."""
    settings, of_all = info.settings, info.stream_name is None
    after = settings.checkpoint_after
    return persistent.SubscriptionInfo(
        event_source=info.stream_name or ALL,
        group_name=info.group_name,
        status=info.status,
        average_per_second=info.average_per_second,
        total_items=info.total_items,
        count_since_last_measurement=info.count_since_last_measurement,
        last_checkpointed_event_position=_place(info.last_checkpoint, of_all=of_all),
        last_known_event_position=_place(info.last_known, of_all=of_all),
        resolve_links=settings.resolve_links,
        start_from=_place(-1 if info.start is None else info.start, of_all=of_all),
        message_timeout=settings.message_timeout / timedelta(seconds=1),
        extra_statistics=settings.extra_statistics,
        max_retry_count=settings.max_retry_count,
        live_buffer_size=settings.live_buffer_size,
        history_buffer_size=settings.history_buffer_size,
        read_batch_size=settings.read_batch_size,
        checkpoint_after=0.0 if after is None else after / timedelta(seconds=1),
        min_checkpoint_count=settings.min_checkpoint_count,
        max_checkpoint_count=settings.max_checkpoint_count,
        read_buffer_count=info.waiting,
        live_buffer_count=info.live_buffer_count,
        retry_buffer_count=info.retrying,
        total_in_flight_messages=info.in_flight,
        outstanding_messages_count=info.in_flight,
        consumer_strategy=_their_strategy(settings.strategy),
        max_subscriber_count=settings.max_subscriber_count,
        parked_message_count=info.parked,
        connections=[_connection(consumer) for consumer in info.consumers],
    )


def _their_strategy(strategy: esdb_lite.ConsumerStrategy | str) -> persistent.ConsumerStrategy:
    """Return its name; one that our client does not know has kept it."""
    name = strategy.value if isinstance(strategy, esdb_lite.ConsumerStrategy) else strategy
    return cast("persistent.ConsumerStrategy", name)


def _place(position: int | None, *, of_all: bool) -> str:
    if position is None:
        return ""
    return f"C:{position}/P:{position}" if of_all else str(position)


def _connection(consumer: esdb_lite.ConsumerInfo) -> persistent.ConnectionInfo:
    return persistent.ConnectionInfo(
        from_="",  # as servers leave it
        username=consumer.username,
        average_items_per_second=consumer.average_items_per_second,
        total_items=consumer.total_items,
        count_since_last_measurement=consumer.count_since_last_measurement,
        observed_measurements=[persistent.Measurement(key, value) for key, value in consumer.measurements.items()],
        available_slots=consumer.available_slots,
        in_flight_messages=consumer.in_flight_messages,
        connection_name=consumer.connection_name,
    )


def their_projection(info: esdb_lite.ProjectionInfo) -> projections.ProjectionStatistics:
    """Return what a server says of a projection."""

    def figure(name: str) -> int:
        return int(info.figures[name])

    return projections.ProjectionStatistics(
        core_processing_time=figure("core_processing_time"),
        version=info.version,
        epoch=info.epoch,
        effective_name=str(info.figures["effective_name"]),
        writes_in_progress=figure("writes_in_progress"),
        reads_in_progress=figure("reads_in_progress"),
        partitions_cached=info.partitions_cached,
        status=info.status_text,
        state_reason=info.fault or "",
        name=info.name,
        mode=info.mode.value,
        position=info.position,
        progress=info.progress,
        last_checkpoint=info.last_checkpoint,
        events_processed_after_restart=info.events_processed,
        checkpoint_status=str(info.figures["checkpoint_status"]),
        buffered_events=info.buffered_events,
        write_pending_events_before_checkpoint=figure("write_pending_events_before_checkpoint"),
        write_pending_events_after_checkpoint=figure("write_pending_events_after_checkpoint"),
    )
