"""What there is in a database, by name: streams, their categories, types of events.

Owns: which names are listed, page by page. Must not know: who asks, how names are kept, the clock.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import NamedTuple

from esdb_lite.server.engine.visibility import window_unless_tombstoned
from esdb_lite.server.storage import Named, Reader

AT_ONCE = 256
"""Names that are looked at for a page."""
_FEW = 16
"""Names to ask for where it may turn out with each of them that many are to be left out."""

_BEHIND_ALL = "\U0010ffff"
"""No name has this in it, as a rule: with it at their end, names come behind all that begin like them."""
_SYSTEM = "$"


class Listed(enum.Enum):
    """What is listed; the value is the number in requests."""

    STREAMS = 0
    """Those that can be read: neither deleted nor without events."""
    CATEGORIES = 1
    """Of these streams: what comes before the first hyphen of a name, or all of it."""
    TYPES = 2
    """Also those that no event has any more."""


class NamesPage(NamedTuple):
    """Names in order, and where the next page begins: after this; empty: nowhere."""

    names: list[str]
    end: str


def names_page(reader: Reader, what: Listed, prefix: str, after: str, limit: int, now: int) -> NamesPage:
    """Return up to `limit` names that begin with `prefix`; fewer than that do not mean the end.

    System names begin with `$`, and are listed only where the prefix does, too. Categories may come again with
    another page.
    """
    found: list[str] = []
    if what is Listed.CATEGORIES and "-" in prefix:
        return NamesPage(found, "")
    looked = _Looking(reader, what, prefix, after)
    for name in looked:
        if what is Listed.TYPES:
            found.append(name)
        elif window_unless_tombstoned(reader, name, now) is not None:
            found.append(name if what is Listed.STREAMS else looked.skip_category(name))
        if len(found) >= limit:
            return NamesPage(found, looked.end)
    return NamesPage(found, looked.end)


def category_of(stream: str) -> str:
    """Return the category of a stream."""
    return stream.partition("-")[0]


class _Looking:
    """Goes through names from one on, as far as a page goes, and leaves out what is not to be listed."""

    def __init__(self, reader: Reader, what: Listed, prefix: str, after: str) -> None:
        self._reader = reader
        self._named = Named.TYPE if what is Listed.TYPES else Named.STREAM
        self._prefix = prefix
        self._seen: set[str] = set()
        self.end = after
        """The last name that was looked at; empty when there are no more."""

    def skip_category(self, stream: str) -> str:
        """Leave out all other streams of its category, which is returned."""
        category = category_of(stream)
        self._seen.add(category)
        return category

    def __iter__(self) -> Iterator[str]:
        left, size = AT_ONCE, _FEW
        while left > 0:
            page = self._page(size)
            for name in page:
                if not name.startswith(self._prefix):
                    self.end = ""
                    return
                left -= 1
                behind = self._jump(name)
                self.end = behind or name
                if behind is not None:
                    size = _FEW
                    break
                yield name
            else:
                if len(page) < size:
                    self.end = ""
                    return
                size = min(2 * size, AT_ONCE)

    def _page(self, size: int) -> list[str]:
        # a NUL makes of a name the next one that there can be
        return self._reader.names(self._named, max(self._prefix, self.end + "\0" if self.end else ""), size)

    def _jump(self, name: str) -> str | None:
        """Return where to go on, when many names are to be left out from this one on."""
        if name.startswith(_SYSTEM) and not self._prefix.startswith(_SYSTEM):
            return _SYSTEM + _BEHIND_ALL
        category = category_of(name)
        return f"{category}-{_BEHIND_ALL}" if category in self._seen and name != category else None
