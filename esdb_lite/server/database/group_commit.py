"""Group commit: many commands decided one after the other and committed together.

Owns: the writer's memory (last revisions, metadata, recently written ids) and its consistency with the file.
Must not know: threads, asyncio, who asked. Everything here runs in one thread at a time.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from itertools import islice
from typing import NamedTuple, TypeAlias

from esdb_lite.server.engine.append import Moment, Rule, Stored
from esdb_lite.server.engine.metadata import EMPTY, StreamRules, of_record
from esdb_lite.server.engine.model import Outcome, RecordsOutcome, is_metastream, metastream_of, original_of
from esdb_lite.server.storage import Record
from esdb_lite.server.storage.errors import (
    DRIVER_ERRORS,
    StorageCorrupted,
    StorageError,
    StorageFull,
    StorageLocked,
    StorageReadOnly,
)
from esdb_lite.server.storage.sqlite_writer import Identified, Last, SqliteWriter

_RECENT_BYTES = 8 * 1024 * 1024
"""As `_cost_of` counts them, which is how many ids a real server keeps. Here they take up to three times as much."""
_RECALLED_BYTES = 64 * 1024 * 1024
"""Of the file that are read for the ids of the log's last events."""
_RECALLED_AT_ONCE = 4096
"""Events."""
_READ_FOR_AN_ID = 4096
"""Bytes of an event at most."""
_LONGEST_RUN = 64
"""Events whose ids are kept together: to find one of them is still quick."""
_STREAMS_KEPT = 50_000
_CHARACTERS_KEPT = 8 * 1024 * 1024
"""Of the names of these streams."""
_WORTH_IT = 8
"""Streams that are looked up together."""
_NONE = Last(-1, -1)
_HOPELESS = (StorageFull, StorageLocked, StorageReadOnly, StorageCorrupted)

Result: TypeAlias = Outcome | RecordsOutcome | Exception


class Committed(NamedTuple):
    """What became of the commands of one commit."""

    results: Sequence[Result]
    """In the order of the commands: an outcome, or what went wrong with this one."""
    records: Sequence[Record]
    """What was written, in log order."""
    log_end: int


def new_id() -> bytes:
    """A random UUID's bytes."""
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    return bytes(raw)


class IdSource:
    """Random UUIDs, asked of the system many at a time."""

    _AT_ONCE = 64
    _LENGTH = 16 * _AT_ONCE
    _KEPT = int.from_bytes((b"\xff" * 6 + b"\x0f\xff\x3f" + b"\xff" * 7) * _AT_ONCE, "big")
    _SET = int.from_bytes((bytes(6) + b"\x40\x00\x80" + bytes(7)) * _AT_ONCE, "big")

    def __init__(self) -> None:
        self._ready: list[bytes] = []

    def new_id(self) -> bytes:
        """See `new_id`."""
        ready = self._ready
        if not ready:
            number = int.from_bytes(os.urandom(self._LENGTH), "big") & self._KEPT | self._SET
            many = number.to_bytes(self._LENGTH, "big")
            ready += [many[start : start + 16] for start in range(0, self._LENGTH, 16)]
        return ready.pop()


class Committer:
    """Decides commands against what is written, and writes what they decide. It is the rules' `State`."""

    def __init__(
        self,
        writer: SqliteWriter,
        now: Callable[[], int],
        confirm: Callable[[int], None] = lambda _: None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """`confirm` is called with the end of the log after each commit, before anybody hears of it.

        `check` is called before each, and raises StorageError where it would be lost.
        """
        self._check = check
        self._writer = writer
        self._now = now
        self._confirm = confirm
        self._streams: dict[str, _KnownStream] = {}
        self._characters = 0
        """Of their names."""
        self._recent = _RecentIds()
        self._new_id = IdSource().new_id
        self.log_end = writer.log_end()
        self._start = self.log_end

    def begin(self, contents: Sequence[Record]) -> None:
        """Give a new database its first events."""
        with self._writer.transaction():
            self._writer.add_all(contents)
        self.log_end = self._start = self._writer.log_end()
        self._confirm(self.log_end)

    def recall(self) -> None:
        """Remember the ids that were written last before the database was opened, as if it had never been closed.

        Those of what projections have written are among them, which cannot be told from others any more.
        """
        room, unread = _RECENT_BYTES, _RECALLED_BYTES
        runs: list[_IdRun] = []
        with closing(self._writer.newest(_RECALLED_AT_ONCE)) as newest:
            for page in newest:
                found = _runs_of(page)
                runs += found
                room -= sum(map(_cost_of, found))
                unread -= min(page[0][0] - page[-1][0], len(page) * _READ_FOR_AN_ID)
                if room < 0 or unread < 0:
                    break
        self._recent.recall(runs[::-1])

    def commit(self, commands: Sequence[Rule]) -> Committed:
        """Run the commands; each that can be answered is, whatever happens to the others."""
        try:
            return self._commit(commands)
        except Exception as error:
            self._forget()
            if len(commands) == 1 or isinstance(error, _HOPELESS):
                return Committed([error] * len(commands), (), self.log_end)
        # One of them cannot be written, and SQLite does not say which.
        return _joined([self.commit([command]) for command in commands])

    def _commit(self, commands: Sequence[Rule]) -> Committed:
        results: list[Result] = []
        records: list[Record] = []
        self._check()
        with self._writer.transaction():
            end = written_end = self.log_end
            for command in commands:
                try:
                    decision = command(self, Moment(end, self._now(), self._new_id))
                except (StorageError, *DRIVER_ERRORS):
                    raise
                except Exception as error:
                    results.append(error)
                    continue
                outcome, new, end, notes = decision
                if new:
                    # With records, the log ends behind the last of them.
                    written_end = end
                    # What projections write has ids that nobody will send again.
                    self._add(new, remember=not notes)
                    records += new
                if notes:
                    self._writer.save(notes)
                results.append(outcome)
            if end > written_end:
                self._writer.set_floor(end)
        self.log_end = end
        self._confirm(end)
        self._trim()
        return Committed(results, records, end)

    def _add(self, records: Sequence[Record], *, remember: bool) -> None:
        self._writer.add_all(records)
        if remember:
            self._recent.add(records)
        for stream, last in {record[1]: record for record in records}.items():
            revision, position = last[2], last[0]
            state = self._streams.get(stream)
            if state is None:
                self._keep(stream, _KnownStream(revision, position))
            else:
                state.revision, state.position = revision, position
            if is_metastream(stream) and (original := self._streams.get(original_of(stream))) is not None:
                original.rules = None

    def _keep(self, stream: str, state: _KnownStream) -> _KnownStream:
        self._characters += len(stream)
        self._streams[stream] = state
        return state

    def _trim(self) -> None:
        self._recent.keep()
        if self._characters > _CHARACTERS_KEPT:
            self.forget_streams()
        if len(self._streams) > _STREAMS_KEPT:
            for stream in list(islice(self._streams, _STREAMS_KEPT // 2)):
                del self._streams[stream]
            self._characters = sum(map(len, self._streams))

    def _forget(self) -> None:
        """Forget what a rolled-back transaction may have put here."""
        self.forget_streams()
        self._recent.undo()

    def forget_streams(self) -> None:
        """Forget last revisions and metadata, after something else than a command has changed them."""
        self._streams.clear()
        self._characters = 0

    def plain_ends(self, streams: Collection[str]) -> Mapping[str, int]:
        """See `LogState`."""
        known = self._streams
        unknown = [stream for stream in streams if stream not in known]
        if len(unknown) >= _WORTH_IT:
            self._look_up(unknown)
        found = [(stream, known.get(stream)) for stream in streams]
        return {stream: state.revision for stream, state in found if state is not None and state.rules is EMPTY}

    def _look_up(self, streams: Sequence[str]) -> None:
        lasts = self._writer.lasts([name for stream in streams for name in (stream, metastream_of(stream))])
        for stream in streams:
            rules = None if metastream_of(stream) in lasts else EMPTY
            self._keep(stream, _KnownStream(*lasts.get(stream, _NONE), rules))

    def last_revision(self, stream: str) -> int:
        """See `State`."""
        return self._state(stream).revision

    def written_since_start(self, stream: str) -> bool:
        """See `State`."""
        return self._state(stream).position >= self._start

    def _state(self, stream: str) -> _KnownStream:
        return self._streams.get(stream) or self._keep(stream, _KnownStream(*self._writer.last(stream) or _NONE))

    def metadata(self, stream: str) -> StreamRules:
        """See `State`."""
        state = self._state(stream)
        if state.rules is None:
            if self.last_revision(metastream_of(stream)) < 0:
                state.rules = EMPTY
            else:
                # Without the access list, which the writer does not ask for and which may be long.
                state.rules = of_record(self._writer.last_event(metastream_of(stream)))._replace(acl=None)
        return state.rules

    def metadata_document(self, stream: str) -> bytes:
        """See `State`."""
        record = self._writer.last_event(metastream_of(stream))
        return b"" if record is None else record.data

    def last_event(self, stream: str) -> Record | None:
        """See `LogState`."""
        return self._writer.last_event(stream)

    def recent(self, event_id: bytes) -> tuple[str, int] | None:
        """See `State`."""
        return self._recent.find(event_id)

    def ids(self, stream: str, first: int, count: int) -> Mapping[int, bytes]:
        """See `State`."""
        return self._writer.ids(stream, first, count)

    def stored(self, stream: str, revision: int) -> Stored | None:
        """See `State`."""
        found = self._writer.stored(stream, revision)
        return None if found is None else Stored(*found)


def _joined(batches: Sequence[Committed]) -> Committed:
    results = [result for batch in batches for result in batch.results]
    records = [record for batch in batches for record in batch.records]
    return Committed(results, records, batches[-1].log_end)


class _KnownStream:
    """What is known of a stream."""

    __slots__ = ("position", "revision", "rules")

    def __init__(self, revision: int, position: int, rules: StreamRules | None = None) -> None:
        self.revision = revision
        self.position = position
        """Of the last event."""
        self.rules = rules
        """What its metadata says; None: that was not looked at."""


class _IdRun(NamedTuple):
    """Events of a stream that follow each other, by their ids."""

    stream: str
    first: int
    """Number of the first of them."""
    ids: Sequence[bytes]


class _RecentIds:
    """Stream and number of the events written last, by id; the first to write an id keeps it."""

    def __init__(self) -> None:
        self._known: dict[bytes, _IdRun] = {}
        self._order: deque[_IdRun] = deque()  # a dict takes ever longer to find its first key where others were removed
        self._uncommitted = 0
        self._bytes = 0

    def find(self, event_id: bytes) -> tuple[str, int] | None:
        """Stream and number of the first event with this id."""
        run = self._known.get(event_id)
        return None if run is None else (run.stream, run.first + run.ids.index(event_id))

    def add(self, records: Sequence[Record]) -> None:
        before = len(self._order)
        self._keep_new(_runs_in(records))
        self._uncommitted += len(self._order) - before

    def recall(self, runs: Sequence[_IdRun]) -> None:
        """Take what was written before all else, in the order of the log."""
        self._keep_new(runs)
        self.keep()

    def _keep_new(self, runs: Sequence[_IdRun]) -> None:
        """Keep of runs what is not known."""
        if self._are_new([event_id for run in runs for event_id in run[2]]):
            self._keep(runs)
            return
        for run in runs:
            if self._are_new(run.ids):
                self._keep([run])
                continue
            for revision, event_id in enumerate(run.ids, run.first):
                if event_id not in self._known:
                    self._keep([_IdRun(run.stream, revision, (event_id,))])

    def _are_new(self, ids: Sequence[bytes]) -> bool:
        return len(set(ids)) == len(ids) and self._known.keys().isdisjoint(ids)

    def _keep(self, runs: Sequence[_IdRun]) -> None:
        self._known.update([(event_id, run) for run in runs for event_id in run[2]])
        self._order.extend(runs)
        self._bytes += sum(map(_cost_of, runs))

    def undo(self) -> None:
        for _ in range(self._uncommitted):
            self._drop(self._order.pop())
        self._uncommitted = 0

    def keep(self) -> None:
        self._uncommitted = 0
        while self._bytes > _RECENT_BYTES:
            self._drop(self._order.popleft())

    def _drop(self, run: _IdRun) -> None:
        for event_id in run.ids:
            del self._known[event_id]
        self._bytes -= _cost_of(run)


_new = tuple.__new__  # half of what the constructor of a NamedTuple takes


def _runs_in(records: Sequence[Record]) -> list[_IdRun]:
    """The runs of records, in their order."""
    found: list[_IdRun] = []
    at = 0
    while at < len(records):
        stream, revision, event_id = records[at][1:4]
        if at + 1 == len(records) or records[at + 1][1] is not stream:
            found.append(_new(_IdRun, (stream, revision, (event_id,))))
            at += 1
            continue
        end = _end_of_run(records, at)
        found.append(_new(_IdRun, (stream, revision, tuple([record[3] for record in records[at:end]]))))
        at = end
    return found


def _end_of_run(records: Sequence[Record], start: int) -> int:
    """Where the events of one stream end that follow each other from there on, or as many as are worth a run."""
    stream, revision = records[start][1:3]
    end = min(start + _LONGEST_RUN, len(records))
    last = records[end - 1]
    if last[1] is stream and last[2] - revision == end - 1 - start:
        return end  # their numbers rise, so that all between are of the stream
    end = start + 1
    while end < len(records) and records[end][1] == stream and records[end][2] - revision == end - start:
        end += 1
    return end


def _runs_of(page: Sequence[Identified]) -> list[_IdRun]:
    """The runs of events that are given in the opposite order of the log; also the runs are."""
    found: list[_IdRun] = []
    ids: list[bytes] = []
    of, first = "", 0
    for _, event_id, stream, revision in page:
        if ids and not (stream is of and revision == first - 1 and len(ids) < _LONGEST_RUN):
            found.append(_IdRun(of, first, tuple(ids[::-1])))
            ids = []
        ids.append(event_id)
        of, first = stream, revision
    return [*found, _IdRun(of, first, tuple(ids[::-1]))]


def _cost_of(run: _IdRun) -> int:
    return len(run.ids) * (80 + 2 * len(run.stream))
