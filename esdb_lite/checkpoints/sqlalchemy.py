"""A position in a database, in the transaction of a handler that uses SQLAlchemy 2.

Owns: sessions and connections of SQLAlchemy, blocking ones and those for asyncio. Must not know: consumers, statements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from esdb_lite.checkpoints.asynchronous import AsyncTableCheckpoint
from esdb_lite.checkpoints.databases import DbApiCheckpoint
from esdb_lite.checkpoints.table import TABLE, CheckpointTable, Order, TableAction
from esdb_lite.consumers import ConsumerPosition
from esdb_lite.errors import InvalidArgument, WrongArgumentType

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
    from sqlalchemy.orm import Session


class SqlAlchemyCheckpoint(DbApiCheckpoint):
    """Keeps a consumer's position in the transaction of a handler that writes with a Session of SQLAlchemy 2.

    What the handler adds to the session and the position are committed together, once a batch; when the handler fails,
    everything is rolled back. So every event takes effect exactly once. The handler must not commit. A `Connection`
    will do, too. One in autocommit mode is refused when the consumer begins. Everything else is as with
    `DbApiCheckpoint`.
    """

    def __init__(self, session: Session | Connection, name: str, *, table: str = TABLE) -> None:
        """Make a store for the consumer of this name, without asking the database yet. Raises InvalidArgument."""
        if not all(callable(getattr(session, each, None)) for each in ("execute", "commit", "rollback")):
            raise WrongArgumentType("session", session, "must be a Session or a Connection of SQLAlchemy")
        CheckpointTable.__init__(self, name, table)
        self._session = session

    def load(self) -> ConsumerPosition | None:
        """Return the position in the table, which is made if need be. Raises InvalidArgument in autocommit mode."""
        session: Any = self._session
        _refuse_autocommit(session.connection() if hasattr(session, "get_bind") else session)
        return super().load()

    def rollback(self) -> None:
        """Undo what the handler has written since the last commit."""
        self._session.rollback()

    def _commit(self) -> None:
        self._session.commit()

    def _carry_out(self, order: Order) -> object:
        from sqlalchemy import text

        if order.action in (TableAction.COMMIT, TableAction.ROLLBACK):
            return super()._carry_out(order)
        return _outcome(order, self._session.execute(text(order.sql), order.values))


class AsyncSqlAlchemyCheckpoint(AsyncTableCheckpoint):
    """Keeps a consumer's position in the transaction of a handler that writes with an AsyncSession of SQLAlchemy 2.

    An `AsyncConnection` will do, too. For `AsyncEsdbClient`; everything else is as with `SqlAlchemyCheckpoint`.
    """

    _kind, _argument = "an AsyncSession or an AsyncConnection of SQLAlchemy", "session"

    def __init__(self, session: AsyncSession | AsyncConnection, name: str, *, table: str = TABLE) -> None:
        """Make a store for the consumer of this name, without asking the database yet. Raises InvalidArgument."""
        super().__init__(session, name, table=table)

    async def load(self) -> ConsumerPosition | None:
        """Return the position in the table, which is made if need be. Raises InvalidArgument in autocommit mode."""
        session = self._connection
        await (await session.connection() if hasattr(session, "get_bind") else session).run_sync(_refuse_autocommit)
        return await super().load()

    async def _ask(self, order: Order) -> object:
        from sqlalchemy import text

        return _outcome(order, await self._connection.execute(text(order.sql), order.values))


def _outcome(order: Order, result: Any) -> object:
    return result.fetchone() if order.action is TableAction.SELECT else int(result.rowcount)


def _refuse_autocommit(connection: Connection) -> None:
    """Refuse a connection that commits every statement by itself: by an option, by its engine, or by its driver."""
    by_engine = getattr(connection.dialect, "_on_connect_isolation_level", None)
    level = connection.get_execution_options().get("isolation_level", by_engine)
    if level == "AUTOCOMMIT" or getattr(connection.connection.dbapi_connection, "autocommit", False) is True:
        raise InvalidArgument("session", connection, "must not be in autocommit mode")
