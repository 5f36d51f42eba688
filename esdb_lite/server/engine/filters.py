"""Which events of $all a reader sees: what is always hidden, and the filter of the request.

Owns: section 13 of the protocol notes. Must not know: pages, the wire, the clock.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeAlias

from esdb_lite.server.engine.dotnet_regex import compile_dotnet
from esdb_lite.server.storage import Record

Selector: TypeAlias = Callable[[Sequence[Record]], "Sequence[Record]"]
"""Takes records of the log, returns those that are seen, in order."""

_REMEMBERED = 4096
_GROUP_STREAMS = "$persistentsubscription-$all::"
_GROUP_ENDINGS = ("-checkpoint", "-parked")


class FilterOn(enum.Enum):
    """What of an event a filter looks at."""

    STREAM = "stream"
    TYPE = "type"


@dataclass(frozen=True)
class EventFilter:
    """A filter of the request: a .NET regular expression if there is one, else prefixes (none matches nothing)."""

    on: FilterOn
    regex: str = ""
    prefixes: tuple[str, ...] = ()

    def matcher(self) -> Callable[[str], bool]:
        """Return the test of one stream name or event type. Raises UnsupportedRegex."""
        if not self.regex:
            prefixes = self.prefixes
            return lambda value: value.startswith(prefixes)
        search = compile_dotnet(self.regex).search
        return lambda value: search(value) is not None


def hidden(stream: str) -> bool:
    """Whether a stream's events are left out of $all for everybody."""
    return stream == "$epoch-information" or (stream.startswith(_GROUP_STREAMS) and stream.endswith(_GROUP_ENDINGS))


def shown(records: Sequence[Record]) -> Sequence[Record]:
    """Return the records that are seen without a filter."""
    return [record for record in records if record.stream[0] != "$" or not hidden(record.stream)]


def selector(event_filter: EventFilter | None) -> Selector:
    """Return what picks the events that a reader sees. Raises UnsupportedRegex."""
    return shown if event_filter is None else _Selection(event_filter)


class _Selection:
    """Picks by a filter; remembers the verdict on each name, since names repeat and expressions are slow."""

    def __init__(self, event_filter: EventFilter) -> None:
        self._matches = event_filter.matcher()
        self._name: Callable[[Record], str] = attrgetter(event_filter.on.value)
        self._verdicts: dict[str, bool] = {}

    def __call__(self, records: Sequence[Record]) -> Sequence[Record]:
        verdicts = self._verdicts
        if len(verdicts) > _REMEMBERED:
            verdicts.clear()
        names = list(map(self._name, records))
        for name in set(names) - verdicts.keys():
            verdicts[name] = self._matches(name)
        return shown([record for record, name in zip(records, names, strict=True) if verdicts[name]])
