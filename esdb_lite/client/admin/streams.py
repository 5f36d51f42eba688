"""The calls about streams as a whole: their end, and their metadata.

Owns: `AsyncStreamApi`, the part of the asynchronous client that deletes streams and has their metadata.
Must not know: bytes, connections.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from esdb_lite import _convert
from esdb_lite._checks import Seconds
from esdb_lite._wire.read_request import ReadRequest
from esdb_lite.client.append.request import AppendRequest
from esdb_lite.client.arguments import checked_metadata, checked_stream
from esdb_lite.client.credentials import checked_credentials
from esdb_lite.errors import StreamNotFound, WrongArgumentType
from esdb_lite.events import AppendResult, JsonValue, NewEvent, RecordedEvent, StreamState
from esdb_lite.positions import ExpectedPosition, expectation

if TYPE_CHECKING:
    from esdb_lite.client.append.appender import Appender
    from esdb_lite.client.core import ClientCore
    from esdb_lite.metadata import DefaultAccess, StreamMetadata
    from esdb_lite.settings import CredentialsLike


SETTINGS_STREAM = "$settings"


class AsyncStreamApi:
    """Deleting streams, their metadata, and what applies where they have none."""

    _core: ClientCore
    _appender: Appender

    async def delete_stream(
        self,
        stream_name: str,
        expected_position: ExpectedPosition = StreamState.ANY,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> int | None:
        """Delete a stream; return the commit position of the deletion. It can be written again, and goes on counting.

        The events are hidden, and the metadata is replaced. Raises ExpectedPositionError (also for a stream that
        never existed), StreamDeleted; OutcomeUnknown when the request was sent and no answer came. The rules are in
        section 9 of the protocol notes.
        """
        deadline = self._core.deadline(timeout)
        expected = expectation(expected_position)
        # deleting up to an event a second time says the same; without one, it could delete what has come since
        channel = self._core.channel(deadline, credentials, repeatable=expected >= 0)
        return await _convert.streams.delete(channel, checked_stream(stream_name), expected)

    async def tombstone_stream(
        self,
        stream_name: str,
        expected_position: ExpectedPosition = StreamState.ANY,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> int | None:
        """Delete a stream for ever; return the commit position of the deletion. Its name can never be used again.

        Raises ExpectedPositionError, StreamDeleted; OutcomeUnknown when the request was sent and no answer came. The
        rules are in section 9 of the protocol notes.
        """
        channel = self._core.channel(self._core.deadline(timeout), credentials)
        expected = expectation(expected_position)
        return await _convert.streams.tombstone(channel, checked_stream(stream_name), expected)

    async def get_stream_metadata(
        self, stream_name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> StreamMetadata:
        """Return the metadata of a stream; without metadata, everything in it is None. Raises StreamDeleted."""
        from esdb_lite.metadata import StreamMetadata, decode_metadata

        last = await self._last(f"$${checked_stream(stream_name)}", timeout, credentials)
        return StreamMetadata() if last is None else decode_metadata(last.data, last.stream_position)

    async def set_stream_metadata(
        self,
        stream_name: str,
        metadata: StreamMetadata | Mapping[str, JsonValue],
        *,
        expected_position: ExpectedPosition = StreamState.ANY,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> AppendResult:
        """Replace the metadata of a stream, which need not exist yet.

        `metadata` may also be the mapping that is its JSON. `expected_position` is the `position` of the metadata that
        it replaces (default: any). Raises ExpectedPositionError, StreamDeleted; OutcomeUnknown when the request was
        sent and no answer came. The rules are in section 5 of the protocol notes.
        """
        from esdb_lite.metadata import METADATA_TYPE, encode_metadata

        deadline = self._core.deadline(timeout)
        event = NewEvent(METADATA_TYPE, encode_metadata(checked_metadata(metadata)))
        request = AppendRequest(f"$${checked_stream(stream_name)}", expectation(expected_position), [event])
        return await self._appender.append(request, deadline=deadline, credentials=checked_credentials(credentials))

    # --- who may do what, where a stream does not say it ---

    async def get_default_access(
        self, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> DefaultAccess:
        """Return the default access list, for streams whose metadata has none. It is in the stream `$settings`."""
        from esdb_lite.metadata import DefaultAccess, decode_default_access

        last = await self._last(SETTINGS_STREAM, timeout, credentials)
        return DefaultAccess() if last is None else decode_default_access(last.data)

    async def set_default_access(
        self, access: DefaultAccess, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Replace the default access list, for streams whose metadata has none. Only administrators may do this.

        Raises OutcomeUnknown when the request was sent and no answer came. The rules are in
        section 2.3 of the protocol notes.
        """
        from esdb_lite.metadata import DefaultAccess, encode_default_access

        deadline = self._core.deadline(timeout)
        if not isinstance(access, DefaultAccess):
            raise WrongArgumentType("access", access, "must be a DefaultAccess")
        event = NewEvent("update-default-acl", encode_default_access(access))
        request = AppendRequest(SETTINGS_STREAM, expectation(StreamState.ANY), [event])
        await self._appender.append(request, deadline=deadline, credentials=checked_credentials(credentials))

    async def _last(
        self, stream_name: str, timeout: Seconds | None, credentials: CredentialsLike
    ) -> RecordedEvent | None:
        from esdb_lite.client.read.resuming import last_event

        request = ReadRequest(stream_name, from_end=True, backwards=True, limit=1)
        with suppress(StreamNotFound):
            return (await last_event(self._core, request, self._core.deadline(timeout), credentials))[0]
        return None
