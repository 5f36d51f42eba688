"""What Append, Delete and Tombstone have in common: which stream is meant, and what it is expected to be.

Owns: the order of checks of sections 6 and 9 of the protocol notes. Must not know: what is written there.
"""

from __future__ import annotations

from typing import NamedTuple

from esdb_lite._status import refusals
from esdb_lite._wire.append import AppendOptions
from esdb_lite.server.engine.access import Action
from esdb_lite.server.engine.model import LONGEST_NAME
from esdb_lite.server.handlers import ServerCall
from esdb_lite.server.services.context import Context
from esdb_lite.server.services.proposals import InvalidExpectation, expected_version, is_too_long_for_stream, writable


class WriteTarget(NamedTuple):
    """Where a call writes."""

    stream: str
    sent: int
    """What the stream is expected to be, in the client's words."""
    expected: int
    """The same in the engine's."""


async def target_of(
    call: ServerCall, options: AppendOptions, request: str, action: Action, context: Context
) -> WriteTarget:
    """Return where a call writes that may do so. Raises RpcError."""
    if options.expected is None:
        raise refusals.not_a_valid("None", f"Streams.{request}+Types+Options+ExpectedStreamRevisionOneofCase")
    await context.require(call.principal, options.stream or "", action)
    if options.stream is None:
        raise refusals.invalid_argument("options.stream_identifier is missing.")
    try:
        return WriteTarget(options.stream, options.expected, expected_version(options.expected))
    except InvalidExpectation as error:
        raise refusals.invalid_argument(f"options.revision: {error}") from error


def check_name(stream: str) -> None:
    """Refuse names that no stream can have. Raises RpcError."""
    if is_too_long_for_stream(stream):
        raise refusals.invalid_argument(
            f"options.stream_identifier: the name of a stream has at most {LONGEST_NAME} bytes in UTF-8."
        )
    if not writable(stream):
        raise refusals.invalid_argument(f"options.stream_identifier: a stream cannot have the name '{stream}'.")
