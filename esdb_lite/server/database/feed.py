"""The live feed: what has just been committed, to everyone who listens, in log order.

Owns: listeners and their bounds. Must not know: storage, the rules, the wire. Runs on one event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from esdb_lite.server.storage import Record

LISTENER_BYTES = 4 * 1024 * 1024
"""A listener that holds this much data and metadata has overflowed, however few events that is."""


class Listener:
    """A bounded queue of committed events: of one stream, or of all."""

    def __init__(
        self, feed: CommitFeed, wake: Callable[[], None], *, stream: str | None, limit: int, registered_at: int
    ) -> None:
        self.stream = stream
        self.registered_at = registered_at
        """The end of the log when it was registered: what lies before is in storage, what comes later comes here."""
        self.overflowed = False
        """More was committed than the queue may hold. What it held is dropped, and nothing more will come."""
        self._feed = feed
        self._wake = wake
        self._limit = limit
        self._records: list[Record] = []
        self._bytes = 0

    def take(self, most: int | None = None) -> list[Record]:
        """What has come since the last call, in log order: all of it, or about so many bytes.

        Who holds what was taken while nobody reads it holds it for himself; what stays here is dropped in the end.
        """
        records = self._records
        if most is None or self._bytes <= most:
            self._records, self._bytes = [], 0
            return records
        taken = 0
        while most > 0 and taken < len(records):
            size = _size(records[taken])
            most -= size
            self._bytes -= size
            taken += 1
        self._records = records[taken:]
        return records[:taken]

    @property
    def holds(self) -> bool:
        """Whether there is something to take."""
        return bool(self._records)

    def close(self) -> None:
        """Stop listening. Idempotent."""
        self._records = []
        self._feed.remove(self)

    def put(self, records: Sequence[Record], size: int) -> None:
        """Take events that have so many bytes of data and metadata; wakes the reader if there were none."""
        held = len(self._records)
        self._bytes += size
        # A single event is taken, however large it is.
        if held + len(records) > self._limit or (held + len(records) > 1 and self._bytes > LISTENER_BYTES):
            self.overflowed = True
            self.close()
            self._wake()
            return
        self._records.extend(records)
        if not held:
            self._wake()


class CommitFeed:
    """All listeners of a database."""

    def __init__(self) -> None:
        self._of_all: dict[Listener, None] = {}
        self._of_stream: dict[str, dict[Listener, None]] = {}

    def __len__(self) -> int:
        return len(self._of_all) + sum(map(len, self._of_stream.values()))

    def listen(self, wake: Callable[[], None], *, stream: str | None, limit: int, registered_at: int) -> Listener:
        """Register a listener at once; see `Database.listen`."""
        listener = Listener(self, wake, stream=stream, limit=limit, registered_at=registered_at)
        self._place(stream)[listener] = None
        return listener

    def _place(self, stream: str | None) -> dict[Listener, None]:
        return self._of_all if stream is None else self._of_stream.setdefault(stream, {})

    def remove(self, listener: Listener) -> None:
        """Forget a listener, if it is known."""
        listeners = self._place(listener.stream)
        listeners.pop(listener, None)
        if not listeners and listener.stream is not None:
            self._of_stream.pop(listener.stream, None)

    def publish(self, records: Sequence[Record]) -> None:
        """Hand committed events to those who listen."""
        if self._of_all:
            _put(records, list(self._of_all))
        if self._of_stream:
            for stream, listeners in self._listened_to(records):
                _put([record for record in records if record.stream == stream], listeners)

    def _listened_to(self, records: Sequence[Record]) -> list[tuple[str, list[Listener]]]:
        streams = {record.stream for record in records} & self._of_stream.keys()
        return [(stream, list(self._of_stream[stream])) for stream in streams]


def _put(records: Sequence[Record], listeners: Sequence[Listener]) -> None:
    size = sum([_size(record) for record in records])
    for listener in listeners:
        listener.put(records, size)


def _size(record: Record) -> int:
    return len(record.data) + len(record.metadata)
