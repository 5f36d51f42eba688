"""Which events a visitor wants to see: the fields of the filter, and the server's filter that they stand for.

Owns: both directions. Must not know: pages, reading.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from esdb_lite import ESDB_EVENTS_REGEX, Filter
from esdb_lite.web.asking import Asked


class FilterField(enum.Enum):
    """The part of an event that is looked at."""

    TYPE = "type"
    STREAM = "stream"


class FilterMatch(enum.Enum):
    """How that part is compared."""

    PREFIX = "prefix"
    REGEX = "regex"


@dataclass(frozen=True)
class EventChoice:
    """The fields of the filter."""

    field: FilterField
    match: FilterMatch
    text: str
    """Beginnings with commas between them, or an expression; empty: everything."""
    system: bool
    """Whether the server's own events are shown, where nothing else is chosen."""

    @classmethod
    def of(cls, asked: Asked) -> EventChoice:
        """Read the fields of a query."""
        return cls(
            FilterField.STREAM if asked.text("by") == FilterField.STREAM.value else FilterField.TYPE,
            FilterMatch.REGEX if asked.text("match") == FilterMatch.REGEX.value else FilterMatch.PREFIX,
            asked.text("text"),
            asked.checked("system"),
        )

    @property
    def query(self) -> dict[str, str | None]:
        """The fields, for addresses."""
        chosen = {"by": self.field.value, "match": self.match.value, "text": self.text} if self.text else {}
        return {**chosen, "system": "1" if self.system else None}

    @property
    def exclude(self) -> Sequence[str]:
        """Types that are left out where nothing is chosen."""
        return () if self.system and not self.text else (ESDB_EVENTS_REGEX,)

    def filter(self) -> Filter | None:
        """The server's filter; None where nothing is chosen. Raises InvalidArgument."""
        if not self.text:
            return None
        make = Filter.by_event_type if self.field is FilterField.TYPE else Filter.by_stream_name
        if self.match is FilterMatch.REGEX:
            return make(regex=self.text)
        return make(prefixes=[part.strip() for part in self.text.split(",") if part.strip()])
