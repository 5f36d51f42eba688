"""Settings, the stored configuration, and the events that a group writes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite.groups import ConsumerStrategy
from esdb_lite.server.engine.filters import EventFilter, FilterOn
from esdb_lite.server.engine.groups.config import GroupConfig, dump_config, load_config
from esdb_lite.server.engine.groups.messages import Message
from esdb_lite.server.engine.groups.parking import (
    checkpoint_data,
    checkpoint_stream,
    iso_time,
    parked_data,
    parked_metadata,
    parked_stream,
    read_checkpoint,
    truncation_metadata,
)
from esdb_lite.server.engine.groups.settings import (
    GroupSettings,
    GroupStart,
    InvalidSettings,
    check_buffers,
    check_start_in_log,
    check_stop_at,
    parse_position,
    position_text,
    strategy_of,
)
from esdb_lite.server.storage import Record

TICKS = 17954746153330971


def link(data: bytes, revision: int = 3) -> Record:
    return Record(900, "links", revision, b"l" * 16, "$>", False, 0, data, b"")


def event(revision: int = 7) -> Record:
    return Record(500, "orders", revision, b"e" * 16, "T", True, 0, b"{}", b"")


class TestSettings:
    def test_unknown_strategies_are_refused_by_name(self) -> None:
        with pytest.raises(InvalidSettings, match=r"^Consumer strategy roundrobin does not exist\.$"):
            strategy_of("roundrobin")
        assert strategy_of("PinnedByCorrelation") is ConsumerStrategy.PINNED_BY_CORRELATION

    def test_a_batch_has_to_fit_into_the_buffer(self) -> None:
        check_buffers(9, 10)
        for batch, history in ((10, 10), (0, 0), (5, -1)):
            with pytest.raises(InvalidSettings, match="ReadBatchSize may not be greater than or equal to BufferSize"):
                check_buffers(batch, history)

    def test_a_start_beyond_the_log_is_refused(self) -> None:
        check_start_in_log(GroupStart(500), 500)
        check_start_in_log(GroupStart(-1), 0)
        with pytest.raises(InvalidSettings, match="Invalid Start From position"):
            check_start_in_log(GroupStart(501), 500)

    def test_replaying_up_to_a_negative_number_is_refused(self) -> None:
        check_stop_at(0)
        with pytest.raises(InvalidSettings, match="negative version"):
            check_stop_at(-1)

    @pytest.mark.parametrize(
        ("start", "in_log", "text"),
        [
            (GroupStart(0), False, "0"),
            (GroupStart(-1), False, "-1"),
            (GroupStart(829), True, "C:829/P:829"),
            (GroupStart(-1), True, "C:-1/P:-1"),
            (GroupStart(900, 800), True, "C:900/P:800"),
        ],
    )
    def test_positions_as_text(self, start: GroupStart, in_log: bool, text: str) -> None:
        assert position_text(start.position, in_log=in_log, prepare=start.prepare) == text
        assert parse_position(text) == start

    @pytest.mark.parametrize(("batch", "history"), [(0, 1), (-5, -1), (10, 50)])
    def test_whatever_is_accepted_can_be_read(self, batch: int, history: int) -> None:
        settings = GroupSettings(read_batch_size=batch, history_buffer_size=history)
        assert settings.history_room > settings.batch >= 0
        assert settings.page > 0


class TestConfig:
    def test_is_written_as_a_real_server_writes_it(self) -> None:
        settings = GroupSettings(
            message_timeout=30_000,
            max_retry_count=2,
            checkpoint_after=500,
            min_checkpoint_count=1,
            max_checkpoint_count=5,
            max_subscriber_count=3,
            live_buffer_size=100,
            read_batch_size=10,
            history_buffer_size=50,
        )
        in_log = GroupSettings(
            **{**settings.__dict__, "start": GroupStart(-1), "strategy": ConsumerStrategy.PINNED, "checkpoint_after": 0}
        )
        written = dump_config(
            [GroupConfig("fault_resign", "g", settings), GroupConfig("$all", "a", in_log)],
            ticks=TICKS,
            updated_by="system",
        )
        expected = """{
  "version": "2",
  "updated": "2026-11-23T22:56:55.3330971+00:00",
  "updatedBy": "system",
  "entries": [
    {
      "stream": "fault_resign",
      "group": "g",
      "messageTimeout": 30000,
      "startPosition": "0",
      "liveBufferSize": 100,
      "historyBufferSize": 50,
      "maxRetryCount": 2,
      "readBatchSize": 10,
      "checkPointAfter": 500,
      "minCheckPointCount": 1,
      "maxCheckPointCount": 5,
      "maxSubscriberCount": 3,
      "namedConsumerStrategy": "RoundRobin"
    },
    {
      "stream": "$all",
      "group": "a",
      "messageTimeout": 30000,
      "startFrom": -9223372036854775808,
      "startPosition": "C:-1/P:-1",
      "liveBufferSize": 100,
      "historyBufferSize": 50,
      "maxRetryCount": 2,
      "readBatchSize": 10,
      "minCheckPointCount": 1,
      "maxCheckPointCount": 5,
      "maxSubscriberCount": 3,
      "namedConsumerStrategy": "Pinned"
    }
  ]
}"""
        assert written.decode() == expected

    @given(
        st.lists(
            st.builds(
                GroupConfig,
                st.text(min_size=1),
                st.text(),
                st.builds(
                    GroupSettings,
                    resolve_links=st.booleans(),
                    extra_statistics=st.booleans(),
                    start=st.builds(GroupStart, st.integers(-1, 2**63 - 1)),
                    message_timeout=st.integers(-5, 10**9),
                    max_retry_count=st.integers(-5, 10**9),
                    checkpoint_after=st.integers(-5, 10**9),
                    read_batch_size=st.integers(-5, 10**9),
                    strategy=st.sampled_from(ConsumerStrategy),
                ),
                st.none()
                | st.builds(EventFilter, st.sampled_from(FilterOn), regex=st.text(min_size=1))
                | st.builds(EventFilter, st.sampled_from(FilterOn), prefixes=st.lists(st.text()).map(tuple)),
            ),
            max_size=3,
            unique_by=lambda config: (config.stream, config.group),
        )
    )
    def test_comes_back_as_it_was(self, configs: list[GroupConfig]) -> None:
        assert load_config(dump_config(configs, ticks=TICKS, updated_by="system")) == (configs, [])

    def test_prefixes_are_joined_as_a_real_server_does_and_commas_survive(self) -> None:
        plain = GroupConfig("$all", "g", GroupSettings(), EventFilter(FilterOn.TYPE, prefixes=("a", "b")))
        comma = GroupConfig("$all", "g", GroupSettings(), EventFilter(FilterOn.STREAM, prefixes=("a,b", "c")))
        entries = json.loads(dump_config([plain, comma], ticks=0, updated_by="x"))["entries"]
        assert entries[0]["filter"] == {"context": "eventtype", "type": "prefix", "data": "a,b", "isAllStream": True}
        assert entries[1]["filter"]["data"] == "a,b,c"
        assert entries[1]["filter"]["prefixes"] == ["a,b", "c"]

    @pytest.mark.parametrize(
        ("data", "faults"),
        [
            (b"", 1),
            (b"[]", 1),
            (b"[" * 100_000, 1),
            (b'{"entries": ' + b"9" * 5000 + b"}", 1),
            (b'{"entries": [], "entries": []}', 1),
            (b'{"entries": 3}', 1),
            (b'{"entries": [3, {}, {"stream": "", "group": "g"}]}', 3),
            (b'{"entries": [{"stream": "s", "group": "\\ud800"}]}', 1),
        ],
        ids=range(8),
    )
    def test_nonsense_is_no_group_and_told_of(self, data: bytes, faults: int) -> None:
        found = load_config(data)
        assert found.groups == []
        assert len(found.faults) == faults

    @pytest.mark.parametrize(
        "change",
        [
            {"maxRetryCount": "many"},
            {"maxRetryCount": [1]},
            {"maxRetryCount": True},
            {"maxRetryCount": 1.5},
            {"historyBufferSize": 2**31},
            {"liveBufferSize": 10**30},
            {"messageTimeout": {}},
            {"startFrom": 2**63, "startPosition": None},
            {"startPosition": "9" * 5000},
            {"startPosition": "C:" + "9" * 19 + "/P:1"},
            {"startPosition": "٣"},
            {"namedConsumerStrategy": "Best"},
            {"stream": 3},
            {"group": []},
            {"filter": {"data": 3}},
        ],
        ids=str,
    )
    def test_one_bad_entry_does_not_hide_the_others(self, change: dict[str, object]) -> None:
        good = GroupConfig("s", "g", GroupSettings())
        document = json.loads(dump_config([good], ticks=0, updated_by="x"))
        document["entries"].insert(0, {**document["entries"][0], "group": "bad", **change})
        found = load_config(json.dumps(document).encode())
        assert found.groups == [good]
        assert len(found.faults) == 1

    def test_a_group_that_is_there_twice_is_one(self) -> None:
        good = GroupConfig("s", "g", GroupSettings())
        assert load_config(dump_config([good, good], ticks=0, updated_by="x")) == ([good], [])


class TestWrittenEvents:
    def test_streams(self) -> None:
        assert checkpoint_stream("$all", "g") == "$persistentsubscription-$all::g-checkpoint"
        assert parked_stream("s", "g") == "$persistentsubscription-s::g-parked"

    @pytest.mark.parametrize(("in_log", "data"), [(False, b'"5"'), (True, b'"C:5/P:5"')])
    def test_checkpoints(self, in_log: bool, data: bytes) -> None:
        assert checkpoint_data(5, in_log=in_log) == data
        assert read_checkpoint(data) == 5

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"null",
            b'"x"',
            b"{}",
            b"[" * 100_000,
            b"9" * 5000,
            b'"' + b"9" * 5000 + b'"',
            b'"9223372036854775808"',
            b'"C:9999999999999999999/P:1"',
            b'"C:' + b"9" * 5000 + b'/P:1"',
        ],
        ids=range(10),
    )
    def test_what_is_no_checkpoint(self, data: bytes) -> None:
        assert read_checkpoint(data) is None

    def test_parked_is_a_link_to_the_event_itself(self) -> None:
        assert parked_data(Message(event())) == b"7@orders"
        assert parked_data(Message(event(), link(b"7@orders"))) == b"7@orders"
        assert parked_data(Message(None, link(b"9@gone"))) == b"9@gone"

    def test_parked_metadata(self) -> None:
        written = parked_metadata(Message(event(), link(b"7@orders")), "why", TICKS).decode()
        assert written == (
            '{\n  "added": "2026-11-23T22:56:55.3330971+00:00",\n  "reason": "why",\n  "subscriptionEventNumber": 3\n}'
        )
        assert "subscriptionEventNumber" not in json.loads(parked_metadata(Message(event(0)), "why", TICKS))

    def test_truncation(self) -> None:
        assert truncation_metadata(4) == (
            b'{"$tb":4,"$acl":{"$r":"$admins","$w":"$admins","$d":"$admins","$mr":"$admins","$mw":"$admins"}}'
        )

    @pytest.mark.parametrize(
        ("ticks", "text"),
        [
            (0, "1970-01-01T00:00:00+00:00"),
            (1, "1970-01-01T00:00:00.0000001+00:00"),
            (5_000_000, "1970-01-01T00:00:00.5+00:00"),
        ],
    )
    def test_times(self, ticks: int, text: str) -> None:
        assert iso_time(ticks) == text

    def test_the_source_of_a_broken_link_is_what_it_names(self) -> None:
        assert Message(None, link(b"9@gone")).source_stream == "gone"
        assert Message(None, link(b"nothing")).source_stream == "links"
