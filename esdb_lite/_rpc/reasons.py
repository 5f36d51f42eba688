"""Why there is no connection, in words that lead to the cause; and whether another attempt could mend it.

Owns: what errors of the system and of TLS, and what a server has begun with, say about it. Must not know: connections,
who is told.
"""

from __future__ import annotations

import asyncio
import ssl
from importlib import import_module
from typing import NamedTuple

from esdb_lite._http2.greeting import Greeting, first_line
from esdb_lite.errors import ServiceUnavailable, TlsError

_ONE_THAT_EXPECTS_TLS = "one does that expects TLS (tls=false asks for a connection without)"
_ONE_THAT_WANTS_CERTIFICATES = (
    "one does that asks for a certificate of the client (userCertFile, userKeyFile), or does not accept it"
)
_NOBODY_BEHIND = "or as a proxy does that has no server behind it"


class Reason(NamedTuple):
    """Why, and which exception says so: `TlsError` where no attempt can mend it."""

    text: str
    error: type[ServiceUnavailable] = ServiceUnavailable


def why_not_connected(error: BaseException, *, secure: bool, met: bool, limit: float) -> Reason:
    """Say why no connection was made. `met`: the server has spoken HTTP/2 before, or others of its cluster have."""
    if isinstance(error, ssl.SSLError):
        return _why_no_tls(error, met=met)
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)) and not str(error):
        return Reason(f"no connection within {limit:g} seconds")
    if secure and isinstance(error, (ConnectionResetError, ConnectionAbortedError)):
        return Reason("the TLS handshake failed: the server has broken it off without a reason")
    return Reason(f"cannot connect: {error}")


def why_hung_up(fault: BaseException | None, *, secure: bool, met: bool) -> Reason:
    """Say why a server may have closed a connection before it has said anything."""
    if isinstance(fault, ssl.SSLError):
        return _why_no_tls(fault, met=met)
    said = "the server has closed the connection at once"
    if met:
        return Reason(said)
    usual = _ONE_THAT_WANTS_CERTIFICATES if secure else _ONE_THAT_EXPECTS_TLS
    return Reason(f"{said}, as {usual}, {_NOBODY_BEHIND}")


def why_no_http2(greeting: Greeting, first: bytes, *, secure: bool) -> Reason:
    """Say what somebody speaks who does not speak HTTP/2."""
    if greeting is Greeting.TLS:
        return Reason(
            "the server speaks TLS on this port, and the client does not (esdb:// without tls=false asks for it)",
            TlsError,
        )
    shown = f"the server does not speak HTTP/2 but {greeting.value}: {first_line(first)}"
    return Reason(shown if secure else f"{shown} (perhaps it expects TLS; tls=false asks for a connection without)")


def _why_no_tls(error: ssl.SSLError, *, met: bool) -> Reason:
    tls = import_module("esdb_lite._rpc.tls")
    text = f"the TLS handshake failed: {tls.explain(error)}"
    return Reason(text, TlsError if tls.is_final(error, met=met) else ServiceUnavailable)
