"""Whether a log is the one that a position comes from: databases are restored, and begun anew.

Owns: the questions that tell, and what their answers mean. Must not know: calls, who asks.

A server does not say that a position is none of its own: a subscription from beyond the end waits in silence, one from
a place where other events are now goes on there. What tells is the event that was seen last: it is where it was, or it
may not be seen any more (truncated, scavenged, hidden), but no other one is in its place, and the log does not end
before it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple
from uuid import UUID

from esdb_lite._wire.read_request import ReadRequest
from esdb_lite.client.topology.need import Need
from esdb_lite.errors import (
    AccessDenied,
    CheckpointMismatch,
    InvalidRequest,
    ServerAnswer,
    StreamDeleted,
    StreamNotFound,
)
from esdb_lite.events import Checkpoint, RecordedEvent, StreamPosition
from esdb_lite.positions import LARGEST

Answer = Awaitable[tuple[RecordedEvent | None, int | None]]
"""One event, and the last position of its stream, as far as they are known."""

Ask = Callable[[ReadRequest], Answer]
"""Reads one event."""


class Landmark(NamedTuple):
    """A place in a stream or in all events that was seen, and which event was there."""

    stream_name: str | None
    """None: all events."""
    commit: int
    """Number in the stream, or commit position."""
    prepare: int = 0
    """Prepare position in all events; 0 may also be a place just before the event."""
    event_id: UUID | None = None
    """None: not known."""
    before: Landmark | None = None
    """The last event that was seen before a place of which nothing is known."""

    def __str__(self) -> str:
        where = "all events" if self.stream_name is None else f"stream {self.stream_name!r}"
        return f"position {self.commit} of {where}"


def landmark_of(stream_name: str | None, position: int | Checkpoint) -> Landmark:
    """Return the place that a position stands for."""
    if isinstance(position, Checkpoint):
        place = position.commit_position, position.prepare_position
        if position.event_position is None:
            return Landmark(stream_name, *place, position.event_id)
        seen = Landmark(stream_name, position.event_position, position.event_position, position.event_id)
        return Landmark(stream_name, *place, before=seen)
    known = position.event_id if isinstance(position, StreamPosition) else None
    return Landmark(stream_name, position, position if stream_name is None else 0, known)


async def check_landmark(landmark: Landmark, ask: Callable[[ReadRequest, Need], Answer]) -> None:
    """Refuse a log that the place is not from; one that cannot be looked at is taken. Raises CheckpointMismatch.

    Whoever serves reads is asked first: while there is no leader, others serve. What is missing there may only be
    late, so that the leader has the last word: also where it is not known, as behind a load balancer.
    """
    try:
        await _check(landmark, lambda request: ask(request, Need.PREFERRED))
    except CheckpointMismatch:
        await _check(landmark, lambda request: ask(request, Need.LEADER_ITSELF))


async def _check(landmark: Landmark, ask: Ask) -> None:
    if landmark.before is not None:
        await _check(landmark.before, ask)
    try:
        await (_check_all(landmark, ask) if landmark.stream_name is None else _check_stream(landmark, ask))
    except (AccessDenied, StreamDeleted):
        return


async def _check_all(landmark: Landmark, ask: Ask) -> None:
    place = landmark.commit, landmark.prepare
    if landmark.event_id is None:
        # A checkpoint need not be where an event begins, but it is within the log.
        await _asked(landmark, ask, ReadRequest(None, place, backwards=True, limit=1))
        return
    found = await _asked(landmark, ask, ReadRequest(None, place, limit=1))
    if found is None:
        last, _ = await ask(ReadRequest(None, from_end=True, backwards=True, limit=1))
        if last is None or last.commit_position is None or last.commit_position < landmark.commit:
            raise _mismatch(landmark, "the log ends before it")
    elif found.commit_position == landmark.commit and found.id != landmark.event_id:
        raise _mismatch(landmark, "another event is there")


async def _asked(landmark: Landmark, ask: Ask, request: ReadRequest) -> RecordedEvent | None:
    """Ask for an event of all; a server refuses what is no place of its log."""
    try:
        return (await ask(request))[0]
    except ServerAnswer as error:
        if not isinstance(error, InvalidRequest) and "ReadAllResult" not in error.details:
            raise
        raise _mismatch(landmark, "no event begins there, or the log ends before it") from error


async def _check_stream(landmark: Landmark, ask: Ask) -> None:
    assert landmark.stream_name is not None
    try:
        found, last = await ask(ReadRequest(landmark.stream_name, landmark.commit, backwards=True, limit=1))
    except StreamNotFound:
        if not await _was_deleted(landmark.stream_name, ask):
            raise _mismatch(landmark, "there is no such stream") from None
        return
    if found is not None and found.stream_position == landmark.commit:
        if landmark.event_id is not None and found.id != landmark.event_id:
            raise _mismatch(landmark, "another event is there")
    elif (last if found is None else found.stream_position) in range(landmark.commit):
        raise _mismatch(landmark, "the stream ends before it")


async def _was_deleted(stream_name: str, ask: Ask) -> bool:
    """True for a stream that has been there: its metadata says that it was deleted."""
    try:
        metadata, _ = await ask(ReadRequest(f"$${stream_name}", from_end=True, backwards=True, limit=1))
    except StreamNotFound:
        return False
    from esdb_lite.metadata import decode_metadata

    return metadata is not None and decode_metadata(metadata.data, None).truncate_before == LARGEST


def _mismatch(landmark: Landmark, why: str) -> CheckpointMismatch:
    return CheckpointMismatch(
        f"{landmark} is not from this database: {why}. It is another one, or was begun anew; to read it from the "
        "beginning, forget the position"
    )
