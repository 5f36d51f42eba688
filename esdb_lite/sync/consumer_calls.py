"""The calls about consumers that remember where they are, for code without asyncio.

Owns: `ConsumerApi`, the part of the client for threads that makes consumers. Must not know: what they do.
What they consist of is imported when one is made: few programs need it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, cast, overload

from esdb_lite.client.arguments import checked_filter, checked_source
from esdb_lite.errors import WrongArgumentType
from esdb_lite.filters import DEFAULT_EXCLUDE, Filter
from esdb_lite.positions import ResumeFrom
from esdb_lite.settings import CredentialsLike
from esdb_lite.sync.blocking import Face

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from esdb_lite._checks import Seconds
    from esdb_lite.client.consumers.settings import CheckpointLike
    from esdb_lite.consumers import BatchHandler, BatchHandlerError, ConsumeOptions, EventHandler, HandlerError
    from esdb_lite.indexes import IndexLike
    from esdb_lite.sync.consumer import Consumer


class ConsumerApi(Face):
    """Consumers that remember where they are."""

    @overload
    def consumer(
        self,
        handler: EventHandler | None = None,
        *,
        checkpoint: CheckpointLike,
        batch_size: Literal[1] = 1,
        on_error: HandlerError | None = None,
        **options: Unpack[ConsumeOptions],
    ) -> Consumer: ...

    @overload
    def consumer(
        self,
        handler: BatchHandler,
        *,
        checkpoint: CheckpointLike,
        batch_size: int,
        on_error: BatchHandlerError | None = None,
        **options: Unpack[ConsumeOptions],
    ) -> Consumer: ...

    def consumer(
        self,
        handler: EventHandler | BatchHandler | None = None,
        *,
        checkpoint: CheckpointLike,
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
    ) -> Consumer:
        """Make a consumer: an object that does what `consume` does, and that you can run, stop and look at.

        The arguments are those of `consume`; instead of a `handler`, or beside it, there can be functions for types of
        events: see its method `on()`. Nothing happens before `run()`.
        """
        from esdb_lite.client.consumers.consumer import ConsumerFeed
        from esdb_lite.client.consumers.settings import checked_settings, checked_store
        from esdb_lite.indexes import checked_index
        from esdb_lite.sync.consumer import BlockingFeed, Consumer

        live = self._live()
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
        store = checked_store(checkpoint, settings.options, blocking=True)
        if handler is not None and (not callable(handler) or inspect.iscoroutinefunction(handler)):
            raise WrongArgumentType("handler", handler, "must be a function, not a coroutine function")
        return Consumer(self, BlockingFeed(live.portal, ConsumerFeed(live.client, settings)), settings, store, handler)

    @overload
    def consume(
        self,
        handler: EventHandler,
        *,
        checkpoint: CheckpointLike,
        batch_size: Literal[1] = 1,
        on_error: HandlerError | None = None,
        **options: Unpack[ConsumeOptions],
    ) -> None: ...

    @overload
    def consume(
        self,
        handler: BatchHandler,
        *,
        checkpoint: CheckpointLike,
        batch_size: int,
        on_error: BatchHandlerError | None = None,
        **options: Unpack[ConsumeOptions],
    ) -> None: ...

    def consume(
        self,
        handler: EventHandler | BatchHandler,
        *,
        checkpoint: CheckpointLike,
        batch_size: int = 1,
        on_error: HandlerError | BatchHandlerError | None = None,
        **options: Unpack[ConsumeOptions],
    ) -> None:
        """Run a handler for all events, those of a stream or of an index, and remember how far it came.

        It begins after the position in `checkpoint`. If there is none yet, it begins after `position`, at the end with
        `from_end`, or at the beginning. Filters and `resolve_links` are those of `subscribe_all_events`; an `index` has
        neither. `handler` is called on this thread. It gets one event; with a `batch_size` above 1, a list of up to so
        many that have arrived. Runs until Ctrl-C; to stop it otherwise, use `consumer()`. `timeout` limits all of it.

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
        made = self.consumer(
            cast("BatchHandler", handler),  # of which kind they are, `batch_size` says
            checkpoint=checkpoint,
            batch_size=batch_size,
            on_error=cast("BatchHandlerError | None", on_error),
            **options,
        )
        made.run()
