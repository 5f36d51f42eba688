"""Streams/Read: runs reads and subscriptions, and sends what they come to.

Owns: fetching page after page, the hand-over from history to live events, and the messages as bytes.
Must not know: which events a read consists of (the engine does).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import groupby
from uuid import uuid4

from esdb_lite._status import answers
from esdb_lite._wire.answers import (
    encode_caught_up,
    encode_checkpoint,
    encode_confirmation,
    encode_event,
    encode_events,
    encode_first_position,
    encode_last_position,
    encode_record,
    encode_stream_missing,
)
from esdb_lite._wire.read_requests import decode_read_request
from esdb_lite.server.calls import Call
from esdb_lite.server.engine.links import ReadEvent
from esdb_lite.server.engine.reading import FirstPosition, InvalidPosition, NotFound, Page, Read
from esdb_lite.server.engine.subscriptions import CaughtUp, Checkpoint, Message, Subscription
from esdb_lite.server.engine.visibility import StreamTombstoned
from esdb_lite.server.feed import Listener
from esdb_lite.server.services.common import decoded, only_request
from esdb_lite.server.services.context import Context
from esdb_lite.server.services.read_plans import SubscriptionPlan, plan_read
from esdb_lite.server.storage import Reader, Record

LIVE_BUFFER = 1024
"""Live events that wait for a subscriber before it is sent back to reading from storage."""


class Reading:
    """The method Read of the Streams service."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def handle(self, call: Call) -> None:
        """Serve one call."""
        request = decoded(decode_read_request, await only_request(call))
        plan = plan_read(request)
        structured = request is not None and request.structured is True
        try:
            if isinstance(plan, SubscriptionPlan):
                await _Subscribed(self._context, call, plan, structured=structured).run()
            else:
                await self._read(call, plan, structured=structured)
        except StreamTombstoned as error:
            raise answers.stream_deleted(error.stream) from None

    async def _read(self, call: Call, read: Read, *, structured: bool) -> None:
        done = False
        while not done:
            try:
                page = await self._context.database.read(partial(_page, read, self._context.now()))
            except InvalidPosition as error:
                raise answers.invalid_argument(
                    f"options.all.position: no event begins at position {error.position} of the log."
                ) from None
            await call.send(_encode_page(page, structured=structured))
            done = page.done


def _page(read: Read, now: int, reader: Reader) -> Page:
    return read.page(reader, now)


class _Subscribed:
    """One subscription call: history, then live events, and back when the subscriber is too slow."""

    def __init__(self, context: Context, call: Call, plan: SubscriptionPlan, *, structured: bool) -> None:
        self._database = context.database
        self._now = context.now
        self._call = call
        self._subscription: Subscription = plan.subscription
        self._stream = plan.stream
        self._structured = structured
        self._awake = asyncio.Event()
        self._listener = self._listen()

    def _listen(self) -> Listener:
        return self._database.listen(self._awake.set, stream=self._stream, limit=LIVE_BUFFER)

    def _listen_again(self) -> None:
        self._listener.close()
        self._listener = self._listen()

    async def run(self) -> None:
        """Send what the subscription consists of, until the call is cancelled or the stream tombstoned."""
        subscription = self._subscription
        try:
            await self._database.read(lambda reader: subscription.start(reader, self._now()))
            await self._call.send([encode_confirmation(str(uuid4()))])
            while True:
                await self._history()
                await self._send(subscription.caught_up())
                await self._live()
                subscription.fall_behind()
                self._listen_again()
        except InvalidPosition:
            raise answers.invalid_position() from None
        finally:
            self._listener.close()

    async def _history(self) -> None:
        subscription = self._subscription
        end = not subscription.behind
        while not end:
            part = await self._database.read(lambda reader: subscription.page(reader, self._now()))
            await self._send(part.messages)
            end = part.end
            if end and self._listener.overflowed:
                # What was committed meanwhile has been lost to the listener: collect anew, and read it.
                self._listen_again()
                end = False

    async def _live(self) -> None:
        """Send live events until more of them come than can be kept for this subscriber."""
        while not self._listener.overflowed:
            records = self._listener.take()
            if records:
                await self._send(await self._live_messages(records))
                if self._subscription.ended is not None:
                    raise answers.stream_deleted(self._subscription.ended)
            else:
                self._awake.clear()
                await self._awake.wait()

    async def _live_messages(self, records: Sequence[Record]) -> Sequence[Message]:
        subscription, now = self._subscription, self._now()
        if subscription.needs_reader(records):
            return await self._database.read(lambda reader: subscription.live(records, reader, now))
        return subscription.live(records, None, now)

    async def _send(self, messages: Sequence[Message]) -> None:
        if messages:
            await self._call.send(_encode_messages(messages, self._now(), structured=self._structured))


# --- encoding ---------------------------------------------------------------------------------------------------------


def _encode_page(page: Page, *, structured: bool) -> list[bytes]:
    messages = [_encode_before(item) for item in page.before]
    messages += _encode_events(page.events, structured=structured)
    messages += [encode_last_position(item.revision) for item in page.after]
    return messages


def _encode_before(item: NotFound | FirstPosition) -> bytes:
    return encode_stream_missing(item.stream) if isinstance(item, NotFound) else encode_first_position(item.revision)


def _encode_messages(messages: Iterable[Message], now: int, *, structured: bool) -> list[bytes]:
    encoded: list[bytes] = []
    for kind, group in groupby(messages, type):
        if kind is Record:
            encoded += encode_events([m for m in group if isinstance(m, Record)], structured=structured)
        else:
            encoded += [_encode_message(message, now, structured=structured) for message in group]
    return encoded


def _encode_message(message: Message, now: int, *, structured: bool) -> bytes:
    if isinstance(message, Checkpoint):
        return encode_checkpoint(message.commit, message.prepare, now=now)
    if isinstance(message, CaughtUp):
        return encode_caught_up(now=now, stream_position=message.revision, position=message.position)
    return _encode_event(message, structured=structured)


def _encode_events(events: Sequence[ReadEvent], *, structured: bool) -> list[bytes]:
    records = [event for event in events if isinstance(event, Record)]
    if len(records) == len(events):
        return encode_events(records, structured=structured)
    return [_encode_event(event, structured=structured) for event in events]


def _encode_event(event: ReadEvent, *, structured: bool) -> bytes:
    if isinstance(event, Record):
        return encode_event(_encode_record(event, structured), None, event.position)
    target = None if event.event is None else _encode_record(event.event, structured)
    return encode_event(target, _encode_record(event.link, structured), event.link.position)


def _encode_record(record: Record, structured: bool) -> bytes:
    return encode_record(
        id=record.id,
        structured=structured,
        stream=record.stream,
        revision=record.revision,
        position=record.position,
        type=record.type,
        is_json=record.is_json,
        created=record.created,
        metadata=record.metadata,
        data=record.data,
    )
