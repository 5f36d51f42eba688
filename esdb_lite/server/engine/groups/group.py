"""One persistent subscription group as a state machine.

Owns: who has which event, when it is delivered again, parked or done, when pages are read (section 19 of the
protocol notes). Must not know: asyncio, protobuf, SQLite, the clock. `now` is seconds of a clock that only goes
forward. Inputs are the public methods; `effects()` returns what to do about them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from esdb_lite.groups import NackAction

from .buffer import EventBuffer
from .consumers import GroupConsumer, dispatcher_for
from .effects import Drop, Effect, Park, ReadPage, ReadParked, TruncateParked, Wake, WriteCheckpoint
from .messages import Message
from .progress import GroupProgress
from .replay import ReplayProgress
from .settings import GroupSettings
from .statistics import ConnectionInfo, DeliveryRate, GroupInfo, Measurements, status_text

PARKED_AT_ONCE = 32
REPLAYS_AT_ONCE = 2_000
"""Replaying pauses while so many events wait for another delivery."""


class Group:
    """The state of one group. It does nothing before `loaded`."""

    def __init__(self, settings: GroupSettings, *, in_log: bool) -> None:
        """`in_log`: the source is `$all`, positions are those of the log."""
        self.settings = settings
        self.in_log = in_log
        self.ready = False
        self.faulted = False
        self._buffer = EventBuffer(history_size=settings.history_room, live_size=0, frontier=-1, live=False)
        self._most_held = self._buffer.most_held
        self._progress = GroupProgress(settings, checkpoint=None)
        self._replays = ReplayProgress()
        self._dispatcher = dispatcher_for(settings.strategy)
        self._in_flight: dict[bytes, Message] = {}
        self._effects: list[Effect] = []
        self._reading = False
        self._page_is_stale = False
        self._parked_from = 0
        self._parked_next = 0
        self._replaying: tuple[int, int] | None = None
        self._replay_page_asked = False
        self._last_known: int | None = None
        self._stored_checkpoint: int | None = None
        self._total_items = 0
        self._rate = DeliveryRate()

    def limit(self, most_held: int) -> None:
        """Hold about so many bytes of events at most."""
        self._most_held = self._buffer.most_held = most_held

    def effects(self) -> list[Effect]:
        """Return and forget what has to be done."""
        effects, self._effects = self._effects, []
        return effects

    # --- where events come from -------------------------------------------------------------------------------

    def loaded(self, *, checkpoint: int | None, end: int, parked_from: int, parked_next: int, now: float) -> None:
        """What storage knows of the group: its checkpoint, the source's last position now (-1: none), the parked range.

        Live events must be given from a moment before `end` was determined.
        """
        settings, start = self.settings, self.settings.start
        at_end = checkpoint is None and start.is_end
        frontier = checkpoint if checkpoint is not None else end if at_end else start.position - 1
        self._buffer = EventBuffer(
            history_size=settings.history_room, live_size=settings.live_buffer_size, frontier=frontier, live=at_end
        )
        self._buffer.most_held = self._most_held
        self._progress = GroupProgress(settings, checkpoint=checkpoint)
        self._parked_from, self._parked_next = parked_from, max(parked_from, parked_next)
        self._replays = ReplayProgress()
        self._last_known = self._stored_checkpoint = checkpoint
        self.ready = True
        self._advance(now)

    def page(
        self, messages: Iterable[Message], *, last: int | None, at_end: bool, now: float, skipped: int = 0
    ) -> None:
        """The page asked for. `last`: the last position examined; `skipped`: how many were left out by the filter.

        `at_end`: nothing more was committed when the page was read.
        """
        self._reading, stale = False, self._page_is_stale
        self._page_is_stale = False
        for message in messages:
            self._enter(self._buffer.add_read(message))
        if last is not None and not self._buffer.live:
            self._passed(skipped, last)
        if at_end and not stale:
            self._enter(self._buffer.reached_end())
        self._advance(now)

    def page_failed(self) -> None:
        """The page asked for could not be read; it is asked for again at the next tick."""
        self._reading = False

    def live(self, messages: Iterable[Message], *, now: float, skipped: int = 0, last: int | None = None) -> None:
        """Events just committed, in order. `skipped`, `last` as in `page`."""
        if not self.ready or self.faulted:
            return
        for message in messages:
            if self._buffer.is_full:
                self._push(now)
            if message.position > self._buffer.frontier:
                self._last_known = message.position
            if self._buffer.add_live(message):
                self._progress.enter(message)
        if last is not None and self._buffer.live:
            self._passed(skipped, last)
        self._advance(now)

    def live_lost(self, *, now: float) -> None:
        """Live events may have been missed before this moment; from now on they come again."""
        self._page_is_stale = self._reading
        self._buffer.forget_live()
        self._advance(now)

    def _enter(self, messages: list[Message]) -> None:
        for message in messages:
            self._progress.enter(message)
        if messages:
            self._last_known = max(messages[-1].position, -1 if self._last_known is None else self._last_known)

    def _passed(self, count: int, last: int) -> None:
        if last > self._buffer.frontier:
            self._buffer.passed(last)
            self._progress.passed(count, last)

    def _read_more(self) -> None:
        buffer = self._buffer
        if self._reading or buffer.live or self.faulted or not self.ready:
            return
        if buffer.room <= self.settings.batch or buffer.is_heavy:
            return
        self._reading = True
        self._effects.append(ReadPage(buffer.frontier + 1, min(self.settings.page, buffer.room)))

    # --- consumers --------------------------------------------------------------------------------------------

    @property
    def consumers(self) -> Sequence[GroupConsumer]:
        """Who is connected."""
        return self._dispatcher.consumers

    @property
    def is_full(self) -> bool:
        """Whether `max_subscriber_count` forbids another consumer."""
        limit = self.settings.max_subscriber_count
        return limit != 0 and len(self.consumers) >= limit

    def join(self, consumer: GroupConsumer, *, now: float) -> None:
        """A consumer has come and been confirmed."""
        if self.faulted:
            self._let_go(consumer)
            return
        if self.settings.extra_statistics:
            consumer.measurements = Measurements()
        self._dispatcher.add(consumer)
        self._advance(now)

    def leave(self, consumer: GroupConsumer, *, now: float) -> None:
        """A consumer has gone: what it had not acknowledged is for the others."""
        if consumer not in self.consumers:
            return
        self._dispatcher.remove(consumer)
        lost = [message for message in self._in_flight.values() if message.consumer is consumer]
        for message in lost:
            del self._in_flight[message.id]
        self._requeue(lost)
        self._advance(now)

    def drop(self) -> None:
        """Send all consumers away: the group is updated, deleted or stopped."""
        for consumer in list(self.consumers):
            self._dispatcher.remove(consumer)
            self._let_go(consumer)

    def fault(self) -> None:
        """The source cannot be read: consumers are sent away, and so will be all that come."""
        self.faulted = True
        self.drop()
        self._note_replay(at_once=True)

    def _let_go(self, consumer: GroupConsumer) -> None:
        consumer.dropped = True
        self._effects.append(Drop(consumer))

    def take(self, consumer: GroupConsumer, *, now: float) -> list[tuple[Message, int]]:
        """Return what to send to a consumer, with retry counts."""
        outbox, consumer.outbox = consumer.outbox, []
        consumer.awake = False
        self._push(now)
        return [(message, count) for message, count in outbox if _is_current(message, count, consumer)]

    # --- what consumers say -----------------------------------------------------------------------------------

    def ack(self, ids: Iterable[bytes], *, now: float) -> None:
        """Events are done. Ids that are not in flight are ignored."""
        for id_ in ids:
            message = self._in_flight.pop(id_, None)
            if message is not None:
                self._release(message, now)
                self._finish(message)
        self._after_answers(now)

    def nack(self, ids: Iterable[bytes], action: NackAction | None, reason: str, *, now: float) -> None:
        """Events could not be handled; `action` None: one that servers do not know. Ids not in flight are ignored."""
        messages = [message for id_ in ids if (message := self._in_flight.pop(id_, None)) is not None]
        for message in messages:
            self._release(message, now)
        if action is NackAction.PARK:
            self._park(messages, f"Client explicitly NAK'ed message.\n{reason}")
        elif action in (NackAction.SKIP, NackAction.STOP):
            for message in messages:
                self._finish(message)
        else:
            self._retry(messages)
        self._after_answers(now)

    def tick(self, *, now: float) -> None:
        """A second has passed: look for expired events, write a checkpoint if one is due."""
        if not self.ready or self.faulted:
            return
        self._retry(self._expired(now))
        self._push(now)
        self._checkpoint(now, tick=True)
        self._note_replay(at_once=True)
        self._advance(now)

    def _after_answers(self, now: float) -> None:
        self._checkpoint(now, tick=False)
        self._note_replay(at_once=False)
        self._advance(now)

    def _expired(self, now: float) -> list[Message]:
        expired = []
        for message in self._in_flight.values():
            if message.expires > now:
                break
            expired.append(message)
        for message in expired:
            del self._in_flight[message.id]
            self._release(message, None)
        return expired

    def _release(self, message: Message, now: float | None) -> None:
        consumer, message.consumer = message.consumer, None
        if consumer is None:
            return
        consumer.in_flight -= 1
        if consumer.measurements is not None and now is not None:
            consumer.measurements.add(now - message.sent_at)

    def _finish(self, message: Message) -> None:
        if message.held:
            message.held = False
            self._buffer.held -= message.size
        if message.replayed:
            self._replays.finish(message)
        else:
            self._progress.finish(message)

    def _retry(self, messages: list[Message]) -> None:
        limit = self.settings.max_retry_count
        spent = [message for message in messages if message.retry_count >= limit]
        self._requeue([message for message in messages if message.retry_count < limit])
        self._park(spent, f"Reached retry count of {limit}")

    def _requeue(self, messages: list[Message]) -> None:
        for message in messages:
            message.retry_count += 1
            message.consumer = None
        self._buffer.add_retries(messages)

    def _checkpoint(self, now: float, *, tick: bool) -> None:
        position = self._progress.due(now, tick=tick)
        if position is not None:
            self._effects.append(WriteCheckpoint(position))

    def checkpoint_written(self, position: int) -> None:
        """The checkpoint is stored."""
        self._stored_checkpoint = position

    def checkpoint_failed(self) -> None:
        """The checkpoint could not be written; it is tried again when one is due."""
        self._progress.not_written()

    # --- delivery ---------------------------------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        self._push(now)
        self._read_more()
        self._replay_more()

    def _push(self, now: float) -> None:
        if not self._dispatcher.consumers or not self.ready:
            return
        if self._dispatcher.may_skip:
            self._push_skipping(self._buffer.retries, now)
            self._push_skipping(self._buffer.waiting, now)
        elif self._push_in_order(self._buffer.retries, now):
            self._push_in_order(self._buffer.waiting, now)

    def _push_in_order(self, queue: deque[Message], now: float) -> bool:
        choose, send = self._dispatcher.choose, self._send
        while queue:
            consumer = choose(queue[0])
            if consumer is None:
                return False
            send(queue.popleft(), consumer, now)
        return True

    def _push_skipping(self, queue: deque[Message], now: float) -> None:
        capacity = sum(consumer.capacity for consumer in self.consumers)
        aside: deque[Message] = deque()
        try:
            while queue and capacity:
                consumer = self._dispatcher.choose(queue[0])
                message = queue.popleft()
                if consumer is None:
                    aside.append(message)
                else:
                    self._send(message, consumer, now)
                    capacity -= 1
        finally:
            queue.extendleft(reversed(aside))

    def _send(self, message: Message, consumer: GroupConsumer, now: float) -> None:
        message.consumer = consumer
        consumer.total_items += 1
        self._total_items += 1
        consumer.outbox.append((message, message.retry_count))
        if not consumer.awake:
            consumer.awake = True
            self._effects.append(Wake(consumer))
        if message.id in self._in_flight:
            self._finish(message)
            return
        message.expires = now + self.settings.message_timeout / 1000
        message.sent_at = now
        consumer.in_flight += 1
        self._in_flight[message.id] = message

    # --- parking and replay -----------------------------------------------------------------------------------

    def _park(self, messages: list[Message], reason: str) -> None:
        if messages:
            self._effects.append(Park(messages, reason))

    def parked(self, messages: list[Message], *, next_number: int, now: float) -> None:
        """The messages are in the parked stream, whose next number is `next_number`."""
        for message in messages:
            self._finish(message)
        self._parked_next = max(self._parked_next, next_number)
        self._after_answers(now)

    def parking_failed(self, messages: list[Message], *, now: float) -> None:
        """The messages could not be parked: they are delivered again, so that nothing is lost."""
        self._requeue(messages)
        self._advance(now)

    def replay(self, *, stop_at: int | None, now: float) -> None:
        """Deliver parked events again, those with numbers below `stop_at`; nothing if that is under way already."""
        end = self._parked_next if stop_at is None else min(stop_at, self._parked_next)
        if self._replaying is None and end > self._parked_from and not self.faulted:
            self._replaying = (self._parked_from, end)
            self._advance(now)

    @property
    def _parked_page(self) -> int:
        """How many parked events are read at once: what they point to may be large."""
        return min(self.settings.page, PARKED_AT_ONCE)

    @property
    def is_replaying(self) -> bool:
        """Whether parked events are being delivered again."""
        return self._replaying is not None

    def truncation(self, stop_at: int | None) -> TruncateParked | None:
        """What makes parked events below `stop_at` disappear; None: nothing has to be done."""
        end = self._parked_next if stop_at is None else min(stop_at, self._parked_next)
        return TruncateParked(end, self._replays.unfinished_from(end)) if end > self._parked_from else None

    def truncated(self, before: int) -> None:
        """Parked events with numbers below `before` are gone."""
        self._parked_from = max(self._parked_from, before)

    def replay_not_noted(self) -> None:
        """What was to be noted of replays could not be written; it is tried again at the next tick."""
        self._replays.not_noted()

    def _note_replay(self, *, at_once: bool) -> None:
        note = self._replays.note(self._parked_from, at_once=at_once)
        if note is not None:
            self._effects.append(note)

    def replay_failed(self) -> None:
        """Parked events could not be read; what is left stays parked."""
        self._replay_page_asked = False
        if self._replaying is not None:
            self._parked_from, self._replaying = self._replaying[0], None

    def parked_page(self, messages: Iterable[Message], *, now: float) -> None:
        """The parked events asked for whose targets exist, in order."""
        self._replay_page_asked = False
        if self._replaying is None:
            return
        first, end = self._replaying
        first = min(first + self._parked_page, end)
        messages = list(messages)
        for message in messages:
            self._buffer.hold(message)
            self._replays.enter(message)
        self._buffer.add_retries(messages)
        self._replaying = (first, end)
        if first >= end:
            self._replaying = None
            self._parked_from = end
            self._effects.append(TruncateParked(end, self._replays.unfinished_from(end)))
        self._advance(now)

    def _replay_more(self) -> None:
        if self._replaying is None or self._replay_page_asked or len(self._buffer.retries) >= REPLAYS_AT_ONCE:
            return
        if self._buffer.is_heavy:
            return
        self._replay_page_asked = True
        first, end = self._replaying
        self._effects.append(ReadParked(first, min(self._parked_page, end - first)))

    # --- statistics -------------------------------------------------------------------------------------------

    def info(self, *, now: float) -> GroupInfo:
        """Return the figures; rates are since the previous call."""
        count, per_second = self._rate.measure(self._total_items, now)
        buffer = self._buffer
        return GroupInfo(
            status=status_text(
                ready=self.ready, live=buffer.live, reading=self._reading, replaying=self._replaying is not None
            ),
            connections=[_connection(consumer, now) for consumer in sorted(self.consumers, key=lambda c: c.number)],
            average_per_second=per_second,
            total_items=self._total_items,
            count_since_last_measurement=count,
            last_checkpointed=self._stored_checkpoint,
            last_known=self._last_known,
            read_buffer_count=min(len(buffer.waiting), self.settings.history_room),
            live_buffer_count=len(buffer.ring),
            retry_buffer_count=len(buffer.retries),
            total_in_flight_messages=sum(consumer.in_flight for consumer in self.consumers),
            outstanding_messages_count=len(self._in_flight),
            parked_message_count=self._parked_next - self._parked_from,
        )


def _is_current(message: Message, retry_count: int, consumer: GroupConsumer) -> bool:
    return message.consumer is consumer and message.retry_count == retry_count


def _connection(consumer: GroupConsumer, now: float) -> ConnectionInfo:
    count, per_second = consumer.rate.measure(consumer.total_items, now)
    return ConnectionInfo(
        username=consumer.username,
        connection_name=consumer.connection_name,
        average_items_per_second=per_second,
        total_items=consumer.total_items,
        count_since_last_measurement=count,
        available_slots=consumer.available_slots,
        in_flight_messages=consumer.in_flight,
        observed_measurements=[] if consumer.measurements is None else consumer.measurements.report(),
    )
