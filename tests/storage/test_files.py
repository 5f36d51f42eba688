# ruff: noqa: ASYNC240
"""Whose file it is, what it is, and what is said when it cannot be used."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from esdb_lite.server.database.maintenance import backup, verify
from esdb_lite.server.engine.model import ANY, NO_STREAM, Appended
from esdb_lite.server.storage import errors
from esdb_lite.server.storage.files import Files
from tests.storage.support import event, events, log, of_stream, opened, written

HOLDER = """
import sys
from esdb_lite.server.storage.files import Files
files = Files(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "events.db")


@contextmanager
def held_by_another_process(path: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HOLDER, path]
    with subprocess.Popen(command, text=True, stdin=-1, stdout=-1, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def refusal(path: str) -> tuple[str, str]:
    with pytest.raises(errors.StorageError) as caught:
        Files(path).close()
    text = str(caught.value)
    assert "\n" not in text
    assert path in text
    return type(caught.value).__name__, text


class TestOwnership:
    def test_a_second_opener_in_the_same_process_is_refused(self, path: str) -> None:
        files = Files(path)
        kind, text = refusal(path)
        files.close()
        assert kind == "StorageLocked"
        assert f"process {os.getpid()}" in text
        Files(path).close()

    def test_a_second_process_is_refused_until_the_first_is_killed(self, path: str) -> None:
        with held_by_another_process(path) as process:
            assert refusal(path)[0] == "StorageLocked"
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            Files(path).close()

    def test_another_name_of_the_file_is_the_same_file(self, path: str, tmp_path: Path) -> None:
        Files(path).close()
        os.symlink(path, tmp_path / "link.db")
        files = Files(path)
        assert refusal(str(tmp_path / "link.db"))[0] == "StorageLocked"
        files.close()

    def test_backup_and_verification_need_no_ownership(self, path: str, tmp_path: Path) -> None:
        with held_by_another_process(path):
            assert verify(path) == []
            backup(path, str(tmp_path / "copy.db"))
        assert verify(str(tmp_path / "copy.db")) == []

    def test_nothing_is_left_beside_a_closed_file(self, path: str, tmp_path: Path) -> None:
        Files(path).close()
        assert os.listdir(tmp_path) == ["events.db"]


class TestRecognition:
    def test_a_file_that_is_not_sqlite(self, path: str) -> None:
        Path(path).write_bytes(b"some text " * 100)
        assert refusal(path)[0] == "StorageNotADatabase"
        assert Path(path).read_bytes() == b"some text " * 100

    def test_a_database_of_another_program(self, path: str) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE theirs (x)")
        before = Path(path).read_bytes()
        assert refusal(path)[0] == "StorageNotADatabase"
        assert Path(path).read_bytes() == before

    def test_a_file_of_a_later_version(self, path: str) -> None:
        Files(path).close()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version=2")
        kind, text = refusal(path)
        assert kind == "StorageTooNew"
        assert text.endswith("has schema version 2, this program knows 1")

    def test_an_empty_file_is_a_new_database(self, path: str) -> None:
        Path(path).touch()
        Files(path).close()
        assert verify(path) == []

    def test_a_folder_and_a_missing_folder(self, tmp_path: Path) -> None:
        assert refusal(str(tmp_path))[0] == "StorageUnavailable"
        assert refusal(str(tmp_path / "none" / "events.db"))[0] == "StorageUnavailable"
        assert os.listdir(tmp_path) == []

    def test_names_that_sqlite_has_a_meaning_for(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert "leave the path out" in refusal(":memory:")[1]
        files = Files("file:events.db")
        assert "file:events.db-wal" in os.listdir(tmp_path)
        files.close()
        assert os.listdir(tmp_path) == ["file:events.db"]

    def test_vacuuming_by_and_by_is_possible_and_the_log_is_written_ahead(self, path: str) -> None:
        files = Files(path)
        pragmas = [files.writer.connection.execute(f"PRAGMA {name}").fetchone()[0] for name in
                   ("auto_vacuum", "journal_mode", "synchronous")]  # fmt: skip
        files.close()
        assert pragmas == [2, "wal", 2]


def as_nobody(action: Callable[[], None]) -> str:
    """Run in a child that is not the superuser, and return the name of what it raised."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setuid(65534)
            action()
            os.write(writing, b"nothing")
        except BaseException as error:
            os.write(writing, type(error).__name__.encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        answer = pipe.read().decode()
    os.waitpid(child, 0)
    return answer


@pytest.fixture
def open_path(path: str, tmp_path: Path) -> str:
    """A database in a folder that everybody can reach and write to."""
    for folder in tmp_path.parents:
        if folder.owner() == tmp_path.owner() and str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    tmp_path.chmod(0o777)
    Files(path).close()
    os.chmod(path, 0o666)
    return path


class TestPermissions:
    def test_everything_allowed(self, open_path: str) -> None:
        assert as_nobody(lambda: Files(open_path).close()) == "nothing"

    def test_a_read_only_file(self, open_path: str) -> None:
        os.chmod(open_path, 0o444)
        assert as_nobody(lambda: Files(open_path).close()) == "StorageReadOnly"
        assert os.listdir(os.path.dirname(open_path)) == [os.path.basename(open_path)]

    def test_a_read_only_folder(self, open_path: str, tmp_path: Path) -> None:
        tmp_path.chmod(0o555)
        assert as_nobody(lambda: Files(open_path).close()) == "StorageReadOnly"
        tmp_path.chmod(0o755)

    def test_a_read_only_folder_is_verified_and_backed_up(
        self, open_path: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        target = tmp_path_factory.mktemp("copies")
        target.chmod(0o777)
        for folder in target.parents:
            if folder.owner() == target.owner() and str(folder).startswith("/tmp/"):
                folder.chmod(0o755)

        def look() -> None:
            assert verify(open_path) == []
            backup(open_path, str(target / "copy.db"))

        tmp_path.chmod(0o555)
        assert as_nobody(look) == "nothing"
        tmp_path.chmod(0o755)
        assert verify(str(target / "copy.db")) == []

    def test_a_file_that_may_not_be_read(self, open_path: str) -> None:
        os.chmod(open_path, 0o000)
        assert as_nobody(lambda: Files(open_path).close()) == "StorageUnavailable"


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestNoRoom:
    async def test_a_full_database_refuses_and_goes_on(self, path: str) -> None:
        async with opened(path) as database:
            await written(database, "s", [event(bytes(50_000))])
            database._files.writer.connection.execute("PRAGMA max_page_count=60")
            listener = database.listen(lambda: None, stream=None, limit=100)
            before = (database.log_end, database.last_position)
            with pytest.raises(errors.StorageFull, match="no room left on the disk"):
                await database.append("s", ANY, events(5, bytes(100_000)))
            assert (database.log_end, database.last_position) == before
            assert listener.take() == []
            listener.close()
            assert len(await of_stream(database, "s")) == 1
            assert (await written(database, "s", events(1), expected=0)).revision == 1
        assert verify(path) == []

    async def test_a_write_that_fails_leaves_nothing(self, path: str) -> None:
        async with opened(path) as database:
            await written(database, "s", events(1))
            with files_limited_to(os.path.getsize(path + "-wal") + 10_000), pytest.raises(errors.StorageFailed):
                await database.append("s", NO_STREAM + 1, events(3, bytes(50_000)))
            assert (await written(database, "s", events(2), expected=0)).revision == 2
            stored = await log(database)
        async with opened(path) as database:
            assert await log(database) == stored
        assert verify(path) == []


def cells_of(path: str, marker: bytes) -> list[int]:
    """Where in the file this text is."""
    content = Path(path).read_bytes()
    return [index for index in range(len(content)) if content.startswith(marker, index)]


def flip(path: str, offset: int) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 0x01]))


def index_bytes(path: str) -> list[int]:
    """The places in the file that belong to the index of the streams."""
    with closing(sqlite3.connect(path)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name='events_of_stream'").fetchone()
    content = Path(path).read_bytes()
    pages = [number for number in range(len(content) // 4096) if content[number * 4096] in (0x02, 0x0A)]
    others = {number for number in pages if b"stream-1" in content[number * 4096 : (number + 1) * 4096]}
    assert root - 1 in pages
    return [number * 4096 + offset for number in pages if number not in others for offset in range(4096)]


class TestDamage:
    async def _make(self, path: str) -> None:
        async with opened(path) as database:
            for number in range(20):
                await written(database, f"stream-{number % 3}", [event(b"%040d" % number, type=f"Kind{number % 2}")])

    async def test_a_flipped_bit_in_the_data_is_reported_and_the_rest_is_served(self, path: str) -> None:
        await self._make(path)
        flip(path, cells_of(path, b"%040d" % 7)[0] + 20)
        async with opened(path) as database:
            with pytest.raises(errors.StorageCorrupted, match="wrong checksum"):
                await log(database)
            assert len(await of_stream(database, "stream-0")) == 7
            assert isinstance(await database.append("stream-1", ANY, events(1)), Appended)
        findings = verify(path)
        assert len(findings) == 1
        assert "(revision 2 of 'stream-1') has a wrong checksum" in findings[0]

    @pytest.mark.parametrize("marker", [b"stream-1", b"Kind1"])
    async def test_a_flipped_bit_in_a_name_is_reported(self, path: str, marker: bytes) -> None:
        await self._make(path)
        for offset in cells_of(path, marker):
            flip(path, offset)
        async with opened(path) as database:
            with pytest.raises(errors.StorageCorrupted, match="wrong checksum"):
                await log(database)
        assert verify(path)

    async def test_no_flipped_bit_is_served(self, path: str, tmp_path: Path) -> None:
        await self._make(path)
        async with opened(path) as database:
            truth = await log(database, 0)
        content = Path(path).read_bytes()
        reported = 0
        for number in range(0, len(content), 97):
            damaged = str(tmp_path / "damaged.db")
            Path(damaged).write_bytes(content)
            flip(damaged, number)
            try:
                async with opened(damaged) as database:
                    served = await log(database, 0)
            except errors.StorageError:
                reported += 1
            else:
                # Free space and statistics are nobody's data; anything lost would be seen as missing from the middle.
                assert served == truth or verify(damaged), number
            for leftover in ("", "-wal", "-shm"):
                Path(damaged + leftover).unlink(missing_ok=True)
        assert reported > 5

    async def test_no_stream_is_served_with_a_hole(self, path: str, tmp_path: Path) -> None:
        """Nothing covers the index but that the numbers of a stream's events follow one another."""
        async with opened(path) as database:
            for number in range(300):
                await written(database, f"stream-{number % 3}", [event(b"%d" % number)])
            truth = {f"stream-{number}": await of_stream(database, f"stream-{number}") for number in range(3)}
        content = Path(path).read_bytes()
        reported = 0
        for offset in index_bytes(path)[::23]:
            damaged = str(tmp_path / "damaged.db")
            Path(damaged).write_bytes(content)
            flip(damaged, offset)
            async with opened(damaged) as database:
                for stream, expected in truth.items():
                    try:
                        served = await of_stream(database, stream)
                    except errors.StorageError:
                        reported += 1
                    else:
                        # Only the end is not known from anywhere else, unless somebody looks at everything.
                        assert served == expected or (served == expected[: len(served)] and verify(damaged)), offset
            Path(damaged).unlink()
        assert reported > 5

    async def test_holes_of_a_scavenged_stream_are_none(self, path: str) -> None:
        async with opened(path) as database:
            await written(database, "s", events(20))
            await written(database, "$$s", [event(b'{"$maxCount":3}')])
            await database.start_scavenge()
            await database.scavenge_ended()
            assert [record.revision for record in await of_stream(database, "s")] == [17, 18, 19]
            assert await database.read(lambda reader: reader.stream_backward("s", 5, 10)) == []
            assert await database.read(lambda reader: reader.at("s", [3])) == {}

    async def test_a_truncated_file_is_reported(self, path: str) -> None:
        await self._make(path)
        os.truncate(path, os.path.getsize(path) - 4096)
        with pytest.raises(errors.StorageCorrupted):
            async with opened(path) as database:
                await log(database)
        assert verify(path)

    async def test_a_file_cut_in_the_first_page_is_reported(self, path: str) -> None:
        await self._make(path)
        os.truncate(path, 1000)
        assert refusal(path)[0] in ("StorageCorrupted", "StorageNotADatabase")
