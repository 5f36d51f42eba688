"""What a flood is: its name, what is put into the server before, and what is done to it then.

Owns: the shape. Must not know: any flood, how it is measured.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import betterproto

from esdb_lite import AsyncEsdbClient
from esdb_lite._wire.framing import frame
from tests.benchmarks.flooding.peers import Attack, Headers, Request, calls

STREAMS = "/event_store.client.streams.Streams"

Preparation = Callable[[AsyncEsdbClient], Awaitable[None]]


async def nothing(_: AsyncEsdbClient) -> None:
    """Put nothing into the server."""


@dataclass(frozen=True)
class Flood:
    """A flood by name."""

    name: str
    about: str
    attack: Attack
    prepare: Preparation = nothing
    options: Sequence[str] = ()
    """Of `serve`."""
    secure: bool = False
    """Whether the server has TLS and users."""
    memory: float | None = None
    """MB that the server may take more."""


def asking(
    path: str,
    message: betterproto.Message | bytes,
    headers: Headers = (),
    *,
    connections: int = 1,
    in_flight: int = 200,
    ends: bool = True,
) -> Attack:
    """Make the same call again and again."""
    request = Request(path, frame([bytes(message)]), headers, ends=ends)
    return calls(lambda: request, connections=connections, in_flight=in_flight)


def making(
    path: str,
    make: Callable[[int], betterproto.Message | bytes],
    headers: Headers = (),
    *,
    connections: int = 1,
    in_flight: int = 200,
) -> Attack:
    """Make calls that differ by their number."""
    numbers = itertools.count()

    def request() -> Request:
        return Request(path, frame([bytes(make(next(numbers)))]), headers)

    return calls(request, connections=connections, in_flight=in_flight)


def in_turn(*requests: Callable[[int], Request], connections: int = 1, in_flight: int = 1) -> Attack:
    """Make calls that follow each other, each with the number of its round."""
    numbers = itertools.count()

    def make() -> Request:
        number, which = divmod(next(numbers), len(requests))
        return requests[which](number)

    return calls(make, connections=connections, in_flight=in_flight)
