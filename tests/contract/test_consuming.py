"""Consumers that remember where they are: nothing is left out, nothing comes twice, whatever ends them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from esdb_lite import (
    AsyncEsdbClient,
    Checkpoint,
    CheckpointConflict,
    CheckpointMismatch,
    ClientClosed,
    DeadlineExceeded,
    ErrorAction,
    FileCheckpoint,
    Filter,
    InvalidArgument,
    NewEvent,
    RecordedEvent,
    SqliteCheckpoint,
    StreamDeleted,
    WrongArgumentType,
)
from esdb_lite.positions import LARGEST
from tests.contract.consuming import PATIENCE, Consuming, Notes, as_coroutine
from tests.contract.faces import Face, new


class Memory:
    """A store for tests that look at what is saved."""

    def __init__(self, stored: int | Checkpoint | None = None) -> None:
        self.saved: list[Any] = [] if stored is None else [stored]

    def load(self) -> Any:
        return self.saved[-1] if self.saved else None

    def save(self, position: int | Checkpoint) -> None:
        self.saved.append(position)


def functions(folder: Path) -> Any:
    kept = Memory()
    return lambda: (kept.load, kept.save)


STORES: dict[str, Callable[[Path], Callable[[], Any]]] = {
    "file": lambda folder: lambda: FileCheckpoint(folder / "position.json"),
    "sqlite": lambda folder: lambda: SqliteCheckpoint(folder / "positions.sqlite", "totals"),
    "functions": functions,
}


@pytest.fixture(params=STORES)
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Any]:
    return STORES[request.param](tmp_path)


# --- going on ---


@pytest.mark.parametrize("batch_size", [1, 7])
async def test_it_goes_on_where_it_was_stopped(
    client: Any, stream: str, make_store: Callable[[], Any], batch_size: int
) -> None:
    await client.append_events(stream, None, new(100))
    seen: list[int] = []
    for stop_at in (1, 10, 40, 100):
        notes = Notes(stop_at - len(seen))
        consuming = Consuming(client, notes, checkpoint=make_store(), stream_name=stream, batch_size=batch_size)
        await consuming.run()
        seen += notes.positions
        assert consuming.progress.position == consuming.progress.stored == seen[-1]
        assert max(notes.sizes) <= batch_size
        if len(seen) >= 100:
            break
    assert seen == list(range(100))


async def test_all_events_of_a_type(client: Any, stream: str, make_store: Callable[[], Any]) -> None:
    await client.append_events(stream, None, new(20, f"A{stream}") + new(20, "Odd") + new(20, f"A{stream}"))
    seen: list[int] = []
    for _ in range(4):
        notes = Notes(10)
        consuming = Consuming(client, notes, checkpoint=make_store(), filter_include=[f"A{stream}"])
        await consuming.run()
        seen += notes.positions
        assert isinstance(consuming.progress.stored, Checkpoint)
    assert seen == [*range(20), *range(40, 60)]


async def test_stored_events_then_those_that_are_appended(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(3))
    notes, store = Notes(), Memory()
    async with Consuming(client, notes, checkpoint=store, stream_name=stream, batch_size=100):
        await notes.reach(3)
        for number in range(3, 8):
            await client.append_events(stream, number - 1, new(1))
            await notes.reach(number + 1)
    assert notes.positions == list(range(8))
    assert store.saved[-1] == 7
    assert set(notes.sizes[1:]) == {1}  # it never waits for more


async def test_where_to_begin_when_nothing_is_stored(client: Any, stream: str) -> None:
    result = await client.append_events(stream, None, new(5))
    for options, first in [
        ({"stream_name": stream}, 0),
        ({"stream_name": stream, "position": 2}, 3),
        ({"position": result}, 5),
        ({"position": Checkpoint(result, result)}, 5),
    ]:
        notes = Notes(1)
        async with Consuming(client, notes, checkpoint=Memory(), **options):
            if first == 5:
                await client.append_events(stream, -2, new(1))
            await notes.reach(1)
        assert notes.positions[0] >= first
    notes = Notes(1)
    await Consuming(client, notes, checkpoint=Memory(3), stream_name=stream, position=0).run()
    assert notes.positions == [4]


async def test_from_the_end(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(5))
    notes, store = Notes(), Memory()
    consuming = Consuming(client, notes, checkpoint=store, stream_name=stream, from_end=True)
    async with consuming:
        await consuming.until(lambda progress: progress.caught_up)
        await client.append_events(stream, 4, new(1))
        await notes.reach(1)
    assert notes.positions == [5]
    # where it began is stored, too, so that what is appended while it is away comes when it is back
    assert store.saved == [4, 5]
    await client.append_events(stream, 5, new(2))
    again = Notes(2)
    await Consuming(client, again, checkpoint=store, stream_name=stream, from_end=True).run()
    assert again.positions == [6, 7]


async def test_through_links_it_is_their_place_that_counts(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(30))
    await client.append_events(
        f"{stream}-links", None, [NewEvent("$>", b"%d@%s" % (n, stream.encode())) for n in (7, 3)]
    )
    notes, store = Notes(1), Memory()
    await Consuming(client, notes, checkpoint=store, stream_name=f"{stream}-links", resolve_links=True).run()
    assert (notes.positions, store.saved) == ([7], [0])
    await Consuming(client, notes, checkpoint=store, stream_name=f"{stream}-links", resolve_links=True).run()
    assert (notes.positions, store.saved) == ([7, 3], [0, 1])


async def test_a_sparse_filter_moves_on(client: Any, stream: str) -> None:
    start = await client.append_events(stream, None, new(1))
    some = Filter.by_event_type(include=[f"Never{stream}"], window=8, checkpoint_interval=1)
    notes, store = Notes(), Memory()
    consuming = Consuming(client, notes, checkpoint=store, position=start, filter=some)
    async with consuming:
        await consuming.until(lambda progress: progress.caught_up)
        end = await client.append_events(stream, 0, new(200))
        # while it runs, and waits for events
        await consuming.until(lambda progress: store.saved and store.saved[-1].commit_position > int(start))
    assert notes.positions == []
    assert int(start) < store.saved[-1].commit_position <= end
    await client.append_events(stream, 200, new(1, f"Never{stream}"))
    await Consuming(client, (again := Notes(1)), checkpoint=store, filter=some).run()
    assert again.positions == [201]


# --- failures ---


async def test_a_failing_handler_ends_it_and_its_event_comes_again(
    client: Any, stream: str, make_store: Callable[[], Any]
) -> None:
    await client.append_events(stream, None, new(30))
    notes, failure = Notes(30), LookupError("no such customer")
    seen: list[int] = []

    def handle(event: RecordedEvent) -> None:
        if event.stream_position % 10 == 5 and event.stream_position not in seen:
            seen.append(event.stream_position)
            raise failure
        notes(event)

    for _ in range(3):
        consuming = Consuming(client, handle, checkpoint=make_store(), stream_name=stream)
        with pytest.raises(LookupError) as caught:
            await consuming.run()
        assert caught.value is failure
    notes.consumer = consuming = Consuming(client, handle, checkpoint=make_store(), stream_name=stream)
    await consuming.run()
    assert notes.positions == list(range(30))


async def test_every_effect_is_there_exactly_once(client: Any, stream: str, tmp_path: Path) -> None:
    """However often the handler fails, before and after it has written, and whatever is skipped or tried again."""
    await client.append_events(stream, None, new(60))
    attempts = 0

    def decide(events: list[RecordedEvent], error: Exception, attempt: int) -> ErrorAction:
        return ErrorAction.RETRY if isinstance(error, LookupError) else ErrorAction.STOP

    def run() -> Consuming:
        store = SqliteCheckpoint(tmp_path / "totals.sqlite", "totals")

        def handle(events: list[RecordedEvent]) -> None:
            nonlocal attempts
            attempts += 1
            store.connection.execute("CREATE TABLE IF NOT EXISTS effects (number INTEGER)")
            for event in events:
                store.connection.execute("INSERT INTO effects VALUES (?)", (event.stream_position,))
                if attempts % 3 == 1:
                    raise LookupError
                if attempts % 7 == 2:
                    raise ArithmeticError
            if events[-1].stream_position == 59:
                consuming.stop()

        consuming = Consuming(
            client, handle, checkpoint=store, stream_name=stream, batch_size=4, on_error=decide, retry_pause=0.0
        )
        return consuming

    failures = 0
    while True:
        try:
            await run().run()
        except ArithmeticError:
            failures += 1
        else:
            break
    assert failures > 2
    store = SqliteCheckpoint(tmp_path / "totals.sqlite", "totals")
    effects = [number for (number,) in store.connection.execute("SELECT number FROM effects")]
    store.release()
    assert effects == list(range(60))


async def test_the_first_failure_is_the_one_that_is_raised(client: Any, stream: str) -> None:
    """Also where the store fails at everything after it."""
    await client.append_events(stream, None, new(1))

    class Broken(Memory):
        def rollback(self) -> None:
            raise OSError("the connection is gone")

        def release(self) -> None:
            raise OSError("the connection is gone")

    def handle(event: RecordedEvent) -> None:
        raise failure

    failure = LookupError()
    with pytest.raises(LookupError) as caught:
        await Consuming(client, handle, checkpoint=Broken(), stream_name=stream).run()
    assert caught.value is failure


async def test_skipping_and_trying_again(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(5))
    notes, store = Notes(5), Memory()

    def handle(event: RecordedEvent) -> None:
        notes(event)
        if event.stream_position in (1, 3):
            raise ValueError(event.stream_position)

    def decide(event: RecordedEvent, error: Exception, attempt: int) -> ErrorAction:
        return ErrorAction.SKIP if event.stream_position == 1 or attempt == 3 else ErrorAction.RETRY

    consuming = Consuming(client, handle, checkpoint=store, stream_name=stream, on_error=decide, retry_pause=0.001)
    async with consuming:
        await notes.reach(7)
        await consuming.until(lambda progress: progress.stored == 4)
    assert notes.positions == [0, 1, 2, 3, 3, 3, 4]


async def test_a_pause_is_cut_short_by_stopping(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(2))
    store, failed = Memory(), Notes()

    def handle(event: RecordedEvent) -> None:
        failed(event)
        if event.stream_position == 1:
            raise ValueError

    options = {"on_error": lambda *_: ErrorAction.RETRY, "retry_pause": 3600.0}
    async with Consuming(client, handle, checkpoint=store, stream_name=stream, **options):
        await failed.reach(2)
    assert store.saved == [0]


async def test_the_end_of_a_stream_is_the_end_of_its_consumer(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(2))
    notes, store = Notes(), Memory()
    consuming = Consuming(client, notes, checkpoint=store, stream_name=stream, checkpoint_every=100)
    running = asyncio.ensure_future(consuming.run())
    await notes.reach(2)
    await client.tombstone_stream(stream)
    with pytest.raises(StreamDeleted):
        await running
    assert notes.positions == [0, 1, LARGEST]  # the last one says that the stream was deleted
    assert store.saved == [LARGEST]


async def test_the_time_is_up(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(2))
    notes, store = Notes(), Memory()
    with pytest.raises(DeadlineExceeded):
        await Consuming(client, notes, checkpoint=store, stream_name=stream, checkpoint_every=100, timeout=0.5).run()
    assert (notes.positions, store.saved) == ([0, 1], [1])


async def test_the_client_is_closed(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(2))
    notes, store = Notes(), Memory()
    running = asyncio.ensure_future(Consuming(client, notes, checkpoint=store, stream_name=stream).run())
    await notes.reach(2)
    await client.close()
    with pytest.raises(ClientClosed):
        await running
    assert store.saved == [0, 1]


# --- checkpoints ---


async def test_how_often_it_is_stored(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(25))
    for options, saved in [
        ({"batch_size": 100}, None),
        ({"checkpoint_every": 10}, [9, 19, 24]),
        ({"checkpoint_interval": 3600.0}, [0, 24]),
        ({"checkpoint_interval": 3600.0, "checkpoint_every": 20}, [0, 20, 24]),
    ]:
        notes, store = Notes(), Memory()
        async with Consuming(client, notes, checkpoint=store, stream_name=stream, **options):
            await notes.reach(25)
        assert saved is None or store.saved == saved
        assert store.saved[-1] == 24


async def test_what_was_handled_is_stored_when_the_interval_has_passed(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(2))
    notes, store = Notes(), Memory(0)
    consuming = Consuming(client, notes, checkpoint=store, stream_name=stream, checkpoint_interval=0.1)
    async with consuming:
        await consuming.until(lambda progress: progress.stored == 1)


async def test_the_checkpoint_of_another_stream_or_filter_is_refused(client: Any, stream: str, tmp_path: Path) -> None:
    await client.append_events(stream, None, new(1))
    for store in (FileCheckpoint(tmp_path / "position"), SqliteCheckpoint(tmp_path / "positions.sqlite", "totals")):
        await Consuming(client, Notes(1), checkpoint=store, stream_name=stream).run()
        for options in ({"stream_name": f"{stream}-2"}, {}, {"filter_include": ["A"]}):
            with pytest.raises(CheckpointMismatch, match=f"stream {stream}"):
                await Consuming(client, Notes(), checkpoint=store, **options).run()
    with pytest.raises(CheckpointMismatch):
        await Consuming(client, Notes(), checkpoint=Memory(Checkpoint(1, 1)), stream_name=stream).run()


async def test_a_number_at_which_no_event_begins(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(1))
    with pytest.raises(CheckpointMismatch, match="no event begins"):
        await Consuming(client, Notes(), checkpoint=Memory(5)).run()


async def test_a_sparse_filter_moves_on_through_what_is_stored(client: Any, stream: str) -> None:
    start = await client.append_events(stream, None, new(1))
    end = await client.append_events(stream, 0, new(200))
    some = Filter.by_event_type(include=[f"Never{stream}"], window=8, checkpoint_interval=1)
    store = Memory()
    consuming = Consuming(client, Notes(), checkpoint=store, position=start, filter=some)
    async with consuming:
        await consuming.until(lambda progress: progress.caught_up)
    assert int(start) < store.saved[-1].commit_position <= end
    assert len(store.saved) < 10  # 25 were told


@pytest.mark.parametrize("kind", ["file", "sqlite"])
async def test_two_consumers_with_one_checkpoint(client: Any, stream: str, tmp_path: Path, kind: str) -> None:
    """As soon as both have something to store, one of them gets to know."""
    make_store = STORES[kind](tmp_path)
    await client.append_events(stream, None, new(3))
    pair = [Consuming(client, Notes(), checkpoint=make_store(), stream_name=stream) for _ in range(2)]
    running = set()
    for consuming in pair:
        consuming.task = asyncio.ensure_future(consuming.run())
        running.add(consuming.task)
        await consuming.until(lambda progress: progress.stored == 2)
    while True:
        await client.append_events(stream, -2, new(1))
        done, running = await asyncio.wait(running, timeout=0.2, return_when=asyncio.FIRST_COMPLETED)
        if done:
            break
    for consuming in pair:
        consuming.stop()
    with pytest.raises(CheckpointConflict):
        await done.pop()
    await asyncio.gather(*done, *running)


# --- ending ---


async def test_stopped_from_elsewhere(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(3))
    notes, store = Notes(), Memory()
    for stop in ("task", "thread"):
        notes = Notes()
        consuming = Consuming(client, notes, checkpoint=store, stream_name=stream, position=None, checkpoint_every=100)
        running = asyncio.ensure_future(consuming.run())
        await consuming.until(lambda progress: progress.caught_up)
        if stop == "task":
            consuming.stop()
        else:
            thread = threading.Thread(target=consuming.stop)
            thread.start()
            thread.join()
        await running
    assert store.saved == [2]


async def test_the_handler_that_runs_comes_to_its_end(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(3))
    begun, may_end, ended = threading.Event(), threading.Event(), []

    def handle(event: RecordedEvent) -> None:
        begun.set()
        assert may_end.wait(PATIENCE)
        ended.append(event.stream_position)

    async def handle_async(event: RecordedEvent) -> None:
        begun.set()
        await asyncio.to_thread(may_end.wait, PATIENCE)
        ended.append(event.stream_position)

    store = Memory()
    consumer = (
        client._inner.consumer(handle, checkpoint=store, stream_name=stream)
        if isinstance(client, Face)
        else client.consumer(handle_async, checkpoint=store, stream_name=stream)
    )
    running = asyncio.ensure_future(asyncio.to_thread(consumer.run) if isinstance(client, Face) else consumer.run())
    await asyncio.to_thread(begun.wait, PATIENCE)
    consumer.stop()
    assert ended == []
    may_end.set()
    await asyncio.wait_for(running, PATIENCE)
    assert (ended, store.saved) == ([0], [0])


async def test_stopped_before_it_runs(client: Any, stream: str) -> None:
    consuming = Consuming(client, Notes(), checkpoint=Memory(), stream_name=stream)
    consuming.stop()
    await consuming.run()


async def test_it_runs_once(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(1))
    consuming = Consuming(client, Notes(1), checkpoint=Memory(), stream_name=stream)
    await consuming.run()
    with pytest.raises(ClientClosed, match="runs once"):
        await consuming.run()


async def test_leaving_the_block_waits_for_the_end(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(3))
    notes, store = Notes(), Memory()
    consuming = Consuming(client, notes, checkpoint=store, stream_name=stream, checkpoint_every=100)
    if consuming.threaded:

        def block() -> None:
            with consuming.made as consumer:
                thread = threading.Thread(target=consumer.run)
                thread.start()
                asyncio.run_coroutine_threadsafe(notes.reach(3), loop).result(PATIENCE)
            assert store.saved == [2]
            thread.join()

        loop = asyncio.get_running_loop()
        await asyncio.to_thread(block)
    else:
        async with consuming.made as consumer:
            running = asyncio.ensure_future(consumer.run())
            await notes.reach(3)
        assert store.saved == [2]
        await running


async def test_running_inside_the_block(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(3))
    consuming = Consuming(client, Notes(2), checkpoint=Memory(), stream_name=stream)
    if consuming.threaded:
        with consuming.made:
            await consuming.run()
    else:
        async with consuming.made as consumer:
            await consumer.run()
    assert consuming.progress.handled == 2


async def test_consume_is_a_consumer_that_runs(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(2))
    notes, store = Notes(), Memory()

    def handle(events: list[RecordedEvent]) -> None:
        notes(events)
        if len(notes.positions) == 2:
            raise ZeroDivisionError

    handler: Any = handle if isinstance(client, Face) else as_coroutine(handle)
    with pytest.raises(ZeroDivisionError):
        await client.consume(handler, checkpoint=store, stream_name=stream, batch_size=1000)
    assert notes.positions == [0, 1]


# --- progress ---


async def test_progress(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(40))
    notes = Notes(10)
    consuming = Consuming(client, notes, checkpoint=Memory(), stream_name=stream)
    assert (consuming.progress.position, consuming.progress.lag, consuming.progress.rate) == (None, None, 0.0)
    await consuming.run()
    progress = consuming.progress
    assert (progress.position, progress.stored, progress.handled, progress.caught_up) == (9, 9, 10, False)
    assert progress.lag_events == 30
    assert progress.lag is not None
    assert 0 < progress.lag < 60
    assert progress.rate > 0
    consuming = Consuming(client, Notes(), checkpoint=Memory(9), stream_name=stream)
    async with consuming:
        await consuming.until(lambda progress: progress.caught_up)
    progress = consuming.progress
    assert (progress.position, progress.handled, progress.lag, progress.lag_events) == (39, 30, 0.0, 0)


async def test_progress_on_all_events(client: Any, stream: str) -> None:
    start = await client.append_events(stream, None, new(1))
    await client.append_events(stream, 0, new(3))
    consuming = Consuming(client, Notes(), checkpoint=Memory(), position=start)
    async with consuming:
        await consuming.until(lambda progress: progress.caught_up)
    assert consuming.progress.lag_events is None
    assert isinstance(consuming.progress.position, Checkpoint)


# --- wrong arguments ---


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"handler": 7}, "handler"),
        ({"checkpoint": 7}, "checkpoint"),
        ({"checkpoint": "position.json"}, "checkpoint"),
        ({"checkpoint": Path("position.json")}, "checkpoint"),
        ({"checkpoint": (print,)}, "checkpoint"),
        ({"checkpoint": (print, 7)}, "checkpoint"),
        ({"stream_name": ""}, "stream_name"),
        ({"stream_name": "$all"}, "stream_name"),
        ({"stream_name": "s", "filter_include": ["A"]}, "filter"),
        ({"filter": 7}, "filter"),
        ({"filter_exclude": ["("]}, "filter_exclude"),
        ({"position": -1}, "position"),
        ({"position": 3, "from_end": True}, "position"),
        ({"stream_name": "s", "position": Checkpoint(1, 1)}, "position"),
        ({"from_end": 1}, "from_end"),
        ({"resolve_links": 1}, "resolve_links"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": True}, "batch_size"),
        ({"batch_size": 1.5}, "batch_size"),
        ({"checkpoint_every": 0}, "checkpoint_every"),
        ({"checkpoint_interval": -1}, "checkpoint_interval"),
        ({"checkpoint_interval": float("nan")}, "checkpoint_interval"),
        ({"checkpoint_interval": "1"}, "checkpoint_interval"),
        ({"checkpoint": SqliteCheckpoint("x", "y"), "checkpoint_every": 5}, "checkpoint_every"),
        ({"checkpoint": SqliteCheckpoint("x", "y"), "checkpoint_interval": 5.0}, "checkpoint_interval"),
        ({"on_error": ErrorAction.SKIP}, "on_error"),
        ({"on_error": asyncio.sleep}, "on_error"),
        ({"retry_pause": -1}, "retry_pause"),
        ({"timeout": "1"}, "timeout"),
        ({"credentials": 7}, "credentials"),
    ],
)
async def test_what_cannot_be_consumed(client: Any, arguments: dict[str, Any], argument: str) -> None:
    given = {"handler": print, "checkpoint": Memory(), **arguments}
    with pytest.raises(InvalidArgument, match=f"^{argument}"):
        (client._inner if isinstance(client, Face) else client).consumer(**given)
    with pytest.raises(InvalidArgument, match=f"^{argument}"):
        await client.consume(**given)


async def test_handlers_of_the_other_kind(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(1))

    async def load() -> None:
        raise AssertionError

    if isinstance(client, AsyncEsdbClient):
        store, handled = Memory(), Notes()
        with pytest.raises(WrongArgumentType, match="handler: must be a coroutine function"):
            await client.consume(handled, checkpoint=store, stream_name=stream)  # type: ignore[arg-type]
        assert store.saved == []
    else:
        with pytest.raises(WrongArgumentType, match="handler"):
            await client.consume(load, checkpoint=Memory(), stream_name=stream)
        with pytest.raises(WrongArgumentType, match="checkpoint"):
            await client.consume(print, checkpoint=(load, print), stream_name=stream)


async def test_a_store_that_has_no_position_to_tell(client: Any, stream: str) -> None:
    with pytest.raises(WrongArgumentType, match="checkpoint"):
        await Consuming(client, Notes(), checkpoint=(lambda: "7", print), stream_name=stream).run()
