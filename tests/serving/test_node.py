"""What the node says of itself: streams in its memory, epochs, scavenges, statistics."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from uuid import uuid4

import pytest
from esdb_lite_protos.event_store.client import Empty
from esdb_lite_protos.event_store.client.monitoring import StatsReq, StatsResp
from esdb_lite_protos.event_store.client.operations import StartScavengeReq, StartScavengeReqOptions
from esdb_lite_protos.tags import (
    PATH_PERSISTENT_SUBSCRIPTIONS_READ,
    PATH_STREAMS_SERVICE_APPEND_RECORDS,
    PATH_STREAMS_SERVICE_APPEND_SESSION,
)

from esdb_lite import (
    AsyncEsdbClient,
    EmbeddedServer,
    InvalidArgument,
    NewEvent,
    RecordedEvent,
    StreamNotFound,
    StreamState,
)
from esdb_lite._status.exceptions import error_for
from esdb_lite._wire.acks import encode_consumer_options
from esdb_lite._wire.framing import frame
from esdb_lite._wire.record_requests import encode_new_record, encode_session_request
from esdb_lite.errors import ServerNotReady, ServiceUnavailable
from esdb_lite.server.engine import fresh
from esdb_lite.server.engine.append import Moment
from esdb_lite.server.engine.model import CHUNK_SIZE
from esdb_lite.server.node import ServerNode, ServerSettings
from esdb_lite.server.services.monitoring import Monitoring
from tests.engine.naive import NaiveState
from tests.serving.raw import connected

OPERATIONS = "/event_store.client.operations.Operations"


@pytest.fixture
async def client(node: ServerNode) -> AsyncIterator[AsyncEsdbClient]:
    async with AsyncEsdbClient(f"127.0.0.1:{node.port}") as connected_client:
        yield connected_client


async def of_stream(client: AsyncEsdbClient, stream: str, **options: object) -> list[RecordedEvent]:
    return [event async for event in client.read_stream_events(stream, **options)]  # type: ignore[arg-type]


async def of_all(client: AsyncEsdbClient) -> list[RecordedEvent]:
    return [event async for event in client.read_all_events(filter_exclude=())]


class TestNodeStreams:
    async def test_the_state(self, client: AsyncEsdbClient) -> None:
        (event,) = await of_stream(client, "$mem-node-state")
        assert (event.type, event.json(), event.content_type) == (
            "$NodeStateChanged",
            {"State": "Leader"},
            "application/json",
        )
        assert await of_stream(client, "$mem-node-state", backwards=True, limit=1) == [event]
        assert await of_stream(client, "$mem-node-state", position=event.stream_position + 1) == []

    async def test_the_gossip(self, client: AsyncEsdbClient, node: ServerNode) -> None:
        (event,) = await of_stream(client, "$mem-gossip")
        (member,) = event.json()["Members"]
        assert event.type == "$GossipUpdated"
        assert (member["State"], member["HttpEndPointPort"]) == ("Leader", node.port)
        assert member["InstanceId"] == event.json()["NodeId"]

    async def test_they_are_not_in_the_log(self, client: AsyncEsdbClient) -> None:
        assert [event.stream_name for event in await of_all(client)] == ["$$$scavenges"]

    @pytest.mark.parametrize("stream", ["$mem-node-state", "$mem-other"])
    async def test_what_is_appended_is_in_the_log_and_not_in_the_stream(
        self, client: AsyncEsdbClient, stream: str
    ) -> None:
        result = await client.append_events(stream, StreamState.ANY, NewEvent("Mine", b"{}"))
        assert result.stream_position == 0
        assert [event.stream_name for event in await of_all(client)] == ["$$$scavenges", stream]
        if stream == "$mem-other":
            with pytest.raises(StreamNotFound):
                await of_stream(client, stream)
        else:
            assert [event.type for event in await of_stream(client, stream)] == ["$NodeStateChanged"]

    async def test_a_subscription_begins_with_the_newest_event(self, client: AsyncEsdbClient) -> None:
        async with await client.subscribe_stream_events("$mem-node-state", include_control=True) as subscription:
            first = await anext(subscription)
            await anext(subscription)
            assert isinstance(first, RecordedEvent)
            await client.append_events("$mem-node-state", StreamState.ANY, NewEvent("Mine", b"{}"))
            async with await client.subscribe_stream_events("other") as other:
                await client.append_events("other", StreamState.ANY, NewEvent("Mine", b"{}"))
                await anext(other)
            # What was published before that has not come here.
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(subscription), 0.05)

    async def test_a_link_leads_there(self, client: AsyncEsdbClient) -> None:
        link = NewEvent("$>", b"0@$mem-node-state", content_type="application/octet-stream")
        await client.append_events("links", StreamState.NO_STREAM, link)
        (event,) = await of_stream(client, "links", resolve_links=True)
        assert event.type == "$NodeStateChanged"
        assert event.link is not None


class TestEpochs:
    async def test_a_node_that_resigns_is_elected_again(self, client: AsyncEsdbClient, node: ServerNode) -> None:
        before = await of_all(client)
        async with connected(node.port) as raw:
            answer = await raw.call(f"{OPERATIONS}/ResignNode", bytes(Empty()))
        assert answer.status == ("0", None)
        first, second = await of_stream(client, "$epoch-information")
        assert (first.json()["EpochNumber"], second.json()["EpochNumber"]) == (0, 1)
        assert second.json()["EpochPosition"] == second.commit_position == node._database.last_position
        assert await of_all(client) == before

    def test_an_epoch_that_does_not_fit_in_its_chunk(self) -> None:
        state = NaiveState()
        decision = fresh.elect(state, Moment(CHUNK_SIZE - 100, 0, lambda: bytes(16)))
        (record,) = decision.records
        assert record.position == json.loads(record.data)["EpochPosition"] == CHUNK_SIZE


async def test_a_scavenge_leaves_its_notes(client: AsyncEsdbClient, node: ServerNode) -> None:
    async with await client.subscribe_all_events(from_end=True, filter_exclude=()) as subscription:
        async with connected(node.port) as raw:
            request = StartScavengeReq(options=StartScavengeReqOptions(thread_count=1))
            assert (await raw.call(f"{OPERATIONS}/StartScavenge", bytes(request))).status == ("0", None)
        events = [await anext(subscription) for _ in range(6)]
    assert [event.type for event in events if isinstance(event, RecordedEvent)] == [
        "$scavengePoint", "$metadata", "$scavengeStarted", "$>", "$scavengeCompleted", "$>",
    ]  # fmt: skip
    (point,) = await of_stream(client, "$scavengePoints")
    assert point.json() == {"threshold": 0}


class TestStatistics:
    async def test_a_message_at_once_and_then_others(self, node: ServerNode) -> None:
        async with connected(node.port) as raw:
            stream = raw.open("/event_store.client.monitoring.Monitoring/Stats")
            raw.send(stream, frame([bytes(StatsReq(refresh_time_period_in_ms=0))]), end=True)
            while len(raw.answers[stream].messages) < 2:
                await raw.more()
            figures = StatsResp().parse(raw.answers[stream].messages[1]).stats
        assert figures["proc-id"] == str(os.getpid())
        assert figures["es-checksum"] == str(node._database.log_end)
        assert figures["es-queue-StorageWriterQueue-length"] == "0"

    def test_the_drive_has_the_name_of_where_it_is_mounted(self, tmp_path: Path) -> None:
        figures = Monitoring(lambda: 733, lambda: 0, str(tmp_path / "events.db")).figures()
        (name,) = {key.removesuffix("-totalBytes") for key in figures if key.endswith("-totalBytes")}
        mount = name.removeprefix("sys-drive-")
        assert os.path.ismount(mount)
        assert str(tmp_path).startswith(mount)
        assert 0 <= int(figures[f"{name}-usage"]) <= 100

    def test_unknown_figures_are_minus_one_and_the_others_numbers(self) -> None:
        figures = Monitoring(lambda: 733, lambda: 3, None).figures()
        texts = {"proc-startTime", "es-queue-StorageWriterQueue-queueName"}
        assert {key for key, value in figures.items() if not value.lstrip("-").replace(".", "").isdigit()} == texts
        assert int(figures["proc-diskIo-readOps"]) > 0

    def test_many_who_ask_at_once_get_the_same_figures_until_the_log_goes_on(self) -> None:
        ends = [733]
        monitoring = Monitoring(lambda: ends[0], count().__next__, None)

        def asked(now: float) -> str:
            return StatsResp().parse(monitoring.answer(now)).stats["es-queue-StorageWriterQueue-length"]

        assert [asked(1.0), asked(1.019), asked(1.02)] == ["0", "0", "1"]
        ends[0] = 800
        assert [asked(1.021), asked(1.03)] == ["2", "2"]


async def test_an_atomic_append_that_is_open_when_the_server_stops_ends_with_a_reason_and_a_time() -> None:
    running = await ServerNode.start(ServerSettings(), lambda: None)
    async with connected(running.port) as client:
        await client.more()
        stream = client.open(PATH_STREAMS_SERVICE_APPEND_SESSION)
        record = encode_new_record(id=str(uuid4()), format=1, type="T", properties={}, data=b"")
        client.send(stream, frame([encode_session_request("s", -2, [record])]))
        other = await client.call(PATH_STREAMS_SERVICE_APPEND_RECORDS, b"")  # the other one has begun by now
        assert other.status[0] == "3"
        stopping = asyncio.ensure_future(running.stop())
        answer = await client.ended(stream)
        await stopping
    assert answer.status == ("14", "The server is shutting down. Please retry after 5 seconds.")
    error = error_for(14, "", {**answer.headers, **answer.trailers}.items())
    assert isinstance(error, ServiceUnavailable)
    assert not isinstance(error, ServerNotReady)
    assert error.retry_after == 5.0


async def test_consumers_of_groups_are_dropped_when_the_server_stops() -> None:
    """Clients of real servers know what that means, and do not take it for a lost link."""
    running = await ServerNode.start(ServerSettings(), lambda: None)
    async with AsyncEsdbClient(f"127.0.0.1:{running.port}") as client, connected(running.port) as raw:
        await client.create_subscription("g", "s")
        stream = raw.open(PATH_PERSISTENT_SUBSCRIPTIONS_READ)
        raw.send(stream, frame([encode_consumer_options(stream="s", group="g", buffer_size=10, structured=True)]))
        while not raw.answers[stream].messages:
            await raw.more()
        stopping = asyncio.ensure_future(running.stop())
        answer = await raw.ended(stream)
        await stopping
    assert answer.status[0] == "1"
    assert answer.trailers["exception"] == "persistent-subscription-dropped"


@pytest.mark.parametrize(
    ("place", "host", "port"),
    [("localhost", "localhost", 0), ("db.example.org:2113", "db.example.org", 2113), ("[::1]:99", "::1", 99)],
)
async def test_gossip_tells_where_others_reach_it(place: str, host: str, port: int) -> None:
    async with EmbeddedServer(advertise_as=place) as server, AsyncEsdbClient(server.uri) as client:
        (member,) = await client.read_gossip()
        assert (member.host, member.port) == (host, port or server.port)
        assert server.address == f"127.0.0.1:{server.port}"
        if not port:
            found = server.uri.replace("esdb://127.0.0.1", "esdb+discover://127.0.0.1")
            async with AsyncEsdbClient(found) as discovering:
                await discovering.append_events("s", None, NewEvent("T", b""))


@pytest.mark.parametrize("place", ["", "a b", "http://a", "a:0", "a:99999", "a:b", "::1"])
def test_places_that_are_none(place: str) -> None:
    with pytest.raises(InvalidArgument, match="advertise_as: must"):
        EmbeddedServer(advertise_as=place)
