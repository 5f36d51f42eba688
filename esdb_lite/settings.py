"""How to reach the database: connection strings and what they say.

Owns: the grammar of connection strings, and `Settings`. Must not know: sockets, gRPC, ssl contexts.
Names of options are case-insensitive, as in the clients for other languages.
"""

from __future__ import annotations

import enum
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Union
from urllib.parse import parse_qsl, unquote

from esdb_lite.errors import InvalidUri, WrongArgumentType

DEFAULT_PORT = 2113

_log = logging.getLogger("esdb_lite.settings")
_SCHEMES = ("esdb", "kurrentdb", "kdb", "kurrent")
_URI = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9.-]*)(?P<kind>\+[A-Za-z]+)?:(?P<rest>.*)", re.DOTALL)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9.+-]*://")
_HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%a-z]+)\]|(?P<name>[^\s:/?#@\[\],]+))(?::(?P<port>[^:]*))?")


@dataclass(frozen=True)
class Credentials:
    """A user's name and password. The password is never shown."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, eq=False)
class BearerToken:
    """A token in place of a user's name and password: the token itself, or a function that returns one.

    The function, which may be a coroutine function, is asked on first use, and again when the server has refused the
    token that it gave; it must not block for long. The token is never shown.
    """

    provider: str | Callable[[], str | Awaitable[str]] = field(repr=False)


CredentialsLike = Union[Credentials, BearerToken, "tuple[str, str]", None]
"""Credentials, a token, or a user's name and password; None: those of the client."""


class NodePreference(enum.Enum):
    """Which node of a cluster to talk to."""

    LEADER = "leader"
    FOLLOWER = "follower"
    RANDOM = "random"
    READ_ONLY_REPLICA = "readonlyreplica"


@dataclass(frozen=True)
class Node:
    """Where a server listens."""

    host: str
    port: int = DEFAULT_PORT

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Embedded:
    """The server is to run inside this process."""

    path: str | None = None
    """File of the database; None: in memory."""


@dataclass(frozen=True)
class Settings:
    """What a connection string says. All times are in seconds."""

    nodes: tuple[Node, ...] = ()
    embedded: Embedded | None = None
    discover: bool = False
    tls: bool = True
    tls_verify: bool = True
    tls_ca_file: str | None = None
    user_cert_file: str | None = None
    user_key_file: str | None = None
    credentials: Credentials | BearerToken | None = None
    root_certificates: bytes | None = field(default=None, repr=False)
    """In PEM form: the authorities to trust in place of those that the system trusts."""
    certificate_chain: bytes | None = field(default=None, repr=False)
    """In PEM form: what the client shows of itself; with `private_key`."""
    private_key: bytes | None = field(default=None, repr=False)
    send_credentials_insecurely: bool = False
    """Whether credentials are sent without TLS as well."""
    node_preference: NodePreference = NodePreference.LEADER
    default_timeout: float | None = None
    """For calls without a timeout of their own; does not apply to subscriptions."""
    keep_alive_interval: float | None = 10.0
    """After this long without a sign of life the server is asked for one; None: never."""
    keep_alive_timeout: float = 10.0
    gossip_timeout: float = 5.0
    discovery_interval: float = 0.1
    max_discover_attempts: int = 10
    connection_name: str | None = None


def parse_uri(uri: str) -> Settings:
    """Read a connection string. Raises `InvalidUri` (or `WrongArgumentType`), whose text shows no password.

    `host:port` (without TLS), `esdb://[user:password@]host[:port][,host[:port]...][?option=value&...]` (also
    `kurrentdb:`, `kdb:` and `kurrent:`; with `+discover`), `esdb+embedded:` (in memory) and `esdb+embedded:///path`.
    """
    if not isinstance(uri, str):
        raise WrongArgumentType("uri", type(uri), "must be a str")
    text = uri.strip()
    if "://" not in text and "+" not in text.partition(":")[0]:
        return Settings(nodes=(_node(text, text),), tls=False)
    match = _URI.fullmatch(text)
    scheme = match["scheme"].lower() if match else text.partition(":")[0]
    if match is None or scheme not in _SCHEMES:
        raise InvalidUri(
            hide_password(text), f"unknown scheme {_shown(scheme, uri)}, use esdb:// or one of {', '.join(_SCHEMES)}"
        )
    kind = (match["kind"] or "").lower()
    if kind == "+embedded":
        return Settings(embedded=Embedded(_embedded_path(match["rest"], text)), tls=False)
    if kind not in ("", "+discover") or not match["rest"].startswith("//"):
        raise InvalidUri(hide_password(text), f"unknown scheme {scheme + kind!r}")
    return _parse_network(match["rest"][2:], discover=bool(kind), uri=text)


def hide_password(uri: str) -> str:
    """Return a connection string as it may be shown."""
    head, at, tail = uri.rpartition("@")
    if not at:
        return uri
    scheme = _SCHEME.match(head)
    start = scheme.end() if scheme else 0
    return f"{head[:start]}{head[start:].partition(':')[0]}:***@{tail}"


def _shown(text: str, uri: str) -> str:
    """Return a part of a connection string as it may be shown: not where it can be a piece of a password."""
    return repr(text) if text in uri.rpartition("@")[2] else "'***'"


def _parse_network(rest: str, *, discover: bool, uri: str) -> Settings:
    place, _, query = rest.partition("?")
    place = place.rstrip("/")
    user, at, hosts = place.rpartition("@")
    if not hosts:
        raise InvalidUri(hide_password(uri), "has no host")
    nodes = tuple(_node(host, uri) for host in hosts.split(","))
    values = _parse_options(query, uri)
    settings = Settings(
        nodes=nodes,
        discover=discover or len(nodes) > 1,
        credentials=_credentials(user, uri) if at else None,
        **values,  # type: ignore[arg-type]
    )
    if (settings.user_cert_file is None) != (settings.user_key_file is None):
        raise InvalidUri(hide_password(uri), "userCertFile and userKeyFile must be given together")
    return settings


def _credentials(user: str, uri: str) -> Credentials:
    name, colon, password = user.partition(":")
    if not name or not colon:
        raise InvalidUri(hide_password(uri), "the part before @ must be user:password")
    return Credentials(unquote(name), unquote(password))


def _node(text: str, uri: str) -> Node:
    match = _HOST.fullmatch(text)
    if match is None:
        raise InvalidUri(hide_password(uri), f"cannot find host and port in {_shown(text, uri)}")
    port = match["port"]
    if port is None:
        return Node(match["v6"] or match["name"])
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise InvalidUri(hide_password(uri), f"the port must be between 1 and 65535, not {_shown(port, uri)}")
    return Node(match["v6"] or match["name"], int(port))


def _embedded_path(rest: str, uri: str) -> str | None:
    path, _, query = rest.partition("?")
    if query:
        raise InvalidUri(hide_password(uri), f"an embedded server has no option {query.partition('=')[0]!r}")
    if path.startswith("//"):
        host, slash, path = path[2:].partition("/")
        if host:
            raise InvalidUri(hide_password(uri), "a path needs three slashes: esdb+embedded:///path/to/file")
        path = slash + path
    path = unquote(path)
    if re.match(r"/[A-Za-z]:[\\/]", path):
        path = path[1:]
    if path.endswith("/") and path != "/":
        raise InvalidUri(hide_password(uri), "the path must be that of a file")
    return path if path not in ("", "/") else None


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _milliseconds(text: str) -> float:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number / 1000


def _interval(text: str) -> float | None:
    return None if text == "-1" else _milliseconds(text)


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise ValueError(text)
    return number


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


_Parser = Callable[[str], object]

_OPTIONS: Mapping[str, tuple[str, str, _Parser]] = {
    "tls": ("tls", "true or false", _boolean),
    "tlsverifycert": ("tls_verify", "true or false", _boolean),
    "tlscafile": ("tls_ca_file", "a path", str),
    "usercertfile": ("user_cert_file", "a path", str),
    "userkeyfile": ("user_key_file", "a path", str),
    "nodepreference": (
        "node_preference",
        "leader, follower, random or readonlyreplica",
        lambda text: NodePreference(text.lower()),
    ),
    "defaultdeadline": ("default_timeout", "a number of milliseconds", _milliseconds),
    "keepaliveinterval": ("keep_alive_interval", "a number of milliseconds, or -1", _interval),
    "keepalivetimeout": ("keep_alive_timeout", "a number of milliseconds", _milliseconds),
    "gossiptimeout": ("gossip_timeout", "a number of seconds", _seconds),
    "discoveryinterval": ("discovery_interval", "a number of milliseconds", _milliseconds),
    "maxdiscoverattempts": ("max_discover_attempts", "a number from 1", _count),
    "connectionname": ("connection_name", "a text", str),
}

_IGNORED = ("throwonappendfailure",)


def _parse_options(query: str, uri: str) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name.lower() in _OPTIONS:
            attribute, expected, parse = _OPTIONS[name.lower()]
            try:
                values[attribute] = parse(text)
            except (ValueError, KeyError):
                raise InvalidUri(hide_password(uri), f"{name} must be {expected}, not {_shown(text, uri)}") from None
        elif name.lower() not in _IGNORED:
            _warn_unknown(name)
    return values


def _warn_unknown(name: str) -> None:
    near = get_close_matches(name.lower(), _OPTIONS, n=1)
    _log.warning("unknown option %r in the connection string%s", name, f"; did you mean {near[0]!r}?" if near else "")
