"""Settings of groups, and the requests and answers about them."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import timedelta

import betterproto
import pytest
from esdb_lite_protos.event_store.client import Empty, StreamIdentifier
from esdb_lite_protos.event_store.client import persistent_subscriptions as messages

from esdb_lite._convert import groups as convert
from esdb_lite._convert.groups import GroupRequest
from esdb_lite.errors import InvalidArgument, ProtocolError, WrongArgumentType
from esdb_lite.filters import Filter
from esdb_lite.groups import ConsumerStrategy, SubscriptionInfo, SubscriptionSettings
from tests.unit.peer import Peer

SETTINGS = SubscriptionSettings(
    resolve_links=True,
    message_timeout=timedelta(seconds=7),
    max_retry_count=3,
    checkpoint_after=None,
    max_subscriber_count=4,
    strategy=ConsumerStrategy.PINNED,
)


def named(stream: str) -> StreamIdentifier:
    return StreamIdentifier(stream_name=stream.encode())


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("max_retry_count", -1),
            ("max_retry_count", 2**31),
            ("min_checkpoint_count", 1001),
            ("max_checkpoint_count", 0),
            ("max_subscriber_count", -1),
            ("live_buffer_size", 0),
            ("read_batch_size", 0),
            ("read_batch_size", 500),
            ("history_buffer_size", 0),
            ("message_timeout", timedelta(seconds=-1)),
            ("message_timeout", timedelta(days=30)),
            ("checkpoint_after", timedelta(microseconds=5)),
        ],
    )
    def test_values_that_make_no_sense_are_refused_by_name(self, name: str, value: object) -> None:
        with pytest.raises(InvalidArgument) as caught:
            SubscriptionSettings(**{name: value})  # type: ignore[arg-type]
        assert caught.value.argument == name

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("resolve_links", 1),
            ("max_retry_count", True),
            ("max_retry_count", "3"),
            ("message_timeout", "30"),
            ("checkpoint_after", True),
            ("strategy", "RoundRobin"),
        ],
    )
    def test_wrong_types_are_refused_by_name(self, name: str, value: object) -> None:
        with pytest.raises(WrongArgumentType) as caught:
            SubscriptionSettings(**{name: value})  # type: ignore[arg-type]
        assert caught.value.argument == name

    def test_changed(self) -> None:
        changed = SETTINGS.changed({"max_retry_count": 9})
        assert (changed.max_retry_count, changed.resolve_links) == (9, True)
        with pytest.raises(InvalidArgument):
            SETTINGS.changed({"read_batch_size": 10_000})

    def test_what_a_server_says_is_not_checked(self) -> None:
        assert SubscriptionSettings.from_server({"max_retry_count": -5}).max_retry_count == -5


class TestRequests:
    @pytest.mark.parametrize(
        ("start", "expected"),
        [(0, {"start": Empty()}), (5, {"revision": 5}), (None, {"end": Empty()})],
    )
    async def test_create_on_a_stream(self, peer: Peer, start: int | None, expected: dict[str, object]) -> None:
        call = convert.create(peer.channel, GroupRequest("g", "s", SETTINGS, start))
        request = await peer.asked(call, "Create", messages.CreateReq)
        assert request.options == messages.CreateReqOptions(
            stream_identifier=named("s"),
            group_name="g",
            stream=messages.CreateReqStreamOptions(stream_identifier=named("s"), **expected),  # type: ignore[arg-type]
            settings=messages.CreateReqSettings(
                resolve_links=True,
                max_retry_count=3,
                min_checkpoint_count=10,
                max_checkpoint_count=1000,
                max_subscriber_count=4,
                live_buffer_size=500,
                read_batch_size=200,
                history_buffer_size=500,
                message_timeout_ms=7000,
                checkpoint_after_ms=0,
                consumer_strategy="Pinned",
            ),
        )

    @pytest.mark.parametrize("by", ["stream_identifier", "event_type"])
    async def test_create_on_all_events(self, peer: Peer, by: str) -> None:
        make = Filter.by_event_type if by == "event_type" else Filter.by_stream_name
        wanted = make(prefixes=["a", "b"], window=64, checkpoint_interval=2)
        call = convert.create(peer.channel, GroupRequest("g", None, SETTINGS, 829, wanted))
        options = (await peer.asked(call, "Create", messages.CreateReq)).options.all
        assert options.position == messages.CreateReqPosition(commit_position=829, prepare_position=829)
        assert betterproto.which_one_of(options.filter, "filter") == (
            by,
            messages.CreateReqAllOptionsFilterOptionsExpression(prefix=["a", "b"]),
        )
        assert (options.filter.max, options.filter.checkpoint_interval_multiplier) == (64, 2)

    @pytest.mark.parametrize(("start", "which"), [(None, "end"), (0, "start")])
    async def test_create_on_all_events_without_filter(self, peer: Peer, start: int | None, which: str) -> None:
        call = convert.create(peer.channel, GroupRequest("g", None, SETTINGS, start))
        request = await peer.asked(call, "Create", messages.CreateReq)
        assert request.options.all == messages.CreateReqAllOptions(no_filter=Empty(), **{which: Empty()})  # type: ignore[arg-type]

    async def test_update_names_the_strategy_by_its_number(self, peer: Peer) -> None:
        call = convert.update(peer.channel, GroupRequest("g", "s", SETTINGS, 5))
        request = await peer.asked(call, "Update", messages.UpdateReq)
        assert request.options.settings.named_consumer_strategy == messages.UpdateReqConsumerStrategy.Pinned
        assert request.options.settings.message_timeout_ms == 7000
        assert request.options.stream.revision == 5

    @pytest.mark.parametrize(
        ("start", "which"),
        [(None, ("end", Empty())), (0, ("start", Empty())), (7, ("position", messages.UpdateReqPosition(7, 7)))],
    )
    async def test_update_on_all_events(self, peer: Peer, start: int | None, which: tuple[str, object]) -> None:
        call = convert.update(peer.channel, GroupRequest("g", None, SETTINGS, start))
        request = await peer.asked(call, "Update", messages.UpdateReq)
        assert betterproto.which_one_of(request.options.all, "all_option") == which

    async def test_naming_a_group(self, peer: Peer) -> None:
        call: Awaitable[object] = convert.delete(peer.channel, "g", "s")
        assert (await peer.asked(call, "Delete", messages.DeleteReq)).options == messages.DeleteReqOptions(
            stream_identifier=named("s"), group_name="g"
        )
        call = convert.delete(peer.channel, "g", None)
        assert (await peer.asked(call, "Delete", messages.DeleteReq)).options == messages.DeleteReqOptions(
            all=Empty(), group_name="g"
        )
        peer.answer = bytes(messages.GetInfoResp(subscription_info=messages.SubscriptionInfo(group_name="g")))
        call = convert.info(peer.channel, "g", "s")
        assert (await peer.asked(call, "GetInfo", messages.GetInfoReq)).options == messages.GetInfoReqOptions(
            stream_identifier=named("s"), group_name="g"
        )
        call = convert.info(peer.channel, "g", None)
        assert (await peer.asked(call, "GetInfo", messages.GetInfoReq)).options == messages.GetInfoReqOptions(
            all=Empty(), group_name="g"
        )

    async def test_list(self, peer: Peer) -> None:
        request = await peer.asked(convert.infos(peer.channel, None), "List", messages.ListReq)
        assert betterproto.which_one_of(request.options, "list_option") == ("list_all_subscriptions", Empty())
        request = await peer.asked(convert.infos(peer.channel, "$all"), "List", messages.ListReq)
        assert betterproto.which_one_of(request.options.list_for_stream, "stream_option") == ("all", Empty())
        request = await peer.asked(convert.infos(peer.channel, "s"), "List", messages.ListReq)
        assert request.options.list_for_stream.stream == named("s")

    async def test_replay(self, peer: Peer) -> None:
        call = convert.replay_parked(peer.channel, "g", "s", 3)
        request = await peer.asked(call, "ReplayParked", messages.ReplayParkedReq)
        assert request.options == messages.ReplayParkedReqOptions(
            group_name="g", stream_identifier=named("s"), stop_at=3
        )
        call = convert.replay_parked(peer.channel, "g", None, None)
        request = await peer.asked(call, "ReplayParked", messages.ReplayParkedReq)
        assert request.options == messages.ReplayParkedReqOptions(group_name="g", all=Empty(), no_limit=Empty())

    async def test_restart(self, peer: Peer) -> None:
        assert await peer.asked(convert.restart(peer.channel), "RestartSubsystem", Empty) == Empty()


def described(**values: object) -> SubscriptionInfo:
    return convert.described(messages.SubscriptionInfo(**values))  # type: ignore[arg-type]


class TestAnswers:
    def test_info(self) -> None:
        connection = messages.SubscriptionInfoConnectionInfo(
            username="u",
            connection_name="c",
            total_items=9,
            available_slots=8,
            in_flight_messages=2,
            observed_measurements=[messages.SubscriptionInfoMeasurement(key="Mean", value=4)],
        )
        info = described(
            event_source="s",
            group_name="g",
            status="Behind, OutstandingPageRequest",
            start_from="5",
            last_checkpointed_event_position="7",
            last_known_event_position="",
            message_timeout_milliseconds=1500,
            check_point_after_milliseconds=2**31 - 1,
            max_retry_count=-1,
            named_consumer_strategy="PinnedByCorrelation",
            buffer_size=50,
            parked_message_count=3,
            connections=[connection],
        )
        assert (info.stream_name, info.group_name, info.start) == ("s", "g", 5)
        assert (info.last_checkpoint, info.last_known, info.parked, info.is_live) == (7, None, 3, False)
        assert info.settings.message_timeout == timedelta(seconds=1.5)
        assert info.settings.checkpoint_after is None
        assert (info.settings.max_retry_count, info.settings.history_buffer_size) == (-1, 50)
        assert info.settings.strategy is ConsumerStrategy.PINNED_BY_CORRELATION
        assert [(c.username, c.connection_name, c.total_items, c.measurements) for c in info.consumers] == [
            ("u", "c", 9, {"Mean": 4})
        ]

    def test_positions_in_all_events(self) -> None:
        info = described(event_source="$all", start_from="C:-1/P:-1", last_known_event_position="C:9/P:9")
        assert (info.stream_name, info.start, info.last_known) == (None, None, 9)

    @pytest.mark.parametrize("text", ["--5", "\u00b2", "\u0665", "9" * 5000, f"C:{'9' * 5000}/P:1", "C:1", "C:1/P:1 "])
    def test_what_is_no_position_is_none(self, text: str) -> None:
        assert described(last_known_event_position=text, start_from=text).last_known is None

    def test_a_strategy_of_the_future_keeps_its_name(self) -> None:
        assert described(named_consumer_strategy="Other").settings.strategy == "Other"

    async def test_nothing(self, peer: Peer) -> None:
        with pytest.raises(ProtocolError, match="says nothing about the group"):
            await convert.info(peer.channel, "g", "s")
        assert await convert.infos(peer.channel, None) == []
