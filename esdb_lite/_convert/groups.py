"""The management of persistent subscriptions: its calls, requests from arguments, descriptions of groups from answers.

Owns: the translation (Read is in `_wire.acks`). Must not know: connections, how consumers behave.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from esdb_lite_protos.event_store.client import Empty, StreamIdentifier
from esdb_lite_protos.event_store.client import persistent_subscriptions as pb

from esdb_lite._log_positions import commit_and_prepare
from esdb_lite.errors import ProtocolError
from esdb_lite.filters import Filter, FilterBy
from esdb_lite.groups import ConsumerInfo, ConsumerStrategy, SubscriptionInfo, SubscriptionSettings
from esdb_lite.positions import ALL_STREAM

if TYPE_CHECKING:
    from grpclib.client import Channel

INFINITE_MILLISECONDS = 2**31 - 1
_NUMBERED_STRATEGIES = {
    ConsumerStrategy.DISPATCH_TO_SINGLE: pb.UpdateReqConsumerStrategy.DispatchToSingle,
    ConsumerStrategy.ROUND_ROBIN: pb.UpdateReqConsumerStrategy.RoundRobin,
    ConsumerStrategy.PINNED: pb.UpdateReqConsumerStrategy.Pinned,
}
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True)
class GroupRequest:
    """What Create and Update say of a group."""

    group_name: str
    stream_name: str | None
    """None: all events."""
    settings: SubscriptionSettings
    start: int | None = None
    """Number of an event, or commit position, inclusive; None: the end."""
    filter: Filter | None = None


async def create(channel: Channel, asked: GroupRequest) -> None:
    """Create a group."""
    settings = pb.CreateReqSettings(consumer_strategy=asked.settings.strategy.value, **_settings(asked.settings))
    options = pb.CreateReqOptions(group_name=asked.group_name, settings=settings)
    if asked.stream_name is None:
        options.all = _all_to_create(asked)
    else:
        stream = options.stream_identifier = _stream(asked.stream_name)
        options.stream = pb.CreateReqStreamOptions(stream_identifier=stream, **_revision(asked.start))
    await pb.PersistentSubscriptionsStub(channel).create(pb.CreateReq(options=options))


async def update(channel: Channel, asked: GroupRequest) -> None:
    """Replace the settings of a group, but for its filter. Raises KeyError for a strategy without a number."""
    strategy = _NUMBERED_STRATEGIES[asked.settings.strategy]
    settings = pb.UpdateReqSettings(
        named_consumer_strategy=pb.UpdateReqConsumerStrategy(strategy), **_settings(asked.settings)
    )
    options = pb.UpdateReqOptions(group_name=asked.group_name, settings=settings)
    if asked.stream_name is None:
        options.all = pb.UpdateReqAllOptions(**_ends(asked.start))
        if asked.start:
            options.all.position = pb.UpdateReqPosition(asked.start, asked.start)
    else:
        stream = options.stream_identifier = _stream(asked.stream_name)
        options.stream = pb.UpdateReqStreamOptions(stream_identifier=stream, **_revision(asked.start))
    await pb.PersistentSubscriptionsStub(channel).update(pb.UpdateReq(options=options))


async def delete(channel: Channel, group_name: str, stream_name: str | None) -> None:
    """Delete a group."""
    options = pb.DeleteReqOptions(group_name=group_name, **_source(stream_name))
    await pb.PersistentSubscriptionsStub(channel).delete(pb.DeleteReq(options=options))


async def info(channel: Channel, group_name: str, stream_name: str | None) -> SubscriptionInfo:
    """Describe a group."""
    options = pb.GetInfoReqOptions(group_name=group_name, **_source(stream_name))
    answer = await pb.PersistentSubscriptionsStub(channel).get_info(pb.GetInfoReq(options=options))
    if not answer.is_set("subscription_info"):
        raise ProtocolError("the answer says nothing about the group")
    return described(answer.subscription_info)


async def infos(channel: Channel, stream_name: str | None) -> list[SubscriptionInfo]:
    """Describe all groups; or those of a stream, or (`$all`) those on all events."""
    if stream_name is None:
        options = pb.ListReqOptions(list_all_subscriptions=Empty())
    elif stream_name == ALL_STREAM:
        options = pb.ListReqOptions(list_for_stream=pb.ListReqStreamOption(all=Empty()))
    else:
        options = pb.ListReqOptions(list_for_stream=pb.ListReqStreamOption(stream=_stream(stream_name)))
    answer = await pb.PersistentSubscriptionsStub(channel).list(pb.ListReq(options=options))
    return [described(each) for each in answer.subscriptions]


async def replay_parked(channel: Channel, group_name: str, stream_name: str | None, stop_at: int | None) -> None:
    """Have parked events delivered again."""
    options = pb.ReplayParkedReqOptions(group_name=group_name, **_source(stream_name), **_limit(stop_at))
    await pb.PersistentSubscriptionsStub(channel).replay_parked(pb.ReplayParkedReq(options=options))


async def truncate_parked(channel: Channel, group_name: str, stream_name: str | None, stop_at: int | None) -> None:
    """Throw parked events away."""
    options = pb.TruncateParkedReqOptions(group_name=group_name, **_source(stream_name), **_limit(stop_at))
    await pb.PersistentSubscriptionsStub(channel).truncate_parked(pb.TruncateParkedReq(options=options))


async def restart(channel: Channel) -> None:
    """Restart all groups."""
    await pb.PersistentSubscriptionsStub(channel).restart_subsystem(Empty())


# --- requests ---


def _stream(name: str) -> StreamIdentifier:
    return StreamIdentifier(stream_name=name.encode())


def _source(stream_name: str | None) -> dict[str, Any]:
    return {"all": Empty()} if stream_name is None else {"stream_identifier": _stream(stream_name)}


def _limit(stop_at: int | None) -> dict[str, Any]:
    return {"no_limit": Empty()} if stop_at is None else {"stop_at": stop_at}


def _ends(start: int | None) -> dict[str, Any]:
    return {"end": Empty()} if start is None else {} if start else {"start": Empty()}


def _revision(start: int | None) -> dict[str, Any]:
    return {"revision": start} if start else _ends(start)


def _all_to_create(asked: GroupRequest) -> pb.CreateReqAllOptions:
    options = pb.CreateReqAllOptions(**_ends(asked.start))
    if asked.start:
        options.position = pb.CreateReqPosition(asked.start, asked.start)
    wanted = asked.filter
    if wanted is None:
        options.no_filter = Empty()
        return options
    expression = pb.CreateReqAllOptionsFilterOptionsExpression(regex=wanted.regex, prefix=list(wanted.prefixes))
    options.filter = pb.CreateReqAllOptionsFilterOptions(
        max=wanted.window, checkpoint_interval_multiplier=wanted.checkpoint_interval
    )
    if wanted.by is FilterBy.EVENT_TYPE:
        options.filter.event_type = expression
    else:
        options.filter.stream_identifier = expression
    return options


def _settings(settings: SubscriptionSettings) -> dict[str, Any]:
    after = settings.checkpoint_after
    return {
        "resolve_links": settings.resolve_links,
        "extra_statistics": settings.extra_statistics,
        "max_retry_count": settings.max_retry_count,
        "min_checkpoint_count": settings.min_checkpoint_count,
        "max_checkpoint_count": settings.max_checkpoint_count,
        "max_subscriber_count": settings.max_subscriber_count,
        "live_buffer_size": settings.live_buffer_size,
        "read_batch_size": settings.read_batch_size,
        "history_buffer_size": settings.history_buffer_size,
        "message_timeout_ms": settings.message_timeout // _MILLISECOND,
        "checkpoint_after_ms": 0 if after is None else after // _MILLISECOND,
    }


# --- answers ---


def described(info: pb.SubscriptionInfo) -> SubscriptionInfo:
    """Return what a server says of a group."""
    return SubscriptionInfo(
        stream_name=None if info.event_source == ALL_STREAM else info.event_source,
        group_name=info.group_name,
        settings=_told_settings(info),
        start=_start(info.start_from),
        status=info.status,
        last_checkpoint=_position(info.last_checkpointed_event_position),
        last_known=_position(info.last_known_event_position),
        total_items=info.total_items,
        count_since_last_measurement=info.count_since_last_measurement,
        average_per_second=info.average_per_second,
        waiting=info.read_buffer_count,
        retrying=info.retry_buffer_count,
        in_flight=info.total_in_flight_messages,
        parked=info.parked_message_count,
        live_buffer_count=info.live_buffer_count,
        consumers=tuple(map(_consumer, info.connections)),
    )


def _told_settings(info: pb.SubscriptionInfo) -> SubscriptionSettings:
    after = info.check_point_after_milliseconds
    return SubscriptionSettings.from_server(
        {
            "resolve_links": info.resolve_link_tos,
            "message_timeout": info.message_timeout_milliseconds * _MILLISECOND,
            "extra_statistics": info.extra_statistics,
            "max_retry_count": info.max_retry_count,
            "live_buffer_size": info.live_buffer_size,
            "history_buffer_size": info.buffer_size,
            "read_batch_size": info.read_batch_size,
            "checkpoint_after": None if after in (0, INFINITE_MILLISECONDS) else after * _MILLISECOND,
            "min_checkpoint_count": info.min_check_point_count,
            "max_checkpoint_count": info.max_check_point_count,
            "strategy": _strategy(info.named_consumer_strategy),
            "max_subscriber_count": info.max_subscriber_count,
        }
    )


def _strategy(name: str) -> ConsumerStrategy | str:
    """A strategy that is not known here keeps its name."""
    try:
        return ConsumerStrategy(name)
    except ValueError:
        return name


def _position(name: str) -> int | None:
    in_log = commit_and_prepare(name)
    if in_log is not None:
        return in_log[0]
    return int(name) if re.fullmatch("-?[0-9]{1,19}", name) else None


def _start(name: str) -> int | None:
    position = _position(name)
    return None if position == -1 else position


def _consumer(info: pb.SubscriptionInfoConnectionInfo) -> ConsumerInfo:
    return ConsumerInfo(
        username=info.username,
        connection_name=info.connection_name,
        total_items=info.total_items,
        count_since_last_measurement=info.count_since_last_measurement,
        average_items_per_second=info.average_items_per_second,
        available_slots=info.available_slots,
        in_flight_messages=info.in_flight_messages,
        measurements={each.key: each.value for each in info.observed_measurements},
    )
