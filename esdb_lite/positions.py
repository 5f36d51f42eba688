"""Where a stream is expected to be.

Owns: the states of a stream that are not a number. Must not know: anything else.
"""

from __future__ import annotations

import enum


class StreamState(enum.IntEnum):
    """What an append, delete or tombstone expects of the stream, where that is not a position."""

    NO_STREAM = -1
    """The stream does not exist (the same as `None`)."""
    ANY = -2
    """Nothing is expected: no optimistic concurrency control (the same as any other negative integer)."""
    EXISTS = -4
    """The stream exists, whatever its position."""
