"""A view of a database as simple as can be: a list of records, searched from the start for every question."""

from __future__ import annotations

import json
from collections.abc import Sequence

from esdb_lite.server.engine.indexes import is_selected
from esdb_lite.server.engine.model import length_of
from esdb_lite.server.projections.seen import is_taken
from esdb_lite.server.storage import (
    FIRST_POSITION,
    LogSelection,
    Named,
    PartitionState,
    Record,
    SelectedPage,
    Sketch,
    StoredPosition,
    StreamHead,
)


def name_of(what: Named, record: Record) -> str:
    """Its stream or its type."""
    return record.stream if what is Named.STREAM else record.type


class NaiveReader:
    """A `Reader` over a list. Pages are never longer than `longest`, as if their events were large."""

    def __init__(self, records: Sequence[Record], longest: int = 1000) -> None:
        self._records = sorted(records)
        self._longest = longest

    def _of(self, stream: str) -> list[Record]:
        return [record for record in self._records if record.stream == stream]

    def head(self, stream: str) -> StreamHead | None:
        events, metadata = self._of(stream), self._of("$$" + stream)
        if not events and not metadata:
            return None
        return StreamHead(events[-1].revision if events else -1, metadata[-1] if metadata else None)

    def stream_forward(self, stream: str, first: int, limit: int) -> list[Record]:
        return [record for record in self._of(stream) if record.revision >= first][: min(limit, self._longest)]

    def stream_backward(self, stream: str, first: int, limit: int) -> list[Record]:
        return [r for r in reversed(self._of(stream)) if r.revision <= first][: min(limit, self._longest)]

    def log_forward(self, first: int, limit: int) -> list[Record]:
        return [record for record in self._records if record.position >= first][: min(limit, self._longest)]

    def log_sketched(self, what: Named, first: int, limit: int) -> list[Sketch]:
        names, found = self._numbered(what), [record for record in self._records if record.position >= first]
        return [Sketch(record.position, names.index(name_of(what, record))) for record in found[:limit]]

    def name_of(self, what: Named, number: int) -> str:
        return self._numbered(what)[number]

    def _numbered(self, what: Named) -> list[str]:
        return list(dict.fromkeys(name_of(what, record) for record in self._records))

    def log_of_users(self, first: int, before: int, limit: int) -> list[Record]:
        page = [r for r in self._records if first <= r.position < before and is_taken(r.stream)]
        return page[: min(limit, self._longest)]

    def log_backward(self, before: int, limit: int) -> list[Record]:
        return [r for r in reversed(self._records) if r.position < before][: min(limit, self._longest)]

    def log_at(self, positions: Sequence[int]) -> list[Record]:
        by_position = {record.position: record for record in self._records}
        return [by_position[position] for position in positions if position in by_position][: self._longest]

    def selected_forward(self, selection: LogSelection, first: int, limit: int) -> SelectedPage:
        looked_at = self.log_forward(first, self._longest)
        chosen = [record for record in looked_at if is_selected(selection, record)][:limit]
        last = chosen[-1] if len(chosen) == limit else looked_at[-1] if looked_at else None
        return SelectedPage(chosen, None if last is None else last.position + 1)

    def selected_backward(self, selection: LogSelection, last: int, limit: int) -> SelectedPage:
        looked_at = self.log_backward(last + 1, self._longest)
        chosen = [record for record in looked_at if is_selected(selection, record)][:limit]
        final = chosen[-1] if len(chosen) == limit else looked_at[-1] if looked_at else None
        return SelectedPage(chosen, None if final is None else final.position - 1)

    def log_end(self) -> int:
        return self._records[-1].position + length_of(self._records[-1]) if self._records else FIRST_POSITION

    def last_position(self) -> int:
        return self._records[-1].position if self._records else 0

    def at(self, stream: str, revisions: Sequence[int]) -> dict[int, Record]:
        return {record.revision: record for record in self._of(stream) if record.revision in revisions}

    def names(self, what: Named, first: str, limit: int) -> list[str]:
        known = {name_of(what, record) for record in self._records}
        return sorted(name for name in known if name >= first)[:limit]

    def projection_position(self, id: int) -> StoredPosition | None:
        return None

    def projection_states(self, id: int, partitions: Sequence[str]) -> dict[str, PartitionState]:
        return {}

    def replayed_from(self, stream: str) -> int | None:
        return None

    def index_position(self, id: int) -> int | None:
        return None

    def index_forward(self, id: int, value: bytes | None, first: int, limit: int) -> SelectedPage:
        return SelectedPage([], None)

    def index_backward(self, id: int, value: bytes | None, last: int, limit: int) -> SelectedPage:
        return SelectedPage([], None)


class Log:
    """Makes records one after the other."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._end = FIRST_POSITION
        self._next: dict[str, int] = {}

    def add(
        self, stream: str, *, type: str = "T", data: bytes = b"{}", created: int = 0, revision: int | None = None
    ) -> Record:
        """Append an event."""
        number = self._next.get(stream, 0) if revision is None else revision
        self._next[stream] = number + 1
        id = len(self.records).to_bytes(16, "big")
        record = Record(self._end, stream, number, id, type, True, created, data, b"")
        self._end += length_of(record)
        self.records.append(record)
        return record

    def set_metadata(self, stream: str, **metadata: int) -> Record:
        """Append metadata; `tb` stands for `$tb` and so on."""
        document = {f"${name}": value for name, value in metadata.items()}
        return self.add("$$" + stream, type="$metadata", data=json.dumps(document).encode())

    def link(self, stream: str, target: str) -> Record:
        """Append a link."""
        return self.add(stream, type="$>", data=target.encode())

    def reader(self, longest: int = 1000) -> NaiveReader:
        """Return a view of what there is now."""
        return NaiveReader(self.records, longest)
