"""Where a projection is in its source, in the three ways in which that is written down.

Owns: their texts and their order. Must not know: events.

    source             in the metadata of what it writes           in statistics
    one stream         "$s":{"a":4}                                a: 4
    several streams    "$s":{"a":4,"b":-1}                         a: 4; b: -1; (with a blank at the end)
    the log            "$c":811,"$p":811                           C:811/P:811
    the log, by type   "$c":811,"$p":811,"$s":{"T":0}              C:811/P:811; T: 0;
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from esdb_lite._json import NotJson, parse_json
from esdb_lite._log_positions import log_position
from esdb_lite.server.projections.seen import quoted

BEFORE = -1
"""Of a stream, and of the log: nothing has been seen."""


@dataclass(frozen=True)
class Tag:
    """A place in a source: the last event that has been seen of it."""

    numbers: Mapping[str, int] = field(default_factory=dict)
    """By stream, or by type."""
    position: int | None = None
    """In the log; None where the source is streams."""

    @property
    def metadata(self) -> str:
        """The members that stand for it in metadata, without brackets."""
        numbers = ",".join(f"{quoted(name)}:{number}" for name, number in self.numbers.items())
        if self.position is None:
            return f'"$s":{{{numbers}}}'
        position = f'"$c":{max(self.position, 0)},"$p":{self.position}'
        return f'{position},"$s":{{{numbers}}}' if numbers else position

    def __str__(self) -> str:
        if self.position is None and len(self.numbers) == 1:
            return "".join(f"{name}: {number}" for name, number in self.numbers.items())
        numbers = "".join(f"{name}: {number}; " for name, number in self.numbers.items())
        if self.position is None:
            return numbers
        position = log_position(max(self.position, 0), self.position)
        return f"{position}; {numbers}" if numbers else position

    def reached_by(self, other: Tag) -> bool:
        """Whether the other one is at this place or behind it, in a source of the same kind."""
        if (self.position is None) != (other.position is None):
            return False
        if self.position is not None and other.position is not None:
            return other.position >= self.position
        return self.numbers.keys() == other.numbers.keys() and all(
            other.numbers[name] >= number for name, number in self.numbers.items()
        )


def tag_of(metadata: bytes) -> Tag | None:
    """The place that metadata of something written tells. None: they tell none."""
    try:
        document = parse_json(metadata)
    except NotJson:
        return None
    if not isinstance(document, dict):
        return None
    numbers, position = document.get("$s"), document.get("$p")
    if not isinstance(numbers, dict) and not isinstance(position, int):
        return None
    by_stream = numbers.items() if isinstance(numbers, dict) else ()
    return Tag(
        {stream: number for stream, number in by_stream if isinstance(number, int)},
        position if isinstance(position, int) else None,
    )
