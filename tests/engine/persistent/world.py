"""A world for one group: a stream, consumers that remember what they were given, and storage that answers when told.

It is deliberately naive: lists and loops, nothing shared with the machine under test but its interface.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from esdb_lite.groups import ConsumerStrategy, NackAction
from esdb_lite.server.engine.groups import effects
from esdb_lite.server.engine.groups.consumers import GroupConsumer
from esdb_lite.server.engine.groups.group import Group
from esdb_lite.server.engine.groups.messages import Message
from esdb_lite.server.engine.groups.settings import GroupSettings
from esdb_lite.server.storage import Record

STREAM = "orders"


def record(
    revision: int, *, stream: str = STREAM, position: int = 0, id_: bytes | None = None, metadata: bytes = b""
) -> Record:
    id_ = id_ or f"{stream[:6]:6}{revision:010}".encode()
    return Record(position, stream, revision, id_, "T", True, 0, b"{}", metadata)


def settings(**changes: object) -> GroupSettings:
    values: dict[str, object] = {
        "message_timeout": 30_000,
        "max_retry_count": 2,
        "checkpoint_after": 500,
        "min_checkpoint_count": 1,
        "max_checkpoint_count": 5,
        "live_buffer_size": 100,
        "read_batch_size": 10,
        "history_buffer_size": 50,
        "strategy": ConsumerStrategy.ROUND_ROBIN,
    }
    values.update(changes)
    return GroupSettings(**values)  # type: ignore[arg-type]


@dataclass
class Client:
    """A consumer with what it holds: id -> (revision, retry count)."""

    consumer: GroupConsumer
    held: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    seen: list[tuple[int, int]] = field(default_factory=list)
    gone: bool = False

    def ids(self, *revisions: int) -> list[bytes]:
        return [id_ for id_, (revision, _) in self.held.items() if revision in revisions]


class World:
    """One group with its storage. Effects on storage wait in `pending` until `step` or `settle`."""

    def __init__(self, group_settings: GroupSettings, events: int = 0) -> None:
        self.settings = group_settings
        self.now = 1000.0
        self.log: list[Record] = []
        self.parked: list[tuple[Message, str]] = []
        self.parked_from = 0
        self.unfinished_from: int | None = None
        self.checkpoints: list[int] = []
        self.clients: list[Client] = []
        self.pending: list[effects.Effect] = []
        self.group = Group(group_settings, in_log=False)
        self.append(events)
        self.load()

    def load(self) -> None:
        self.group.loaded(
            checkpoint=self.checkpoints[-1] if self.checkpoints else None,
            end=len(self.log) - 1,
            parked_from=self.parked_from,
            parked_next=len(self.parked),
            now=self.now,
        )
        self.collect()

    def restart(self) -> None:
        """The server was killed: consumers are gone, what is stored is there."""
        for client in self.clients:
            client.gone = True
        self.clients = []
        self.pending = []
        self.group = Group(self.settings, in_log=False)
        if self.unfinished_from is not None:
            self.parked_from, self.unfinished_from = min(self.parked_from, self.unfinished_from), None
        self.load()

    def append(self, count: int, *, tell: bool = True, ids: list[bytes] | None = None) -> list[Record]:
        added = [record(len(self.log) + n, id_=ids[n] if ids else None) for n in range(count)]
        self.log.extend(added)
        if tell:
            self.group.live([Message(r) for r in added], now=self.now)
            self.collect()
        return added

    def join(self, buffer_size: int = 10) -> Client:
        client = Client(GroupConsumer(buffer_size))
        self.clients.append(client)
        self.group.join(client.consumer, now=self.now)
        self.collect()
        return client

    def leave(self, client: Client) -> None:
        client.gone = True
        self.clients.remove(client)
        self.group.leave(client.consumer, now=self.now)
        self.collect()

    def ack(self, client: Client, *ids: bytes) -> None:
        for id_ in ids:
            client.held.pop(id_, None)
        self.group.ack(ids, now=self.now)
        self.collect()

    def nack(self, client: Client, action: NackAction | None, *ids: bytes) -> None:
        for id_ in ids:
            client.held.pop(id_, None)
        self.group.nack(ids, action, "because", now=self.now)
        self.collect()

    def tick(self, seconds: float = 1.0) -> None:
        self.now += seconds
        self.group.tick(now=self.now)
        self.collect()

    def tick_and_settle(self) -> None:
        self.tick()
        self.settle()

    def replay(self, stop_at: int | None = None) -> None:
        self.group.replay(stop_at=stop_at, now=self.now)
        self.collect()

    def collect(self) -> None:
        """Sort the effects: deliveries happen at once, storage waits."""
        while asked := self.group.effects():
            for effect in asked:
                if isinstance(effect, effects.Wake):
                    self.deliver(effect.consumer)
                elif isinstance(effect, effects.Drop):
                    self.client_of(effect.consumer).gone = True
                else:
                    self.pending.append(effect)

    def deliver(self, consumer: GroupConsumer) -> None:
        client = self.client_of(consumer)
        for message, retry_count in self.group.take(consumer, now=self.now):
            client.held[message.id] = (message.original.revision, retry_count)
            revision = message.event.revision if message.event else message.original.revision
            client.seen.append((revision, retry_count))

    def client_of(self, consumer: GroupConsumer) -> Client:
        return next(client for client in self.clients if client.consumer is consumer)

    def step(self) -> bool:
        """Storage does the oldest thing it was asked for; False when there was nothing."""
        if not self.pending:
            return False
        self.perform(self.pending.pop(0))
        self.collect()
        return True

    def settle(self) -> None:
        """Storage does all it was asked for."""
        for _ in range(10_000):
            if not self.step():
                return
        raise AssertionError("the group never comes to rest")

    def perform(self, effect: effects.Effect) -> None:
        if isinstance(effect, effects.ReadPage):
            page = self.log[effect.first : effect.first + effect.limit]
            at_end = effect.first + len(page) >= len(self.log)
            last = page[-1].revision if page else None
            self.group.page([Message(r) for r in page], last=last, at_end=at_end, now=self.now)
        elif isinstance(effect, effects.ReadParked):
            numbers = range(max(effect.first, self.parked_from), min(effect.first + effect.limit, len(self.parked)))
            self.group.parked_page([self.parked_message(n) for n in numbers], now=self.now)
        elif isinstance(effect, effects.Park):
            self.parked.extend((message, effect.reason) for message in effect.messages)
            self.group.parked(effect.messages, next_number=len(self.parked), now=self.now)
        elif isinstance(effect, effects.WriteCheckpoint):
            self.checkpoints.append(effect.position)
            self.group.checkpoint_written(effect.position)
        elif isinstance(effect, effects.TruncateParked):
            self.parked_from, self.unfinished_from = effect.before, effect.unfinished_from
        elif isinstance(effect, effects.NoteUnfinished):
            self.unfinished_from = effect.unfinished_from

    def parked_message(self, number: int) -> Message:
        return Message(self.parked[number][0].event, record(number, stream="parked"), replayed=True)
