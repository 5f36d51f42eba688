"""The calls about consumers that remember where they are, for code without asyncio.

Owns: `ConsumerApi`, the part of the client for threads that makes consumers. Must not know: what they do.
What they consist of is imported when one is made: few programs need it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, overload

from esdb_lite.client.consumers.calls import AsyncConsumerApi
from esdb_lite.client.face import refuse_misfits
from esdb_lite.errors import WrongArgumentType
from esdb_lite.sync.blocking import Face, described

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from esdb_lite.client.consumers.settings import CheckpointLike, ConsumerSettings
    from esdb_lite.consumers import BatchHandler, BatchHandlerError, ConsumeOptions, EventHandler, HandlerError
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

    @described(AsyncConsumerApi.consumer)
    def consumer(self, *args: Any, **options: Any) -> Consumer:
        """Make a consumer. Its settings are made as for asyncio, and then it is made by `_new_consumer`."""
        make: Callable[..., Any] = AsyncConsumerApi.consumer
        refuse_misfits("EsdbClient.consumer", make, self, *args, **options)
        made: Consumer = make(self, *args, **options)
        return made

    def _new_consumer(self, settings: ConsumerSettings, checkpoint: object, handler: Any) -> Consumer:
        from esdb_lite.client.consumers.consumer import ConsumerFeed
        from esdb_lite.client.consumers.settings import checked_store
        from esdb_lite.sync.consumer import BlockingFeed, Consumer

        live = self._live()
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

    @described(AsyncConsumerApi.consume)
    def consume(self, *args: Any, **options: Any) -> None:
        """Make a consumer, and run it on this thread."""
        refuse_misfits("EsdbClient.consume", AsyncConsumerApi.consume, self, *args, **options)
        refuse_misfits("EsdbClient.consume", AsyncConsumerApi.consumer, self, *args, **options)
        self.consumer(*args, **options).run()
