"""What all workers of a soak share: the clients of both faces, the ledger, and when it is over.

Owns: making clients and closing them, running workers and taking note of those that fail. Must not know: what workers
do, faults.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from itertools import cycle
from random import Random
from typing import Any

from esdb_lite import AsyncEsdbClient, EsdbClient
from tests.benchmarks.soaking.ledger import Ledger
from tests.contract.faces import Face

ASYNC, SYNC = "async", "sync"
FACES = (ASYNC, SYNC)
KEEP_ALIVE = "keepAliveInterval=1000&keepAliveTimeout=1000"
"""A server that says nothing counts as gone after two seconds."""


@dataclass
class Access:
    """A client, in the form of the one for asyncio."""

    face: str
    client: Any
    """An `AsyncEsdbClient`, or an `EsdbClient` whose methods run in threads and are awaited."""

    @property
    def blocking(self) -> bool:
        """Whether it is the client for code without asyncio."""
        return self.face == SYNC


class World:
    """The clients, the ledger, and what runs."""

    def __init__(self, seed: int, *uris: str) -> None:
        """Clients take the `uris` in turn. They have options already, so that others can follow after a `&`."""
        self.seed = seed
        self._uris = cycle(uris)
        self.ledger = Ledger()
        self.writing = True
        """Writers and readers go on."""
        self._clients: list[AsyncEsdbClient | EsdbClient] = []
        self._tasks: dict[asyncio.Task[None], str] = {}

    @property
    def uri(self) -> str:
        """The connection string for the next client."""
        return next(self._uris)

    def random(self, name: str) -> Random:
        """Return the source of chance of one worker: the same with the same seed."""
        return Random(f"{self.seed} {name}")

    def access(self, face: str, more: str = "") -> Access:
        """Make a client. `more`: options for its connection string."""
        uri = f"{self.uri}&{KEEP_ALIVE}{more}"
        if face == ASYNC:
            client = AsyncEsdbClient(uri)
            self._clients.append(client)
            return Access(face, client)
        blocking = EsdbClient(uri)
        self._clients.append(blocking)
        return Access(face, Face(blocking))

    def visit(self, face: str) -> tuple[Any, Callable[[], Coroutine[Any, Any, None]]]:
        """Make a client for somebody who closes it, with the function that does."""
        uri = f"{self.uri}&{KEEP_ALIVE}"
        if face == ASYNC:
            client = AsyncEsdbClient(uri)
            return client, client.close
        blocking = Face(EsdbClient(uri))
        return blocking, blocking.close

    def run(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run a worker; that it fails is a violation."""
        task = asyncio.ensure_future(self._watched(name, work))
        self._tasks[task] = name

    async def _watched(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            self.ledger.violations.add(f"{name} has failed: {error!r}\n{''.join(traceback.format_exception(error))}")

    async def ended(self, patience: float, *names: str) -> None:
        """Wait for the ends of workers (those with these beginnings of names; default: all)."""
        chosen = {task for task, name in self._tasks.items() if not names or name.startswith(names)}
        if not chosen:
            return
        _, left = await asyncio.wait(chosen, timeout=patience)
        for task in left:
            self.ledger.violations.add(f"{self._tasks[task]} has not ended within {patience:g} s: {task.get_stack()}")
            task.cancel()

    async def close(self) -> None:
        """Close the clients."""
        for client in self._clients:
            if isinstance(client, EsdbClient):
                await asyncio.to_thread(client.close)
            else:
                await client.close()
