"""Logging in with a user of the server, and logging out.

Owns: how a login is tried. Must not know: how the page looks, how sessions are kept.
"""

from __future__ import annotations

from http import HTTPStatus

from starlette.responses import Response

from esdb_lite import AccessDenied, InvalidArgument, NotSupported, Unauthenticated
from esdb_lite.web.visit import PATIENCE, Visit

_LONGEST = 1000
"""Characters of a name or a password: a header takes time that grows with the square of its size."""
_WRONG = "The server does not know this user, or the password is another."
_WAIT = "There were too many attempts. Wait a minute."


async def login(visit: Visit) -> Response:
    """The form, and what it sends."""
    target = visit.to.inside(visit.query.text("next") or visit.to.page(""))
    if not visit.is_post:
        return _form(visit)
    client = visit.request.client
    address = "" if client is None else client.host
    if visit.desk.guesses.too_many(address):
        return _form(visit, HTTPStatus.TOO_MANY_REQUESTS, _WAIT)
    name, password = visit.form.text("login"), visit.form.exactly("password")
    visit.desk.guesses.begun(address)
    try:
        groups = await _groups(visit, name, password)
    except (Unauthenticated, InvalidArgument):
        return _form(visit, HTTPStatus.UNAUTHORIZED, _WRONG)
    visit.desk.guesses.right(address)
    visit.desk.sessions.end(visit.cookie)
    visit.cookie = visit.desk.sessions.begin(name, password, groups)
    visit.sets_cookie = True
    return visit.go(target)


async def logout(visit: Visit) -> Response:
    """End the session."""
    visit.desk.sessions.end(visit.cookie)
    visit.cookie = visit.desk.sessions.new_name()
    visit.sets_cookie = True
    return visit.go(visit.to.page("login"))


def _form(visit: Visit, status: int = HTTPStatus.OK, fault: str = "") -> Response:
    return visit.render("login.html", status=status, fault=fault, login=visit.form.text("login"))


async def _groups(visit: Visit, name: str, password: str) -> tuple[str, ...]:
    """The groups of a user, who is known by that name and password. Raises Unauthenticated, InvalidArgument."""
    if not name or not password:
        raise InvalidArgument("login", name, "must be given")
    if len(name) > _LONGEST or len(password) > _LONGEST:
        raise InvalidArgument("login", None, f"at most {_LONGEST:,} characters for the name and the password")
    try:
        user = await visit.client.get_user(name, timeout=PATIENCE, credentials=(name, password))
    except (AccessDenied, NotSupported):  # known, and may not ask
        return ()
    return user.groups
