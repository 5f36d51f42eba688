"""Decisions: loading, deciding and appending as if nobody else did anything meanwhile."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from esdb_lite import (
    AppendResult,
    AsyncEsdbClient,
    Compatibility,
    DeadlineExceeded,
    Decider,
    DecisionResult,
    EmbeddedServer,
    EsdbClient,
    EventTypes,
    ExpectedPositionError,
    InvalidArgument,
    LoadedState,
    NewEvent,
    RecordedEvent,
    RecordsResult,
    RetryPolicy,
    Snapshot,
    Snapshots,
    StreamMetadata,
    StreamState,
    WrongArgumentType,
)
from tests.contract.faces import Face, drain


def count(state: int, event: RecordedEvent) -> int:
    return state + int(event.json()["by"])


def adding(by: int) -> NewEvent:
    return NewEvent.json("Added", {"by": by})


@dataclass
class Total:
    amount: int = 0
    seen: int = 0


def total(state: Total, event: RecordedEvent) -> Total:
    return Total(state.amount + int(event.json()["by"]), state.seen + 1)


@pytest.fixture
def uri(version: str) -> Iterator[str]:
    """A server on a thread of its own: decisions are interrupted by a client that blocks."""
    if real := os.environ.get("ESDB_URI"):
        yield real
        return
    with EmbeddedServer(compatibility=Compatibility(version)) as server:
        yield server.uri


async def test_decisions_one_after_another(client: Any, stream: str) -> None:
    first = await client.decide(stream, count, 0, lambda state: [adding(2), adding(3)])
    assert isinstance(first, DecisionResult)
    assert (first.state, first.position, first.attempts, len(first.events)) == (5, 1, 1, 2)
    assert first.result.stream_position == 1
    second = await client.decide(stream, count, 0, lambda state: adding(-state))
    assert (second.state, second.position) == (0, 2)
    assert await client.load_state(stream, count, 0) == LoadedState(0, 2)
    assert len(await drain(client.read_stream_events(stream))) == 3


async def test_nothing_to_do(client: Any, stream: str) -> None:
    for nothing in (None, []):
        decision = await client.decide(stream, count, 7, lambda state, nothing=nothing: nothing)
        assert (decision.state, decision.events, decision.result, decision.position) == (7, (), None, None)
    assert await client.load_state(stream, count, 7) == LoadedState(7, None)
    assert await client.get_stream_position(stream) is None


async def test_somebody_is_faster(client: Any, uri: str, stream: str) -> None:
    seen: list[int] = []
    with EsdbClient(uri) as other:

        def decide(state: int) -> NewEvent:
            seen.append(state)
            if len(seen) < 3:
                other.append_events(stream, StreamState.ANY, adding(1))
            return adding(10)

        decision = await client.decide(stream, count, 0, decide)
    assert seen == [0, 1, 2]
    assert (decision.state, decision.attempts, decision.position) == (12, 3, 2)


async def test_always_too_late(client: Any, uri: str, stream: str) -> None:
    calls = 0
    with EsdbClient(uri) as other:

        def decide(state: int) -> NewEvent:
            nonlocal calls
            calls += 1
            other.append_events(stream, StreamState.ANY, adding(1))
            return adding(10)

        with pytest.raises(ExpectedPositionError):
            await client.decide(stream, count, 0, decide, attempts=2)
    assert calls == 2
    assert (await client.load_state(stream, count, 0)).state == 2


def begin_anew(other: EsdbClient, stream: str) -> None:
    other.delete_stream(stream)
    other.append_events(stream, StreamState.ANY, adding(1))


def forget_many(other: EsdbClient, stream: str) -> None:
    """It keeps one event only; the one that was read is gone, and so are some that followed."""
    other.set_stream_metadata(stream, StreamMetadata(max_count=1))
    other.append_events(stream, StreamState.ANY, [adding(1), adding(2)])


def forget_one(other: EsdbClient, stream: str) -> None:
    """The event that was read is gone, and still counts: the next one follows it."""
    other.set_stream_metadata(stream, StreamMetadata(max_count=1))
    other.append_events(stream, StreamState.ANY, adding(1))


@pytest.mark.parametrize(
    ("meanwhile", "state", "position"), [(begin_anew, 1, 2), (forget_many, 2, 3), (forget_one, 201, 2)]
)
@pytest.mark.parametrize("across", [False, True])
async def test_a_stream_that_is_another_at_the_next_attempt(
    client: Any, uri: str, stream: str, across: bool, meanwhile: Callable[..., None], state: int, position: int
) -> None:
    """What was read of it before does not count any more, where it was deleted."""
    await client.append_events(stream, None, [adding(100), adding(100)])
    seen: list[int] = []

    def decide(state: int) -> NewEvent:
        seen.append(state)
        if len(seen) == 1:
            with EsdbClient(uri) as other:
                meanwhile(other, stream)
        return adding(10)

    if across:
        await client.decide_across([stream], count, 0, lambda state: {stream: decide(state)})
    else:
        await client.decide(stream, count, 0, decide)
    assert seen == [200, state]
    loaded = await client.load_state(stream, count, 0)
    assert loaded.position == position + 1


async def test_many_at_a_time(client: Any, stream: str) -> None:
    decisions = [client.decide(stream, count, 0, lambda state: adding(1), attempts=1000) for _ in range(8)]
    await asyncio.gather(*decisions)
    assert await client.load_state(stream, count, 0) == LoadedState(8, 7)


async def test_what_the_functions_raise(client: Any, stream: str) -> None:
    await client.append_events(stream, None, [adding(1), NewEvent("Added", b"not JSON")])

    def refuse(state: int) -> None:
        raise KeyError(state)

    with pytest.raises(KeyError):
        await client.decide(stream, lambda state, event: state, 0, refuse)
    with pytest.raises(ValueError, match="Expecting value") as caught:
        await client.decide(stream, count, 0, refuse)
    if sys.version_info >= (3, 11):
        assert f"in the data of Added 1@{stream}" in caught.value.__notes__
    assert await client.get_stream_position(stream) == 1


async def test_a_stream_whose_events_are_gone(client: Any, stream: str) -> None:
    await client.append_events(stream, None, [adding(1), adding(2)])
    await client.set_stream_metadata(stream, StreamMetadata(truncate_before=2))
    decision = await client.decide(stream, count, 0, lambda state: adding(5))
    assert (decision.state, decision.position) == (5, 2)
    await client.delete_stream(stream)
    decision = await client.decide(stream, count, 0, lambda state: adding(6))
    assert (decision.state, decision.position) == (6, 3)


async def test_snapshots(client: Any, stream: str) -> None:
    snapshots = Snapshots(Total, every=2)
    for number in range(5):
        decision = await client.decide(stream, total, Total(), lambda state: adding(1), snapshots=snapshots)
        assert decision.state == Total(number + 1, number + 1)
    (kept,) = await drain(client.read_stream_events(f"snapshot-{stream}"))
    assert (kept.stream_position, kept.json()["position"], kept.json()["state"]) == (1, 3, {"amount": 4, "seen": 4})

    def only_new(state: Total, event: RecordedEvent) -> Total:
        assert event.stream_position > 3
        return total(state, event)

    loaded = await client.load_state(stream, only_new, Total(), snapshots=snapshots)
    assert loaded == LoadedState(Total(5, 5), 4)
    other = Snapshots(Total, every=2, version=2)
    assert await client.load_state(stream, total, Total(), snapshots=other) == loaded


async def test_snapshots_of_a_stream_that_was_begun_anew(client: Any, stream: str) -> None:
    snapshots = Snapshots(Total, every=1)
    await client.decide(stream, total, Total(), lambda state: adding(5), snapshots=snapshots)
    await client.delete_stream(stream)
    decision = await client.decide(stream, total, Total(), lambda state: adding(1), snapshots=snapshots)
    assert decision.state == Total(1, 1)
    await client.set_stream_metadata(stream, StreamMetadata(truncate_before=2))
    assert (await client.load_state(stream, total, Total(), snapshots=snapshots)).state == Total()
    await client.append_events(stream, 1, adding(2))
    assert (await client.load_state(stream, total, Total(), snapshots=snapshots)).state == Total(2, 1)


async def test_a_stream_that_goes_on_right_behind_its_snapshot(
    client: Any, stream: str, caplog: pytest.LogCaptureFixture
) -> None:
    """After its deletion it does, where the snapshot was of its last event."""
    snapshots, seen = Snapshots(int, every=2), []
    for _ in range(4):
        await client.decide(stream, count, 0, lambda state: adding(100), snapshots=snapshots)
    await client.delete_stream(stream, StreamState.ANY)
    for _ in range(3):
        await client.decide(stream, count, 0, lambda state: (seen.append(state), adding(1))[1], snapshots=snapshots)
    assert seen == [0, 1, 2]
    assert "event 3 is missing; the stream was deleted, or truncated there" in caplog.text


async def test_snapshots_of_streams_that_do_not_keep_all(
    client: Any, stream: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a limit nor a truncation that leaves the snapshot's event takes away what it counts."""
    snapshots = Snapshots(int, every=2)
    for _ in range(4):
        await client.decide(stream, count, 0, lambda state: adding(100), snapshots=snapshots)
    for metadata in (StreamMetadata(truncate_before=3), StreamMetadata(max_count=1), StreamMetadata(max_count=2)):
        await client.set_stream_metadata(stream, metadata)
        loaded = await client.load_state(stream, count, 0, snapshots=snapshots)
        assert loaded.state == 400
    await client.append_events(stream, 3, adding(1))
    await client.set_stream_metadata(stream, StreamMetadata(max_count=1))
    assert (await client.load_state(stream, count, 0, snapshots=snapshots)).state == 401
    assert not caplog.records


async def test_snapshots_that_cannot_be_used(client: Any, stream: str, caplog: pytest.LogCaptureFixture) -> None:
    await client.append_events(stream, None, adding(5))
    for content in (NewEvent("Snapshot", b"\x00"), NewEvent.json("Snapshot", {"state": 1, "position": 0})):
        await client.append_events(f"snapshot-{stream}", StreamState.ANY, content)
        with caplog.at_level(logging.WARNING):
            loaded = await client.load_state(stream, total, Total(), snapshots=Snapshots(Total))
        assert loaded == LoadedState(Total(5, 1), 0)
        assert "is no snapshot" in caplog.text
        caplog.clear()


@pytest.mark.parametrize(
    ("member", "value"),
    [("position", "1e999"), ("version", "1e999"), ("position", "-5"), ("position", "1" + 23 * "0")],
)
async def test_snapshots_with_numbers_that_cannot_be(
    client: Any, stream: str, caplog: pytest.LogCaptureFixture, member: str, value: str
) -> None:
    await client.append_events(stream, None, adding(5))
    said = {"state": "0", "position": "0", "eventId": f'"{UUID(int=1)}"', "version": "1", member: value}
    content = "{" + ", ".join(f'"{name}": {each}' for name, each in said.items()) + "}"
    await client.append_events(f"snapshot-{stream}", None, NewEvent("Snapshot", content.encode()))
    assert (await client.load_state(stream, count, 0, snapshots=Snapshots(int))).state == 5
    assert re.search("is no snapshot|is not used", caplog.text)


async def test_snapshots_that_cannot_be_loaded(client: Any, stream: str, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Shelf):
        def load(self, stream_name: str) -> Snapshot | None:
            raise OSError("no shelf")

    await client.append_events(f"snapshot-{stream}", None, adding(5))
    await client.tombstone_stream(f"snapshot-{stream}", StreamState.ANY)
    for number, snapshots in enumerate([Snapshots(Total, every=1), Snapshots(Total, every=1, store=Broken())], 1):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            decision = await client.decide(stream, total, Total(), lambda state: adding(1), snapshots=snapshots)
        assert decision.state == Total(number, number)
        assert f"the snapshot of '{stream}' cannot be loaded" in caplog.text
        assert (await client.load_state(stream, total, Total(), snapshots=snapshots)).state == decision.state


async def test_what_ends_a_program_ends_loading_a_snapshot(client: Any, stream: str) -> None:
    class Interrupted(Shelf):
        def load(self, stream_name: str) -> Snapshot | None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await client.load_state(stream, total, Total(), snapshots=Snapshots(Total, store=Interrupted()))


async def test_snapshots_of_models_with_aliases(client: Any, stream: str) -> None:
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Model", open_balance=(int, pydantic.Field(0, alias="openBalance")))
    seen: list[int] = []

    def decide(state: Any) -> NewEvent:
        seen.append(state.open_balance)
        return adding(1)

    for _ in range(4):
        await client.decide(
            stream,
            lambda state, event: model(openBalance=state.open_balance + 1),
            model(),
            decide,
            snapshots=Snapshots(model, every=1),
        )
    assert seen == [0, 1, 2, 3]


async def test_states_that_would_not_come_back(client: Any, stream: str, caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf()
    snapshots = Snapshots(list, every=1, store=shelf)
    with caplog.at_level(logging.WARNING):
        await client.decide(stream, lambda state, event: [Total(1)], [], lambda state: adding(1), snapshots=snapshots)
    assert f"there is no snapshot of '{stream}': 0: Total(amount=1, seen=0) would be read as" in caplog.text
    assert not shelf.kept


async def test_initial_states_are_not_changed(client: Any, stream: str) -> None:
    initial: list[str] = []
    seen: list[int] = []

    def fold(state: list[str], event: RecordedEvent) -> list[str]:
        state.append(event.type)
        return state

    def decide(state: list[str]) -> NewEvent:
        seen.append(len(state))
        return adding(1)

    for _ in range(3):
        await client.decide(stream, fold, initial, decide)
    await client.decide_across([stream], fold, initial, lambda state: {stream: decide(state)})
    assert (seen, initial) == ([0, 1, 2, 3], [])
    assert (await client.load_state(stream, fold, initial)).state == ["Added"] * 4
    with pytest.raises(InvalidArgument, match="initial: must be a value that can be copied"):
        await client.load_state(stream, fold, (each for each in initial))


class Shelf:
    def __init__(self) -> None:
        self.kept: dict[str, Snapshot] = {}

    def load(self, stream_name: str) -> Snapshot | None:
        return self.kept.get(stream_name)

    def save(self, stream_name: str, snapshot: Snapshot) -> None:
        self.kept[stream_name] = snapshot


async def test_snapshots_elsewhere(client: Any, stream: str) -> None:
    shelf = Shelf()
    snapshots = Snapshots(int, every=1, store=shelf)
    await client.decide(stream, count, 0, lambda state: adding(5), snapshots=snapshots)
    assert (shelf.kept[stream].state, shelf.kept[stream].position) == (5, 0)
    assert (await client.load_state(stream, count, 0, snapshots=snapshots)).state == 5


async def test_several_streams(client: Any, stream: str) -> None:
    a, b = f"{stream}-a", f"{stream}-b"
    await client.append_events(a, None, adding(1))

    def decide(state: int) -> dict[str, NewEvent]:
        return {b: adding(state * 10)}

    decision = await client.decide_across([a, b], count, 0, decide)
    assert (decision.state, decision.positions, decision.attempts) == (11, {a: 0, b: 0}, 1)
    decision = await client.decide_across([a, b], count, 0, lambda state: {a: [adding(1), adding(2)], b: adding(3)})
    assert (decision.state, decision.positions) == (17, {a: 2, b: 1})
    assert (await client.decide_across([a, b], count, 0, lambda state: None)).result is None


async def test_several_streams_of_which_one_changes(client: Any, uri: str, stream: str) -> None:
    a, b = f"{stream}-a", f"{stream}-b"
    seen: list[int] = []
    with EsdbClient(uri) as other:

        def decide(state: int) -> dict[str, NewEvent]:
            seen.append(state)
            if len(seen) == 1:
                other.append_events(a, None, adding(5))
            return {b: adding(1)}

        decision = await client.decide_across([a, b], count, 0, decide)
    assert seen == [0, 5]
    assert (decision.state, decision.positions, decision.attempts) == (6, {a: 0, b: 0}, 2)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "text"),
    [
        (("", count, 0, count), {}, InvalidArgument, "stream_name: must not be empty"),
        (("s", None, 0, count), {}, WrongArgumentType, "fold: must be a function, not None"),
        (("s", count, 0, 5), {}, WrongArgumentType, "decide: must be a function, not 5"),
        (("s", count, 0, count), {"attempts": 0}, InvalidArgument, "attempts"),
        (("s", count, 0, count), {"snapshots": Total}, WrongArgumentType, "snapshots: must be Snapshots"),
        (("s", count, 0, count), {"timeout": "x"}, WrongArgumentType, "timeout"),
        (("s", count, 0, lambda state: 5), {}, WrongArgumentType, "events: must be a NewEvent or a sequence of them"),
    ],
)
async def test_wrong_arguments(client: Any, arguments: Any, options: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        await client.decide(*arguments, **options)


async def test_wrong_streams(client: Any, stream: str) -> None:
    with pytest.raises(InvalidArgument, match="stream_names: must be one name or more, each once"):
        await client.decide_across([stream, stream], count, 0, lambda state: None)
    with pytest.raises(WrongArgumentType, match="stream_names"):
        await client.decide_across(stream, count, 0, lambda state: None)
    with pytest.raises(InvalidArgument, match="for streams of stream_names only, not 'another'"):
        await client.decide_across([stream], count, 0, lambda state: {"another": adding(1)})
    with pytest.raises(WrongArgumentType, match="must return events by the names"):
        await client.decide_across([stream], count, 0, lambda state: adding(1))


async def test_the_time_is_over(client: Any, stream: str) -> None:
    with pytest.raises(DeadlineExceeded):
        await client.decide(stream, count, 0, lambda state: adding(1), timeout=0)


types = EventTypes()


@types.register("Added")
@dataclass(frozen=True)
class Added:
    by: int


def fold_values(state: int, event: object) -> int:
    return state + event.by if isinstance(event, Added) else state


@pytest.mark.skipif("ESDB_URI" in os.environ, reason="the answers of a real server cannot be lost to order")
@pytest.mark.parametrize("face", ["async", "sync"])
async def test_lost_answers(face: str, stream: str) -> None:
    policy = RetryPolicy(attempts=1)
    with EmbeddedServer() as server:
        made: Any = (
            AsyncEsdbClient(server.uri, retry=policy, event_types=types)
            if face == "async"
            else Face(EsdbClient(server.uri, retry=policy, event_types=types))
        )
        async with made as client:
            await client.append_events(stream, None, [Added(1), NewEvent("Noted", b"\x00")])
            server.faults.lose_answers()
            decision = await client.decide(stream, fold_values, 0, lambda state: [Added(state + 1)])
            (event,) = await drain(client.read_stream_events(stream, 2))
            written = AppendResult(event.commit_position, 2)  # as if the answer had come
            assert (decision.state, decision.result, decision.position, decision.attempts) == (3, written, 2, 1)
            decided: list[int] = []

            def decide(state: int) -> dict[str, Added] | None:
                decided.append(state)
                return {stream: Added(10)} if state < 10 else None

            server.faults.lose_answers()
            across = await client.decide_across([stream, f"{stream}-other"], fold_values, 0, decide)
            assert (across.state, across.positions) == (13, {stream: 3, f"{stream}-other": None})
            (event,) = await drain(client.read_stream_events(stream, 3))
            assert across.result == RecordsResult(event.commit_position, {stream: 3})
            assert decided == [3]


@dataclass(frozen=True)
class Add:
    by: int


def limited(state: Total, command: Add) -> list[NewEvent] | None:
    return None if state.amount + command.by > 10 else [adding(command.by)]


async def test_a_decider(client: Any, stream: str) -> None:
    totals = Decider(fold=total, initial=Total, stream=f"{stream}-{{}}", decide=limited)
    assert (await totals.load_state(client, 7)) == LoadedState(Total(), None)
    assert (await totals.decide(client, 7, Add(8))).state == Total(8, 1)
    assert (await totals.decide(client, 7, Add(3))).events == ()
    assert (await totals.decide(client, 8, Add(3))).state == Total(3, 1)
    assert await totals.load_state(client, 7) == LoadedState(Total(8, 1), 0)
    assert await client.load_state(f"{stream}-7", total, Total()) == LoadedState(Total(8, 1), 0)
    with pytest.raises(DeadlineExceeded):
        await totals.decide(client, 7, Add(1), timeout=0)


async def test_a_decider_whose_commands_are_functions(client: Any, uri: str, stream: str) -> None:
    def grown(state: list[int], event: RecordedEvent) -> list[int]:
        state.append(int(event.json()["by"]))
        return state

    lists = Decider(fold=grown, initial=list, stream=f"{stream}-{{}}", snapshots=Snapshots(list, every=2))
    with EsdbClient(uri) as other:

        def decide(state: list[int]) -> NewEvent:
            if not state:
                other.append_events(lists.stream_name("a"), None, adding(1))
            return adding(len(state) + 1)

        with pytest.raises(ExpectedPositionError):
            await lists.decide(client, "a", decide, attempts=1)
        await client.delete_stream(lists.stream_name("a"))
        await client.append_events(lists.stream_name("b"), None, adding(5))
        decision = await lists.decide(client, "b", decide)
    assert (decision.state, decision.attempts) == ([5, 2], 1)
    assert (await lists.load_state(client, "c")).state == []  # each has a list of its own
    (kept,) = await drain(client.read_stream_events(f"snapshot-{stream}-b"))
    assert kept.json()["state"] == [5, 2]
    with pytest.raises(WrongArgumentType, match="command: must be a function of the state"):
        await lists.decide(client, "c", "pay")


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"fold": None}, WrongArgumentType, "fold: must be a function, not None"),
        ({"initial": Total()}, WrongArgumentType, "initial: must be a function"),
        ({"decide": 5}, WrongArgumentType, "decide: must be a function, not 5"),
        ({"stream": 5}, WrongArgumentType, "stream: must be a str"),
        ({"stream": "total"}, InvalidArgument, "stream: must have {} once"),
        ({"stream": "{}-{}"}, InvalidArgument, "stream: must have {} once"),
        ({"snapshots": 5}, WrongArgumentType, "snapshots: must be Snapshots"),
    ],
)
def test_wrong_deciders(options: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Decider(**{"fold": total, "initial": Total, "stream": "total-{}", **options})


def test_streams_of_a_decider() -> None:
    decider = Decider(fold=total, initial=Total, stream="total-{}")
    named = UUID(int=7)
    assert [decider.stream_name(each) for each in ("a{}", 7, named)] == ["total-a{}", "total-7", f"total-{named}"]
    for wrong in (None, True, b"a", ("a", 1)):
        with pytest.raises(WrongArgumentType, match="id: must be a str, an int or a UUID"):
            decider.stream_name(wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="id: must not be empty"):
        decider.stream_name("")
    assert repr(decider) == "<Decider total-{}>"
