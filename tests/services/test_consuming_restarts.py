"""The server is killed and comes back while it is being consumed: every effect is there exactly once."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from esdb_lite import EsdbClient, NewEvent, RecordedEvent, SqliteCheckpoint
from tests.support import PATIENCE, free_port, start_serve

RESTARTS = 5
EACH = 200


class Effects:
    """A consumer that writes a row for every event, on a thread of its own."""

    def __init__(self, address: str, path: Path) -> None:
        self._address = address
        self._path = path
        self._reached = threading.Condition()
        self._count = 0
        self.failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with closing(sqlite3.connect(self._path)) as database, EsdbClient(self._address) as client:
            self._consume(database, client)

    def _consume(self, database: sqlite3.Connection, client: EsdbClient) -> None:
        def handle(events: list[RecordedEvent]) -> None:
            database.executemany("INSERT INTO effects VALUES (?)", [(event.stream_position,) for event in events])
            with self._reached:
                self._count = events[-1].stream_position + 1
                self._reached.notify_all()
            if self._count >= RESTARTS * EACH:
                consumer.stop()

        store = SqliteCheckpoint(database, "effects")
        consumer = client.consumer(handle, checkpoint=store, stream_name="s", batch_size=7)
        try:
            consumer.run()
        except BaseException as error:
            self.failed = error
            raise

    def __enter__(self) -> Effects:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(PATIENCE)

    def reach(self, count: int) -> None:
        """Wait until so many events have been handled."""
        with self._reached:
            assert self._reached.wait_for(lambda: self._count >= count, PATIENCE)


@pytest.mark.slow
def test_the_server_is_killed_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "effects.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE effects (number INTEGER)")
    port = str(free_port())
    server = start_serve("--port", port, "--db", tmp_path / "events.db", folder=tmp_path)
    try:
        with Effects(server.address, path) as effects:
            for restart in range(RESTARTS):
                with EsdbClient(server.address) as client:
                    client.append_events("s", -2, [NewEvent("A", b"{}") for _ in range(EACH)])
                effects.reach(restart * EACH + EACH // 2)
                server.kill()
                server = start_serve("--port", port, "--db", tmp_path / "events.db", folder=tmp_path)
            effects.reach(RESTARTS * EACH)
        assert effects.failed is None
    finally:
        server.kill()
    with closing(sqlite3.connect(path)) as database:
        assert [number for (number,) in database.execute("SELECT number FROM effects")] == list(range(RESTARTS * EACH))
