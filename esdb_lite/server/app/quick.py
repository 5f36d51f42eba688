"""Requests that may be served without a task: which ones, told by their headers.

Owns: that choice, remembered for as long as a client sends the same headers. Must not know: services, what is sent.

A task for each call, its turns of the loop and a waiter for every step cost more than some methods do themselves. Where
the request has come whole with its headers, such a method (`QuickMethod` or `QuickQuery`) is asked at once; all others
have a task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from esdb_lite._http2.streams import Headers
from esdb_lite._status import RpcError
from esdb_lite.server.app.call import is_grpc, timeout_of
from esdb_lite.server.handlers import Handler, QuickMethod, QuickQuery


class Route(NamedTuple):
    """Who serves a path, and how long a request may be (bytes)."""

    handler: Handler
    max_message: int
    under_faults: Handler | None = None
    """Serves it under faults."""
    quick: QuickMethod | None = None
    """Serves it where nothing is the matter."""
    query: QuickQuery | None = None
    """Answers it where nothing is the matter."""


class QuickRequest(NamedTuple):
    """A request that may be served without a task."""

    metadata: Mapping[str, str]
    method: QuickMethod | None
    query: QuickQuery | None
    limit: int
    timeout: float | None


class QuickChoice:
    """The choice for one connection."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self._routes = routes
        self._headers: Headers = ()
        self._found: QuickRequest | None = None

    def of(self, headers: Headers) -> QuickRequest | None:
        """Return how to serve a request with these headers quickly; None: not at all."""
        if headers is not self._headers:  # a block that comes again is the same object
            self._headers, self._found = headers, self._choose(dict(headers))
        return self._found

    def _choose(self, metadata: Mapping[str, str]) -> QuickRequest | None:
        route = self._routes.get(metadata.get(":path", ""))
        if route is None or not (route.quick or route.query) or not is_grpc(metadata):
            return None
        try:
            return QuickRequest(metadata, route.quick, route.query, route.max_message, timeout_of(metadata))
        except RpcError:
            return None
