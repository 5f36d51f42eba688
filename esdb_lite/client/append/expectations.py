"""What an append that is sent again expects of its stream, and what a refusal of it means.

Owns: both tables, pure. Must not know: calls, how a stream is looked at (`looking`), when events are sent again.

An attempt that was not answered may be written long after the stream was looked at: it may wait in a proxy, or in a
process that is about to end, while the next attempt goes to another process, which may not remember the ids. So the
next attempt says where the stream has to end, which is where it was seen to end. Written late, the first one moves the
end; the server then finds the same ids behind the position that is expected, or refuses, and the stream is looked at
once more. That the process which answers the look may be about to end changes nothing: what it still writes moves the
end. Of all attempts that expect a position one is written at most.

What is left to the server's memory for ids is a first attempt, for any end, that comes when a later one is written. A
real server begins with an empty memory; the server of this package remembers its last 80,000 events or so, also those
from before it was started. That is not enough where so many others come between, or a scavenge and a restart.

Not answered is also what a proxy has answered: HAProxy resets calls with REFUSED_STREAM, which should say that nothing
was done, after its server has written. Trusted are only those who say it of themselves: a node that does not lead or is
not ready, and a connection that takes no more calls (GOAWAY). An error that a server does not explain (HandlerFailed)
counts as a refusal, too, as real servers give it to requests that they cannot handle.

A server decides about EXISTS and writes in one step: after a soft delete it refuses, before it the delete takes the
events with it. Only the repeat of an attempt whose answer was lost asks for a position instead, and that brings a
stream back which somebody has deleted between the look and the repeat. Asking for EXISTS again could write twice.
"""

from __future__ import annotations

from esdb_lite.errors import ConsistencyError, EsdbClientException, ExpectedPositionError
from esdb_lite.positions import ANY, EXISTS, NO_STREAM


def expected_after_look(expected: int, end: int | None) -> int:
    """Return what to expect of a stream in which the events were not found.

    `expected` is what the caller expects. `end`: the number of the last event; NO_STREAM where the stream has none to
    show, as it was never written or is deleted; None where that was not to be seen.
    """
    if end is None:
        return expected
    if expected == ANY:
        return end  # NO_STREAM brings a deleted stream back, as ANY does
    if expected == EXISTS and end != NO_STREAM:
        return end  # without events it may have metadata, or be deleted: the server has to tell
    return expected  # an exact position guards itself; so does DELETED, which a late attempt makes untrue


def moved_on(error: EsdbClientException, seen: str | None) -> bool:
    """Whether a refusal says no more than that a stream does not end any more where it was seen to end.

    `seen`: the stream that was expected to end there, if one was. Where others are not as the caller expects either,
    the next attempt tells.
    """
    if seen is None or not isinstance(error, ExpectedPositionError):
        return False
    if isinstance(error, ConsistencyError) and error.violations:
        return any(each.stream_name == seen for each in error.violations)
    return error.stream_name == seen
