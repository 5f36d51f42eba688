"""A group and its consumers, as GetInfo and List describe them.

Owns: the messages SubscriptionInfo and ConnectionInfo, written by hand: consumers ask for them when they leave, all at
the same time, and each answer describes all of them. Must not know: where the figures come from.
"""

from __future__ import annotations

from collections.abc import Iterable

from esdb_lite._wire.primitives import varint
from esdb_lite.server.engine.groups.config import GroupConfig
from esdb_lite.server.engine.groups.settings import INFINITE_MILLISECONDS, position_text
from esdb_lite.server.engine.groups.statistics import ConnectionInfo, GroupInfo

_Value = int | str | bytes


def encode_info(config: GroupConfig, figures: GroupInfo) -> bytes:
    """Return a GetInfoResp."""
    return _encode([(1, _info(config, figures))])


def encode_list(groups: Iterable[tuple[GroupConfig, GroupInfo]]) -> bytes:
    """Return a ListResp."""
    return _encode([(1, _info(config, figures)) for config, figures in groups])


def _info(config: GroupConfig, figures: GroupInfo) -> bytes:
    settings, in_log = config.settings, config.in_log
    return _encode(
        [
            (1, config.stream),
            (2, config.group),
            (3, figures.status),
            *((4, _connection(connection)) for connection in figures.connections),
            (5, figures.average_per_second),
            (6, figures.total_items),
            (7, figures.count_since_last_measurement),
            (8, _text(figures.last_checkpointed, in_log=in_log)),
            (9, _text(figures.last_known, in_log=in_log)),
            (10, settings.resolve_links),
            (11, position_text(settings.start.position, in_log=in_log, prepare=settings.start.prepare)),
            (12, settings.message_timeout),
            (13, settings.extra_statistics),
            (14, settings.max_retry_count),
            (15, settings.live_buffer_size),
            (16, settings.history_buffer_size),
            (17, settings.read_batch_size),
            (18, settings.checkpoint_after or INFINITE_MILLISECONDS),
            (19, settings.min_checkpoint_count),
            (20, settings.max_checkpoint_count),
            (21, figures.read_buffer_count),
            (22, figures.live_buffer_count),
            (23, figures.retry_buffer_count),
            (24, figures.total_in_flight_messages),
            (25, figures.outstanding_messages_count),
            (26, settings.strategy.value),
            (27, settings.max_subscriber_count),
            (28, figures.parked_message_count),
        ]
    )


def _text(position: int | None, *, in_log: bool) -> str:
    return "" if position is None else position_text(position, in_log=in_log)


def _connection(info: ConnectionInfo) -> bytes:
    return _encode(
        [
            (2, info.username),
            (3, info.average_items_per_second),
            (4, info.total_items),
            (5, info.count_since_last_measurement),
            *((6, _encode([(1, key), (2, value)])) for key, value in info.observed_measurements),
            (7, info.available_slots),
            (8, info.in_flight_messages),
            (9, info.connection_name),
        ]
    )


def _encode(fields: Iterable[tuple[int, _Value]]) -> bytes:
    """Encode fields by their numbers; numbers and texts that are 0 or empty are left out, messages never."""
    parts: list[bytes] = []
    for number, value in fields:
        if isinstance(value, int):
            if value:
                parts += (varint(number << 3), varint(value))
        elif value or isinstance(value, bytes):
            raw = value.encode("utf-8", "replace") if isinstance(value, str) else value
            parts += (varint(number << 3 | 2), varint(len(raw)), raw)
    return b"".join(parts)
