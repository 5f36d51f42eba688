"""Handlers of a consumer: functions that run for every event, and what their outcome means for the event.

Owns: how many run at a time, and the answer that follows. Must not know: where events come from, how answers go.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Protocol

from esdb_lite import observing
from esdb_lite.client.cancellation import Cancellation
from esdb_lite.client.failures import log_nack, note_on
from esdb_lite.client.groups.acks import reason_of
from esdb_lite.events import RecordedEvent
from esdb_lite.groups import NackAction

if TYPE_CHECKING:
    from esdb_lite.consumers import AsyncEventHandler

NackPolicy = Callable[[RecordedEvent, Exception], "NackAction"]
"""Decides what happens to an event whose handler has failed."""


class Answering(Protocol):
    """A consumer, as far as handlers have to do with it."""

    @property
    def closed(self) -> bool: ...

    @property
    def subscription_id(self) -> str: ...

    def __aiter__(self) -> AsyncIterator[RecordedEvent]: ...

    async def ack(self, events: RecordedEvent) -> None: ...

    async def nack(self, events: RecordedEvent, action: NackAction, reason: str) -> None: ...


async def handle_each(consumer: Answering, handler: AsyncEventHandler, policy: NackPolicy) -> None:
    """Run the handler for one event after the other, until the iteration ends."""
    cancellation = Cancellation()

    async def handle() -> None:
        async for event in consumer:
            await _handle(consumer, handler, event, policy, cancellation)

    await cancellation.watch(handle())


async def handle_several(consumer: Answering, handler: AsyncEventHandler, policy: NackPolicy, concurrency: int) -> None:
    """Run up to `concurrency` handlers at a time, until the iteration ends and they have come to their ends."""
    running: set[asyncio.Task[None]] = set()
    cancellation = Cancellation()
    try:
        async for event in consumer:
            running.add(asyncio.ensure_future(_handle(consumer, handler, event, policy, cancellation)))
            if len(running) >= concurrency:
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                running = _unfinished(running)
        while running:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            running = _unfinished(running)
    finally:
        cancellation.asked = True
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _handle(
    consumer: Answering,
    handler: AsyncEventHandler,
    event: RecordedEvent,
    policy: NackPolicy,
    cancellation: Cancellation,
) -> None:
    try:
        with observing.handling(consumer.subscription_id, event):
            await handler(event)
    except (Exception, asyncio.CancelledError) as error:
        failure = cancellation.judged(error)
        if not isinstance(failure, Exception):
            raise
        action = decided(consumer.subscription_id, event, failure, policy)
        if not consumer.closed:
            await consumer.nack(event, action, reason_of(failure))
    else:
        if not consumer.closed:
            await consumer.ack(event)


def decided(group: str, event: RecordedEvent, error: Exception, policy: NackPolicy) -> NackAction:
    """Return what becomes of an event whose handler failed, which is logged."""
    note_on(error, event)
    try:
        action = policy(event, error)
    except BaseException as failure:
        note_on(failure, event)
        raise
    if isinstance(action, NackAction):  # what is none is refused when the event is answered
        log_nack(group, event, error, action)
    return action


def _unfinished(tasks: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    """Return those that run on; raises what one of the others has raised."""
    for task in tasks:
        if task.done():
            task.result()
    return {task for task in tasks if not task.done()}
