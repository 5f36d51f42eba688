"""The events that wait in a group: retries, events not yet delivered, and the latest live ones.

Owns: the order of retries, the hand-over from reading to live events and back, and how much is kept in memory.
Must not know: consumers, checkpoints, time, where events come from.

While the group is *behind*, events are read from storage and live ones are only remembered in a ring of the latest
`live_size`; as soon as reading meets the ring, or reaches the end with nothing missing between, the group is *live*
and live events go straight to the buffer. When the buffer is full, a live event puts the group behind again.
So there are never more than `history_size + live_size` events in buffer and ring together, plus one page; and never
many more bytes than `most_held`, of which the ring may have a quarter besides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from .messages import Message

MOST_HELD = 16 * 1024 * 1024


class EventBuffer:
    """The buffers of one group."""

    def __init__(self, *, history_size: int, live_size: int, frontier: int, live: bool) -> None:
        """`frontier`: the last position that is not to be delivered (it and all before it are known or done)."""
        self.live = live
        self.frontier = frontier
        self.waiting: deque[Message] = deque()
        """Read or live events in order, not yet delivered."""
        self.retries: deque[Message] = deque()
        """Events to be delivered again, before all that wait; see `add_retries`."""
        self.ring: deque[Message] = deque(maxlen=max(live_size, 0))
        self.held = 0
        """Bytes of all events that wait or are on their way, until they are done."""
        self.most_held = MOST_HELD
        """From so many bytes on nothing more is read: a group is behind then."""
        self._in_ring = 0
        """Bytes of the events in the ring."""
        self._history_size = history_size
        self._lost = frontier
        """The highest live position that has left the ring: below it only storage knows what there was."""

    def __len__(self) -> int:
        return len(self.waiting) + len(self.retries)

    @property
    def room(self) -> int:
        """How many more events may be read."""
        return self._history_size - len(self)

    @property
    def is_full(self) -> bool:
        """Whether the next live event finds no room."""
        return len(self.waiting) >= self._history_size or self.held >= self.most_held

    @property
    def is_heavy(self) -> bool:
        """Whether as many bytes are held as may be, however few events that is."""
        return self.held >= self.most_held

    def add_live(self, message: Message) -> bool:
        """Take a live event; return whether it now waits for delivery."""
        if message.position <= self.frontier:
            return False
        if self.live and self.is_full:
            self.live = False
        self._remember(message)
        if self.live:
            self._enqueue(message)
        return self.live

    def _remember(self, message: Message) -> None:
        if not self.ring.maxlen:
            self._lost = message.position
            return
        ring = self.ring
        self._in_ring += message.size
        while ring and (len(ring) == ring.maxlen or self._in_ring > self.most_held >> 2):
            oldest = ring.popleft()
            self._lost = oldest.position
            self._in_ring -= oldest.size
        ring.append(message)

    def add_read(self, message: Message) -> list[Message]:
        """Take an event read from storage; return what now waits for delivery because of it.

        Where reading meets the ring, that is the event and all later ones in the ring, and the group is live.
        """
        if self.live or message.position <= self.frontier:
            return []
        self._enqueue(message)
        if not self.ring or message.position < self.ring[0].position:
            return [message]
        return [message, *self._go_live()]

    def reached_end(self) -> list[Message]:
        """All up to now has been read; go live if no live event is missing. Return what now waits because of it."""
        if self.live or self.frontier < self._lost:
            return []
        return self._go_live()

    def _go_live(self) -> list[Message]:
        self.live = True
        later = [message for message in self.ring if message.position > self.frontier]
        for message in later:
            self._enqueue(message)
        return later

    def passed(self, position: int) -> None:
        """Everything up to `position` has been seen; what was left out does not concern the group."""
        self.frontier = max(self.frontier, position)

    def _enqueue(self, message: Message) -> None:
        self.waiting.append(message)
        message.held = True
        self.held += message.size
        self.frontier = message.position

    def hold(self, message: Message) -> None:
        """Count an event that has to be delivered, until it is done."""
        message.held = True
        self.held += message.size

    def forget_live(self) -> None:
        """Live events may have been missed: everything after the frontier must be read."""
        self.live = False
        self.ring.clear()
        self._in_ring = 0
        self._lost = self.frontier

    def add_retries(self, messages: Iterable[Message]) -> None:
        """Queue events for another delivery: each before the retries of later events, replayed ones at the end."""
        messages = list(messages)
        ordered = sorted((m for m in messages if not m.replayed), key=lambda m: m.sequence)
        self._merge(deque(ordered))
        self.retries.extend(m for m in messages if m.replayed)

    def _merge(self, incoming: deque[Message]) -> None:
        if not self.retries or not incoming:
            self.retries.extend(incoming)
            return
        merged: deque[Message] = deque()
        for waiting in self.retries:
            while incoming and not waiting.replayed and incoming[0].sequence < waiting.sequence:
                merged.append(incoming.popleft())
            merged.append(waiting)
        merged.extend(incoming)
        self.retries = merged
