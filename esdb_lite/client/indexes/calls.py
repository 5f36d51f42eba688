"""The calls about indexes: reads, subscriptions, and the commands for indexes that users define.

Owns: `AsyncIndexApi`, the part of the asynchronous client that has them. Must not know: bytes, connections.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, overload

from esdb_lite import _convert
from esdb_lite._checks import Seconds, checked_bool, checked_items, checked_text
from esdb_lite._wire.read_request import ReadRequest
from esdb_lite.client.arguments import checked_end, checked_limit, checked_position, checked_resume
from esdb_lite.client.opening import AsyncOpening, opening
from esdb_lite.errors import HandlerFailed, IndexNotFound, InvalidArgument, WrongArgumentType

if TYPE_CHECKING:
    from esdb_lite.client.core import ClientCore
    from esdb_lite.client.read.iterators import AsyncReadResponse, AsyncSubscription
    from esdb_lite.events import RecordedEvent, SubscriptionItem
    from esdb_lite.indexes import IndexField, IndexInfo, IndexLike
    from esdb_lite.positions import ResumeFrom
    from esdb_lite.settings import CredentialsLike

_NEEDS = "defining indexes needs KurrentDB 26.0 or later"
_ANY = "any"
_NAME = r"[a-z0-9_-]{1,1000}"


class AsyncIndexApi:
    """Reads by index, and indexes that users define. Needs KurrentDB 25.1, the latter 26.0; else NotSupported."""

    _core: ClientCore

    def _read(self, request: ReadRequest, timeout: Seconds | None, credentials: CredentialsLike) -> AsyncReadResponse:
        raise AssertionError("the client says how it reads")

    async def _subscribe(
        self,
        request: ReadRequest,
        position: ResumeFrom,
        control: bool,
        reconnect: bool,
        timeout: Seconds | None,
        credentials: CredentialsLike,
    ) -> AsyncSubscription[SubscriptionItem]:
        raise AssertionError("the client says how it subscribes")

    def read_index_events(
        self,
        index: IndexLike,
        position: int | None = None,
        backwards: bool = False,
        limit: int | None = None,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> AsyncReadResponse:
        """Read the events of an index in the order in which they were committed.

        `index`: an `IndexQuery`, or the name of an index. `position` is a commit position, inclusive in both
        directions; no event need be there (default: the beginning, or the end if `backwards`). `limit` counts events
        (default: all). Deleted and truncated events are in indexes until they are scavenged. Who reads needs the right
        to read all events. Iterating raises IndexNotFound, also for an index that is stopped; NotSupported before
        KurrentDB 25.1. The rules are in section B.5 of the notes on KurrentDB.
        """
        from esdb_lite.indexes import checked_index

        backwards = checked_bool("backwards", backwards)
        request = ReadRequest(
            None,
            checked_position(position),
            from_end=backwards,
            backwards=backwards,
            limit=checked_limit(limit),
            index_name=checked_index(index),
        )
        return self._read(request, timeout, credentials)

    @overload
    def subscribe_index_events(
        self,
        index: IndexLike,
        position: ResumeFrom = None,
        *,
        from_end: bool = False,
        include_control: Literal[False] = False,
        reconnect: bool = True,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> AsyncOpening[AsyncSubscription[RecordedEvent], RecordedEvent]: ...

    @overload
    def subscribe_index_events(
        self,
        index: IndexLike,
        position: ResumeFrom = None,
        *,
        from_end: bool = False,
        include_control: bool,
        reconnect: bool = True,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> AsyncOpening[AsyncSubscription[SubscriptionItem], SubscriptionItem]: ...

    @opening
    async def subscribe_index_events(
        self,
        index: IndexLike,
        position: ResumeFrom = None,
        *,
        from_end: bool = False,
        include_control: bool = False,
        reconnect: bool = True,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> AsyncSubscription[SubscriptionItem]:
        """Subscribe to the events of an index: first the stored ones, then new ones as they are appended.

        It begins after `position`, a commit position (default: with the first event; with `from_end`, with the next
        one appended). There are no checkpoints. The other options are those of `subscribe_all_events`.
        Raises IndexNotFound, also when the index is stopped or deleted later; NotSupported before KurrentDB 25.1. The
        rules are in section B.5 of the notes on KurrentDB.
        """
        from esdb_lite.indexes import checked_index

        start = checked_resume(position)
        request = ReadRequest(
            None, start, from_end=checked_end(from_end, start), limit=None, index_name=checked_index(index)
        )
        return await self._subscribe(request, position, include_control, reconnect, timeout, credentials)

    async def create_index(
        self,
        name: str,
        *,
        filter: str | None = None,
        fields: IndexField | Iterable[IndexField] = (),
        start: bool = True,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> None:
        """Define an index of the events for which a JavaScript function is true. Does nothing if the same one exists.

        `filter`: a function of one argument, such as `rec => rec.schema.name === 'OrderPlaced'` (None: all events).
        `fields`: a value by which it can be read; servers up to 26.1 take one. `start`: whether it is filled and can
        be read at once. Raises IndexExists if there is one of this name with another definition; InvalidRequest
        if `filter` or a selector is not a function. The rules are in section B.6 of the notes on KurrentDB.
        """
        channel = self._core.channel(self._core.deadline(timeout), credentials, repeatable=True, needs=_NEEDS)
        chosen = checked_fields(fields)
        text = _checked_filter(filter)
        if not text and not chosen:
            raise InvalidArgument("filter", filter, "must be given where there are no fields")
        begin = checked_bool("start", start)
        await _convert.indexes.create(channel, _checked_name("name", name), text, chosen, start=begin)

    async def start_index(
        self, name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Start a stopped index, so that it is filled and can be read. Idempotent. Raises IndexNotFound."""
        channel = self._core.channel(self._core.deadline(timeout), credentials, repeatable=True, needs=_NEEDS)
        await _convert.indexes.start(channel, _checked_name("name", name))

    async def stop_index(
        self, name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Stop an index: it cannot be read until it is started again. Idempotent. Raises IndexNotFound."""
        channel = self._core.channel(self._core.deadline(timeout), credentials, repeatable=True, needs=_NEEDS)
        await _convert.indexes.stop(channel, _checked_name("name", name))

    async def delete_index(
        self, name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Delete an index. Idempotent. Raises IndexNotFound if it never existed."""
        channel = self._core.channel(self._core.deadline(timeout), credentials, repeatable=True, needs=_NEEDS)
        await _convert.indexes.delete(channel, _checked_name("name", name))

    async def get_index(
        self, name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> IndexInfo:
        """Return an index that a user has defined. Raises IndexNotFound."""
        channel = self._core.channel(self._core.deadline(timeout), credentials, repeatable=True, needs=_NEEDS)
        return await _convert.indexes.get(channel, _checked_name("name", name))

    async def list_indexes(
        self, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> list[IndexInfo]:
        """Return all indexes that users have defined, in order of creation."""
        channel = self._core.channel(self._core.deadline(timeout), credentials, repeatable=True, needs=_NEEDS)
        try:
            return await _convert.indexes.all_of_them(channel)
        except HandlerFailed:
            # 26.1 fails until the first one has been created. Asked for one, it says that it is not there.
            with suppress(IndexNotFound):
                await _convert.indexes.get(channel, _ANY)
                raise
            return []


def _checked_name(argument: str, name: object) -> str:
    if not isinstance(name, str):
        raise WrongArgumentType(argument, name, "must be a str")
    if not re.fullmatch(_NAME, name):
        reason = "must have 1 to 1,000 lower-case letters, digits, underscores and hyphens"
        raise InvalidArgument(argument, name, reason)
    return name


def _checked_filter(filter: str | None) -> str:
    return "" if filter is None else checked_text("filter", filter)


def checked_fields(fields: IndexField | Iterable[IndexField]) -> list[IndexField]:
    """One field or several."""
    from esdb_lite.indexes import IndexField, IndexFieldType

    chosen = checked_items(
        "fields", [fields] if isinstance(fields, IndexField) else fields, IndexField, "must be of class IndexField"
    )
    for field in chosen:
        _checked_name("fields", field.name)
        if not checked_text("fields", field.selector).strip():
            raise InvalidArgument("fields", field.selector, "must have a selector, a JavaScript function")
        if not isinstance(field.type, IndexFieldType):
            raise WrongArgumentType("fields", field.type, "must have a type of class IndexFieldType")
    return chosen
