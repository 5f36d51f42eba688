"""Which events of $all a reader sees: what is always hidden, and the filter of the request.

Owns: section 13 of the protocol notes. Must not know: pages, the wire, the clock.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeAlias

from esdb_lite.server.engine.regex.automaton import Allowance
from esdb_lite.server.engine.regex.matcher import compile_dotnet
from esdb_lite.server.engine.regex.translation import UnsupportedRegex
from esdb_lite.server.storage import Named, Reader, Record, Sketch

Selector: TypeAlias = Callable[[Sequence[Record]], "Sequence[Record]"]
"""Takes records of the log, returns those that are seen, in order. Raises RegexTooSlow."""

Test: TypeAlias = Callable[[str, Allowance], bool]
"""Of one stream name or event type. Raises RegexTooSlow."""

MOST_PREFIXES = 2_000
"""So many are compared with each name in less than a tenth of a millisecond."""
_REMEMBERED = 4096
_REMEMBERED_CHARACTERS = 512 * 1024
_STEPS = 10_000
"""What an expression may take for the names of one page that are new to it: some five milliseconds."""
_GROUP_STREAMS = "$persistentsubscription-$all::"
_GROUP_ENDINGS = ("-checkpoint", "-parked")


class FilterOn(enum.Enum):
    """The part of an event that a filter looks at."""

    STREAM = "stream"
    TYPE = "type"

    @property
    def named(self) -> Named:
        """The names that it looks at."""
        return Named.STREAM if self is FilterOn.STREAM else Named.TYPE


class UnusableFilter(ValueError):
    """The filter cannot be used; the text says why."""


@dataclass(frozen=True)
class EventFilter:
    """A filter of the request: a .NET regular expression if there is one, else prefixes (none matches nothing)."""

    on: FilterOn
    regex: str = ""
    prefixes: tuple[str, ...] = ()

    def test(self) -> Test:
        """Return the test of one stream name or event type. Raises UnusableFilter."""
        if not self.regex:
            prefixes = self.prefixes
            if len(prefixes) > MOST_PREFIXES:
                raise UnusableFilter(f"it has {len(prefixes)} prefixes, the most are {MOST_PREFIXES}")
            return lambda value, _: value.startswith(prefixes)
        try:
            return compile_dotnet(self.regex).search
        except UnsupportedRegex as error:
            raise UnusableFilter(f"the regular expression cannot be used: {error}") from error


def hidden(stream: str) -> bool:
    """Whether a stream's events are left out of $all for everybody."""
    return stream == "$epoch-information" or (stream.startswith(_GROUP_STREAMS) and stream.endswith(_GROUP_ENDINGS))


def shown(records: Sequence[Record]) -> Sequence[Record]:
    """Return the records that are seen without a filter."""
    return [record for record in records if record.stream[0] != "$" or not hidden(record.stream)]


def selector(event_filter: EventFilter | None) -> Selector:
    """Return what picks the events that a reader sees. Raises UnusableFilter."""
    return shown if event_filter is None else Selection(event_filter)


class Selection:
    """Picks by a filter; remembers the verdict on each name, since names repeat and expressions are slow."""

    def __init__(self, event_filter: EventFilter) -> None:
        self.on = event_filter.on
        self._test = event_filter.test()
        self._name: Callable[[Record], str] = attrgetter(event_filter.on.value)
        self._verdicts: dict[str, bool] = {}
        self._characters = 0
        """Of the names in `_verdicts`."""
        self._by_number: dict[int, bool] = {}

    def __call__(self, records: Sequence[Record]) -> Sequence[Record]:
        """Return the records that are seen. Raises RegexTooSlow."""
        verdicts, name_of = self._verdicts, self._name
        try:
            chosen = [record for record in records if verdicts[name_of(record)]]
        except KeyError:
            self._judge(set(map(name_of, records)))
            chosen = [record for record in records if verdicts[name_of(record)]]
        return shown(chosen)

    def matching(self, sketches: Sequence[Sketch], reader: Reader) -> Sequence[Sketch]:
        """Return those that match; some may be hidden nevertheless. Raises RegexTooSlow."""
        verdicts = self._by_number
        try:
            return [sketch for sketch in sketches if verdicts[sketch[1]]]
        except KeyError:
            self._judge_numbers({number for _, number in sketches}, reader)
            return [sketch for sketch in sketches if verdicts[sketch[1]]]

    def _judge_numbers(self, numbers: set[int], reader: Reader) -> None:
        """See to it that there is a verdict on each of these."""
        verdicts = self._by_number
        if len(verdicts) > _REMEMBERED:
            verdicts.clear()
        names = {number: reader.name_of(self.on.named, number) for number in numbers - verdicts.keys()}
        self._judge(set(names.values()))
        verdicts.update((number, self._verdicts[name]) for number, name in names.items())

    def _judge(self, names: set[str]) -> None:
        """See to it that there is a verdict on each of these."""
        verdicts, allowance = self._verdicts, Allowance(_STEPS)
        if len(verdicts) > _REMEMBERED or self._characters > _REMEMBERED_CHARACTERS:
            verdicts.clear()
            self._characters = 0
        for name in names - verdicts.keys():
            verdicts[name] = self._test(name, allowance)
            self._characters += len(name)
