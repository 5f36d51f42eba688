"""Waiting for consumers of links: numbers of their own, and written by a projection, later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from esdb_lite import (
    AppendResult,
    ClientClosed,
    DeadlineExceeded,
    FileCheckpoint,
    InvalidArgument,
    NewEvent,
    NotSupported,
    ProjectionNotFound,
)
from tests.contract.consuming import Consuming, Notes
from tests.contract.test_read_models import called


@pytest.fixture
def server_options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """With projections, where a test does not want to be without."""
    without = "without" in request.node.name
    return {} if without else {"run_projections": "all", "start_standard_projections": True}


@pytest.fixture
def consuming(client: Any, tmp_path: Path) -> Callable[..., Consuming]:
    """Makes a consumer of one stream."""

    def make(stream_name: str, handler: Any, *, resolve_links: bool = True) -> Consuming:
        checkpoint = FileCheckpoint(tmp_path / "checkpoint")
        return Consuming(client, handler, checkpoint=checkpoint, stream_name=stream_name, resolve_links=resolve_links)

    return make


def events(count: int) -> list[NewEvent]:
    """Of JSON: others get no links."""
    return [NewEvent("A", b"{}") for _ in range(count)]


def category_of(stream: str) -> str:
    return stream.partition("-")[0]


async def test_what_was_written_comes_through_links(client: Any, stream: str, consuming: Any) -> None:
    notes = Notes()
    async with consuming(f"$ce-{category_of(stream)}", notes) as consumer:
        await called(client, consumer.made.wait_for, await client.append_events(stream, None, events(30)))
        assert notes.positions == list(range(30))
        await client.disable_projection("$by_category")
        result = await client.append_events(f"{stream}-2", None, events(2))
        with pytest.raises(DeadlineExceeded, match=f"did not come to {result.commit_position} within 0") as caught:
            await called(client, consumer.made.wait_for, result, timeout=0.2)
        assert "the projection '$by_category' did not get there" in str(caught.value.__cause__)
        waiting = asyncio.ensure_future(called(client, consumer.made.wait_for, result))
        await client.enable_projection("$by_category")
        await waiting
        assert notes.positions[30:] == [0, 1]
        await called(client, consumer.made.wait_for, 31)  # of the stream of links itself
        with pytest.raises(DeadlineExceeded, match="did not come to 32"):
            await called(client, consumer.made.wait_for, 32, timeout=0.05)


@pytest.mark.parametrize("resolve_links", [True, False])
async def test_the_last_event_has_no_link(client: Any, stream: str, consuming: Any, resolve_links: bool) -> None:
    notes, kind = Notes(), stream.replace("-", "")
    async with consuming(f"$et-{kind}", notes, resolve_links=resolve_links) as consumer:
        for count in (1, 2):
            written = [NewEvent(kind, b"{}"), NewEvent("Other", b"{}")]
            await called(client, consumer.made.wait_for, await client.append_events(f"{stream}-{count}", None, written))
            assert len(notes.positions) == count
        await called(client, consumer.made.wait_for, await client.append_records({stream: events(2), "x": events(1)}))
        assert len(notes.positions) == 2


async def test_a_consumer_that_ends_while_its_projection_stands(client: Any, stream: str, consuming: Any) -> None:
    async with consuming(f"$ce-{category_of(stream)}", Notes()) as consumer:
        await client.disable_projection("$by_category")
        result = await client.append_events(stream, None, events(1))
        waiting = asyncio.ensure_future(called(client, consumer.made.wait_for, result))
        await asyncio.sleep(0)
        consumer.stop()
        with pytest.raises(ClientClosed, match="the consumer ended before it came to"):
            await waiting


async def test_a_server_without_projections(client: Any, stream: str, consuming: Any) -> None:
    async with consuming(f"$ce-{category_of(stream)}", Notes()) as consumer:
        result = await client.append_events(stream, None, events(1))
        with pytest.raises((ProjectionNotFound, NotSupported), match="projection"):
            await called(client, consumer.made.wait_for, result)


async def test_results_of_other_streams(client: Any, stream: str, consuming: Any) -> None:
    """A consumer of links that nobody knows cannot be waited for; one of a stream has nothing to wait for."""
    other = await client.append_events(f"{stream}-other", None, events(5))
    assert other.stream_name == f"{stream}-other"
    async with consuming(stream, Notes()) as consumer:
        with pytest.raises(InvalidArgument, match=f"is of {stream}-other: its link in {stream} is not known"):
            await called(client, consumer.made.wait_for, other)
        with pytest.raises(InvalidArgument, match=f"is of a, b: its link in {stream} is not known"):
            await called(client, consumer.made.wait_for, await client.append_records({"a": events(1), "b": events(1)}))
        await called(client, consumer.made.wait_for, await client.append_events(stream, None, events(1)))
        await called(client, consumer.made.wait_for, AppendResult(1, 0))
    async with consuming(stream, Notes(), resolve_links=False) as consumer:
        await called(client, consumer.made.wait_for, other)
        await called(client, consumer.made.wait_for, await client.set_stream_metadata(stream, {"a": 1}))
