"""What is served on the port that is not gRPC: a few pages, and whatever others make of HTTP/1.1.

Owns: how a request for a page is answered, over HTTP/1.1 and over HTTP/2. Must not know: what the pages say.

The hook for more: with `PlainHttp.http1`, every connection that begins with anything but HTTP/2 (or a TLS handshake) is
handed to a protocol that this makes, with the bytes that have come: one of uvicorn's, say, with an ASGI application.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from esdb_lite.server.handlers import Http1Factory, Page

log = logging.getLogger("esdb_lite.server")

_READS = ("GET", "HEAD")


class PlainAnswer(NamedTuple):
    """Status, headers and body of an answer."""

    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""


async def at_once(answer: Callable[[], PlainAnswer]) -> PlainAnswer:
    """Make an answer now."""
    return answer()


@dataclass(frozen=True)
class PlainHttp:
    """What there is besides gRPC."""

    pages: Mapping[str, Page] = field(default_factory=dict)
    """By path."""
    http1: Http1Factory | None = None
    """Makes a protocol for each connection that speaks HTTP/1.1; None: it gets the pages, and is closed."""
    in_turn: Callable[[Callable[[], PlainAnswer]], Awaitable[PlainAnswer]] = at_once
    """Makes an answer when it is its turn, where a connection may ask for many."""

    def answer(self, method: str, target: str) -> PlainAnswer:
        """Return the answer to a request that is not gRPC: as a real server's, without its console.

        The answer to HEAD has the body, too, for its length; it is not to be sent.
        """
        path = target.partition("?")[0]
        reads = method in _READS
        if path == "/health/live" and reads:
            return PlainAnswer(204)
        if path in ("/", "/web") and reads:
            return PlainAnswer(302, [("location", "/web/index.html")])
        if path == "/info" and method not in (*_READS, "OPTIONS"):
            return PlainAnswer(405, [("allow", "GET, HEAD, OPTIONS")])
        page = self.pages.get(path) if reads else None
        if page is not None:
            return _shown(path, page)
        return PlainAnswer(415 if method == "POST" and _is_method(path) else 404)


def _shown(path: str, page: Page) -> PlainAnswer:
    try:
        body = page()
    except Exception:
        log.exception("the page %s failed", path)
        return PlainAnswer(500)
    return PlainAnswer(200, [("content-type", body.content_type), ("cache-control", "no-store")], body.data)


def _is_method(path: str) -> bool:
    """Whether it looks like the path of a gRPC method: what is posted there is of the wrong type."""
    empty, *parts = path.split("/")
    return not empty and len(parts) == 2 and all(parts)
