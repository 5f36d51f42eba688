"""Events of many streams, on their way to a server.

Owns: what is asked for, and taking it apart: into messages for servers that import, and into appends for others.
Must not know: how these are sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from esdb_lite._checks import checked_items
from esdb_lite._wire.append import encode_proposed
from esdb_lite._wire.imports import encode_import_request
from esdb_lite.client.append.request import MAX_MESSAGE, AppendRequest
from esdb_lite.client.arguments import checked_stream
from esdb_lite.errors import InvalidArgument, WrongArgumentType
from esdb_lite.events import NewEvent
from esdb_lite.positions import ANY, NO_STREAM, ExpectedPosition, expectation

_EVENTS, _BYTES = 1000, 512 * 1024
"""What one message or one append may have."""

StreamEvent = tuple[str, NewEvent]
"""An event, and the stream that it is for."""


class ImportRequest:
    """Events of many streams, in their order, and where these are expected to end. Not changed once it is made."""

    def __init__(self, events: Iterable[StreamEvent], expected: Mapping[str, ExpectedPosition]) -> None:
        """Raises InvalidArgument."""
        self.events = checked_stream_events(events)
        if not isinstance(expected, Mapping):
            raise WrongArgumentType("expected_positions", expected, "must be a dict of positions by stream")
        names = [checked_stream(name, "expected_positions") for name in expected]
        self._ends = {name: expectation(expected[name]) for name in names}

    def messages(self) -> Iterator[bytes]:
        """The events as messages of which each is written whole or not at all."""
        ends = dict(self._ends)
        message = _ImportMessage()
        for stream, event in self.events:
            encoded = encode_proposed(
                id=str(event._id),
                type=event.type,
                content_type=event.content_type,
                metadata=event.metadata,
                data=event.data,
            )
            if len(encoded) > MAX_MESSAGE:
                raise InvalidArgument("events", event, f"must be of less than {MAX_MESSAGE} bytes each")
            if not message.takes(len(encoded)):
                yield message.encode(ends)
                message = _ImportMessage()
            message.add(stream, encoded)
        if message.size:
            yield message.encode(ends)

    def appends(self) -> Iterator[AppendRequest]:
        """The same as appends: those of one stream that follow each other go together."""
        ends = dict(self._ends)
        run: list[NewEvent] = []
        before, size = "", 0
        for stream, event in self.events:
            if run and (stream != before or len(run) >= _EVENTS or size >= _BYTES):
                yield _append(before, run, ends)
                run, size = [], 0
            run.append(event)
            before, size = stream, size + len(event.data) + len(event.metadata)
        if run:
            yield _append(before, run, ends)


def _append(stream: str, events: Sequence[NewEvent], ends: dict[str, int]) -> AppendRequest:
    request = AppendRequest(stream, ends.get(stream, ANY), events)
    request.check()
    _move(ends, stream, len(events))
    return request


class _ImportMessage:
    """Events that are written together."""

    def __init__(self) -> None:
        self.size = 0
        self._streams: dict[str, int] = {}
        self._stream_of: list[int] = []
        self._events: list[bytes] = []

    def takes(self, size: int) -> bool:
        """Whether there is room for an event of that size."""
        return not self.size or (len(self._events) < _EVENTS and self.size + size <= _BYTES)

    def add(self, stream: str, encoded: bytes) -> None:
        self._stream_of.append(self._streams.setdefault(stream, len(self._streams)))
        self._events.append(encoded)
        self.size += len(encoded)

    def encode(self, ends: dict[str, int]) -> bytes:
        """Encode the message; `ends`: where the streams end before it, and then behind it."""
        names = list(self._streams)
        expected = [ends.get(name, ANY) for name in names]
        for place, count in Counter(self._stream_of).items():
            _move(ends, names[place], count)
        return encode_import_request(names, expected, self._stream_of, self._events)


def _move(ends: dict[str, int], stream: str, count: int) -> None:
    """Take note that a stream has so many events more, where it matters at which position it ends."""
    end = ends.get(stream, ANY)
    if end >= NO_STREAM:
        ends[stream] = end + count


def checked_stream_events(events: Iterable[StreamEvent]) -> list[StreamEvent]:
    """Events with their streams. Raises InvalidArgument, WrongArgumentType."""
    reason = "must be pairs of a stream and a NewEvent"
    known: set[str] = set()
    items = checked_items("events", events, tuple, reason)
    for item in items:
        if len(item) != 2 or not isinstance(item[1], NewEvent):
            raise WrongArgumentType("events", item, reason)
        if item[0] not in known:
            known.add(checked_stream(item[0], "events"))
    return items
