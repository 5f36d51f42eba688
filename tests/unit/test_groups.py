"""Settings of groups, and the requests and answers about them, compared with the generated classes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from esdb_lite_protos.event_store.client import Empty, StreamIdentifier
from esdb_lite_protos.event_store.client import persistent_subscriptions as messages

from esdb_lite._convert.groups import (
    GroupRequest,
    decode_info,
    decode_list,
    encode_delete,
    encode_get_info,
    encode_list,
    encode_replay_parked,
)
from esdb_lite.errors import InvalidArgument, WrongArgumentType
from esdb_lite.filters import Filter
from esdb_lite.groups import ConsumerStrategy, SubscriptionSettings

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
    def test_create_on_a_stream(self, start: int | None, expected: dict[str, object]) -> None:
        request = messages.CreateReq().parse(GroupRequest("g", "s", SETTINGS, start).encode_create())
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

    def test_create_on_all_events(self) -> None:
        wanted = Filter.by_stream_name(prefixes=["a", "b"], window=64, checkpoint_interval=2)
        request = messages.CreateReq().parse(GroupRequest("g", None, SETTINGS, 829, wanted).encode_create())
        options = request.options.all
        assert options.position == messages.CreateReqPosition(commit_position=829, prepare_position=829)
        assert options.filter.stream_identifier.prefix == ["a", "b"]
        assert (options.filter.max, options.filter.checkpoint_interval_multiplier) == (64, 2)

    def test_create_on_all_events_without_filter(self) -> None:
        request = messages.CreateReq().parse(GroupRequest("g", None, SETTINGS, None).encode_create())
        assert request.options.all == messages.CreateReqAllOptions(end=Empty(), no_filter=Empty())

    def test_update_names_the_strategy_by_its_number(self) -> None:
        request = messages.UpdateReq().parse(GroupRequest("g", "s", SETTINGS, 5).encode_update())
        assert request.options.settings.named_consumer_strategy == messages.UpdateReqConsumerStrategy.Pinned
        assert request.options.stream.revision == 5

    def test_naming_a_group(self) -> None:
        assert messages.DeleteReq().parse(encode_delete("g", "s")).options == messages.DeleteReqOptions(
            stream_identifier=named("s"), group_name="g"
        )
        assert messages.DeleteReq().parse(encode_delete("g", None)).options == messages.DeleteReqOptions(
            all=Empty(), group_name="g"
        )
        assert messages.GetInfoReq().parse(encode_get_info("g", "s")).options == messages.GetInfoReqOptions(
            stream_identifier=named("s"), group_name="g"
        )
        assert messages.GetInfoReq().parse(encode_get_info("g", None)).options == messages.GetInfoReqOptions(
            all=Empty(), group_name="g"
        )

    def test_list(self) -> None:
        assert messages.ListReq().parse(encode_list(None)).options.list_all_subscriptions == Empty()
        assert messages.ListReq().parse(encode_list("$all")).options.list_for_stream.all == Empty()
        assert messages.ListReq().parse(encode_list("s")).options.list_for_stream.stream == named("s")

    def test_replay(self) -> None:
        request = messages.ReplayParkedReq().parse(encode_replay_parked("g", "s", 3))
        assert request.options == messages.ReplayParkedReqOptions(
            group_name="g", stream_identifier=named("s"), stop_at=3
        )
        request = messages.ReplayParkedReq().parse(encode_replay_parked("g", None, None))
        assert request.options == messages.ReplayParkedReqOptions(group_name="g", all=Empty(), no_limit=Empty())


class TestAnswers:
    def info(self, **values: object) -> bytes:
        return bytes(messages.GetInfoResp(subscription_info=messages.SubscriptionInfo(**values)))  # type: ignore[arg-type]

    def test_info(self) -> None:
        connection = messages.SubscriptionInfoConnectionInfo(
            username="u",
            connection_name="c",
            total_items=9,
            available_slots=8,
            in_flight_messages=2,
            observed_measurements=[messages.SubscriptionInfoMeasurement(key="Mean", value=4)],
        )
        info = decode_info(
            self.info(
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
        )
        assert info is not None
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
        info = decode_info(self.info(event_source="$all", start_from="C:-1/P:-1", last_known_event_position="C:9/P:9"))
        assert info is not None
        assert (info.stream_name, info.start, info.last_known) == (None, None, 9)

    def test_a_strategy_of_the_future_keeps_its_name(self) -> None:
        info = decode_info(self.info(named_consumer_strategy="Other"))
        assert info is not None
        assert info.settings.strategy == "Other"

    def test_nothing(self) -> None:
        assert decode_info(b"") is None
        assert decode_list(b"") == []
