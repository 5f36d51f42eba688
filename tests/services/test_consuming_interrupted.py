"""Ctrl-C ends a consumer at once, wherever it is, and leaves nothing half done."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from esdb_lite import EmbeddedServer, EsdbClient, NewEvent, RecordedEvent, SqliteCheckpoint
from tests.support import PATIENCE

EVENTS = 10


@pytest.fixture
def client() -> Iterator[EsdbClient]:
    with EmbeddedServer() as server, EsdbClient(server.uri) as made:
        made.append_events("s", None, [NewEvent("A", b"{}") for _ in range(EVENTS)])
        yield made


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "effects.sqlite")) as connection:
        connection.execute("CREATE TABLE effects (number INTEGER)")
        yield connection


@pytest.mark.parametrize("moment", ["handling", "waiting"])
def test_ctrl_c(client: EsdbClient, database: sqlite3.Connection, ctrl_c: Callable[[], None], moment: str) -> None:
    done = threading.Event()

    def handle(event: RecordedEvent) -> None:
        database.execute("INSERT INTO effects VALUES (?)", (event.stream_position,))
        if moment == "handling" and event.stream_position == 5:
            ctrl_c()
        if event.stream_position == EVENTS - 1:
            done.set()

    def wait_and_interrupt() -> None:
        assert done.wait(PATIENCE)
        while consumer.progress.stored != EVENTS - 1:
            pass
        ctrl_c()

    consumer = client.consumer(handle, checkpoint=SqliteCheckpoint(database, "effects"), stream_name="s")
    thread = threading.Thread(target=wait_and_interrupt)
    if moment == "waiting":
        thread.start()
    with pytest.raises(KeyboardInterrupt):
        consumer.run()
    expected = EVENTS if moment == "waiting" else 5
    assert not database.in_transaction
    assert database.execute("SELECT count(*) FROM effects").fetchone() == (expected,)
    assert consumer.progress.stored == expected - 1
    if moment == "waiting":
        thread.join()
    goes_on(client, database, expected)


def goes_on(client: EsdbClient, database: sqlite3.Connection, first: int) -> None:
    """The client is as good as before, and the next consumer has the rest."""
    client.append_events("s", EVENTS - 1, NewEvent("A", b"{}"))
    numbers: list[int] = []

    def handle(event: RecordedEvent) -> None:
        numbers.append(event.stream_position)
        if event.stream_position == EVENTS:
            consumer.stop()

    consumer = client.consumer(handle, checkpoint=SqliteCheckpoint(database, "effects"), stream_name="s")
    consumer.run()
    assert numbers == list(range(first, EVENTS + 1))
