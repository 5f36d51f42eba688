"""What stands before every page: who may call the console by which name, and what browsers are told to refuse.

Owns: the check of the Host header (against names that strangers point at this machine), the headers of all answers.
Must not know: pages, sessions.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types console",
    )
)
"""No script, style or frame but our own files: nothing that stands in an event is ever run."""

HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """An ASGI application around another: it turns away who calls by a wrong name, and adds headers to all answers."""

    def __init__(self, inner: ASGIApp, hosts: Sequence[str]) -> None:
        self._inner = inner
        self._hosts = frozenset(name.lower() for name in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        host = Headers(scope=scope).get("host", "")
        application = self._inner if is_allowed(host, self._hosts) else _refusal(host)
        await application(scope, receive, send_guarded)


def is_allowed(host: str, names: frozenset[str]) -> bool:
    """Whether a Host header names this console: an address, this machine, or one of the given names."""
    name = _without_port(host.lower())
    if "*" in names or name in names or name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _without_port(host: str) -> str:
    address, bracket, port = host.rpartition("]")
    if bracket:
        return address + bracket if not port or port.startswith(":") else ""
    return host.partition(":")[0]


def _refusal(host: str) -> ASGIApp:
    shown = "".join(character for character in host[:100] if character.isprintable())
    return PlainTextResponse(
        f"This console does not answer to the name {shown!r}.\n"
        "Use its address, or allow the name: `--allowed-host NAME`, in an application `app(client, hosts=[NAME])`.\n",
        status_code=421,
    )
