"""A database as simple as can be: a list of records, searched from the start for every question."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import count

from esdb_lite.server.engine.append import Moment, Rule, Stored
from esdb_lite.server.engine.metadata import StreamRules, of_record
from esdb_lite.server.engine.model import Outcome, RecordsOutcome
from esdb_lite.server.storage import Record


class NaiveState:
    """The rules' `State`, without any cache or index."""

    def __init__(self, log_end: int = 733) -> None:
        self.records: list[Record] = []
        self.log_end = log_end
        self.start = log_end
        self.now = 0
        self._ids = count(1)

    def run(self, rule: Rule) -> Outcome | RecordsOutcome:
        self.now += 10
        decision = rule(self, Moment(self.log_end, self.now, lambda: b"generated%07d" % next(self._ids)))
        self.records.extend(decision.records)
        self.log_end = decision.log_end
        return decision.outcome

    def of(self, stream: str) -> list[Record]:
        return [record for record in self.records if record.stream == stream]

    def last(self, stream: str) -> Record | None:
        events = self.of(stream)
        return max(events, key=lambda record: record.revision) if events else None

    def plain_ends(self, streams: Collection[str]) -> Mapping[str, int]:
        return {}  # so that each stream is asked about

    def last_revision(self, stream: str) -> int:
        last = self.last(stream)
        return -1 if last is None else last.revision

    def written_since_start(self, stream: str) -> bool:
        last = self.last(stream)
        return last is not None and last.position >= self.start

    def metadata(self, stream: str) -> StreamRules:
        return of_record(self.last("$$" + stream))

    def metadata_document(self, stream: str) -> bytes:
        last = self.last("$$" + stream)
        return b"" if last is None else last.data

    def last_event(self, stream: str) -> Record | None:
        return self.last(stream)

    def recent(self, event_id: bytes) -> tuple[str, int] | None:
        return next(((record.stream, record.revision) for record in self.records if record.id == event_id), None)

    def ids(self, stream: str, first: int, count: int) -> Mapping[int, bytes]:
        return {record.revision: record.id for record in self.of(stream) if 0 <= record.revision - first < count}

    def stored(self, stream: str, revision: int) -> Stored | None:
        return next((Stored(r.position, r.created) for r in self.of(stream) if r.revision == revision), None)
