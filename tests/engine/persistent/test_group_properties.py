"""Whatever consumers, storage and time do, a group loses nothing, gives nothing twice at once and keeps its limits."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from esdb_lite.groups import ConsumerStrategy, NackAction
from esdb_lite.server.engine.groups.effects import ReadPage
from esdb_lite.server.engine.groups.settings import GroupStart

from .world import Client, World, settings


class GroupMachine(RuleBasedStateMachine):
    """Random programs over one group against a model that only counts.

    That an event is nacked at most `max_retry_count` times before it is parked follows from the retry counts: nobody
    sees one above the limit unless consumers left.
    """

    clients = Bundle("clients")

    @initialize(
        stored=st.integers(0, 40),
        start=st.integers(-1, 5),
        strategy=st.sampled_from(list(ConsumerStrategy)),
        retries=st.integers(0, 3),
        batch=st.integers(0, 12),
        spare=st.integers(1, 20),
        live=st.integers(0, 12),
        counts=st.tuples(st.integers(0, 4), st.integers(0, 12)),
    )
    def begin(
        self,
        stored: int,
        start: int,
        strategy: ConsumerStrategy,
        retries: int,
        batch: int,
        spare: int,
        live: int,
        counts: tuple[int, int],
    ) -> None:
        self.settings = settings(
            start=GroupStart(start),
            strategy=strategy,
            max_retry_count=retries,
            read_batch_size=batch,
            history_buffer_size=batch + spare,
            live_buffer_size=live,
            message_timeout=3_000,
            min_checkpoint_count=counts[0],
            max_checkpoint_count=counts[1],
        )
        self.world = World(self.settings, events=stored)
        self.first = stored if start == -1 else start
        self.left = 0
        self.done: set[int] = set()
        """Revisions acknowledged or skipped, since the beginning."""

    @rule(count=st.integers(1, 9), tell=st.booleans())
    def append(self, count: int, tell: bool) -> None:
        self.world.append(count, tell=tell)
        if not tell:
            self.world.group.live_lost(now=self.world.now)
            self.world.collect()

    @rule(target=clients, size=st.integers(0, 8))
    def join(self, size: int) -> Client:
        return self.world.join(size)

    @rule(client=clients)
    def leave(self, client: Client) -> None:
        if not client.gone:
            self.left += bool(client.held)
            self.world.leave(client)

    @rule(client=clients, data=st.data())
    def ack(self, client: Client, data: st.DataObject) -> None:
        ids = self.pick(client, data)
        self.done |= {client.held[id_][0] for id_ in ids}
        self.world.ack(client, *ids)

    @rule(client=clients, data=st.data(), action=st.sampled_from([None, *NackAction]))
    def nack(self, client: Client, data: st.DataObject, action: NackAction | None) -> None:
        ids = self.pick(client, data)
        if action in (NackAction.SKIP, NackAction.STOP):
            self.done |= {client.held[id_][0] for id_ in ids}
        self.world.nack(client, action, *ids)

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0]))
    def tick(self, seconds: float) -> None:
        for client in self.world.clients:
            self.forget_expired(client, seconds)
        self.world.tick(seconds)

    @precondition(lambda self: self.world.pending)
    @rule()
    def step(self) -> None:
        self.world.step()

    @rule()
    def restart(self) -> None:
        self.world.restart()
        if self.settings.start.is_end and not self.world.checkpoints:
            self.first = len(self.world.log)

    @invariant()
    def no_more_than_asked_for(self) -> None:
        for client in self.world.clients:
            assert len(client.held) <= client.consumer.buffer_size
            assert len(client.held) == client.consumer.in_flight

    @invariant()
    def nobody_has_what_another_has(self) -> None:
        held = [id_ for client in self.world.clients for id_ in client.held]
        assert len(held) == len(set(held))

    @invariant()
    def one_delivery_for_each_retry_count(self) -> None:
        for client in self.world.clients:
            assert len(client.seen) == len(set(client.seen))
            assert all(count <= self.settings.max_retry_count + self.left for _, count in client.seen)

    @invariant()
    def memory_is_bounded(self) -> None:
        buffer = self.world.group._buffer
        bound = self.settings.history_room + self.settings.live_buffer_size
        assert len(buffer.waiting) <= bound
        assert len(buffer.ring) <= self.settings.live_buffer_size

    @invariant()
    def checkpoints_leave_nothing_behind(self) -> None:
        if self.world.checkpoints:
            parked = {message.original.revision for message, _ in self.world.parked}
            covered = range(max(self.first, 0), self.world.checkpoints[-1] + 1)
            assert set(covered) <= self.done | parked
        assert self.world.checkpoints == sorted(set(self.world.checkpoints))

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.settle()
        self.finish()
        parked = {message.original.revision for message, _ in self.world.parked}
        assert self.done | parked >= set(range(self.first, len(self.world.log)))

    def finish(self) -> None:
        """One greedy consumer acknowledges everything that comes."""
        world = self.world
        for client in list(world.clients):
            world.leave(client)
        last = world.join(1_000)
        for _ in range(200):
            world.settle()
            if not last.held and not any(isinstance(effect, ReadPage) for effect in world.pending):
                break
            self.done |= {revision for revision, _ in last.held.values()}
            world.ack(last, *list(last.held))
        assert not last.held
        assert world.group.info(now=world.now).status == "Live"

    def pick(self, client: Client, data: st.DataObject) -> list[bytes]:
        if client.gone or not client.held:
            return []
        chosen: Any = data.draw(st.lists(st.sampled_from(sorted(client.held)), unique=True))
        return list(chosen)

    def forget_expired(self, client: Client, seconds: float) -> None:
        """What times out is no longer the consumer's."""
        now = self.world.now + seconds
        for message in list(self.world.group._in_flight.values()):
            if message.consumer is client.consumer and message.expires <= now:
                client.held.pop(message.id)


GroupMachine.TestCase.settings = hypothesis_settings(max_examples=150, stateful_step_count=40)
TestGroupMachine = GroupMachine.TestCase
