"""Connection strings as kurrentdbclient reads them.

Owns: the grammar of kurrentdbclient, and the string for our client that means the same. Must not know: connections.

Where they differ from ours: names and passwords are not percent-encoded, `DefaultDeadline` is in seconds, an unknown
field is an error, TLS needs a name and password.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import cast
from urllib.parse import parse_qs, quote, urlparse
from uuid import uuid4

URI_SCHEME_ESDB = "esdb"
URI_SCHEME_ESDB_DISCOVER = "esdb+discover"
URI_SCHEME_KURRENTDB = "kurrentdb"
URI_SCHEME_KURRENTDB_DISCOVER = "kurrentdb+discover"
URI_SCHEME_KDB = "kdb"
URI_SCHEME_KDB_DISCOVER = "kdb+discover"
URI_SCHEMES_NON_DISCOVER = [URI_SCHEME_ESDB, URI_SCHEME_KURRENTDB, URI_SCHEME_KDB]
URI_SCHEMES_DISCOVER = [URI_SCHEME_ESDB_DISCOVER, URI_SCHEME_KURRENTDB_DISCOVER, URI_SCHEME_KDB_DISCOVER]
URI_SCHEMES_ALL = URI_SCHEMES_NON_DISCOVER + URI_SCHEMES_DISCOVER

NODE_PREFERENCE_LEADER = "leader"
NODE_PREFERENCE_FOLLOWER = "follower"
NODE_PREFERENCE_RANDOM = "random"
NODE_PREFERENCE_REPLICA = "readonlyreplica"
VALID_NODE_PREFERENCES = [
    NODE_PREFERENCE_LEADER,
    NODE_PREFERENCE_FOLLOWER,
    NODE_PREFERENCE_RANDOM,
    NODE_PREFERENCE_REPLICA,
]
_EMBEDDED = "+embedded"
_DEFAULT_PORT = 2113


def grpc_target(host: str, port: int | str) -> str:
    """Return `host:port`."""
    return f"{host}:{port}"


def _one_of(choices: Sequence[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"{text!r} is not one of: {', '.join(choices)}")
        return text.lower()

    return parse


def _flag(text: str) -> bool:
    return _one_of(("true", "false"))(text) == "true"


_FIELDS: Mapping[str, tuple[Callable[[str], object], object]] = {
    "Tls": (_flag, True),
    "ConnectionName": (str, None),
    "MaxDiscoverAttempts": (int, 10),
    "DiscoveryInterval": (int, 100),
    "GossipTimeout": (int, 5),
    "NodePreference": (_one_of(VALID_NODE_PREFERENCES), NODE_PREFERENCE_LEADER),
    "TlsVerifyCert": (_flag, True),
    "DefaultDeadline": (int, None),
    "KeepAliveInterval": (int, None),
    "KeepAliveTimeout": (int, None),
    "TlsCaFile": (str, None),
    "UserCertFile": (str, None),
    "UserKeyFile": (str, None),
}
"""How each field is read, and its default."""

VALID_CONNECTION_QUERY_STRING_FIELDS = list(_FIELDS)


def _attribute(name: str) -> str:
    return re.sub("(?<!^)(?=[A-Z])", "_", name.lstrip("_")).lower()


class ConnectionOptions:
    """What stands behind the question mark. Times have the units of kurrentdbclient."""

    tls: bool
    """Whether connections are encrypted."""
    connection_name: str
    """What the client calls itself."""
    max_discover_attempts: int
    """How often a node is looked for."""
    discovery_interval: int
    """Milliseconds between two attempts."""
    gossip_timeout: int
    """Seconds that a node may take to say which nodes there are."""
    node_preference: str
    """Which node of a cluster to talk to."""
    tls_verify_cert: bool
    """Whether the certificate of the server is checked."""
    default_deadline: int | None
    """Seconds that calls may take which write."""
    keep_alive_interval: int | None
    """Milliseconds after which a silent server is asked for a sign of life."""
    keep_alive_timeout: int | None
    """Milliseconds to wait for it."""
    tls_ca_file: str | None
    """File with the authorities to trust."""
    user_cert_file: str | None
    """File with the certificate of the client."""
    user_key_file: str | None
    """File with the key of the client."""

    def __init__(self, query: str) -> None:
        given = {name.upper(): values[0] for name, values in parse_qs(query).items()}
        known = {name.upper() for name in _FIELDS}
        unknown = [name for name in given if name not in known]
        if unknown:
            fields = "fields" if len(unknown) > 1 else "field"
            raise ValueError(f"Unknown {fields} in connection query string: {', '.join(unknown)}")
        for name, (parse, default) in _FIELDS.items():
            text = given.get(name.upper())
            setattr(self, name, default if text is None else parse(text))
        if "CONNECTIONNAME" not in given:
            self.connection_name = str(uuid4())

    def __getattr__(self, name: str) -> object:
        """The names of esdbclient, which are those in the string: `NodePreference`."""
        if name not in _FIELDS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self, _attribute(name))

    def __setattr__(self, name: str, value: object) -> None:
        """Also by the names that the other clients have for it inside: `_node_preference`, `_NodePreference`."""
        super().__setattr__(_attribute(name), value)


class ConnectionSpec:
    """A connection string. Raises ValueError."""

    def __init__(self, uri: str | None = None) -> None:
        self.uri = uri or ""
        """The string itself."""
        parsed = urlparse(self.uri)
        if parsed.scheme not in URI_SCHEMES_ALL and not parsed.scheme.endswith(_EMBEDDED):
            raise ValueError(f"Invalid URI scheme: {parsed.scheme!r} not in: {', '.join(URI_SCHEMES_ALL)}: {uri}")
        self.scheme = parsed.scheme
        """What stands before the colon."""
        self.username = parsed.username
        self.password = parsed.password
        self.targets = _targets(parsed.netloc)
        """The servers that are named, as `host:port`."""
        self.options = ConnectionOptions("Tls=false" if self.is_embedded else parsed.query)
        """What stands behind the question mark."""
        if self.is_embedded:
            return
        if not self.targets:
            raise ValueError(f"No targets specified: {uri}")
        if self.scheme in URI_SCHEMES_DISCOVER and len(self.targets) > 1:
            raise ValueError(f"More than one target specified: {uri}")
        if self.options.tls and not (self.username and self.password):
            raise ValueError(f"Username and password are required: {uri}")

    # --- for our client ---

    @property
    def is_embedded(self) -> bool:
        """Whether the server is to run inside this process, which kurrentdbclient has not."""
        return self.scheme.endswith(_EMBEDDED)

    @property
    def discovers(self) -> bool:
        """Whether the nodes are asked for the nodes of their cluster."""
        return self.scheme in URI_SCHEMES_DISCOVER or len(self.targets) > 1

    @property
    def follows_leader(self) -> bool:
        """Whether the leader is looked for, so that another node that refuses a call is left for it."""
        return self.discovers and self.options.node_preference == NODE_PREFERENCE_LEADER

    def for_esdb_lite(self, target: str | None = None) -> str:
        """Return the string for our client; with a target, for that server alone. Credentials are not in it."""
        if self.is_embedded:
            return self.uri
        discover = self.scheme in URI_SCHEMES_DISCOVER and target is None
        values = {name: getattr(self.options, _attribute(name)) for name in _FIELDS}
        if values["DefaultDeadline"] is not None:
            values["DefaultDeadline"] = 1000 * cast("int", values["DefaultDeadline"])
        if values["GossipTimeout"] == 0:
            values["GossipTimeout"] = None
        # The client reads the files, and passes on what is in them.
        given = {name: value for name, value in values.items() if value is not None and not name.endswith("File")}
        query = "&".join(f"{name}={quote(_text(value))}" for name, value in given.items())
        hosts = target or ",".join(self.targets)
        return f"esdb{'+discover' if discover else ''}://{hosts}?{query}"


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _targets(netloc: str) -> list[str]:
    hosts = (host.strip() for host in netloc.rpartition("@")[2].split(","))
    return [host if _port(host) else grpc_target(host.rstrip(":"), _DEFAULT_PORT) for host in hosts if host]


def _port(host: str) -> str:
    return host.rpartition("]")[2].rpartition(":")[2] if ":" in host.rpartition("]")[2] else ""
