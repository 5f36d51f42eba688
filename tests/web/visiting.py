"""A visitor without a browser: requests to an ASGI application, cookies, forms.

Owns: HTTP over ASGI, as much as the tests need. Must not know: pages.
"""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

Application = Any


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def seen(self) -> str:
        """What can be read on the page: no tags, no entities."""
        main = self.text.partition("<main")[2]
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", "<" + main)).split())

    @property
    def links(self) -> list[str]:
        """Where the links of the page lead."""
        return [html.unescape(link) for link in re.findall(r'href="([^"]*)"', self.text.partition("<main")[2])]

    @property
    def token(self) -> str:
        """The token in a form of the page."""
        found = re.search(r'name="token" value="([0-9a-f]+)"', self.text)
        assert found, self.text
        return found[1]

    @property
    def place(self) -> str:
        """Where a redirection leads."""
        return self.headers["location"]


class Visitor:
    """Somebody with cookies."""

    def __init__(
        self, application: Application, *, host: str = "127.0.0.1:2113", scheme: str = "http", client: str = "127.0.0.1"
    ) -> None:
        self._application = application
        self._host = host
        self._scheme = scheme
        self._client = client
        self.cookies: dict[str, str] = {}

    async def get(self, target: str, **headers: str) -> Answer:
        """Load a page."""
        return await self._ask("GET", target, b"", headers)

    async def post(self, target: str, form: Mapping[str, str], **headers: str) -> Answer:
        """Send a form, with nothing added to it."""
        return await self._ask("POST", target, urlencode(form).encode(), headers)

    async def send(self, page: str, target: str, form: Mapping[str, str]) -> Answer:
        """Send a form with the token of the page that it is on."""
        return await self.post(target, {"token": (await self.get(page)).token, **form})

    async def follow(self, answer: Answer) -> Answer:
        """Go where a redirection leads."""
        assert answer.status == 303, answer.text
        return await self.get(answer.place)

    def scope(self, method: str, target: str, headers: Mapping[str, str]) -> dict[str, Any]:
        """The scope of a request."""
        parts = urlsplit(target)
        assert parse_qsl(parts.query, keep_blank_values=True) is not None
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        given = {"host": self._host, **({"cookie": cookie} if cookie else {}), **headers}
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": self._scheme,
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()],
            "server": ("127.0.0.1", 2113),
            "client": (self._client, 50000),
        }

    async def _ask(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        messages: list[dict[str, Any]] = []
        sent = False

        async def receive() -> dict[str, Any]:
            nonlocal sent
            if sent:
                await asyncio.Event().wait()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            messages.append(message)

        await self._application(self.scope(method, target, headers), receive, send)
        start = messages[0]
        names = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        self._keep(value.decode() for name, value in start["headers"] if name == b"set-cookie")
        return Answer(start["status"], names, b"".join(message.get("body", b"") for message in messages[1:]))

    def _keep(self, lines: Any) -> None:
        for line in lines:
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value

    @asynccontextmanager
    async def listen(self, target: str, **headers: str) -> AsyncIterator[asyncio.Queue[str]]:
        """Follow server-sent events: the queue gets the status, then each message as text; at the end an empty text."""
        queue: asyncio.Queue[str] = asyncio.Queue()
        gone = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                queue.put_nowait(str(int(message["status"])))
            else:
                queue.put_nowait(message.get("body", b"").decode())

        scope = self.scope("GET", target, {"accept": "text/event-stream", **headers})
        task = asyncio.ensure_future(self._application(scope, receive, send))
        try:
            yield queue
        finally:
            gone.set()
            await task
