"""What runs the queries of users in a server.

Owns: making runs of them. Must not know: commands, which JavaScript engine there is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from esdb_lite.server.database.database import Database
from esdb_lite.server.projections.definitions import Definition
from esdb_lite.server.projections.emitting import Emit, Owner
from esdb_lite.server.projections.javascript.definition import QueryFault
from esdb_lite.server.projections.javascript.engine import JavaScriptMissing, Opener
from esdb_lite.server.projections.javascript.program import QueryProgram
from esdb_lite.server.projections.javascript.quickjs_engine import open_quickjs
from esdb_lite.server.projections.running import EngineMissing, QueryRefused, Run, RunEvents
from esdb_lite.server.projections.user.run import UserRun
from esdb_lite.server.projections.user.thread import ScriptThread
from esdb_lite.server.storage import GoBack


class UserEngine:
    """See `QueryEngine`. Everything is called on the loop of the database."""

    def __init__(self, database: Database, *, now: Callable[[], int], opener: Opener = open_quickjs) -> None:
        """`now`: ticks."""
        self._database = database
        self._now = now
        self._opener = opener

    async def source_of(self, query: str) -> Mapping[str, object]:
        """See `QueryEngine`."""
        thread = ScriptThread("query")
        try:
            return await thread.run(lambda: self._document(query))
        except QueryFault as fault:
            raise QueryRefused(str(fault)) from fault
        except JavaScriptMissing as error:
            raise EngineMissing(str(error)) from error
        finally:
            await thread.close()

    def _document(self, query: str) -> Mapping[str, object]:
        """In a thread of its own."""
        program = QueryProgram.load(query, self._opener)
        program.close()
        return program.definition.document()

    def run(self, definition: Definition, key: int, events: RunEvents) -> Run:
        """See `QueryEngine`."""
        return UserRun(self._database, definition, key, events, opener=self._opener, now=self._now)

    async def go_back(self, key: int) -> None:
        """See `QueryEngine`."""
        await self._database.execute(Emit(Owner(key, -1, 0), [], {}, [GoBack(key)]))
