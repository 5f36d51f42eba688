"""How a client reaches the database, and as whom: values that it is given.

Owns: credentials, addresses, which node is preferred. Must not know: sockets, gRPC, how connection strings are written
(`connection_strings`).
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Union

DEFAULT_PORT = 2113


@dataclass(frozen=True)
class Credentials:
    """A user's name and password. The password is never shown."""

    username: str
    """The login name."""
    password: str = field(repr=False)
    """Left out of `repr`."""


@dataclass(frozen=True, eq=False)
class BearerToken:
    """A bearer token instead of a user name and password: the token, or a function that returns one.

    The function may be a coroutine function. It is called on first use, and again when the server refuses the token;
    it must not block for long. If it fails, calls raise CredentialsUnavailable. The token is never shown.
    """

    provider: str | Callable[[], str | Awaitable[str]] = field(repr=False)
    """The token or the function; left out of `repr`."""


CredentialsLike = Union[Credentials, BearerToken, "tuple[str, str]", None]
"""Credentials, a token, or a user's name and password; None: those of the client."""


class NodePreference(enum.Enum):
    """Which node of a cluster to talk to."""

    LEADER = "leader"
    FOLLOWER = "follower"
    RANDOM = "random"
    READ_ONLY_REPLICA = "readonlyreplica"


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int = DEFAULT_PORT

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Embedded(NamedTuple):
    """The server is to run inside this process."""

    path: str | None = None
    """File of the database; None: in memory."""
