"""The calls about persistent subscriptions.

Owns: what each asks of our client. Must not know: whether that is the one with asyncio (`_faces`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from typing_extensions import Unpack

import esdb_lite
from esdb_lite.compat.kurrentdbclient import _values as values
from esdb_lite.compat.kurrentdbclient._faces import Answer, Consuming, Ours, nothing
from esdb_lite.compat.kurrentdbclient._signatures import (
    CHANGES,
    SETTINGS,
    CallCredentials,
    CallOptions,
    GroupChanges,
    GroupSettings,
    checked_names,
    taking,
)
from esdb_lite.compat.kurrentdbclient._stream_calls import DEFAULT_EXCLUDE_FILTER
from esdb_lite.compat.kurrentdbclient.common import (
    DEFAULT_CHECKPOINT_INTERVAL_MULTIPLIER,
    DEFAULT_PERSISTENT_SUB_EVENT_BUFFER_SIZE,
    DEFAULT_PERSISTENT_SUB_MAX_ACK_BATCH_SIZE,
    DEFAULT_PERSISTENT_SUB_MAX_ACK_DELAY,
    DEFAULT_PERSISTENT_SUB_STOPPING_GRACE,
    DEFAULT_WINDOW_SIZE,
)
from esdb_lite.compat.kurrentdbclient.persistent import SubscriptionInfo

# --- managing ---


@taking(SETTINGS)
def create_subscription_to_all(
    ours: Ours,
    group_name: str,
    *,
    from_end: bool = False,
    commit_position: int | None = None,
    resolve_links: bool = False,
    filter_exclude: Sequence[str] = DEFAULT_EXCLUDE_FILTER,
    filter_include: Sequence[str] = (),
    filter_by_stream_name: bool = False,
    window_size: int = DEFAULT_WINDOW_SIZE,
    checkpoint_interval_multiplier: int = DEFAULT_CHECKPOINT_INTERVAL_MULTIPLIER,
    timeout: float | None = None,
    credentials: CallCredentials = None,
    **settings: Unpack[GroupSettings],
) -> Answer[None]:
    """Create a group on all events."""
    chosen = values.our_filter(
        filter_exclude,
        filter_include,
        by_stream_name=filter_by_stream_name,
        window=window_size,
        interval=checkpoint_interval_multiplier,
    )
    given = ours.create_subscription(
        group_name,
        position=commit_position,
        from_end=from_end and commit_position is None,
        settings=_settings(settings, resolve_links),
        timeout=timeout,
        credentials=credentials,
        **values.filtering(chosen),
    )
    return Answer(given, nothing)


@taking(SETTINGS)
def create_subscription_to_stream(
    ours: Ours,
    group_name: str,
    stream_name: str,
    *,
    from_end: bool = False,
    stream_position: int | None = None,
    resolve_links: bool = False,
    timeout: float | None = None,
    credentials: CallCredentials = None,
    **settings: Unpack[GroupSettings],
) -> Answer[None]:
    """Create a group on a stream."""
    given = ours.create_subscription(
        group_name,
        stream_name,
        position=stream_position,
        from_end=from_end and stream_position is None,
        settings=_settings(settings, resolve_links),
        timeout=timeout,
        credentials=credentials,
    )
    return Answer(given, nothing)


def _settings(settings: GroupSettings, resolve_links: bool) -> esdb_lite.SubscriptionSettings:
    checked_names(settings, SETTINGS)
    return values.our_settings({**SETTINGS, **settings, "resolve_links": resolve_links})


@taking(CHANGES)
def update_subscription_to_all(
    ours: Ours,
    group_name: str,
    *,
    from_end: bool | None = None,
    commit_position: int | None = None,
    timeout: float | None = None,
    credentials: CallCredentials = None,
    **changes: Unpack[GroupChanges],
) -> Answer[None]:
    """Change the settings of a group on all events; what is not given stays as it is."""
    return _update(ours, (group_name,), from_end, commit_position, changes, timeout=timeout, credentials=credentials)


@taking(CHANGES)
def update_subscription_to_stream(
    ours: Ours,
    group_name: str,
    stream_name: str,
    *,
    from_end: bool | None = None,
    stream_position: int | None = None,
    timeout: float | None = None,
    credentials: CallCredentials = None,
    **changes: Unpack[GroupChanges],
) -> Answer[None]:
    """Change the settings of a group on a stream; what is not given stays as it is."""
    group = group_name, stream_name
    return _update(ours, group, from_end, stream_position, changes, timeout=timeout, credentials=credentials)


def _update(
    ours: Ours,
    group: tuple[str] | tuple[str, str],
    from_end: bool | None,
    position: int | None,
    changes: GroupChanges,
    **options: Unpack[CallOptions],
) -> Answer[None]:
    checked_names(changes, CHANGES)
    from_end = from_end if position is None else None
    given = ours.update_subscription(
        *group, position=position, from_end=from_end, **options, **values.our_changes(changes)
    )
    return Answer(given, nothing)


def delete_subscription(
    ours: Ours, group_name: str, stream_name: str | None = None, **options: Unpack[CallOptions]
) -> Answer[None]:
    """Delete a group."""
    given = ours.delete_subscription(group_name, stream_name, **options)
    return Answer(given, nothing)


def replay_parked_events(
    ours: Ours, group_name: str, stream_name: str | None = None, **options: Unpack[CallOptions]
) -> Answer[None]:
    """Have parked events delivered again."""
    given = ours.replay_parked_events(group_name, stream_name, **options)
    return Answer(given, nothing)


def get_subscription_info(
    ours: Ours, group_name: str, stream_name: str | None = None, **options: Unpack[CallOptions]
) -> Answer[SubscriptionInfo]:
    """Describe a group."""
    given = ours.get_subscription_info(group_name, stream_name, **options)
    return Answer(given, values.their_group)


def list_subscriptions(ours: Ours, **options: Unpack[CallOptions]) -> Answer[Sequence[SubscriptionInfo]]:
    """Describe all groups."""
    return Answer(ours.list_subscriptions(**options), _groups)


def list_subscriptions_to_stream(
    ours: Ours, stream_name: str, **options: Unpack[CallOptions]
) -> Answer[Sequence[SubscriptionInfo]]:
    """Describe all groups on a stream."""
    return Answer(ours.list_subscriptions(stream_name, **options), _groups)


def _groups(found: Iterable[esdb_lite.SubscriptionInfo]) -> Sequence[SubscriptionInfo]:
    return [values.their_group(info) for info in found]


# --- consuming ---


def read_subscription_to_all(
    ours: Ours,
    group_name: str,
    *,
    event_buffer_size: int = DEFAULT_PERSISTENT_SUB_EVENT_BUFFER_SIZE,
    max_ack_batch_size: int = DEFAULT_PERSISTENT_SUB_MAX_ACK_BATCH_SIZE,
    max_ack_delay: float = DEFAULT_PERSISTENT_SUB_MAX_ACK_DELAY,
    stopping_grace: float = DEFAULT_PERSISTENT_SUB_STOPPING_GRACE,
    **options: Unpack[CallOptions],
) -> Consuming:
    """Become a consumer of a group on all events. `stopping_grace` has no meaning: the last answers are awaited."""
    return _consume(ours, (group_name,), event_buffer_size, max_ack_batch_size, max_ack_delay, **options)


def read_subscription_to_stream(
    ours: Ours,
    group_name: str,
    stream_name: str,
    *,
    event_buffer_size: int = DEFAULT_PERSISTENT_SUB_EVENT_BUFFER_SIZE,
    max_ack_batch_size: int = DEFAULT_PERSISTENT_SUB_MAX_ACK_BATCH_SIZE,
    max_ack_delay: float = DEFAULT_PERSISTENT_SUB_MAX_ACK_DELAY,
    stopping_grace: float = DEFAULT_PERSISTENT_SUB_STOPPING_GRACE,
    **options: Unpack[CallOptions],
) -> Consuming:
    """Become a consumer of a group on a stream. `stopping_grace` has no meaning: the last answers are awaited."""
    return _consume(ours, (group_name, stream_name), event_buffer_size, max_ack_batch_size, max_ack_delay, **options)


def _consume(
    ours: Ours,
    group: tuple[str] | tuple[str, str],
    buffer: int,
    batch: int,
    delay: float,
    **options: Unpack[CallOptions],
) -> Consuming:
    given = ours.read_subscription(
        *group, buffer_size=buffer, ack_batch_size=min(batch, buffer), ack_delay=delay, reconnect=False, **options
    )
    return Consuming(given)
