"""The PersistentSubscriptions service over a real database: what is answered, and what is left in the log."""

from __future__ import annotations

import json

import betterproto
import pytest
from esdb_lite_protos.event_store.client import Empty, StreamIdentifier
from esdb_lite_protos.event_store.client import persistent_subscriptions as pb

from esdb_lite._status import RpcError, StatusCode
from esdb_lite._wire.acks import encode_consumer_options
from esdb_lite.server.database.database import Database
from esdb_lite.server.engine.groups.config import CONFIG_STREAM
from esdb_lite.server.engine.groups.parking import checkpoint_stream, parked_stream
from esdb_lite.server.engine.model import ANY
from tests.healing.waiting import until

from .persistent_calls import Reading, Service, answers, event_id, link_id


def settings(**changes: object) -> pb.CreateReqSettings:
    values: dict[str, object] = {
        "max_retry_count": 2,
        "min_checkpoint_count": 1,
        "max_checkpoint_count": 5,
        "live_buffer_size": 100,
        "read_batch_size": 10,
        "history_buffer_size": 50,
        "message_timeout_ms": 30_000,
        "checkpoint_after_ms": 500,
        "consumer_strategy": "RoundRobin",
    }
    values.update(changes)
    return pb.CreateReqSettings(**values)  # type: ignore[arg-type]


def named(stream: str) -> StreamIdentifier:
    return StreamIdentifier(stream_name=stream.encode())


def create(stream: str = "s", group: str = "g", **changes: object) -> pb.CreateReq:
    options = pb.CreateReqStreamOptions(stream_identifier=named(stream), start=Empty())
    return pb.CreateReq(options=pb.CreateReqOptions(stream=options, group_name=group, settings=settings(**changes)))


def create_all(group: str = "g", **options: object) -> pb.CreateReq:
    values = options or {"start": Empty()}
    return pb.CreateReq(
        options=pb.CreateReqOptions(all=pb.CreateReqAllOptions(**values), group_name=group, settings=settings())  # type: ignore[arg-type]
    )


def update(stream: str = "s", group: str = "g", **changes: int) -> pb.UpdateReq:
    options = pb.UpdateReqStreamOptions(stream_identifier=named(stream), start=Empty())
    values: dict[str, int] = {"read_batch_size": 10, "history_buffer_size": 50, "message_timeout_ms": 30_000, **changes}
    return pb.UpdateReq(
        options=pb.UpdateReqOptions(stream=options, group_name=group, settings=pb.UpdateReqSettings(**values))  # type: ignore[arg-type]
    )


def delete(stream: str = "s", group: str = "g") -> pb.DeleteReq:
    return pb.DeleteReq(options=pb.DeleteReqOptions(stream_identifier=named(stream), group_name=group))


def replay(stream: str = "s", group: str = "g", stop_at: int | None = None) -> pb.ReplayParkedReq:
    limit = {"no_limit": Empty()} if stop_at is None else {"stop_at": stop_at}
    return pb.ReplayParkedReq(
        options=pb.ReplayParkedReqOptions(group_name=group, stream_identifier=named(stream), **limit)  # type: ignore[arg-type]
    )


def truncate(stream: str = "s", group: str = "g", stop_at: int | None = None) -> pb.TruncateParkedReq:
    limit = {"no_limit": Empty()} if stop_at is None else {"stop_at": stop_at}
    return pb.TruncateParkedReq(
        options=pb.TruncateParkedReqOptions(group_name=group, stream_identifier=named(stream), **limit)  # type: ignore[arg-type]
    )


async def info(served: Service, stream: str | None = "s", group: str = "g") -> pb.SubscriptionInfo:
    source = {"all": Empty()} if stream is None else {"stream_identifier": named(stream)}
    request = pb.GetInfoReq(options=pb.GetInfoReqOptions(group_name=group, **source))  # type: ignore[arg-type]
    return (await served.call("GetInfo", request, pb.GetInfoResp)).subscription_info


def outcome(error: RpcError | None) -> tuple[StatusCode, dict[str, str]]:
    assert error is not None
    return error.code, dict(error.trailers)


async def consuming(served: Service) -> Reading:
    """A consumer of a new group."""
    await served.call("Create", create(), pb.CreateResp)
    return await served.consume("s")


async def parking(served: Service, count: int) -> Reading:
    """A consumer that has parked all events of a group."""
    await served.append("s", count)
    await served.call("Create", create(), pb.CreateResp)
    consumer = await served.consume("s", buffer_size=max(count, 10))
    consumer.nack(1, "bad data", *[event_id(await consumer.event()) for _ in range(count)])
    await until(lambda: served.stored(parked_stream("s", "g")))
    return consumer


async def test_create_consume_and_resume_after_a_restart(served: Service) -> None:
    await served.append("s", 8)
    consumer = await consuming(served)
    events = [await consumer.event() for _ in range(8)]
    assert [event.event.stream_revision for event in events] == list(range(8))
    assert [event.retry_count for event in events] == [0] * 8
    consumer.ack(*map(event_id, events[:5]))
    await until(lambda: served.stored(checkpoint_stream("s", "g")))
    await served.groups.restart()
    assert outcome(await consumer.ending()) == (
        StatusCode.CANCELLED,
        {"exception": "persistent-subscription-dropped", "stream-name": "s", "group-name": "g"},
    )
    again = await served.consume("s")
    assert await again.revisions(3) == [5, 6, 7]


async def test_live_events_follow(served: Service) -> None:
    consumer = await consuming(served)
    await served.append("s", 2)
    await served.append("other", 2)
    assert await consumer.revisions(2) == [0, 1]


async def test_parked_and_replayed(served: Service) -> None:
    await served.append("s", 3)
    consumer = await consuming(served)
    events = [await consumer.event() for _ in range(3)]
    consumer.nack(1, "bad data", *map(event_id, events))
    await until(lambda: served.stored(parked_stream("s", "g")))
    parked = await served.stored(parked_stream("s", "g"))
    assert [record.data for record in parked] == [b"0@s", b"1@s", b"2@s"]
    assert json.loads(parked[2].metadata)["reason"] == "Client explicitly NAK'ed message.\nbad data"
    assert (await info(served)).parked_message_count == 3
    await served.call("ReplayParked", replay(stop_at=2), pb.ReplayParkedResp)
    first, second = [await consumer.event() for _ in range(2)]
    assert (first.event.stream_revision, first.link.stream_revision) == (0, 0)
    assert first.link.stream_identifier.stream_name == parked_stream("s", "g").encode()
    assert first.event.commit_position == first.link.commit_position == first.commit_position
    assert second.event.stream_revision == 1
    await until(lambda: served.stored("$$" + parked_stream("s", "g")))
    assert (await info(served)).parked_message_count == 1
    consumer.ack(link_id(first), link_id(second))
    await until(lambda: noted(served, None))
    await served.groups.restart()
    assert (await info(served)).parked_message_count == 1


async def test_what_is_replayed_stays_parked_until_it_is_done(served: Service) -> None:
    consumer = await parking(served, 3)
    await served.call("ReplayParked", replay(), pb.ReplayParkedResp)
    first, *_ = [await consumer.event() for _ in range(3)]
    assert (await info(served)).parked_message_count == 0
    consumer.ack(link_id(first))
    await until(lambda: noted(served, 1))
    await served.call("Update", update(), pb.UpdateResp)
    assert (await info(served)).parked_message_count == 2
    consumer = await served.consume("s")
    await served.call("ReplayParked", replay(), pb.ReplayParkedResp)
    assert [(await consumer.event()).event.stream_revision for _ in range(2)] == [1, 2]


async def test_a_scavenge_leaves_what_is_being_replayed(served: Service) -> None:
    consumer = await parking(served, 3)
    await served.call("ReplayParked", replay(), pb.ReplayParkedResp)
    first, *_ = [await consumer.event() for _ in range(3)]
    consumer.ack(link_id(first))
    await until(lambda: noted(served, 1))
    await served.database.start_scavenge()
    await served.database.scavenge_ended()
    assert [record.revision for record in await served.stored(parked_stream("s", "g"))] == [1, 2]
    await served.groups.restart()
    consumer = await served.consume("s")
    await served.call("ReplayParked", replay(), pb.ReplayParkedResp)
    assert [(await consumer.event()).event.stream_revision for _ in range(2)] == [1, 2]


async def test_a_group_that_was_deleted_leaves_no_note(served: Service) -> None:
    consumer = await parking(served, 1)
    await served.call("ReplayParked", replay(), pb.ReplayParkedResp)
    await consumer.event()
    await until(lambda: noted(served, 0))
    await served.call("Delete", delete(), pb.DeleteResp)
    assert await noted(served, None)


async def noted(served: Service, number: int | None) -> bool:
    """Whether it is noted that parked events from this number on are not done."""
    return await served.replayed_from(parked_stream("s", "g")) == number


async def test_links_are_resolved_also_live(served: Service) -> None:
    await served.append("s", 2)
    await served.append("links", type="$>", data=b"1@s", is_json=False)
    await served.call("Create", create("links", resolve_links=True), pb.CreateResp)
    consumer = await served.consume("links")
    stored = await consumer.event()
    await served.append("links", type="$>", data=b"0@s", is_json=False)
    await served.append("links", type="$>", data=b"9@s", is_json=False)
    await served.append("links")
    live, broken, plain = [await consumer.event() for _ in range(3)]
    assert (stored.event.stream_revision, stored.link.stream_revision) == (1, 0)
    assert (live.event.stream_revision, live.link.stream_revision) == (0, 1)
    assert not betterproto.serialized_on_wire(broken.event)
    assert broken.link.data == b"9@s"
    assert plain.event.stream_revision == 3


async def test_all_events_with_a_filter(served: Service) -> None:
    await served.append("a", 3, type="Wanted")
    await served.append("a", 30, type="Unwanted")
    options = pb.CreateReqAllOptionsFilterOptions(
        event_type=pb.CreateReqAllOptionsFilterOptionsExpression(prefix=["Wanted"]),
        max=8,
        checkpoint_interval_multiplier=1,
    )
    await served.call("Create", create_all(start=Empty(), filter=options), pb.CreateResp)
    consumer = await served.consume(None)
    assert await consumer.revisions(3) == [0, 1, 2]
    await served.append("b", 1, type="Unwanted")
    await served.append("b", 1, type="Wanted too")
    assert await consumer.revisions(1) == [1]
    assert (await info(served, None)).status == "Live"


async def test_groups_on_all_events_do_not_feed_each_other(served: Service) -> None:
    for group in ("g", "h"):
        request = create_all(group)
        request.options.settings.checkpoint_after_ms = 1
        await served.call("Create", request, pb.CreateResp)
        consumer = await served.consume(None, group)
        consumer.ack(*[event_id(await consumer.event()) for _ in range(2)])
    ends = []
    for _ in range(6):
        for runner in served.groups.all():
            runner.tick()
            await runner.settled()
        ends.append(served.database.log_end)
    assert len(set(ends[2:])) == 1


async def test_a_start_within_an_event_drops_consumers(served: Service) -> None:
    await served.append("s")
    await served.append("s")
    await served.call("Create", create_all(position=pb.CreateReqPosition(commit_position=553)), pb.CreateResp)
    consumer = await served.consume(None)
    assert outcome(await consumer.ending())[1]["exception"] == "persistent-subscription-dropped"


async def test_a_tombstoned_source_drops_consumers(served: Service) -> None:
    await served.database.tombstone("s", ANY)
    consumer = await consuming(served)
    assert outcome(await consumer.ending())[0] is StatusCode.CANCELLED


async def test_update_replaces_settings_and_drops_consumers(served: Service) -> None:
    await served.append("s", 2)
    consumer = await consuming(served)
    assert await consumer.revisions(2) == [0, 1]
    await served.call("Update", update(max_retry_count=7), pb.UpdateResp)
    assert outcome(await consumer.ending())[1]["exception"] == "persistent-subscription-dropped"
    again = await served.consume("s")
    assert [((await again.event()).retry_count) for _ in range(2)] == [0, 0]
    assert ((await info(served)).max_retry_count, (await info(served)).named_consumer_strategy) == (
        7,
        "DispatchToSingle",
    )


async def test_delete_forgets_checkpoints_and_parked_messages(served: Service) -> None:
    await served.append("s", 6)
    consumer = await consuming(served)
    events = [await consumer.event() for _ in range(6)]
    consumer.nack(1, "", *map(event_id, events))
    await until(lambda: served.stored(checkpoint_stream("s", "g")))
    await served.call("Delete", delete(), pb.DeleteResp)
    assert outcome(await consumer.ending())[0] is StatusCode.CANCELLED
    await served.call("Create", create(), pb.CreateResp)
    assert (await info(served)).parked_message_count == 0
    again = await served.consume("s")
    events = [await again.event() for _ in range(6)]
    again.nack(1, "", event_id(events[0]))

    async def parked() -> bool:
        return (await info(served)).parked_message_count > 0

    await until(parked)
    assert (await info(served)).parked_message_count == 1
    assert (await served.stored(parked_stream("s", "g")))[-1].revision == 6


async def test_a_consumer_that_goes_gives_back_its_events(served: Service) -> None:
    await served.append("s", 2)
    consumer = await consuming(served)
    await consumer.revisions(2)
    await consumer.cancel()
    again = await served.consume("s")
    assert [(await again.event()).retry_count for _ in range(2)] == [1, 1]


async def test_a_half_closed_call_stays(served: Service) -> None:
    consumer = await consuming(served)
    consumer.half_close()
    await served.append("s", 1)
    assert await consumer.revisions(1) == [0]


async def test_nothing_asked_is_nothing_answered(served: Service) -> None:
    reading = served.read()
    assert await reading.ending() is None


async def test_connections_are_described(served: Service) -> None:
    await served.append("s", 3)
    await served.call("Create", create(extra_statistics=True), pb.CreateResp)
    consumer = await served.consume("s", metadata={"connection-name": "worker 7"})
    events = [await consumer.event() for _ in range(3)]
    consumer.ack(event_id(events[0]))
    await served.append("s", 1)
    await consumer.event()
    (connection,) = (await info(served)).connections
    assert (connection.username, connection.connection_name) == ("system", "worker 7")
    assert (connection.in_flight_messages, connection.available_slots, connection.total_items) == (3, 7, 4)
    assert {"Mean", "99.9%", "Highest"} <= {measurement.key for measurement in connection.observed_measurements}


async def test_list(served: Service) -> None:
    for stream, group in (("b", "2"), ("b", "1"), ("$a", "g"), ("A", "g")):
        await served.call("Create", create(stream, group), pb.CreateResp)
    everything = pb.ListReq(options=pb.ListReqOptions(list_all_subscriptions=Empty()))
    listed = (await served.call("List", everything, pb.ListResp)).subscriptions
    assert [(found.event_source, found.group_name) for found in listed] == [
        ("$a", "g"),
        ("A", "g"),
        ("b", "2"),
        ("b", "1"),
    ]
    await served.call("Delete", delete("A"), pb.DeleteResp)
    of_a, of_none = (
        pb.ListReq(options=pb.ListReqOptions(list_for_stream=pb.ListReqStreamOption(stream=named(stream))))
        for stream in "Az"
    )
    assert (await served.call("List", of_a, pb.ListResp)).subscriptions == []
    assert outcome(await served.refused("List", of_none)) == (
        StatusCode.NOT_FOUND,
        {"exception": "persistent-subscription-does-not-exist", "stream-name": "z"},
    )


async def test_the_configuration_is_stored_as_a_real_server_does(served: Service) -> None:
    await served.call("Create", create(), pb.CreateResp)
    await served.call("Create", create_all(), pb.CreateResp)
    first, second = await served.stored(CONFIG_STREAM)
    assert (first.type, first.is_json) == ("$PersistentConfig", True)
    assert [entry["stream"] for entry in json.loads(second.data)["entries"]] == ["s", "$all"]
    assert [record.data for record in await served.stored("$$" + CONFIG_STREAM)] == [b'{"$maxCount":2}']


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (create(""), "Bad stream name."),
        (create(consumer_strategy="Nonsense"), "Consumer strategy Nonsense does not exist."),
        (
            create_all(position=pb.CreateReqPosition(commit_position=10**9, prepare_position=10**9)),
            "Invalid Start From position: commit position must be less than or equal to the last commit position "
            "in the transaction file.",
        ),
        (
            create(read_batch_size=50),
            "Specified argument was out of the range of valid values. "
            "(Parameter 'ReadBatchSize may not be greater than or equal to BufferSize')",
        ),
    ],
)
async def test_refused_settings(served: Service, request_: pb.CreateReq, reason: str) -> None:
    code, trailers = outcome(await served.refused("Create", request_))
    assert (code, trailers["exception"], trailers["reason"]) == (
        StatusCode.INTERNAL,
        "persistent-subscription-failed",
        reason,
    )


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("Create", pb.CreateReq()),
        ("Create", pb.CreateReq(options=pb.CreateReqOptions())),
        ("Create", pb.CreateReq(options=pb.CreateReqOptions(settings=settings()))),
        ("Create", create_all(filter=pb.CreateReqAllOptionsFilterOptions())),
        ("Create", create_all(position=pb.CreateReqPosition(commit_position=5, prepare_position=6))),
        (
            "Create",
            create_all(
                start=Empty(),
                filter=pb.CreateReqAllOptionsFilterOptions(
                    event_type=pb.CreateReqAllOptionsFilterOptionsExpression(regex="(")
                ),
            ),
        ),
        ("Update", pb.UpdateReq()),
        ("Delete", pb.DeleteReq()),
        ("GetInfo", pb.GetInfoReq()),
        ("List", pb.ListReq()),
        ("ReplayParked", pb.ReplayParkedReq()),
        ("TruncateParked", pb.TruncateParkedReq()),
        ("TruncateParked", pb.TruncateParkedReq(pb.TruncateParkedReqOptions("g", stop_at=1))),
    ],
)
async def test_requests_that_say_nothing(served: Service, method: str, request_: object) -> None:
    error = await served.refused(method, request_)  # type: ignore[arg-type]
    assert error.code is StatusCode.INVALID_ARGUMENT
    assert error.message


@pytest.mark.parametrize(
    ("method", "request_"), [("Create", create("$all")), ("Update", update("$all")), ("Delete", delete("$all"))]
)
async def test_all_events_are_no_stream(served: Service, method: str, request_: object) -> None:
    error = await served.refused(method, request_)  # type: ignore[arg-type]
    assert error.code is StatusCode.UNKNOWN
    assert "options.all" in error.message


@pytest.mark.parametrize(
    ("method", "request_"),
    [("Update", update()), ("Delete", delete()), ("ReplayParked", replay()), ("TruncateParked", truncate())],
)
async def test_unknown_groups(served: Service, method: str, request_: object) -> None:
    error = await served.refused(method, request_)  # type: ignore[arg-type]
    assert outcome(error) == (
        StatusCode.NOT_FOUND,
        {"exception": "persistent-subscription-does-not-exist", "stream-name": "s", "group-name": "g"},
    )


async def test_a_group_that_exists(served: Service) -> None:
    await served.call("Create", create(), pb.CreateResp)
    assert outcome(await served.refused("Create", create(read_batch_size=50)))[0] is StatusCode.ALREADY_EXISTS


async def test_replaying_to_a_negative_number(served: Service) -> None:
    code, trailers = outcome(await served.refused("ReplayParked", replay(stop_at=-1)))
    assert (code, trailers["reason"]) == (
        StatusCode.INTERNAL,
        "Cannot stop replaying parked message at a negative version.",
    )


async def test_truncating_to_a_negative_number(served: Service) -> None:
    code, trailers = outcome(await served.refused("TruncateParked", truncate(stop_at=-1)))
    assert (code, trailers["reason"]) == (
        StatusCode.INTERNAL,
        "Cannot truncate parked messages at a negative version.",
    )


async def test_parked_and_truncated(served: Service) -> None:
    await served.append("s", 3)
    await served.call("Create", create(), pb.CreateResp)
    await served.call("TruncateParked", truncate(), pb.TruncateParkedResp)
    consumer = await served.consume("s")
    consumer.nack(1, "bad data", *[event_id(await consumer.event()) for _ in range(3)])
    await until(lambda: served.stored(parked_stream("s", "g")))
    metadata = "$$" + parked_stream("s", "g")
    for stop_at, tb in ((0, []), (2, [2]), (1, [2]), (9, [2, 3]), (None, [2, 3])):
        await served.call("TruncateParked", truncate(stop_at=stop_at), pb.TruncateParkedResp)
        assert [json.loads(record.data)["$tb"] for record in await served.stored(metadata)] == tb
    assert (await info(served)).parked_message_count == 0
    await served.groups.restart()
    assert (await info(served)).parked_message_count == 0


async def test_no_truncation_during_a_replay(served: Service) -> None:
    await parking(served, 600)
    await served.call("ReplayParked", replay(), pb.ReplayParkedResp)

    async def replaying() -> bool:
        return "ReplayingParkedMessages" in (await info(served)).status

    await until(replaying)
    code, trailers = outcome(await served.refused("TruncateParked", truncate()))
    assert (code, trailers["reason"]) == (StatusCode.INTERNAL, "A replay or truncate is already in progress.")


async def test_too_many_subscribers(served: Service) -> None:
    await served.call("Create", create(max_subscriber_count=1), pb.CreateResp)
    await served.consume("s")
    second = served.read(encode_consumer_options(stream="s", group="g", buffer_size=1))
    assert outcome(await second.ending())[1]["exception"] == "maximum-subscribers-reached"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (answers([b"x" * 16]), StatusCode.INVALID_ARGUMENT),
        (encode_consumer_options(stream="s", group="g", buffer_size=-1), StatusCode.INVALID_ARGUMENT),
        (encode_consumer_options(stream="s", group="none", buffer_size=1), StatusCode.NOT_FOUND),
        (b"\x0a\x03\x12\x01g", StatusCode.INVALID_ARGUMENT),
        (b"\xff", StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_consumers_that_are_refused(served: Service, message: bytes, code: StatusCode) -> None:
    await served.call("Create", create(), pb.CreateResp)
    error = await served.read(message).ending()
    assert outcome(error)[0] is code


async def test_a_malformed_id_ends_the_call(served: Service) -> None:
    consumer = await consuming(served)
    consumer.ack("no id at all")
    assert outcome(await consumer.ending())[0] is StatusCode.INVALID_ARGUMENT


async def test_a_server_that_stops_does_not_deny_its_groups(served: Service) -> None:
    await served.call("Create", create(), pb.CreateResp)
    await served.groups.stop()
    everything = pb.ListReq(options=pb.ListReqOptions(list_all_subscriptions=Empty()))
    for method, request in (("Delete", delete()), ("Create", create("other")), ("List", everything)):
        assert (await served.refused(method, request)).code is StatusCode.UNAVAILABLE
    consumer = served.read(encode_consumer_options(stream="s", group="g", buffer_size=1))
    assert outcome(await consumer.ending())[0] is StatusCode.UNAVAILABLE


async def test_groups_survive_the_loss_of_the_process(tmp_path: object) -> None:
    path = f"{tmp_path}/events.db"
    database = await Database.open(path)
    first = Service(database)
    await first.groups.start()
    await first.append("s", 8)
    await first.call("Create", create(), pb.CreateResp)
    consumer = await first.consume("s")
    events = [await consumer.event() for _ in range(8)]
    consumer.ack(*map(event_id, events[:4]))
    consumer.nack(1, "", event_id(events[4]))
    await until(lambda: first.stored(checkpoint_stream("s", "g")))
    await first.close()
    await database.close()
    database = await Database.open(path)
    second = Service(database)
    await second.groups.start()
    again = await second.consume("s")
    assert await again.revisions(3) == [5, 6, 7]
    assert (await info(second)).parked_message_count == 1
    await second.close()
    await database.close()


@pytest.mark.parametrize("from_end", [True, False])
async def test_a_group_on_all_gets_the_events_of_its_own_creation(served: Service, from_end: bool) -> None:
    await served.append("s")
    at = (await served.stored("s"))[0].position
    start: dict[str, object] = {"end": Empty()} if from_end else {"position": pb.CreateReqPosition(at, at)}
    await served.call("Create", create_all(**start), pb.CreateResp)
    consumer = await served.consume(None)
    expected = [*([] if from_end else ["s"]), f"$${CONFIG_STREAM}", CONFIG_STREAM]
    events = [(await consumer.event()).event for _ in expected]
    assert [event.stream_identifier.stream_name.decode() for event in events] == expected
    assert json.loads(events[-2].data) == {"$maxCount": 2}


async def test_the_second_group_on_all_begins_with_its_own_configuration(served: Service) -> None:
    await served.call("Create", create(), pb.CreateResp)
    await served.call("Create", create_all("second", end=Empty()), pb.CreateResp)
    consumer = await served.consume(None, group="second")
    event = (await consumer.event()).event
    assert (event.stream_identifier.stream_name.decode(), event.stream_revision) == (CONFIG_STREAM, 1)
    await served.append("s")
    assert (await consumer.event()).event.stream_identifier.stream_name == b"s"
