"""The client for asyncio behind a client without: one in every process that uses it.

Owns: making it when it is needed, after a fork once more, and closing it. Must not know: what is called on it.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from esdb_lite.errors import ClientClosed, WrongContext
from esdb_lite.sync.portal import Portal, SharedPortal, threads_are_greenlets

if TYPE_CHECKING:
    from esdb_lite.client._client import AsyncEsdbClient

_numbers = itertools.count(1)


class Live(NamedTuple):
    """A client at work: the one for asyncio, and the thread that it lives on."""

    client: AsyncEsdbClient
    portal: Portal | SharedPortal


_inherited: list[Live] = []
"""What a forked process has got from its parent: it must not be used, nor closed by the garbage collector."""


class LiveClients:
    """The clients at work of one client without asyncio, by process."""

    def __init__(self, make: Callable[[], AsyncEsdbClient], addresses: Iterable[tuple[str, int]]) -> None:
        """`addresses` are where servers are that calls wait for."""
        self._make = make
        self._addresses = tuple(addresses)
        self._by_process: dict[int, Live] = {}
        self._closed = False

    def get(self) -> Live:
        """Return the one of this process, which is made here if need be. Raises ClientClosed, WrongContext."""
        if self._closed:
            raise ClientClosed("the client is closed")
        live = self._by_process.get(os.getpid()) or self._begin()
        if self._closed:  # meanwhile
            live.portal.close()
        return live

    def __str__(self) -> str:
        live = self._by_process.get(os.getpid())
        described = str((self._make() if live is None else live.client)._core)
        return described.replace("not connected", "closed") if self._closed else described

    def close(self, *, silent: bool = False) -> None:
        """Close the one of this process. Idempotent. `silent`: threads that wait are not told."""
        self._closed = True
        live = self._by_process.get(os.getpid())
        if live is not None:
            live.portal.close(silent=silent)

    def end(self, owner: Callable[[], object]) -> None:
        """Close when the owner was dropped, and at the end of the program, when it is there still.

        The threads that wait then are daemons, which Python ends: an exception in them would only make noise.
        """
        self.close(silent=owner() is not None)

    def _portal(self, client: AsyncEsdbClient) -> Portal | SharedPortal:
        if threads_are_greenlets():
            return SharedPortal(client.close)
        return Portal(f"esdb-lite-{next(_numbers)}", client.close, self._addresses)

    def _begin(self) -> Live:
        """Make it, unless another thread (or a signal handler in the middle of this) is faster."""
        inherited = list(self._by_process.values())
        if any(live.client.embedded for live in inherited):
            raise WrongContext("the embedded server lives in the process from which this one was forked")
        _inherited.extend(inherited)
        client = self._make()
        made = Live(client, self._portal(client))
        live = self._by_process.setdefault(os.getpid(), made)
        if live is not made:
            made.portal.close()
        return live
