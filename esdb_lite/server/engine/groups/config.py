"""The list of groups as it is kept in the stream `$persistentSubscriptionConfig`.

Owns: the JSON of section 18.1 of the protocol notes, both ways. Must not know: when it is written, running groups.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from esdb_lite.groups import ConsumerStrategy
from esdb_lite.server.engine.filters import EventFilter, FilterOn

from .parking import iso_time
from .settings import ALL_STREAM, GroupSettings, GroupStart, parse_position, position_text

CONFIG_STREAM = "$persistentSubscriptionConfig"
CONFIG_TYPE = "$PersistentConfig"
CONFIG_METADATA = b'{"$maxCount":2}'

_START_OF_LOG = -(2**63)
"""What a real server writes as `startFrom` of groups on `$all`, whose start is in `startPosition` alone."""


@dataclass(frozen=True)
class GroupConfig:
    """A group as it is remembered across restarts."""

    stream: str
    group: str
    settings: GroupSettings
    filter: EventFilter | None = None
    """Which events of `$all` concern the group; None = all of them."""

    @property
    def key(self) -> str:
        """What names the group among all."""
        return f"{self.stream}::{self.group}"

    @property
    def in_log(self) -> bool:
        """Whether the group reads `$all`."""
        return self.stream == ALL_STREAM


def dump_config(configs: Iterable[GroupConfig], *, ticks: int, updated_by: str) -> bytes:
    """Write the configuration: indented, camel case, default values left out."""
    document = {
        "version": "2",
        "updated": iso_time(ticks),
        "updatedBy": updated_by,
        "entries": [_dump_entry(config) for config in configs],
    }
    return json.dumps(document, indent=2, ensure_ascii=False).encode("utf-8", "surrogatepass")


def load_config(data: bytes) -> list[GroupConfig]:
    """Read what `dump_config` or a real server wrote; entries that make no sense are left out."""
    try:
        document: object = json.loads(data)
    except ValueError:
        return []
    entries: object = document.get("entries") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        return []
    return [config for entry in entries if (config := _load_entry(entry)) is not None]


Json = Mapping[str, object]


def _dump_entry(config: GroupConfig) -> Json:
    settings, start = config.settings, config.settings.start
    entry: dict[str, object] = {
        "stream": config.stream,
        "group": config.group,
        "filter": None if config.filter is None else _dump_filter(config.filter),
        "resolveLinkTos": settings.resolve_links,
        "extraStatistics": settings.extra_statistics,
        "messageTimeout": settings.message_timeout,
        "startFrom": _START_OF_LOG if config.in_log else start.position,
        "startPosition": position_text(start.position, in_log=config.in_log, prepare=start.prepare),
        **{name: getattr(settings, attribute) for name, attribute in _NUMBERS.items()},
        "namedConsumerStrategy": settings.strategy.value,
    }
    return {name: value for name, value in entry.items() if value not in (0, None, False)}


_NUMBERS = {
    "liveBufferSize": "live_buffer_size",
    "historyBufferSize": "history_buffer_size",
    "maxRetryCount": "max_retry_count",
    "readBatchSize": "read_batch_size",
    "checkPointAfter": "checkpoint_after",
    "minCheckPointCount": "min_checkpoint_count",
    "maxCheckPointCount": "max_checkpoint_count",
    "maxSubscriberCount": "max_subscriber_count",
}


def _dump_filter(filter_: EventFilter) -> Json:
    joined = filter_.regex or ",".join(filter_.prefixes)
    dumped: dict[str, object] = {
        "context": _CONTEXTS[filter_.on],
        "type": "regex" if filter_.regex else "prefix",
        "data": joined,
        "isAllStream": True,
    }
    if not filter_.regex and _split(joined) != filter_.prefixes:  # a real server would not get them back
        dumped["prefixes"] = list(filter_.prefixes)
    return dumped


_CONTEXTS = {FilterOn.STREAM: "streamid", FilterOn.TYPE: "eventtype"}


def _split(joined: str) -> tuple[str, ...]:
    return tuple(joined.split(","))


def _load_entry(entry: object) -> GroupConfig | None:
    if not isinstance(entry, dict):
        return None
    stream, group = entry.get("stream"), entry.get("group", "")
    if not isinstance(stream, str) or not stream or not isinstance(group, str):
        return None
    try:
        return GroupConfig(stream, group, _load_settings(entry), _load_filter(entry.get("filter")))
    except (ValueError, TypeError):
        return None


def _load_settings(entry: Json) -> GroupSettings:
    numbers = {attribute: _integer(entry.get(name, 0)) for name, attribute in _NUMBERS.items()}
    return GroupSettings(
        resolve_links=entry.get("resolveLinkTos") is True,
        extra_statistics=entry.get("extraStatistics") is True,
        start=_load_start(entry),
        message_timeout=_integer(entry.get("messageTimeout", 0)),
        strategy=ConsumerStrategy(str(entry.get("namedConsumerStrategy", ConsumerStrategy.ROUND_ROBIN.value))),
        **numbers,
    )


def _load_start(entry: Json) -> GroupStart:
    text = entry.get("startPosition")
    return parse_position(text) if isinstance(text, str) else GroupStart(_integer(entry.get("startFrom", 0)))


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise ValueError(f"not a number: {value!r}")
    return int(value)


def _load_filter(value: object) -> EventFilter | None:
    if not isinstance(value, dict):
        return None
    on = FilterOn.TYPE if str(value.get("context", "")).lower() == "eventtype" else FilterOn.STREAM
    data = str(value.get("data", ""))
    if str(value.get("type", "")).lower() == "regex":
        return EventFilter(on, regex=data)
    listed: object = value.get("prefixes")
    return EventFilter(on, prefixes=tuple(map(str, listed)) if isinstance(listed, list) else _split(data))
