"""The rules of a group, one by one."""

from __future__ import annotations

import pytest

from esdb_lite.groups import ConsumerStrategy, NackAction
from esdb_lite.server.engine.groups.consumers import OUTBOX_LIMIT, GroupConsumer
from esdb_lite.server.engine.groups.effects import NoteUnfinished, Park, ReadPage
from esdb_lite.server.engine.groups.group import PARKED_AT_ONCE
from esdb_lite.server.engine.groups.settings import GroupStart

from .world import Client, World, settings


def revisions(seen: list[tuple[int, int]]) -> list[int]:
    return [revision for revision, _ in seen]


def joined(*, events: int = 0, buffer: int = 10, **changes: object) -> tuple[World, Client]:
    """A group that has read what there is, and its first consumer."""
    world = World(settings(**changes), events)
    world.settle()
    return world, world.join(buffer)


class TestReading:
    def test_reads_from_the_start_and_goes_live(self) -> None:
        world = World(settings(), events=3)
        assert world.pending == [ReadPage(0, 10)]
        world.settle()
        assert world.group.info(now=0).status == "Live"
        client = world.join()
        world.append(2)
        assert revisions(client.seen) == [0, 1, 2, 3, 4]

    def test_stops_reading_when_a_batch_does_not_fit(self) -> None:
        world = World(settings(), events=100)
        world.settle()
        info = world.group.info(now=0)
        assert (info.status, info.read_buffer_count) == ("Behind", 40)

    def test_reading_is_visible(self) -> None:
        assert World(settings(), events=1).group.info(now=0).status == "Behind, OutstandingPageRequest"

    @pytest.mark.parametrize(("start", "expected"), [(0, [0, 1, 2, 3]), (2, [2, 3]), (9, []), (-1, [3])])
    def test_start_is_inclusive(self, start: int, expected: list[int]) -> None:
        world = World(settings(start=GroupStart(start)), events=3)
        client = world.join()
        world.append(1)
        world.settle()
        assert revisions(client.seen) == expected

    def test_live_events_while_a_page_is_read_come_once(self) -> None:
        world = World(settings(), events=5)
        world.append(3)
        client = world.join(100)
        world.settle()
        world.append(1)
        assert revisions(client.seen) == list(range(9))

    @pytest.mark.parametrize("live_size", [0, 1, 3, 100])
    def test_events_committed_between_reading_and_its_answer_are_not_lost(self, live_size: int) -> None:
        world = World(settings(live_buffer_size=live_size), events=5)
        page = world.pending.pop()
        assert isinstance(page, ReadPage)
        snapshot = list(world.log)
        world.append(4)
        world.log, later = snapshot, world.log
        world.perform(page)
        world.log = later
        world.collect()
        client = world.join(100)
        world.settle()
        assert revisions(client.seen) == list(range(9))

    def test_falls_behind_when_the_buffer_is_full_and_catches_up(self) -> None:
        world = World(settings(history_buffer_size=20, read_batch_size=2, live_buffer_size=10))
        world.settle()
        for _ in range(33):
            world.append(1)
        assert world.group.info(now=0).status == "Behind"
        assert world.group.info(now=0).read_buffer_count == 20
        client = world.join(100)
        world.settle()
        assert revisions(client.seen) == list(range(33))
        assert world.group.info(now=0).status == "Live"

    def test_a_lost_feed_is_made_good_by_reading(self) -> None:
        world, client = joined(buffer=100)
        world.append(2)
        world.append(5, tell=False)
        world.group.live_lost(now=world.now)
        world.append(1)
        world.settle()
        assert revisions(client.seen) == list(range(8))

    def test_a_page_read_before_the_feed_was_lost_does_not_end_reading(self) -> None:
        world = World(settings(), events=1)
        page = world.pending.pop()
        snapshot = list(world.log)
        world.append(3, tell=False)
        world.group.live_lost(now=world.now)
        world.log, later = snapshot, world.log
        world.perform(page)
        world.log = later
        world.collect()
        client = world.join()
        world.settle()
        assert revisions(client.seen) == [0, 1, 2, 3]


class TestDelivery:
    def test_a_consumer_gets_no_more_than_its_buffer_size(self) -> None:
        world, client = joined(events=6, buffer=3)
        assert revisions(client.seen) == [0, 1, 2]
        world.ack(client, *client.ids(1))
        assert revisions(client.seen) == [0, 1, 2, 3]

    def test_a_buffer_size_of_zero_gets_nothing(self) -> None:
        world = World(settings(), events=6)
        client = world.join(0)
        world.settle()
        assert client.seen == []

    def test_round_robin_takes_turns(self) -> None:
        world = World(settings())
        a, b = world.join(), world.join()
        world.settle()
        world.append(6)
        assert (revisions(a.seen), revisions(b.seen)) == ([0, 2, 4], [1, 3, 5])

    def test_dispatch_to_single_fills_one_after_the_other(self) -> None:
        world = World(settings(strategy=ConsumerStrategy.DISPATCH_TO_SINGLE))
        a, b = world.join(2), world.join(3)
        world.settle()
        world.append(6)
        assert (revisions(a.seen), revisions(b.seen)) == ([0, 1], [2, 3, 4])
        world.ack(a, *a.ids(0))
        assert revisions(a.seen) == [0, 1, 5]

    @pytest.mark.parametrize("strategy", [ConsumerStrategy.PINNED, ConsumerStrategy.PINNED_BY_CORRELATION])
    def test_pinned_keeps_a_stream_together(self, strategy: ConsumerStrategy) -> None:
        world = World(settings(strategy=strategy))
        a, b = world.join(), world.join()
        world.settle()
        world.append(6)
        assert (revisions(a.seen), b.seen) == (list(range(6)), [])
        world.leave(a)
        assert b.seen == [(n, 1) for n in range(6)]

    def test_who_leaves_gives_back_what_it_held(self) -> None:
        world, client = joined(events=5, buffer=2, max_retry_count=0)
        world.ack(client, *client.ids(0))
        world.leave(client)
        assert world.join(10).seen == [(1, 1), (2, 1), (3, 0), (4, 0)]

    def test_the_same_id_twice_is_delivered_but_tracked_once(self) -> None:
        world, client = joined()
        world.append(2, ids=[b"x" * 16] * 2)
        assert revisions(client.seen) == [0, 1]
        assert world.group.info(now=0).outstanding_messages_count == 1
        world.ack(client, b"x" * 16)
        world.tick()
        assert world.checkpoints == []
        world.settle()
        assert world.checkpoints == [1]

    def test_a_slow_reader_holds_up_no_more_than_its_outbox(self) -> None:
        world = World(settings(history_buffer_size=5000, read_batch_size=1000), events=5000)
        world.settle()
        consumer = GroupConsumer(10**9)
        world.group.join(consumer, now=world.now)
        assert len(consumer.outbox) == OUTBOX_LIMIT
        first = world.group.take(consumer, now=world.now)
        assert [m.position for m, _ in first] == list(range(OUTBOX_LIMIT))
        assert len(consumer.outbox) == OUTBOX_LIMIT


class TestAnswers:
    def test_retry_until_the_limit_then_park(self) -> None:
        world, client = joined(events=1, max_retry_count=2)
        for _ in range(3):
            world.nack(client, NackAction.RETRY, *client.ids(0))
        world.settle()
        assert client.seen == [(0, 0), (0, 1), (0, 2)]
        assert [reason for _, reason in world.parked] == ["Reached retry count of 2"]

    def test_unknown_is_like_retry(self) -> None:
        world, client = joined(events=1, max_retry_count=0)
        world.nack(client, None, *client.ids(0))
        assert [type(effect) for effect in world.pending] == [Park]

    def test_park_says_why(self) -> None:
        world, client = joined(events=1)
        world.nack(client, NackAction.PARK, *client.ids(0))
        world.settle()
        assert [reason for _, reason in world.parked] == ["Client explicitly NAK'ed message.\nbecause"]
        assert world.group.info(now=0).parked_message_count == 1

    @pytest.mark.parametrize("action", [NackAction.SKIP, NackAction.STOP])
    def test_skip_and_stop_are_done(self, action: NackAction) -> None:
        world, client = joined(events=1)
        world.nack(client, action, *client.ids(0))
        world.tick_and_settle()
        assert (world.checkpoints, world.parked) == ([0], [])

    def test_unknown_ids_are_ignored(self) -> None:
        world, client = joined(events=1)
        world.ack(client, b"?" * 16)
        world.nack(client, NackAction.PARK, b"?" * 16)
        assert world.group.info(now=0).total_in_flight_messages == 1
        assert world.pending == []

    def test_retries_go_first_and_in_order(self) -> None:
        world, client = joined(events=8, buffer=4)
        world.nack(client, NackAction.RETRY, *client.ids(3), *client.ids(1))
        assert client.seen[4:] == [(1, 1), (3, 1)]
        world.leave(client)
        assert world.join(10).seen == [(0, 1), (1, 2), (2, 1), (3, 2), (4, 0), (5, 0), (6, 0), (7, 0)]

    def test_time_is_up_at_a_tick(self) -> None:
        world, client = joined(events=1, message_timeout=1500, max_retry_count=1)
        world.tick()
        assert client.seen == [(0, 0)]
        world.tick()
        assert client.seen == [(0, 0), (0, 1)]
        world.tick(5)
        world.settle()
        assert [reason for _, reason in world.parked] == ["Reached retry count of 1"]

    def test_what_was_not_sent_before_it_expired_is_not_sent_twice(self) -> None:
        world = World(settings(message_timeout=0), events=1)
        world.settle()
        consumer = GroupConsumer(5)
        world.group.join(consumer, now=world.now)
        world.group.tick(now=world.now + 1)
        assert [count for _, count in world.group.take(consumer, now=world.now)] == [1]

    def test_what_cannot_be_parked_is_delivered_again(self) -> None:
        world, client = joined(events=1)
        world.nack(client, NackAction.PARK, *client.ids(0))
        effect = world.pending.pop()
        assert isinstance(effect, Park)
        world.group.parking_failed(effect.messages, now=world.now)
        world.collect()
        assert client.seen == [(0, 0), (0, 1)]


class TestReplay:
    def parked(self, events: int = 3, **changes: object) -> World:
        world = World(settings(**changes), events=events)
        world.settle()
        client = world.join(100)
        world.nack(client, NackAction.PARK, *list(client.held))
        world.settle()
        client.seen.clear()
        return world

    def test_everything(self) -> None:
        world = self.parked()
        world.replay()
        assert world.group.info(now=0).status == "ReplayingParkedMessages, Live"
        world.settle()
        assert world.clients[0].seen == [(0, 0), (1, 0), (2, 0)]
        assert (world.parked_from, world.group.info(now=0).parked_message_count) == (3, 0)

    def test_what_is_not_done_is_parked_after_a_restart(self) -> None:
        world = self.parked(5)
        world.replay(stop_at=4)
        world.settle()
        assert (world.parked_from, world.unfinished_from) == (4, 0)
        client = world.clients[0]
        world.ack(client, *client.ids(0, 1, 3))
        world.settle()
        assert world.unfinished_from == 0
        world.tick_and_settle()
        assert (world.unfinished_from, world.group.info(now=0).parked_message_count) == (2, 1)
        world.restart()
        world.settle()
        assert world.group.info(now=0).parked_message_count == 3

    def test_what_is_done_is_not(self) -> None:
        world = self.parked()
        world.replay()
        world.settle()
        world.ack(world.clients[0], *list(world.clients[0].held))
        world.settle()
        assert (world.parked_from, world.unfinished_from) == (3, None)

    def test_parked_again_is_parked_once(self) -> None:
        world = self.parked(2)
        world.replay()
        world.settle()
        world.nack(world.clients[0], NackAction.PARK, *list(world.clients[0].held))
        world.settle()
        assert (world.parked_from, world.unfinished_from, len(world.parked)) == (2, None, 4)
        world.restart()
        world.settle()
        assert world.group.info(now=0).parked_message_count == 2

    def test_a_group_that_has_ended_replays_nothing(self) -> None:
        world = self.parked(2)
        world.group.fault()
        world.replay()
        world.settle()
        assert (world.parked_from, world.group.info(now=0).parked_message_count) == (0, 2)

    def test_what_could_not_be_noted_is_tried_again(self) -> None:
        world = self.parked(2)
        world.replay()
        world.settle()
        world.ack(world.clients[0], *list(world.clients[0].held))
        assert world.pending == [NoteUnfinished(None)]
        world.pending.clear()
        world.group.replay_not_noted()
        world.tick_and_settle()
        assert world.unfinished_from is None

    def test_a_replay_that_failed_leaves_parked_what_it_has_not_read(self) -> None:
        world = self.parked(40)
        world.replay()
        world.step()
        page = min(PARKED_AT_ONCE, world.settings.page)
        assert len(world.clients[0].seen) == page
        world.pending.clear()
        world.group.replay_failed()
        assert world.group.info(now=0).parked_message_count == 40 - page

    @pytest.mark.parametrize(("stop_at", "expected"), [(0, []), (2, [0, 1]), (99, [0, 1, 2])])
    def test_up_to_a_number(self, stop_at: int, expected: list[int]) -> None:
        world = self.parked()
        world.replay(stop_at)
        world.settle()
        assert revisions(world.clients[0].seen) == expected
        assert world.group.info(now=0).parked_message_count == 3 - len(expected)
        assert world.group.info(now=0).status == "Live"

    def test_many_go_page_by_page(self) -> None:
        world = self.parked(35)
        world.replay()
        world.settle()
        assert revisions(world.clients[0].seen) == list(range(35))

    def test_nothing_to_replay(self) -> None:
        world = World(settings())
        world.settle()
        world.replay()
        assert world.pending == []

    def test_replayed_events_do_not_move_the_checkpoint(self) -> None:
        world = self.parked()
        world.tick_and_settle()
        before = list(world.checkpoints)
        world.replay()
        world.settle()
        world.tick_and_settle()
        assert world.checkpoints == before == [2]

    def test_a_replayed_event_can_be_parked_again(self) -> None:
        world = self.parked(1)
        world.replay()
        world.settle()
        client = world.clients[0]
        world.nack(client, NackAction.PARK, *list(client.held))
        world.settle()
        assert len(world.parked) == 2
        assert world.group.info(now=0).parked_message_count == 1

    def test_retries_of_later_events_stay_behind_replayed_ones(self) -> None:
        world = self.parked(1, strategy=ConsumerStrategy.DISPATCH_TO_SINGLE)
        client = world.clients[0]
        world.append(1)
        world.leave(client)
        small = world.join(0)
        world.leave(small)
        world.replay()
        world.settle()
        assert world.join(10).seen == [(1, 1), (0, 0)]


class TestCheckpoints:
    def test_after_so_many_at_once(self) -> None:
        world, client = joined(events=6, max_checkpoint_count=3)
        world.ack(client, *client.ids(0, 1))
        assert world.pending == []
        world.ack(client, *client.ids(2))
        world.settle()
        assert world.checkpoints == [2]

    def test_on_a_tick_when_enough_is_done_and_time_has_passed(self) -> None:
        world, client = joined(events=6, min_checkpoint_count=2, checkpoint_after=2500)
        world.ack(client, *client.ids(0))
        world.tick()
        world.ack(client, *client.ids(1))
        world.tick_and_settle()
        assert world.checkpoints == [1]
        world.ack(client, *client.ids(2, 3))
        world.tick()
        world.tick_and_settle()
        assert world.checkpoints == [1]
        world.tick_and_settle()
        assert world.checkpoints == [1, 3]

    def test_never_by_time_when_the_time_is_infinite(self) -> None:
        world, client = joined(events=3, checkpoint_after=0)
        world.ack(client, *client.ids(0, 1, 2))
        world.tick(10_000)
        world.settle()
        assert world.checkpoints == []

    def test_the_same_is_not_written_again(self) -> None:
        world, client = joined(events=3, min_checkpoint_count=0, max_checkpoint_count=0)
        world.ack(client, *client.ids(0))
        world.tick()
        world.tick_and_settle()
        assert world.checkpoints == [0]

    def test_stays_before_the_lowest_that_is_not_done(self) -> None:
        world, client = joined(events=6)
        world.ack(client, *client.ids(0, 2, 3, 4, 5))
        world.tick_and_settle()
        assert world.checkpoints == [0]
        world.ack(client, *client.ids(1))
        world.settle()
        assert world.checkpoints == [0, 5]

    def test_parked_counts_only_when_it_is_stored(self) -> None:
        world, client = joined(events=1)
        world.nack(client, NackAction.PARK, *client.ids(0))
        world.tick()
        assert [type(effect) for effect in world.pending] == [Park]
        world.settle()
        world.tick_and_settle()
        assert world.checkpoints == [0]

    def test_what_the_filter_left_out_counts(self) -> None:
        world = World(settings(max_checkpoint_count=100), events=0)
        world.pending.clear()
        world.group.page([], last=500, at_end=False, skipped=99, now=world.now)
        world.group.page([], last=501, at_end=True, skipped=1, now=world.now)
        world.tick()
        world.collect()
        world.pending = [effect for effect in world.pending if not isinstance(effect, ReadPage)]
        world.settle()
        assert world.checkpoints == [501]

    def test_resume(self) -> None:
        world, client = joined(events=8)
        world.ack(client, *client.ids(0, 1, 2, 3, 4))
        world.settle()
        world.restart()
        world.settle()
        assert world.join().seen == [(5, 0), (6, 0), (7, 0)]

    def test_a_group_from_the_end_without_checkpoint_starts_again_at_the_end(self) -> None:
        world = World(settings(start=GroupStart(-1)), events=2)
        world.append(3)
        world.restart()
        client = world.join()
        world.append(1)
        assert revisions(client.seen) == [5]

    def test_finished_events_behind_an_unfinished_one_are_forgotten(self) -> None:
        world, client = joined(buffer=10, message_timeout=10**9)
        world.append(1)
        stuck = next(iter(client.held))
        for _ in range(2_000):
            world.append(1)
            world.ack(client, *[id_ for id_ in list(client.held) if id_ != stuck])
        assert len(world.group._progress._unfinished) < 1_000


class TestEnds:
    def test_drop(self) -> None:
        world = World(settings(), events=1)
        client = world.join()
        world.group.drop()
        world.collect()
        assert client.gone
        assert not world.group.consumers

    def test_a_faulted_group_drops_whoever_comes(self) -> None:
        world = World(settings(), events=1)
        first = world.join()
        world.group.fault()
        world.collect()
        later = world.join()
        assert first.gone
        assert later.gone

    @pytest.mark.parametrize(("limit", "full"), [(0, False), (1, True), (2, False), (-1, True)])
    def test_subscriber_limit(self, limit: int, full: bool) -> None:
        world = World(settings(max_subscriber_count=limit), events=1)
        world.join()
        assert world.group.is_full is full

    def test_leaving_twice_gives_back_once(self) -> None:
        world = World(settings(), events=2)
        client = world.join()
        world.settle()
        world.leave(client)
        world.group.leave(client.consumer, now=world.now)
        other = world.join()
        world.settle()
        assert [revision for revision, _ in other.seen] == [0, 1]
        assert len(other.held) == 2


class TestStatistics:
    def test_counts_and_rates(self) -> None:
        world = World(settings(), events=3)
        world.settle()
        world.group.info(now=10)
        world.join()
        info = world.group.info(now=11)
        assert (info.total_items, info.count_since_last_measurement, info.average_per_second) == (3, 3, 3)
        assert (info.total_in_flight_messages, info.outstanding_messages_count) == (3, 3)
        assert [(c.total_items, c.available_slots, c.in_flight_messages) for c in info.connections] == [(3, 7, 3)]
        assert world.group.info(now=12).count_since_last_measurement == 0

    def test_live_buffer_count_is_not_a_backlog(self) -> None:
        world = World(settings(live_buffer_size=3))
        world.settle()
        world.join(100)
        world.append(5)
        info = world.group.info(now=0)
        assert (info.live_buffer_count, info.read_buffer_count, info.last_known) == (3, 0, 4)

    def test_latencies_on_request(self) -> None:
        world, client = joined(events=3, extra_statistics=True)
        world.now += 0.25
        world.ack(client, *client.ids(0, 1, 2))
        names = dict(world.group.info(now=world.now).connections[0].observed_measurements)
        assert names["Mean"] == names["Highest"] == names["99.5%"] == names["Quintile 5"] == 250
        assert len(names) == 14


class TestBytes:
    """However few events it is: what a group holds is bounded by bytes."""

    LIMIT = 6_000
    """Some twelve events."""

    def held(self, world: World) -> int:
        buffer = world.group._buffer
        messages = [*buffer.waiting, *buffer.retries, *world.group._in_flight.values()]
        assert buffer.held == sum(message.size for message in messages)
        assert buffer._in_ring == sum(message.size for message in buffer.ring)
        return buffer.held

    def test_reading_stops(self) -> None:
        world = World(settings(history_buffer_size=1000), events=100)
        world.group.limit(self.LIMIT)
        world.settle()
        assert self.LIMIT <= self.held(world) < 2 * self.LIMIT

    def test_and_goes_on_when_consumers_are_done_with_some(self) -> None:
        world = World(settings(history_buffer_size=1000), events=100)
        world.group.limit(self.LIMIT)
        client = world.join(1000)
        for _ in range(100):
            world.settle()
            assert self.held(world) < 2 * self.LIMIT
            world.ack(client, *list(client.held)[:3])
        assert revisions(client.seen) == list(range(100))
        assert self.held(world) == 0

    def test_live_events_put_the_group_behind(self) -> None:
        world = World(settings(history_buffer_size=1000, live_buffer_size=1000))
        world.group.limit(self.LIMIT)
        world.settle()
        world.append(200)
        world.settle()
        assert self.held(world) < 2 * self.LIMIT
        assert world.group._buffer._in_ring <= self.LIMIT // 4
        client = world.join(1000)
        for _ in range(200):
            world.settle()
            world.ack(client, *list(client.held)[:5])
        assert revisions(client.seen) == list(range(200))
        assert self.held(world) == 0

    def test_what_is_refused_skipped_or_parked_is_held_no_longer(self) -> None:
        world = World(settings(max_retry_count=1), events=8)
        client = world.join(100)
        world.settle()
        ids = list(client.held)
        world.nack(client, NackAction.SKIP, ids[0])
        world.nack(client, NackAction.PARK, ids[1])
        world.nack(client, NackAction.RETRY, ids[2])
        world.settle()
        self.held(world)
        world.ack(client, *list(client.held))
        world.settle()
        assert self.held(world) == 0

    def test_replayed_events_count_too(self) -> None:
        world = World(settings(read_batch_size=2), events=40)
        client = world.join(100)
        world.settle()
        world.nack(client, NackAction.PARK, *client.held)
        world.settle()
        world.group.limit(self.LIMIT)
        world.replay()
        for _ in range(100):
            world.settle()
            assert self.held(world) < 2 * self.LIMIT
            world.ack(client, *list(client.held)[:3])
        assert len(client.seen) == 80
        assert self.held(world) == 0
