"""Read models in databases: how many numbers there were, and their sum, written by whatever speaks to the database.

python -m tests.contract.database_models MODEL WHERE URI AT before|after: kills itself at an event.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from esdb_lite import (
    AiosqliteCheckpoint,
    AsyncEsdbClient,
    AsyncpgCheckpoint,
    AsyncSqlAlchemyCheckpoint,
    DbApiCheckpoint,
    DjangoCheckpoint,
    EsdbClient,
    PsycopgCheckpoint,
    RecordedEvent,
    SqlAlchemyCheckpoint,
)

TABLE = "CREATE TABLE IF NOT EXISTS numbers (by_how_much INTEGER NOT NULL)"
INSERT = "INSERT INTO numbers (by_how_much) VALUES ({})"
CLEAR = "DELETE FROM numbers"


class Failed(Exception):
    """The handler has failed."""


Guard = Callable[[RecordedEvent, str], None]
"""Called before and after what a handler writes."""


class Model:
    """A read model, for one way of speaking to a database."""

    needs: ClassVar[tuple[str, ...]] = ()
    postgres: ClassVar[bool] = False
    since: ClassVar[tuple[int, int]] = (3, 10)
    """The first Python that has it."""

    def __init__(self, where: str) -> None:
        self.where = where

    def total(self) -> tuple[int, int]:
        """How many numbers there were, and their sum."""
        count, amount = self._fetch("SELECT COUNT(*), COALESCE(SUM(by_how_much), 0) FROM numbers")
        return int(count), int(amount)

    def clear(self) -> None:
        """Begin anew."""
        self._fetch(TABLE)
        self._fetch(CLEAR)
        self._fetch("DROP TABLE IF EXISTS esdb_checkpoints")

    async def run(self, uri: str, *, fails_at: int = -1) -> None:
        """Catch up; raises Failed at an event, after what it has written."""

        def guard(event: RecordedEvent, when: str) -> None:
            if when == "after" and event.stream_position == fails_at:
                raise Failed

        await self.consume(uri, guard)

    async def rebuild(self, uri: str) -> None:
        """Empty it, and catch up."""
        await self.consume(uri, lambda event, when: None, anew=True)

    async def consume(self, uri: str, guard: Guard, *, anew: bool = False) -> None:
        """Catch up."""
        raise AssertionError("each does it in its way")

    def _fetch(self, sql: str) -> Any:
        if not self.postgres:
            database = sqlite3.connect(self.where)
            try:
                row = database.execute(sql).fetchone()
                database.commit()
            finally:
                database.close()
            return row
        import psycopg

        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchone() if cursor.description else None

    @property
    def dsn(self) -> str:
        return f"postgresql://app@{self.where}/postgres"


class BlockingModel(Model):
    """With the client for threads."""

    async def consume(self, uri: str, guard: Guard, *, anew: bool = False) -> None:
        await asyncio.to_thread(self._consume, uri, guard, anew)

    def _consume(self, uri: str, guard: Guard, anew: bool) -> None:
        with EsdbClient(uri) as client:
            store, execute, close = self.open()

            def handle(event: RecordedEvent) -> None:
                guard(event, "before")
                execute(INSERT.format(int(event.json()["by"])))
                guard(event, "after")

            try:
                consumer = client.consumer(handle, checkpoint=store, stream_name="numbers")
                if anew:
                    consumer.rebuild(lambda: execute(CLEAR))
                consumer.run(until_caught_up=True)
            finally:
                close()

    def open(self) -> tuple[Any, Callable[[str], object], Callable[[], object]]:
        """The store, what writes in its transaction, and what closes the connection."""
        raise AssertionError("each has its own")


class AsyncModel(Model):
    """With the client for asyncio."""

    async def consume(self, uri: str, guard: Guard, *, anew: bool = False) -> None:
        async with AsyncEsdbClient(uri) as client:
            store, execute, close = await self.open()

            async def handle(event: RecordedEvent) -> None:
                guard(event, "before")
                await execute(INSERT.format(int(event.json()["by"])))
                guard(event, "after")

            async def clear() -> None:
                await execute(CLEAR)

            try:
                consumer = client.consumer(handle, checkpoint=store, stream_name="numbers")
                if anew:
                    await consumer.rebuild(clear)
                await consumer.run(until_caught_up=True)
            finally:
                await close()

    async def open(self) -> tuple[Any, Callable[[str], Awaitable[object]], Callable[[], Awaitable[object]]]:
        """The store, what writes in its transaction, and what closes the connection."""
        raise AssertionError("each has its own")


class PsycopgModel(BlockingModel):
    needs = ("psycopg",)
    postgres = True

    def open(self) -> Any:
        import psycopg

        connection = psycopg.connect(self.dsn)
        return DbApiCheckpoint(connection, "numbers"), connection.execute, connection.close


class AsyncPsycopgModel(AsyncModel):
    needs = ("psycopg",)
    postgres = True

    async def open(self) -> Any:
        import psycopg

        connection = await psycopg.AsyncConnection.connect(self.dsn)
        return PsycopgCheckpoint(connection, "numbers"), connection.execute, connection.close


class AsyncpgModel(AsyncModel):
    needs = ("asyncpg", "psycopg")
    postgres = True

    async def open(self) -> Any:
        import asyncpg

        connection = await asyncpg.connect(self.dsn)
        return AsyncpgCheckpoint(connection, "numbers"), connection.execute, connection.close


class AiosqliteModel(AsyncModel):
    needs = ("aiosqlite",)
    options: ClassVar[dict[str, Any]] = {}

    async def open(self) -> Any:
        import aiosqlite

        connection = await aiosqlite.connect(self.where, **self.options)
        return AiosqliteCheckpoint(connection, "numbers"), connection.execute, connection.close


class AiosqliteByItselfModel(AiosqliteModel):
    options: ClassVar[dict[str, Any]] = {"isolation_level": None}


class AiosqliteAutocommitModel(AiosqliteModel):
    since = (3, 12)
    options: ClassVar[dict[str, Any]] = {"autocommit": True}


class AiosqliteNoAutocommitModel(AiosqliteModel):
    since = (3, 12)
    options: ClassVar[dict[str, Any]] = {"autocommit": False}


class SessionModel(BlockingModel):
    needs = ("sqlalchemy",)

    def open(self) -> Any:
        from sqlalchemy import create_engine, text
        from sqlalchemy.orm import Session

        engine = create_engine(self.url)
        session = Session(engine)

        def close() -> None:
            session.close()
            engine.dispose()

        return SqlAlchemyCheckpoint(session, "numbers"), lambda sql: session.execute(text(sql)), close

    @property
    def url(self) -> str:
        return f"sqlite:///{self.where}"


class PostgresSessionModel(SessionModel):
    needs = ("sqlalchemy", "psycopg")
    postgres = True

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://app@{self.where}/postgres"


class AsyncSessionModel(AsyncModel):
    needs = ("sqlalchemy", "aiosqlite", "greenlet")

    async def open(self) -> Any:
        from sqlalchemy import text
        from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

        engine = create_async_engine(self.url)
        session = AsyncSession(engine)

        async def close() -> None:
            await session.close()
            await engine.dispose()

        return AsyncSqlAlchemyCheckpoint(session, "numbers"), lambda sql: session.execute(text(sql)), close

    @property
    def url(self) -> str:
        return f"sqlite+aiosqlite:///{self.where}"


class PostgresAsyncSessionModel(AsyncSessionModel):
    needs = ("sqlalchemy", "asyncpg", "psycopg", "greenlet")
    postgres = True

    @property
    def url(self) -> str:
        return f"postgresql+asyncpg://app@{self.where}/postgres"


class DjangoModel(BlockingModel):
    needs = ("django",)

    def open(self) -> Any:
        import django
        from django.conf import settings
        from django.db import connections

        if not settings.configured:
            settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": self.where}})
            django.setup()
        connections.close_all()
        connections.settings["default"]["NAME"] = self.where
        connection = connections["default"]
        connection.settings_dict["NAME"] = self.where

        def execute(sql: str) -> None:
            with connection.cursor() as cursor:
                cursor.execute(sql)

        return DjangoCheckpoint("numbers"), execute, connection.close


MODELS: dict[str, type[Model]] = {
    kind.__name__: kind
    for kind in (
        PsycopgModel,
        AsyncPsycopgModel,
        AsyncpgModel,
        AiosqliteModel,
        AiosqliteByItselfModel,
        AiosqliteAutocommitModel,
        AiosqliteNoAutocommitModel,
        SessionModel,
        PostgresSessionModel,
        AsyncSessionModel,
        PostgresAsyncSessionModel,
        DjangoModel,
    )
}


def main(name: str, where: str, uri: str, at: str, when: str) -> None:
    """Consume, and be killed."""

    def guard(event: RecordedEvent, now: str) -> None:
        if event.stream_position == int(at) and now == when:
            os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(MODELS[name](where).consume(uri, guard))


if __name__ == "__main__":
    main(*sys.argv[1:])
