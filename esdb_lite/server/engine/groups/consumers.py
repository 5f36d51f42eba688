"""The consumers of a group, and the strategies that share events among them.

Owns: how many unacknowledged events a consumer may hold, who gets the next event, which stream is pinned to whom.
Must not know: calls, retries, checkpoints, time.
"""

from __future__ import annotations

import zlib
from collections import deque

from esdb_lite._json import NotJson, parse_json
from esdb_lite.groups import ConsumerStrategy

from .messages import Message
from .statistics import DeliveryRate, Measurements

OUTBOX_LIMIT = 1_000
"""So many events may wait to be sent to one consumer, however large a buffer it asked for."""

BUCKETS = 1024


class GroupConsumer:
    """One consumer of a group."""

    __slots__ = (
        "awake",
        "buffer_size",
        "connection_name",
        "dropped",
        "in_flight",
        "measurements",
        "number",
        "outbox",
        "rate",
        "total_items",
        "username",
    )

    def __init__(self, buffer_size: int, *, connection_name: str = "<unknown>", username: str = "system") -> None:
        self.buffer_size = buffer_size
        self.connection_name = connection_name
        self.username = username
        self.in_flight = 0
        self.total_items = 0
        self.outbox: list[tuple[Message, int]] = []
        """What to send, with the retry count of that delivery."""
        self.awake = False
        """A `Wake` for it is under way."""
        self.dropped = False
        """The group has sent it away: its call has to end."""
        self.number = 0
        """In which order consumers came."""
        self.rate = DeliveryRate()
        self.measurements: Measurements | None = None

    @property
    def can_take(self) -> bool:
        """Whether one more event may be given to it."""
        return self.in_flight < self.buffer_size and len(self.outbox) < OUTBOX_LIMIT

    @property
    def capacity(self) -> int:
        """How many more events may be given to it now."""
        return max(min(self.buffer_size - self.in_flight, OUTBOX_LIMIT - len(self.outbox)), 0)

    @property
    def available_slots(self) -> int:
        """How many more unacknowledged events it may hold."""
        return self.buffer_size - self.in_flight


class Dispatcher:
    """Who gets the next event: the first consumer in turn that can take one (the base is RoundRobin)."""

    may_skip = False
    """Whether an event that cannot be delivered is passed over while later ones still can."""

    def __init__(self) -> None:
        self.consumers: deque[GroupConsumer] = deque()
        self._joined = 0

    def add(self, consumer: GroupConsumer) -> None:
        """A consumer has joined."""
        self._joined += 1
        consumer.number = self._joined
        self.consumers.append(consumer)

    def remove(self, consumer: GroupConsumer) -> None:
        """A consumer has left."""
        self.consumers.remove(consumer)

    def choose(self, message: Message) -> GroupConsumer | None:
        """Return who gets this event; None when nobody can take it now."""
        consumers = self.consumers
        for _ in range(len(consumers)):
            consumer = consumers[0]
            consumers.rotate(-1)
            if consumer.can_take:
                return consumer
        return None


class SingleDispatcher(Dispatcher):
    """Everything to the head consumer until it is full, then to the next, which becomes the head."""

    def choose(self, message: Message) -> GroupConsumer | None:
        """Return the head if it can take an event, else the next that can."""
        consumers = self.consumers
        for _ in range(len(consumers)):
            if consumers[0].can_take:
                return consumers[0]
            consumers.rotate(-1)
        return None


class PinnedDispatcher(Dispatcher):
    """All events of one stream to the same consumer as long as it stays."""

    may_skip = True

    def __init__(self) -> None:
        super().__init__()
        self._owners: dict[int, GroupConsumer] = {}
        self._owned: dict[GroupConsumer, int] = {}

    def add(self, consumer: GroupConsumer) -> None:
        """A consumer has joined; it gets the buckets that come up from now on."""
        super().add(consumer)
        self._owned[consumer] = 0

    def remove(self, consumer: GroupConsumer) -> None:
        """A consumer has left; its buckets go to others when they come up."""
        super().remove(consumer)
        del self._owned[consumer]
        self._owners = {bucket: owner for bucket, owner in self._owners.items() if owner is not consumer}

    def choose(self, message: Message) -> GroupConsumer | None:
        """Return the consumer to which the event's bucket belongs, if it can take it."""
        if not self.consumers:
            return None
        if message.pin < 0:
            message.pin = zlib.crc32(self.key(message).encode("utf-8", "surrogatepass")) % BUCKETS
        owner = self._owners.get(message.pin) or self._assign(message.pin)
        return owner if owner.can_take else None

    def _assign(self, bucket: int) -> GroupConsumer:
        owner = min(self.consumers, key=lambda consumer: (self._owned[consumer], consumer.number))
        self._owners[bucket] = owner
        self._owned[owner] += 1
        return owner

    def key(self, message: Message) -> str:
        """What decides about the bucket: the stream of the event itself."""
        return message.source_stream


class CorrelationDispatcher(PinnedDispatcher):
    """All events of one correlation to the same consumer as long as it stays."""

    def key(self, message: Message) -> str:
        """The `$correlationId` in the event's metadata, else its stream."""
        event = message.event
        if event is None or b"$correlationId" not in event.metadata:
            return message.source_stream
        try:
            metadata = parse_json(event.metadata)
        except NotJson:
            return message.source_stream
        value = metadata.get("$correlationId") if isinstance(metadata, dict) else None
        return value if isinstance(value, str) else message.source_stream


def dispatcher_for(strategy: ConsumerStrategy) -> Dispatcher:
    """Return a dispatcher without consumers."""
    if strategy is ConsumerStrategy.ROUND_ROBIN:
        return Dispatcher()
    if strategy is ConsumerStrategy.DISPATCH_TO_SINGLE:
        return SingleDispatcher()
    return PinnedDispatcher() if strategy is ConsumerStrategy.PINNED else CorrelationDispatcher()
