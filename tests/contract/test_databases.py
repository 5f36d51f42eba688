"""Consumers that write to databases: every event takes effect exactly once, whoever speaks to the database."""

from __future__ import annotations

import asyncio
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from esdb_lite import (
    AsyncEsdbClient,
    AsyncSqlAlchemyCheckpoint,
    EmbeddedServer,
    EsdbClient,
    InvalidArgument,
    NewEvent,
    RecordedEvent,
    SqlAlchemyCheckpoint,
)
from tests.contract import database_models as models
from tests.support import environment, free_port

EVENTS = 12


def _postgres_folder() -> Path | None:
    found = shutil.which("pg_ctl")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((folder for folder in reversed(folders) if (folder / "initdb").exists()), None)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """A real PostgreSQL server: its address."""
    folder = _postgres_folder()
    if folder is None:
        pytest.skip("PostgreSQL is not installed")
    become: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="esdb-lite-") as home:
        if os.getuid() == 0:  # it refuses to run as root
            try:
                user = pwd.getpwnam("postgres")
            except KeyError:
                pytest.skip("there is no user postgres")
            become = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(home, user.pw_uid, user.pw_gid)
        port = free_port()
        silent: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL, "cwd": "/", **become}
        subprocess.run([folder / "initdb", "-D", f"{home}/data", "-U", "app", "-A", "trust"], **silent)
        options = f"-h 127.0.0.1 -p {port} -k {home} -c fsync=off"
        control = [folder / "pg_ctl", "-D", f"{home}/data", "-w"]
        subprocess.run([*control, "-o", options, "-l", f"{home}/log", "start"], **silent)
        try:
            yield f"127.0.0.1:{port}"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **silent)


@pytest.fixture(params=sorted(models.MODELS))
def model(request: pytest.FixtureRequest, tmp_path: Path) -> models.Model:
    """A read model in a database, and what speaks to it."""
    kind = models.MODELS[request.param]
    if sys.version_info < kind.since:
        pytest.skip(f"Python {kind.since} has it")
    for module in kind.needs:
        pytest.importorskip(module)
    where = request.getfixturevalue("postgres") if kind.postgres else str(tmp_path / "model.db")
    made = kind(where)
    made.clear()
    return made


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as running:
        with EsdbClient(running.uri) as client:
            client.append_events("numbers", None, [NewEvent.json("Added", {"by": n}) for n in range(EVENTS)])
        yield running


async def test_it_catches_up(server: EmbeddedServer, model: models.Model) -> None:
    for _ in range(2):
        await model.run(server.uri)
        assert model.total() == (EVENTS, sum(range(EVENTS)))


async def test_what_fails_is_rolled_back(server: EmbeddedServer, model: models.Model) -> None:
    for fails_at in (3, 3, 7):
        with pytest.raises(models.Failed):
            await model.run(server.uri, fails_at=fails_at)
        assert model.total() == (fails_at, sum(range(fails_at)))
    await model.run(server.uri)
    assert model.total() == (EVENTS, sum(range(EVENTS)))


async def test_rebuilding(server: EmbeddedServer, model: models.Model) -> None:
    await model.run(server.uri)
    await model.rebuild(server.uri)
    assert model.total() == (EVENTS, sum(range(EVENTS)))


async def test_cancelled_again_and_again_on_one_connection(server: EmbeddedServer, model: models.Model) -> None:
    """At whatever place: no transaction stays open in which the next run would write, and commit nothing."""
    if not isinstance(model, models.AsyncModel):
        pytest.skip("there is nothing to cancel")
    store, execute, close = await model.open()

    async def handle(event: RecordedEvent) -> None:
        await execute(models.INSERT.format(int(event.json()["by"])))

    async with AsyncEsdbClient(server.uri) as client:
        try:
            for turns in itertools.count(3):
                consumer = client.consumer(handle, checkpoint=store, stream_name="numbers")
                running = asyncio.ensure_future(consumer.run(until_caught_up=True))
                for _ in range(turns):
                    await asyncio.sleep(0)
                running.cancel()
                await asyncio.wait({running})
                if not running.cancelled():
                    break
            running.result()
            assert model.total() == (EVENTS, sum(range(EVENTS)))
        finally:
            await close()


@pytest.mark.parametrize("where", ["engine", "option"])
@pytest.mark.parametrize("kind", ["Session", "Connection"])
async def test_sqlalchemy_in_autocommit_mode_is_refused(tmp_path: Path, where: str, kind: str) -> None:
    """There is no transaction in which a handler could take part."""
    sqlalchemy = pytest.importorskip("sqlalchemy")
    pytest.importorskip("aiosqlite")
    pytest.importorskip("greenlet")
    import sqlalchemy.ext.asyncio as awaited
    import sqlalchemy.orm as blocking

    autocommit = {"isolation_level": "AUTOCOMMIT"}
    given = autocommit if where == "engine" else {}
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'model.db'}", **given)
    other = awaited.create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'other.db'}", **given)
    if where == "option":
        engine, other = engine.execution_options(**autocommit), other.execution_options(**autocommit)
    with blocking.Session(engine) if kind == "Session" else engine.connect() as session:
        store = SqlAlchemyCheckpoint(session, "numbers")
        with pytest.raises(InvalidArgument, match="session: must not be in autocommit mode"):
            store.load()
    async with awaited.AsyncSession(other) if kind == "Session" else other.connect() as session:
        awaiting = AsyncSqlAlchemyCheckpoint(session, "numbers")
        with pytest.raises(InvalidArgument, match="session: must not be in autocommit mode"):
            await awaiting.load()
    engine.dispose()
    await other.dispose()


@pytest.mark.slow
def test_kills(server: EmbeddedServer, model: models.Model) -> None:
    """A process that is killed in the middle, before and after what it writes; the next one goes on."""
    for at, when in ((1, "before"), (5, "after"), (11, "after")):
        process = subprocess.run(
            [sys.executable, "-m", models.__name__, type(model).__name__, model.where, server.uri, str(at), when],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert process.returncode == -signal.SIGKILL, process.stderr
        assert model.total() == (at, sum(range(at)))
    asyncio.run(model.run(server.uri))
    assert model.total() == (EVENTS, sum(range(EVENTS)))


async def test_django_where_nothing_is_committed_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("django")
    await asyncio.to_thread(_try_django, models.DjangoModel(str(tmp_path / "model.db")))


def _try_django(model: models.DjangoModel) -> None:
    from django.db import connections, transaction

    store, _, close = model.open()
    try:
        with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
            store.begin()
        connections["default"].set_autocommit(False)
        for step in (store.load, store.begin):
            with pytest.raises(InvalidArgument, match="using: must be a database with AUTOCOMMIT"):
                step()
        connections["default"].set_autocommit(True)
        assert store.load() is None
    finally:
        close()
