"""A position in a database of Django, in the transaction of a handler that uses its models.

Owns: Django's transactions. Must not know: consumers, statements. Django is imported when a store is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from esdb_lite.checkpoints.databases import DbApiCheckpoint
from esdb_lite.checkpoints.table import TABLE, CheckpointTable
from esdb_lite.errors import InvalidArgument, WrongArgumentType

if TYPE_CHECKING:
    from esdb_lite.checkpoints.databases import DbApiConnection


class DjangoCheckpoint(DbApiCheckpoint):
    """Keeps a consumer's position in a database of Django, in the transaction of a handler that uses its models.

    What the handler writes and the position are committed together, once a batch (`transaction.atomic`); when the
    handler fails, everything is rolled back. So every event takes effect exactly once, and functions of `on_commit`
    are called after it. It takes a database with AUTOCOMMIT (Django's default), outside of `transaction.atomic` and of
    views with ATOMIC_REQUESTS; tests of `TestCase` are all right. Everything else is as with `DbApiCheckpoint`.
    """

    def __init__(self, name: str, *, using: str = "default", table: str = TABLE) -> None:
        """Make a store for the consumer of this name; `using` is one of Django's databases. Raises InvalidArgument."""
        if not isinstance(using, str):
            raise WrongArgumentType("using", using, "must be a str")
        CheckpointTable.__init__(self, name, table)
        self._paramstyle = "format"
        self._using = using
        self._atomic: Any = None

    def begin(self) -> None:
        """Begin a transaction. In one that is open already, and may be rolled back, Django raises RuntimeError."""
        from django.db import transaction

        self._open()
        atomic: Any = transaction.atomic(using=self._using, durable=True)
        atomic.__enter__()
        self._atomic = atomic

    def rollback(self) -> None:
        """Undo what the handler has written."""
        atomic, self._atomic = self._atomic, None
        if atomic is not None:
            error = _Undone()
            atomic.__exit__(_Undone, error, None)

    def _open(self) -> DbApiConnection:
        from django.db import connections

        connection: Any = connections[self._using]
        if not connection.in_atomic_block and not connection.get_autocommit():
            raise InvalidArgument("using", self._using, "must be a database with AUTOCOMMIT, or nothing is committed")
        return connection  # type: ignore[no-any-return]

    def _commit(self) -> None:
        atomic, self._atomic = self._atomic, None
        if atomic is not None:
            atomic.__exit__(None, None, None)


class _Undone(Exception):
    """Tells Django's transaction that it is to be rolled back."""
