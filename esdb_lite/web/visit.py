"""One request: who asks, what for, and how the answer is made.

Owns: what comes before and after every page (the login, the token of forms, errors as pages, the cookie). Must not
know: what pages show, how the server is asked about it.
"""

from __future__ import annotations

import enum
import logging
import re
from asyncio import Semaphore
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from typing_extensions import TypedDict

import esdb_lite
from esdb_lite.web.asking import Asked, asked, form_of
from esdb_lite.web.places import Places

if TYPE_CHECKING:
    from esdb_lite.web.console import Desk

log = logging.getLogger("esdb_lite.web")

PATIENCE = 10.0
"""Seconds that a page waits for the server."""


class PageRight(enum.Enum):
    """What a visitor needs for a page."""

    NOTHING = enum.auto()
    LOGIN = enum.auto()
    """Where the server has users."""
    CHANGES = enum.auto()
    """Besides, the console must allow changes."""


class CallOptions(TypedDict):
    """What every call of the client gets."""

    timeout: float
    credentials: esdb_lite.Credentials | None


Handler: TypeAlias = "Callable[[Visit], Awaitable[Response]]"
Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


class Visit:
    """A request on its way to an answer."""

    def __init__(self, desk: Desk, request: Request) -> None:
        self.desk = desk
        self.request = request
        self.to = Places(request.scope.get("root_path", ""))
        self.query = asked(request)
        self.form = Asked({})
        self.cookie = request.cookies.get(desk.cookie(request), "")
        self.session = desk.sessions.find(self.cookie)
        self.sets_cookie = False

    @property
    def client(self) -> esdb_lite.AsyncEsdbClient:
        """Whom to ask."""
        return self.desk.client

    @property
    def options(self) -> CallOptions:
        """The options of a call to the server, on behalf of the visitor."""
        session = self.session
        credentials = None if session is None else esdb_lite.Credentials(session.login, session.password)
        return {"timeout": PATIENCE, "credentials": credentials}

    @property
    def is_post(self) -> bool:
        """Whether something is to be done."""
        return self.request.method == "POST"

    @property
    def here(self) -> str:
        """The address of this request, below the host."""
        query = self.request.url.query
        return self.request.url.path + (f"?{query}" if query else "")

    def token(self) -> str:
        """The token for the forms of the page; a visitor who has no cookie yet gets one."""
        if not self.cookie:
            self.cookie = self.desk.sessions.new_name()
            self.sets_cookie = True
        return self.desk.sessions.token(self.cookie)

    def render(self, template: str, *, status: int = 200, **values: object) -> Response:
        """Make a page."""
        text = self.desk.templates.get_template(template).render(
            visit=self, to=self.to, desk=self.desk, files=self.desk.files, **values
        )
        return HTMLResponse(text.encode(errors="replace"), status)  # JSON may hold lone surrogates

    async def act(self, actions: Mapping[str, Callable[[], Awaitable[object]]], *, sure: Mapping[str, str]) -> str:
        """Do what a form asks for, and return the name of it. Raises InvalidArgument.

        `sure`: why a visitor has to tick a box before some of the actions.
        """
        action = self.form.required("action")
        if action in sure and not self.form.checked("sure"):
            raise esdb_lite.InvalidArgument("sure", "", f"must be ticked: {sure[action]}")
        if action not in actions:
            raise esdb_lite.InvalidArgument("action", action, f"must be one of {', '.join(actions)}")
        await actions[action]()
        return action

    def go(self, place: str) -> Response:
        """Send the browser to another page."""
        return RedirectResponse(place, HTTPStatus.SEE_OTHER)


def endpoint(desk: Desk, handler: Handler, need: PageRight, room: Semaphore) -> Endpoint:
    """Make what Starlette calls out of a function that makes a page. `room`: for those that are made at a time."""

    async def make(visit: Visit) -> Response:
        async with room:
            return await handler(visit)

    async def answer(request: Request) -> Response:
        visit = Visit(desk, request)
        response = await _answer(visit, handler if visit.is_post else make, need)
        if visit.sets_cookie:
            desk.set_cookie(response, request, visit.cookie)
        return response

    return answer


async def _answer(visit: Visit, handler: Handler, need: PageRight) -> Response:
    try:
        if need is not PageRight.NOTHING and visit.session is None and await visit.desk.needs_login():
            return _to_login(visit)
        if visit.is_post and (refusal := await _refusal(visit)):
            return problem(visit, HTTPStatus.FORBIDDEN, refusal)
        if need is PageRight.CHANGES and not visit.desk.allow_changes:
            return problem(visit, HTTPStatus.FORBIDDEN, "This console is read-only.", CHANGES_HINT)
        return await handler(visit)
    except esdb_lite.Unauthenticated:
        visit.desk.sessions.end(visit.cookie)
        return (
            _to_login(visit) if need is not PageRight.NOTHING else problem(visit, 401, "The server does not know you.")
        )
    except esdb_lite.EsdbClientException as error:
        status = status_of(error)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.warning("%s %s: %s", visit.request.method, visit.request.url.path, error)
        return problem(visit, status, _TITLES.get(status, "The server says no."), _plain(error))


CHANGES_HINT = "Start it with --allow-changes, in an application with app(client, allow_changes=True)."


async def _refusal(visit: Visit) -> str:
    """Why a form is not accepted; empty if it is."""
    origin = visit.request.headers.get("sec-fetch-site", "same-origin")
    if origin not in ("same-origin", "none"):
        return "This form was sent by another site."
    visit.form = await form_of(visit.request)
    if not visit.cookie or not visit.desk.sessions.is_token(visit.cookie, visit.form.text("token")):
        return "This form is too old, or was sent by another site. Go back, load the page again, and repeat."
    return ""


def _to_login(visit: Visit) -> Response:
    if "text/event-stream" in visit.request.headers.get("accept", ""):
        return Response(status_code=HTTPStatus.UNAUTHORIZED)
    target = visit.here if not visit.is_post else visit.to.page("")
    return visit.go(visit.to.page("login") + "?" + urlencode({"next": target}))


def problem(visit: Visit, status: int, title: str, text: str = "") -> Response:
    """Make a page that says what went wrong."""
    return visit.render("problem.html", status=status, code=int(status), title=title, text=text)


def _plain(error: esdb_lite.EsdbClientException) -> str:
    """What an error says, without the field of the request that a server has put in front."""
    return re.sub(r"^options(\.\w+)+: ", "", str(error))


def status_of(error: esdb_lite.EsdbClientException) -> int:
    """The HTTP status for an error of the client."""
    return next((status for kind, status in _STATUSES.items() if isinstance(error, kind)), HTTPStatus.BAD_GATEWAY)


_STATUSES: dict[type[esdb_lite.EsdbClientException], HTTPStatus] = {
    esdb_lite.AccessDenied: HTTPStatus.FORBIDDEN,
    esdb_lite.StreamNotFound: HTTPStatus.NOT_FOUND,
    esdb_lite.StreamDeleted: HTTPStatus.GONE,
    esdb_lite.SubscriptionNotFound: HTTPStatus.NOT_FOUND,
    esdb_lite.ProjectionNotFound: HTTPStatus.NOT_FOUND,
    esdb_lite.IndexNotFound: HTTPStatus.NOT_FOUND,
    esdb_lite.UserNotFound: HTTPStatus.NOT_FOUND,
    esdb_lite.InvalidArgument: HTTPStatus.BAD_REQUEST,
    esdb_lite.InvalidRequest: HTTPStatus.BAD_REQUEST,
    esdb_lite.NotSupported: HTTPStatus.NOT_IMPLEMENTED,
    esdb_lite.DeadlineExceeded: HTTPStatus.GATEWAY_TIMEOUT,
    esdb_lite.ServiceUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    esdb_lite.ResourceExhausted: HTTPStatus.SERVICE_UNAVAILABLE,
}

_TITLES: dict[int, str] = {
    HTTPStatus.FORBIDDEN: "You may not do this.",
    HTTPStatus.NOT_FOUND: "There is nothing here.",
    HTTPStatus.GONE: "This stream was deleted for ever.",
    HTTPStatus.BAD_REQUEST: "This cannot be asked.",
    HTTPStatus.NOT_IMPLEMENTED: "This server cannot do this.",
    HTTPStatus.GATEWAY_TIMEOUT: "The server did not answer in time.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The server cannot be reached.",
}
