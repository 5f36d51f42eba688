"""The client's requests about persistent subscriptions as bytes, and the answers to them.

Owns: Create, Update, Delete, GetInfo, List and ReplayParked of PersistentSubscriptions (Read is in `_wire.acks`).
Must not know: how they are sent. Written by hand for the same reasons as `_convert`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from esdb_lite._convert.requests import encode_filter
from esdb_lite._wire.primitives import (
    Field,
    block,
    encode_pair,
    encode_stream_identifier,
    fields,
    int32,
    number,
    signed,
    text,
)
from esdb_lite.filters import Filter
from esdb_lite.groups import ConsumerInfo, ConsumerStrategy, SubscriptionInfo, SubscriptionSettings

SERVICE = "/event_store.client.persistent_subscriptions.PersistentSubscriptions"
CREATE = f"{SERVICE}/Create"
UPDATE = f"{SERVICE}/Update"
DELETE = f"{SERVICE}/Delete"
READ = f"{SERVICE}/Read"
GET_INFO = f"{SERVICE}/GetInfo"
LIST = f"{SERVICE}/List"
REPLAY_PARKED = f"{SERVICE}/ReplayParked"
RESTART = f"{SERVICE}/RestartSubsystem"

ALL = "$all"
INFINITE_MILLISECONDS = 2**31 - 1
_STRATEGY = b"\x82\x01"  # field 16, whose tag takes two bytes
_NUMBERED_STRATEGIES = (ConsumerStrategy.DISPATCH_TO_SINGLE, ConsumerStrategy.ROUND_ROBIN, ConsumerStrategy.PINNED)
_LOG_POSITION = re.compile(r"C:(-?\d+)/P:(-?\d+)")
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

    def encode_create(self) -> bytes:
        """Return the CreateReq."""
        strategy = self.settings.strategy.value.encode()
        settings = _settings(self.settings) + _STRATEGY + bytes((len(strategy),)) + strategy
        return self._encode(settings, _filter(self.filter) if self.stream_name is None else b"")

    def encode_update(self) -> bytes:
        """Return the UpdateReq, which cannot change the filter. Raises ValueError for a strategy without a number."""
        strategy = number(0x68, _NUMBERED_STRATEGIES.index(self.settings.strategy))
        return self._encode(_settings(self.settings) + strategy, b"")

    def _encode(self, settings: bytes, filter_: bytes) -> bytes:
        stream = self.stream_name
        if stream is None:
            source = block(0x2A, self._log_start() + filter_)
        else:
            source = encode_stream_identifier(0x0A, stream) + block(0x22, self._stream_start(stream))
        return block(0x0A, block(0x12, self.group_name.encode()) + block(0x1A, settings) + source)

    def _stream_start(self, stream: str) -> bytes:
        start = b'"\0' if self.start is None else number(0x10, self.start) if self.start else b"\x1a\0"
        return encode_stream_identifier(0x0A, stream) + start

    def _log_start(self) -> bytes:
        start = self.start
        if start is None:
            return b"\x1a\0"
        return block(0x0A, encode_pair(start, start)) if start else b"\x12\0"


def _filter(value: Filter | None) -> bytes:
    return b"*\0" if value is None else block(0x22, encode_filter(value))


def _settings(settings: SubscriptionSettings) -> bytes:
    after = settings.checkpoint_after
    return b"".join(
        (
            number(0x08, settings.resolve_links),
            number(0x18, settings.extra_statistics),
            number(0x28, settings.max_retry_count),
            number(0x38, settings.min_checkpoint_count),
            number(0x40, settings.max_checkpoint_count),
            number(0x48, settings.max_subscriber_count),
            number(0x50, settings.live_buffer_size),
            number(0x58, settings.read_batch_size),
            number(0x60, settings.history_buffer_size),
            number(0x70, settings.message_timeout // _MILLISECOND),
            number(0x78, 0 if after is None else after // _MILLISECOND),
        )
    )


def encode_delete(group_name: str, stream_name: str | None) -> bytes:
    """Return the DeleteReq."""
    stream = b"\x1a\0" if stream_name is None else encode_stream_identifier(0x0A, stream_name)
    return block(0x0A, stream + block(0x12, group_name.encode()))


def encode_get_info(group_name: str, stream_name: str | None) -> bytes:
    """Return the GetInfoReq."""
    stream = b"\x12\0" if stream_name is None else encode_stream_identifier(0x0A, stream_name)
    return block(0x0A, stream + block(0x1A, group_name.encode()))


def encode_list(stream_name: str | None) -> bytes:
    """Return the ListReq: of a stream, of `$all`, or (None) of everything."""
    if stream_name is None:
        return block(0x0A, b"\n\0")
    of = b"\x12\0" if stream_name == ALL else encode_stream_identifier(0x0A, stream_name)
    return block(0x0A, block(0x12, of))


def encode_replay_parked(group_name: str, stream_name: str | None, stop_at: int | None) -> bytes:
    """Return the ReplayParkedReq."""
    stream = b"\x1a\0" if stream_name is None else encode_stream_identifier(0x12, stream_name)
    limit = b"*\0" if stop_at is None else number(0x20, stop_at)
    return block(0x0A, block(0x0A, group_name.encode()) + stream + limit)


def decode_info(data: bytes) -> SubscriptionInfo | None:
    """Return what a GetInfoResp says; None when it says nothing."""
    found = [_info(raw) for tag, _, raw in fields(data) if tag == 0x0A]
    return found[-1] if found else None


def decode_list(data: bytes) -> list[SubscriptionInfo]:
    """Return what a ListResp says."""
    return [_info(raw) for tag, _, raw in fields(data) if tag == 0x0A]


class _Values:
    """The fields of a message by number."""

    def __init__(self, data: bytes) -> None:
        self._fields: dict[int, Field] = {}
        for tag, value, raw in fields(data):
            self._fields[tag >> 3] = (tag, value, raw)

    def number(self, field: int) -> int:
        return int32(self._fields[field][1]) if field in self._fields else 0

    def long(self, field: int) -> int:
        return signed(self._fields[field][1]) if field in self._fields else 0

    def text(self, field: int) -> str:
        return text(self._fields[field][2]) if field in self._fields else ""


def _info(data: bytes) -> SubscriptionInfo:
    values = _Values(data)
    source = values.text(1)
    return SubscriptionInfo(
        stream_name=None if source == ALL else source,
        group_name=values.text(2),
        settings=_decode_settings(values),
        start=_start(values.text(11)),
        status=values.text(3),
        last_checkpoint=_position(values.text(8)),
        last_known=_position(values.text(9)),
        total_items=values.long(6),
        count_since_last_measurement=values.long(7),
        average_per_second=values.number(5),
        waiting=values.number(21),
        retrying=values.number(23),
        in_flight=values.number(24),
        parked=values.long(28),
        live_buffer_count=values.long(22),
        consumers=tuple(_consumer(raw) for tag, _, raw in fields(data) if tag == 0x22),
    )


def _decode_settings(values: _Values) -> SubscriptionSettings:
    after = values.number(18)
    return SubscriptionSettings.from_server(
        {
            "resolve_links": bool(values.number(10)),
            "message_timeout": values.number(12) * _MILLISECOND,
            "extra_statistics": bool(values.number(13)),
            "max_retry_count": values.number(14),
            "live_buffer_size": values.number(15),
            "history_buffer_size": values.number(16),
            "read_batch_size": values.number(17),
            "checkpoint_after": None if after in (0, INFINITE_MILLISECONDS) else after * _MILLISECOND,
            "min_checkpoint_count": values.number(19),
            "max_checkpoint_count": values.number(20),
            "strategy": _strategy(values.text(26)),
            "max_subscriber_count": values.number(27),
        }
    )


def _strategy(name: str) -> ConsumerStrategy | str:
    """A strategy that is not known here keeps its name."""
    try:
        return ConsumerStrategy(name)
    except ValueError:
        return name


def _position(name: str) -> int | None:
    match = _LOG_POSITION.fullmatch(name)
    if match is not None:
        return int(match[1])
    return int(name) if name.lstrip("-").isdigit() else None


def _start(name: str) -> int | None:
    position = _position(name)
    return None if position == -1 else position


def _consumer(data: bytes) -> ConsumerInfo:
    values = _Values(data)
    measured = [_Values(raw) for tag, _, raw in fields(data) if tag == 0x32]
    return ConsumerInfo(
        username=values.text(2),
        connection_name=values.text(9),
        total_items=values.long(4),
        count_since_last_measurement=values.long(5),
        average_items_per_second=values.number(3),
        available_slots=values.number(7),
        in_flight_messages=values.number(8),
        measurements={each.text(1): each.long(2) for each in measured},
    )
