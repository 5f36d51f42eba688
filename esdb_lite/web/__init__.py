"""The web console: what is in a server, in a browser.

Owns: `app`, which makes it for a client. Must not know: how the client or the server do anything: it uses public names.
Needs the extra `web` (starlette, uvicorn, jinja2).
"""

from __future__ import annotations

from collections.abc import Sequence

from esdb_lite import AsyncEsdbClient
from esdb_lite.web.console import WebConsole

__all__ = ["WebConsole", "app"]


def app(
    client: AsyncEsdbClient,
    *,
    allow_changes: bool = False,
    login: bool | None = None,
    hosts: Sequence[str] = (),
) -> WebConsole:
    """Make the web console of the server that a client reaches: an ASGI application, which can be mounted.

    The client stays yours: close it when the application ends. Call `stop()` of the application before its web server
    waits for open connections, so that live pages end.

    `allow_changes`: visitors may change things, as far as the server lets them; otherwise they can only look.
    `login`: visitors say who they are, with the name and password of a user of the server (default: if the server has
    users). With `login=False` everybody acts as the client does: have something in front that asks who is there.
    `hosts`: names by which browsers call the console, besides addresses and `localhost`. Other names are refused, so
    that no web page of somebody else can reach it by a name of its own; `"*"` allows all.
    """
    return WebConsole(client, allow_changes=allow_changes, login=login, hosts=hosts)
