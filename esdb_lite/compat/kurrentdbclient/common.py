"""Constants and abstract classes of kurrentdbclient.

Owns: the names. Must not know: what is behind them. What there is of gRPC itself in the module of this name
(streamers, `handle_rpc_error`) has no meaning here.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from esdb_lite.compat.kurrentdbclient._elsewhere import elsewhere
from esdb_lite.compat.kurrentdbclient.events import RecordedEvent

if TYPE_CHECKING:
    from typing_extensions import Self

PROTOBUF_MAX_DEADLINE_SECONDS = 315576000000
DEFAULT_CHECKPOINT_INTERVAL_MULTIPLIER = 5
DEFAULT_WINDOW_SIZE = 30
DEFAULT_PERSISTENT_SUB_MESSAGE_TIMEOUT = 30.0
DEFAULT_PERSISTENT_SUB_MAX_RETRY_COUNT = 10
DEFAULT_PERSISTENT_SUB_MIN_CHECKPOINT_COUNT = 10
DEFAULT_PERSISTENT_SUB_MAX_CHECKPOINT_COUNT = 1000
DEFAULT_PERSISTENT_SUB_CHECKPOINT_AFTER = 2.0
DEFAULT_PERSISTENT_SUB_EVENT_BUFFER_SIZE = 150
DEFAULT_PERSISTENT_SUB_MAX_ACK_BATCH_SIZE = 50
DEFAULT_PERSISTENT_SUB_MAX_ACK_DELAY = 0.2
DEFAULT_PERSISTENT_SUB_STOPPING_GRACE = 0.2
DEFAULT_PERSISTENT_SUB_MAX_SUBSCRIBER_COUNT = 5
DEFAULT_PERSISTENT_SUB_LIVE_BUFFER_SIZE = 500
DEFAULT_PERSISTENT_SUB_READ_BATCH_SIZE = 200
DEFAULT_PERSISTENT_SUB_HISTORY_BUFFER_SIZE = 500

Nack = Literal["unknown", "park", "retry", "skip", "stop"]


def construct_filter_include_regex(patterns: Sequence[str]) -> str:
    """Return the expression for what is to be read. As there, only the first and the last alternative are anchored."""
    return "^" + "|".join([patterns] if isinstance(patterns, str) else patterns) + "$"


def construct_filter_exclude_regex(patterns: Sequence[str]) -> str:
    """Return the expression for what is not to be read."""
    texts = [patterns] if isinstance(patterns, str) else patterns
    return "^(?!(" + "|".join(f"{text}$" for text in texts) + "))"


class RecordedEventIterator(Iterator[RecordedEvent], AbstractContextManager[Iterator[RecordedEvent]]):
    """Events, one by one."""

    def __iter__(self) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def stop(self, *, cancel: bool = False) -> None:
        """End the iteration."""


class AbstractReadResponse(RecordedEventIterator):
    """What a read finds."""


class RecordedEventSubscription(RecordedEventIterator):
    """Events without end."""

    @property
    @abstractmethod
    def subscription_id(self) -> str:
        """The server's name for it."""


class AbstractCatchupSubscription(RecordedEventSubscription, AbstractReadResponse):
    """Stored events, then new ones."""


class AbstractPersistentSubscription(RecordedEventSubscription):
    """The events of a group for one of its consumers."""

    @abstractmethod
    def ack(self, item: UUID | RecordedEvent) -> None:
        """Say that an event has been processed."""

    @abstractmethod
    def nack(self, item: UUID | RecordedEvent, action: Nack) -> None:
        """Say that an event could not be processed."""


class AsyncRecordedEventIterator(
    AsyncIterator[RecordedEvent], AbstractAsyncContextManager[AsyncIterator[RecordedEvent]]
):
    """Events, one by one."""

    def __aiter__(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    @abstractmethod
    async def stop(self, *, timeout: float | None = None) -> None:
        """End the iteration."""


class AbstractAsyncReadResponse(AsyncRecordedEventIterator):
    """What a read finds."""


class AsyncRecordedEventSubscription(AsyncRecordedEventIterator):
    """Events without end."""

    @property
    @abstractmethod
    def subscription_id(self) -> str:
        """The server's name for it."""


class AbstractAsyncCatchupSubscription(AsyncRecordedEventSubscription):
    """Stored events, then new ones."""


class AbstractAsyncPersistentSubscription(AsyncRecordedEventSubscription):
    """The events of a group for one of its consumers."""

    @abstractmethod
    async def ack(self, item: UUID | RecordedEvent) -> None:
        """Say that an event has been processed."""

    @abstractmethod
    async def nack(self, item: UUID | RecordedEvent, action: Nack) -> None:
        """Say that an event could not be processed."""


if not TYPE_CHECKING:
    __getattr__ = elsewhere(__name__)
