"""The console as a whole: an ASGI application with its pages, files and visitors.

Owns: `WebConsole`, which page is at which path, what all requests share. Must not know: what pages show.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

import esdb_lite
from esdb_lite.web.guard import Guard
from esdb_lite.web.history import FigureHistory
from esdb_lite.web.rendering import environment, static_files
from esdb_lite.web.sessions import LONGEST, Guesses, Sessions
from esdb_lite.web.visit import PATIENCE, Endpoint, Handler, PageRight, endpoint

WATCH_EVERY = 5.0
"""Seconds."""
MOST_LIVE = 50
"""Live pages at a time."""
MOST_DOWNLOADS = 8
"""Events that are downloaded at a time: each is held in memory until it is taken."""
MOST_LARGE = 16
"""Pages of large events at a time, likewise."""

_PAGES, _SEARCHES = 4, 2
"""Pages and searches at a time: the others wait, so that a server whose loop this is has time for its own clients."""
_SEARCHING = ("/find", "/related")
_LOOK = ("GET",)
_DO = ("POST",)
_BOTH = ("GET", "POST")


class Desk:
    """What all requests share."""

    def __init__(self, client: esdb_lite.AsyncEsdbClient, *, allow_changes: bool, login: bool | None) -> None:
        self.client = client
        self.allow_changes = allow_changes
        self.sessions = Sessions()
        self.guesses = Guesses()
        self.templates = environment()
        self.files = static_files()
        self.history = FigureHistory()
        self.stopped = asyncio.Event()
        self._needs_login = login
        self._open: Counter[str] = Counter()

    async def needs_login(self) -> bool:
        """Whether visitors have to say who they are: the server is asked until it has answered once."""
        if self._needs_login is None:
            try:
                await self.client.list_users(timeout=PATIENCE)
            except esdb_lite.NotSupported:
                self._needs_login = False
            except (esdb_lite.Unauthenticated, esdb_lite.AccessDenied):
                self._needs_login = True
            else:  # the client has credentials of its own
                self._needs_login = True
        return self._needs_login

    async def take_figures(self) -> None:
        """Ask the server how it does; everybody may."""
        figures = await self.client.read_statistics(timeout=PATIENCE)
        self.history.add(asyncio.get_running_loop().time(), figures)

    def cookie(self, request: Request) -> str:
        """The name of the cookie: browsers do not tell apart the ports of a host."""
        return f"esdb_lite_{request.url.port or request.url.scheme}"

    def set_cookie(self, response: Response, request: Request, value: str) -> None:
        """Have the browser keep the name of a session."""
        response.set_cookie(
            self.cookie(request),
            value,
            max_age=int(LONGEST),
            path=request.scope.get("root_path", "") or "/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="lax",
        )

    def live_page(self) -> AbstractContextManager[None]:
        """Count a page that stays open. Raises ResourceExhausted when there are enough."""
        return self._counted("live pages", MOST_LIVE)

    def download(self) -> AbstractContextManager[None]:
        """Count an event that is held until a visitor has taken it. Raises ResourceExhausted when there are enough."""
        return self._counted("downloads", MOST_DOWNLOADS)

    def large_page(self) -> AbstractContextManager[None]:
        """Count a large page until a visitor has taken it. Raises ResourceExhausted when there are enough."""
        return self._counted("large pages", MOST_LARGE)

    @contextmanager
    def _counted(self, what: str, most: int) -> Iterator[None]:
        if self._open[what] >= most:
            raise esdb_lite.ResourceExhausted(f"{most} {what} are open already")
        self._open[what] += 1
        try:
            yield
        finally:
            self._open[what] -= 1


class WebConsole:
    """An ASGI application: the web console of a server. Made by `esdb_lite.web.app`."""

    def __init__(
        self, client: esdb_lite.AsyncEsdbClient, *, allow_changes: bool, login: bool | None, hosts: Sequence[str]
    ) -> None:
        if isinstance(hosts, str):
            raise esdb_lite.InvalidArgument("hosts", hosts, "must be a sequence of names")
        self._desk = Desk(client, allow_changes=allow_changes, login=login)
        self._application = Guard(Starlette(routes=_routes(self._desk)), hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._application(scope, receive, send)

    async def watch(self) -> None:
        """Keep asking the server for its figures, until cancelled: charts then also show what nobody looked at."""
        while True:
            with suppress(esdb_lite.EsdbClientException):
                await self._desk.take_figures()
            await asyncio.sleep(WATCH_EVERY)

    def stop(self) -> None:
        """End live pages, which would keep a web server from stopping. Idempotent."""
        self._desk.stopped.set()


def _routes(desk: Desk) -> list[Route]:
    pages, searches = asyncio.Semaphore(_PAGES), asyncio.Semaphore(_SEARCHES)
    return [
        *(
            Route(
                path,
                endpoint(desk, handler, need, searches if path in _SEARCHING else pages),
                methods=list(methods),
            )
            for path, handler, need, methods in _pages()
        ),
        Route("/static/{name}", _static(desk)),
    ]


def _pages() -> Iterator[tuple[str, Handler, PageRight, Sequence[str]]]:
    """Every page: its path, what makes it, what it needs, and how it is called."""
    from esdb_lite.web.pages import events, everything, groups, live, login, overview, projections, streams, users

    yield "/", overview.overview, PageRight.LOGIN, _LOOK
    yield "/login", login.login, PageRight.NOTHING, _BOTH
    yield "/logout", login.logout, PageRight.NOTHING, _DO
    yield "/go", streams.go, PageRight.LOGIN, _LOOK
    yield "/streams", streams.streams, PageRight.LOGIN, _LOOK
    yield "/stream", streams.stream, PageRight.LOGIN, _LOOK
    yield "/event", events.event, PageRight.LOGIN, _LOOK
    yield "/event/data", events.data, PageRight.LOGIN, _LOOK
    yield "/find", events.find, PageRight.LOGIN, _LOOK
    yield "/related", events.related, PageRight.LOGIN, _LOOK
    yield "/all", everything.everything, PageRight.LOGIN, _LOOK
    yield "/live", live.live, PageRight.LOGIN, _LOOK
    yield "/live/events", live.live_events, PageRight.LOGIN, _LOOK
    yield "/groups", groups.groups, PageRight.LOGIN, _LOOK
    yield "/group", groups.group, PageRight.LOGIN, _LOOK
    yield "/group/replay", groups.replay, PageRight.CHANGES, _DO
    yield "/group/truncate", groups.truncate, PageRight.CHANGES, _DO
    yield "/projections", projections.projections, PageRight.LOGIN, _LOOK
    yield "/projection", projections.projection, PageRight.LOGIN, _LOOK
    yield "/projection/create", projections.create, PageRight.CHANGES, _DO
    yield "/projection/change", projections.change, PageRight.CHANGES, _DO
    yield "/query", projections.query, PageRight.CHANGES, _BOTH
    yield "/users", users.users, PageRight.LOGIN, _LOOK
    yield "/user", users.user, PageRight.LOGIN, _LOOK
    yield "/users/create", users.create, PageRight.CHANGES, _DO
    yield "/users/change", users.change, PageRight.CHANGES, _DO


def _static(desk: Desk) -> Endpoint:
    async def static(request: Request) -> Response:
        found = desk.files.get(request.path_params["name"])
        if found is None:
            return PlainTextResponse("There is no such file.", 404)
        headers = {"cache-control": "public, max-age=31536000, immutable"}
        return Response(found.content, media_type=found.media_type, headers=headers)

    return static
