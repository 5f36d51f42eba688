"""The list of groups as it is kept in the stream `$persistentSubscriptionConfig`.

Owns: the JSON of section 18.1 of the protocol notes, both ways. Must not know: when it is written, running groups.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from esdb_lite._json import Json, NotJson, parse_json
from esdb_lite.groups import ConsumerStrategy
from esdb_lite.positions import ALL_STREAM
from esdb_lite.server.engine.filters import EventFilter, FilterOn

from .parking import iso_time
from .settings import INT32, INT64, GroupSettings, GroupStart, parse_position, position_text

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


class LoadedConfig(NamedTuple):
    """The groups that are remembered, and what is wrong with the rest."""

    groups: Sequence[GroupConfig]
    faults: Sequence[str]


def load_config(data: bytes) -> LoadedConfig:
    """Read what `dump_config` or a real server wrote; entries that make no sense are left out, and told of."""
    try:
        document = parse_json(data, unique_names=True)
    except NotJson as error:
        return LoadedConfig([], [f"the list of groups cannot be read: {error}"])
    entries = document.get("entries") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        return LoadedConfig([], ["the list of groups has no entries"])
    groups: dict[tuple[str, str], GroupConfig] = {}
    faults: list[str] = []
    for number, entry in enumerate(entries):
        try:
            config = _load_entry(entry)
            groups[config.stream, config.group] = config
        except ValueError as error:
            faults.append(f"entry {number} of the list of groups cannot be used: {error}")
    return LoadedConfig(list(groups.values()), faults)


def _dump_entry(config: GroupConfig) -> Mapping[str, object]:
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


def _dump_filter(filter_: EventFilter) -> Mapping[str, object]:
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


def _load_entry(entry: Json) -> GroupConfig:
    if not isinstance(entry, dict):
        raise ValueError("it is no object")
    stream, group = _text(entry, "stream"), _text(entry, "group")
    if not stream:
        raise ValueError("it names no stream")
    return GroupConfig(stream, group, _load_settings(entry), _load_filter(entry.get("filter")))


def _text(entry: Mapping[str, Json], name: str, default: str = "") -> str:
    value = entry.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise ValueError(f"{name} is no text")
    return value


def _load_settings(entry: Mapping[str, Json]) -> GroupSettings:
    numbers = {
        attribute: _integer(entry, name, INT64 if attribute == "checkpoint_after" else INT32)
        for name, attribute in _NUMBERS.items()
    }
    return GroupSettings(
        resolve_links=entry.get("resolveLinkTos") is True,
        extra_statistics=entry.get("extraStatistics") is True,
        start=_load_start(entry),
        message_timeout=_integer(entry, "messageTimeout", INT64),
        strategy=ConsumerStrategy(_text(entry, "namedConsumerStrategy", ConsumerStrategy.ROUND_ROBIN.value)),
        **numbers,
    )


def _load_start(entry: Mapping[str, Json]) -> GroupStart:
    text = entry.get("startPosition")
    return parse_position(text) if isinstance(text, str) else GroupStart(_integer(entry, "startFrom", INT64))


def _integer(entry: Mapping[str, Json], name: str, allowed: range) -> int:
    value = entry.get(name, 0)
    if type(value) is not int or value not in allowed:
        raise ValueError(f"{name} is no number in the range of its type")
    return value


def _load_filter(value: Json) -> EventFilter | None:
    if not isinstance(value, dict):
        return None
    on = FilterOn.TYPE if _text(value, "context").lower() == "eventtype" else FilterOn.STREAM
    data = _text(value, "data")
    if _text(value, "type").lower() == "regex":
        return EventFilter(on, regex=data)
    listed = value.get("prefixes")
    return EventFilter(on, prefixes=tuple(map(str, listed)) if isinstance(listed, list) else _split(data))
