"""The calls about consumers that remember where they are.

Owns: `AsyncConsumerApi`, the part of the asynchronous client that makes consumers. Must not know: what they do.
What they consist of is imported when one is made: few programs need it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, cast, overload

from esdb_lite.client.arguments import checked_filter, checked_source
from esdb_lite.client.face import refuse_misfits
from esdb_lite.filters import DEFAULT_EXCLUDE, Filter
from esdb_lite.positions import ResumeFrom

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from esdb_lite._checks import Seconds
    from esdb_lite.client._client import AsyncEsdbClient
    from esdb_lite.client.consumers.consumer import AsyncConsumer
    from esdb_lite.client.consumers.settings import AsyncCheckpointLike, ConsumerSettings
    from esdb_lite.client.core import ClientCore
    from esdb_lite.consumers import (
        AsyncBatchHandler,
        AsyncEventHandler,
        BatchHandlerError,
        ConsumeOptions,
        HandlerError,
    )
    from esdb_lite.indexes import IndexLike
    from esdb_lite.settings import CredentialsLike


class AsyncConsumerApi:
    """Consumers that remember where they are."""

    _core: ClientCore

    @overload
    def consumer(
        self,
        handler: AsyncEventHandler | None = None,
        *,
        checkpoint: AsyncCheckpointLike,
        batch_size: Literal[1] = 1,
        on_error: HandlerError | None = None,
        **options: Unpack[ConsumeOptions],
    ) -> AsyncConsumer: ...

    @overload
    def consumer(
        self,
        handler: AsyncBatchHandler,
        *,
        checkpoint: AsyncCheckpointLike,
        batch_size: int,
        on_error: BatchHandlerError | None = None,
        **options: Unpack[ConsumeOptions],
    ) -> AsyncConsumer: ...

    def consumer(
        self,
        handler: AsyncEventHandler | AsyncBatchHandler | None = None,
        *,
        checkpoint: AsyncCheckpointLike,
        stream_name: str | None = None,
        index: IndexLike | None = None,
        filter_exclude: Iterable[str] = DEFAULT_EXCLUDE,
        filter_include: Iterable[str] = (),
        filter: Filter | None = None,
        position: ResumeFrom = None,
        from_end: bool = False,
        resolve_links: bool = False,
        batch_size: int = 1,
        checkpoint_every: int | None = None,
        checkpoint_interval: Seconds | None = None,
        on_error: HandlerError | BatchHandlerError | None = None,
        retry_pause: Seconds = 1.0,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> AsyncConsumer:
        """Make a consumer: an object that does what `consume` does, and that you can run, stop and look at.

        The arguments are those of `consume`; instead of a `handler`, or beside it, there can be functions for types of
        events: see its method `on()`. Nothing happens before `run()`.
        """
        from esdb_lite.client.consumers.settings import checked_settings
        from esdb_lite.indexes import checked_index

        settings = checked_settings(
            stream_name=stream_name,
            index=None if index is None else checked_index(index),
            chosen=checked_filter(checked_source(stream_name), filter_exclude, filter_include, filter),
            position=position,
            from_end=from_end,
            resolve_links=resolve_links,
            batch_size=batch_size,
            checkpoint_every=checkpoint_every,
            checkpoint_interval=checkpoint_interval,
            on_error=on_error,
            retry_pause=retry_pause,
            timeout=timeout,
            credentials=credentials,
        )
        return self._new_consumer(settings, checkpoint, handler)

    def _new_consumer(self, settings: ConsumerSettings, checkpoint: object, handler: Any) -> AsyncConsumer:
        from esdb_lite.client.consumers.consumer import AsyncConsumer, ConsumerFeed
        from esdb_lite.client.consumers.settings import checked_coroutine, checked_store

        self._core.check_open()
        store = checked_store(checkpoint, settings.options)
        if handler is not None:
            checked_coroutine("handler", handler)
        return AsyncConsumer(ConsumerFeed(cast("AsyncEsdbClient", self), settings), settings, store, handler)

    @overload
    async def consume(
        self,
        handler: AsyncEventHandler,
        *,
        checkpoint: AsyncCheckpointLike,
        batch_size: Literal[1] = 1,
        on_error: HandlerError | None = None,
        **options: Unpack[ConsumeOptions],
    ) -> None: ...

    @overload
    async def consume(
        self,
        handler: AsyncBatchHandler,
        *,
        checkpoint: AsyncCheckpointLike,
        batch_size: int,
        on_error: BatchHandlerError | None = None,
        **options: Unpack[ConsumeOptions],
    ) -> None: ...

    async def consume(
        self,
        handler: AsyncEventHandler | AsyncBatchHandler,
        *,
        checkpoint: AsyncCheckpointLike,
        batch_size: int = 1,
        on_error: HandlerError | BatchHandlerError | None = None,
        **options: Unpack[ConsumeOptions],
    ) -> None:
        """Run a handler for all events, those of a stream or of an index, and remember how far it came.

        It begins after the position in `checkpoint`. If there is none yet, it begins after `position`, at the end with
        `from_end`, or at the beginning. Filters and `resolve_links` are those of `subscribe_all_events`; an `index` has
        neither. `handler` is a coroutine function; with `EsdbClient` a function, called on this thread. It gets
        one event; with a `batch_size` above 1, a list of up to so many that have arrived. Runs until it is cancelled
        (with `EsdbClient`: until Ctrl-C); to stop it otherwise, use `consumer()`. `timeout` limits all of it.

        `checkpoint` is a `FileCheckpoint` (at least once), a `SqliteCheckpoint` or `DbApiCheckpoint` (exactly once,
        in one transaction with what the handler writes), any object with `load()` and `save(position)`, or a pair of
        such functions. The position is stored after every batch, or less often: after `checkpoint_every` events, every
        `checkpoint_interval` seconds, and at the end. It also advances over events that a filter leaves out.

        When the handler raises, the batch is not stored, and the exception is raised unchanged. `on_error` may decide
        otherwise: it gets the event (or batch), the exception and the number of attempts, and returns an
        `ErrorAction`. Retries wait `retry_pause` seconds, then twice that, up to a minute.
        Raises CheckpointMismatch if the position belongs to another stream or filter, CheckpointConflict,
        CheckpointCorrupt, StreamDeleted.
        """
        refuse_misfits("AsyncEsdbClient.consume", self.consumer, handler, checkpoint=checkpoint, **options)
        made = self.consumer(
            cast("AsyncBatchHandler", handler),  # of which kind they are, `batch_size` says
            checkpoint=checkpoint,
            batch_size=batch_size,
            on_error=cast("BatchHandlerError | None", on_error),
            **options,
        )
        await made.run()
