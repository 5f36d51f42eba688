"""Connection strings and what they say.

Owns: the grammar of connection strings, and `ConnectionSettings`. Must not know: sockets, gRPC, ssl contexts. It is
imported when a client is made.

The grammar is that of the clients for other languages. Where they disagree, a string means what most of them take it
for; what only some of them refuse (no port, an unknown option) is accepted, and what some of them take for something
else than the user meant (a raw `/` in a password, one option with two values) is refused.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from esdb_lite.errors import InvalidUri, WrongArgumentType
from esdb_lite.retries import RetryPolicy
from esdb_lite.settings import Address, BearerToken, Credentials, Embedded, NodePreference

if TYPE_CHECKING:
    from esdb_lite.event_types.registry import EventTypes

_log = logging.getLogger("esdb_lite.settings")
_SCHEMES = ("esdb", "kurrentdb", "kdb", "kurrent")
# Texts, not compiled: `re` keeps what is used, and few programs use them all.
_URI = r"(?s)(?P<scheme>[A-Za-z][A-Za-z0-9.-]*)(?P<kind>\+[A-Za-z]+)?:(?P<rest>.*)"
_START = rf"(?i:{'|'.join(_SCHEMES)})(?i:\+[a-z]+)?://"
_HOST = (
    r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<name>[^\x00-\x20\x7f\ud800-\udfff\s:/?#@\[\],%\\\"<>^`{|}]+))(?::(?P<port>[^:]*))?"
)
_PORT = r"[0-9]{1,5}"
_ADDRESS = r"[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._~-]+)?"
_ENCODE = "percent-encode what stands for itself in a user's name or password: / is %2F, ? is %3F, # is %23, @ is %40"


@dataclass(frozen=True)
class ConnectionSettings:
    """What a connection string says. All times are in seconds."""

    nodes: tuple[Address, ...] = ()
    """The servers that are named, in their order; none with `embedded`."""
    embedded: Embedded | None = None
    discover: bool = False
    """Whether `nodes` are asked for the nodes of their cluster, of which one is chosen by `node_preference`.

    True with several nodes, which are the seeds, and where the string says so (`+discover`): a single name then stands
    for all addresses that DNS has for it. False: exactly that one node is used.
    """
    tls: bool = True
    tls_verify: bool = True
    """Whether the certificate of the server and the name in it are checked."""
    tls_ca_file: str | None = None
    """Path of a file in PEM form: the authorities to trust. None: those that the system trusts."""
    user_cert_file: str | None = None
    """Path of a file in PEM form: what the client shows of itself; with `user_key_file`."""
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
    """For calls without a timeout of their own; does not apply to subscriptions. None: without end."""
    keep_alive_interval: float | None = 10.0
    """After this long without a sign of life the server is asked for one; None: never."""
    keep_alive_timeout: float = 10.0
    """How long to wait for the sign of life that was asked for."""
    gossip_timeout: float = 2.0
    """How long one node may take to say which nodes there are; all are asked side by side."""
    discovery_interval: float = 0.1
    """How long to wait between two attempts to find a node."""
    max_discover_attempts: int | None = 10
    """How many attempts are made to find a node; None: without end."""
    connection_name: str | None = None
    """What the server is to call this client in its lists."""
    retry: RetryPolicy = field(default_factory=lambda: RetryPolicy())
    event_types: EventTypes | None = field(default=None, repr=False)
    """The classes of the application's events; None: only `NewEvent`s are taken."""


def parse_uri(uri: str) -> ConnectionSettings:
    """Read a connection string. Raises `InvalidUri` (or `WrongArgumentType`), whose text shows no password.

    `host:port` (without TLS), `esdb://[user:password@]host[:port][,host[:port]...][/][?option=value&...]` (also
    `kurrentdb:`, `kdb:` and `kurrent:`; with `+discover`), `esdb+embedded:` (in memory) and `esdb+embedded:///path`.
    User, password, values and the path may be percent-encoded. Options that nobody knows are logged as a warning.
    """
    if not isinstance(uri, str):
        raise WrongArgumentType("uri", type(uri), "must be a str")
    text = uri.strip()
    if "://" not in text and "+" not in text.partition(":")[0]:
        return ConnectionSettings(nodes=(_short_form(text),), tls=False)
    match = re.fullmatch(_URI, text)
    scheme = match["scheme"].lower() if match else ""
    if match is None or scheme not in _SCHEMES:
        raise _invalid(text, f"unknown scheme {scheme!r}, use esdb:// or one of {', '.join(_SCHEMES)}")
    kind = (match["kind"] or "").lower()
    if kind == "+embedded":
        return ConnectionSettings(embedded=Embedded(_embedded_path(match["rest"], text)), tls=False)
    if kind not in ("", "+discover"):
        raise _invalid(
            text, f"unknown scheme {scheme + kind!r}, use +discover or +embedded, or nothing, after {scheme}"
        )
    if not match["rest"].startswith("//"):
        raise _invalid(text, f"// must follow {scheme}{kind}:")
    return _parse_network(match["rest"][2:], discover=bool(kind), uri=text)


def _short_form(text: str) -> Address:
    host, _, port = text.partition(":")
    if host.lower() in _SCHEMES and port and not re.fullmatch(_PORT, port):
        raise _invalid(text, f"// must follow {host}:, as in {host}://host:port")
    if any(mark in text for mark in "@?,"):
        raise _invalid(text, "users, options and several hosts need a scheme, as in esdb://host:port?tls=false")
    return _node(text, text, secret=False)


def hide_password(uri: str) -> str:
    """Return a connection string as it may be shown: without what is, or may have been meant as, a password."""
    match = re.match(_START, uri)
    start, rest = (match[0], uri[match.end() :]) if match else ("", uri)
    user, at, tail = rest.rpartition("@")
    if at:
        # An encoded colon may have been meant to end the name, so that too ends what is shown.
        name, *password = re.split("[:%]", user, maxsplit=1)
        return f"{start}{name if password else ''}:***@{tail}"
    if not match:
        scheme, separator, _ = uri.partition("://")
        return f"{scheme}://***" if separator else uri
    authority = _authority(rest)
    return uri if not authority or all(map(_is_address, authority.split(","))) else f"{start}***"


def _is_address(text: str) -> bool:
    match = re.fullmatch(_HOST, text.strip())
    return match is not None and (match["port"] is None or re.fullmatch(_PORT, match["port"]) is not None)


def _authority(rest: str) -> str:
    """Return the user and the hosts of what follows the scheme."""
    return re.split("[/?#]", rest, maxsplit=1)[0]


def _invalid(uri: str, reason: str) -> InvalidUri:
    return InvalidUri(hide_password(uri), reason)


# --- servers in the network -------------------------------------------------------------------------------------------


def _parse_network(rest: str, *, discover: bool, uri: str) -> ConnectionSettings:
    authority, query = _split_network(rest, uri)
    values = _parse_options(query, uri)
    user, at, hosts = authority.rpartition("@")
    if not hosts.strip():
        raise _invalid(uri, "has no host")
    nodes = tuple(_node(host.strip(), uri) for host in hosts.split(","))
    return ConnectionSettings(
        nodes=nodes,
        discover=bool(values.pop("discover", discover)) or len(nodes) > 1,
        credentials=_credentials(user, uri) if at else None,
        **values,  # type: ignore[arg-type]
    )


def _split_network(rest: str, uri: str) -> tuple[str, str]:
    """Return user and hosts, and options. What follows the hosts is not quoted: it may be a piece of a password."""
    authority = _authority(rest)
    path, _, query = rest[len(authority) :].partition("?")
    if "#" in path + query:
        raise _invalid(uri, f"must not contain #; {_ENCODE}")
    if path.strip("/"):
        raise _invalid(uri, f"must not have a path after the hosts; {_ENCODE}")
    return authority, query


def _credentials(user: str, uri: str) -> Credentials:
    name, colon, password = user.partition(":")
    if not name or not colon:
        raise _invalid(uri, "the part before @ must be user:password")
    decoded = _decode(name), _decode(password)
    if decoded[0] is None or decoded[1] is None:
        raise _invalid(uri, "the part before @ is not UTF-8 once it is decoded")
    return Credentials(decoded[0], decoded[1])


def _decode(text: str) -> str | None:
    """Undo percent-encoding; None for what is no text. The error itself would carry what was decoded."""
    try:
        decoded = _unquoted(text)
        decoded.encode()
    except UnicodeError:
        return None
    return decoded


def _unquoted(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote  # here: few strings need it

    return unquote(text, errors="strict")


def _node(text: str, uri: str, *, secret: bool = True) -> Address:
    """Read `host:port`. With `secret`, what follows the host is not quoted: somebody may have forgotten the @host."""
    match = re.fullmatch(_HOST, text)
    host = _host(match["v6"], match["name"]) if match else None
    shown = text.partition(":")[0].partition("@")[0]
    if match is None or host is None:
        hint = "; an IPv6 address is written in brackets" if text.count(":") > 1 else ""
        raise _invalid(uri, f"cannot find host and port in what starts with {shown!r}{hint}")
    port = match["port"]
    if port is None:
        return Address(host)
    if not (re.fullmatch(_PORT, port) and 1 <= int(port) <= 65535):
        found = f", after {shown!r}" if secret else f", not {_shortened(port)}"
        raise _invalid(uri, f"the port must be between 1 and 65535{found}")
    return Address(host, int(port))


def _host(v6: str | None, name: str | None) -> str | None:
    """Return a name, or an address without its brackets, whose zone may be encoded; None if it is no address."""
    if v6 is None:
        return name
    from ipaddress import IPv6Address  # here: few strings need it

    try:
        address = _unquoted(v6)
        IPv6Address(address)
    except ValueError:
        return None
    return address if re.fullmatch(_ADDRESS, address) else None


# --- a server inside this process -------------------------------------------------------------------------------------


def _embedded_path(rest: str, uri: str) -> str | None:
    path, _, query = rest.partition("?")
    if query:
        name = query.partition("&")[0].partition("=")[0]
        reason = f"an embedded server has no option {_shortened(name)}, nor any other; a ? in its path is written %3F"
        raise _invalid(uri, reason if "@" not in uri else "an embedded server has no options")
    if path.startswith("//"):
        host, slash, path = path[2:].partition("/")
        if host:
            raise _invalid(uri, "a path needs three slashes: esdb+embedded:///path/to/file")
        path = slash + path
    try:
        path = _unquoted(path)
    except UnicodeError as error:
        raise _invalid(uri, "the path is not UTF-8 once it is decoded") from error
    if "\0" in path:
        raise _invalid(uri, "the path has a NUL character")
    if re.match(r"/[A-Za-z]:[\\/]", path):
        path = path[1:]
    if path.endswith("/") and path != "/":
        raise _invalid(uri, "the path must be that of a file")
    return path if path not in ("", "/") else None


# --- options ----------------------------------------------------------------------------------------------------------

_MOST = 2**31 - 1
_DOUBTFUL_DEADLINE, _DOUBTFUL_GOSSIP = 0.1, 100.0
_WHOLE = r"-?[0-9]{1,10}"
_DECIMAL = r"[0-9]{1,10}(?:\.[0-9]{1,10})?"
_HEADER = r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?"
_OFF = "-1"


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _whole(text: str, least: int) -> int:
    if not (re.fullmatch(_WHOLE, text) and least <= int(text) <= _MOST):
        raise ValueError(text)
    return int(text)


def _count(text: str) -> int | None:
    return None if text == _OFF else _whole(text, 1)


def _pause(text: str) -> float:
    return _whole(text, 0) / 1000


def _milliseconds(text: str) -> float | None:
    return None if text == _OFF else _whole(text, 1) / 1000


def _seconds(text: str) -> float:
    if not (re.fullmatch(_DECIMAL, text) and 0 < float(text) <= _MOST // 1000):
        raise ValueError(text)
    return float(text)


def _path(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError(text)
    return text


def _header(text: str) -> str:
    if len(text) > 1000 or not re.fullmatch(_HEADER, text):
        raise ValueError(text)
    return text


def _preference(text: str) -> NodePreference:
    return NodePreference(_plain(text))


def _plain(name: str) -> str:
    """Return a name as names are compared: `keepAliveInterval`, `KEEP_ALIVE_INTERVAL` and so on are one."""
    return name.lower().replace("_", "").replace("-", "")


class _Option(NamedTuple):
    attribute: str
    expected: str
    parse: Callable[[str], object]


_FLAG = "true or false"
_LIMIT = f"a number of milliseconds from 1 to {_MOST}, or -1 for none"
_TIMEOUT = _Option("default_timeout", _LIMIT, _milliseconds)
_INTERVAL = _Option("discovery_interval", f"a number of milliseconds from 0 to {_MOST}", _pause)

_OPTIONS: Mapping[str, _Option] = {
    "tls": _Option("tls", _FLAG, _boolean),
    "tlsVerifyCert": _Option("tls_verify", _FLAG, _boolean),
    "tlsCaFile": _Option("tls_ca_file", "a path", _path),
    "userCertFile": _Option("user_cert_file", "a path", _path),
    "userKeyFile": _Option("user_key_file", "a path", _path),
    "nodePreference": _Option("node_preference", "leader, follower, random or readonlyreplica", _preference),
    "defaultDeadline": _TIMEOUT,
    "keepAliveInterval": _Option("keep_alive_interval", _LIMIT, _milliseconds),
    "keepAliveTimeout": _Option("keep_alive_timeout", _LIMIT, _milliseconds),
    "gossipTimeout": _Option("gossip_timeout", f"a number of seconds above 0, up to {_MOST // 1000}", _seconds),
    "discoveryInterval": _INTERVAL,
    "maxDiscoverAttempts": _Option(
        "max_discover_attempts", f"a number from 1 to {_MOST}, or -1 for no end of attempts", _count
    ),
    "connectionName": _Option("connection_name", "a text of 1,000 printable ASCII characters at most", _header),
    "sendCredentialsInsecurely": _Option("send_credentials_insecurely", _FLAG, _boolean),
    "dnsDiscover": _Option("discover", _FLAG, _boolean),
    "timeout": _TIMEOUT,
    "operationTimeout": _TIMEOUT,
    "discoverInterval": _INTERVAL,
}
"""The last ones are names that only one other client has, or had, for the same."""

_NO_EFFECT = (
    "throwOnAppendFailure",
    "feature",
    "dnsLookUpType",
    "caLookupInterval",
    "caLookupAttempts",
    "grpcRetryAttempts",
    "grpcRetryInterval",
)
"""Options of other clients about what does not exist here, or what is not for a connection string to decide."""

_KNOWN = {_plain(name): name for name in (*_OPTIONS, *_NO_EFFECT)}
_FREE_TEXT = (_path, _header)


def _parse_options(query: str, uri: str) -> dict[str, object]:
    pairs = [_pair(text) for text in query.split("&") if text.strip()]
    if any("@" in name + text and not _may_have_at(name) for name, text in pairs):
        raise _invalid(uri, f"an @ among the options stands for itself only in paths and names; {_ENCODE}")
    values: dict[str, object] = {}
    for name, text in pairs:
        option = _OPTIONS.get(name)
        if option is not None:
            value = _parse_value(name, option, text, uri)
            if values.setdefault(option.attribute, value) != value:
                raise _invalid(uri, f"{name} is given more than once, with different values")
    if ("user_cert_file" in values) != ("user_key_file" in values):
        raise _invalid(uri, "userCertFile and userKeyFile must be given together")
    _report([name for name, _ in pairs], values)
    if values.get("keep_alive_timeout", 0) is None:
        del values["keep_alive_timeout"]
        values["keep_alive_interval"] = None
    return values


def _pair(text: str) -> tuple[str, str]:
    """Return the name of an option, as it is written here if it is known, and its value, still encoded."""
    name, _, value = text.partition("=")
    name = name.strip()
    return _KNOWN.get(_plain(name), name), value.strip()


def _may_have_at(name: str) -> bool:
    return name in _OPTIONS and _OPTIONS[name].parse in _FREE_TEXT


def _parse_value(name: str, option: _Option, text: str, uri: str) -> object:
    decoded = _decode(text.replace("+", " "))
    try:
        return option.parse("" if decoded is None else decoded)
    except (ValueError, KeyError):
        shown = "" if "@" in text else f", not {_shortened(text)}"
    raise _invalid(uri, f"{name} must be {option.expected}{shown}")


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _report(names: list[str], values: Mapping[str, object]) -> None:
    """Say what an option does not do, or may do otherwise than meant. Only once nothing is wrong: no name is secret."""
    for name in dict.fromkeys(names):
        if name in _NO_EFFECT:
            _log.debug("option %s in the connection string has no effect in this client", name)
        elif name not in _OPTIONS:
            _warn_unknown(name)
    deadline, gossip = values.get("default_timeout"), values.get("gossip_timeout")
    if isinstance(deadline, float) and deadline < _DOUBTFUL_DEADLINE:
        _log.warning("defaultDeadline is in milliseconds: calls have %g seconds", deadline)
    if isinstance(gossip, float) and gossip >= _DOUBTFUL_GOSSIP:
        _log.warning("gossipTimeout is in seconds, not in milliseconds as for some other clients: %g seconds", gossip)


def _warn_unknown(name: str) -> None:
    from difflib import get_close_matches  # here: few programs make mistakes

    near = get_close_matches(_plain(name), _KNOWN, n=1)
    hint = f"; did you mean {_KNOWN[near[0]]!r}?" if near else ""
    _log.warning("unknown option %s in the connection string%s", _shortened(name), hint)
