"""Users of the server log in to the console, and do there what they may."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from esdb_lite import AsyncEsdbClient, EmbeddedServer, NewEvent
from esdb_lite.web import WebConsole, app
from tests.web.visiting import Answer, Visitor

COOKIE = "esdb_lite_2113"


@pytest.fixture
def console(stranger: AsyncEsdbClient) -> WebConsole:
    """A console of the server with users, whose own client has not logged in."""
    return app(stranger, allow_changes=True)


@pytest.fixture
def visitor(console: WebConsole) -> Visitor:
    """Somebody who comes over TLS."""
    return Visitor(console, scheme="https")


async def log_in(visitor: Visitor, login: str = "admin", password: str = "changeit", target: str = "/login") -> Answer:
    """Fill in the form."""
    return await visitor.send(target, target, {"login": login, "password": password})


async def test_pages_want_a_login_and_come_back_to_what_was_asked(visitor: Visitor) -> None:
    asked = await visitor.get("/stream?name=%24%24order-1")
    assert asked.place == "/login?next=%2Fstream%3Fname%3D%2524%2524order-1"
    done = await log_in(visitor, target=asked.place)
    assert (done.status, done.place) == (303, "/stream?name=%24%24order-1")
    assert "admin" in (await visitor.get("/")).text
    assert (await visitor.get("/")).status == 200


async def test_a_login_leads_nowhere_else(visitor: Visitor) -> None:
    done = await log_in(visitor, target="/login?next=https%3A%2F%2Fevil.example%2F")
    assert done.place == "/"


async def test_the_cookie_holds_a_name_and_nothing_else(visitor: Visitor) -> None:
    await visitor.get("/login")
    before = visitor.cookies[COOKIE]
    done = await log_in(visitor)
    cookie = done.headers["set-cookie"]
    assert visitor.cookies[COOKIE] != before  # one that somebody has planted before the login opens nothing
    for word in ("HttpOnly", "Secure", "SameSite=lax", "Path=/"):
        assert word in cookie
    assert "changeit" not in cookie
    assert "admin" not in cookie
    assert "Secure" not in (await Visitor(visitor._application).get("/login")).headers["set-cookie"]


@pytest.mark.parametrize(
    ("login", "password"), [("admin", "wrong"), ("nobody", "changeit"), ("", ""), ("a:b", "secret!")]
)
async def test_wrong_logins(visitor: Visitor, login: str, password: str) -> None:
    answer = await log_in(visitor, login, password)
    assert answer.status == 401
    assert "another" in answer.seen
    assert password not in answer.text or not password
    assert (await visitor.get("/")).status == 303


async def test_guessing_ends(visitor: Visitor, console: WebConsole) -> None:
    answers = [(await log_in(visitor, "admin", f"guess {n}")).status for n in range(11)]
    assert answers == [401] * 10 + [429]
    assert (await log_in(visitor)).status == 429
    assert (await log_in(Visitor(console, client="192.0.2.1"))).status == 303


async def test_guesses_at_the_same_time_count(visitor: Visitor) -> None:
    token = (await visitor.get("/login")).token
    forms = [{"token": token, "login": "admin", "password": f"guess {n}"} for n in range(30)]
    answers = await asyncio.gather(*(visitor.post("/login", form) for form in forms))
    assert Counter(answer.status for answer in answers) == {401: 10, 429: 20}


@pytest.mark.parametrize("form", [{"password": "p" * 1001}, {"login": "a" * 1001}])
async def test_what_is_too_long_for_a_login_is_not_asked(
    visitor: Visitor, secure_server: EmbeddedServer, form: dict[str, str]
) -> None:
    await secure_server.stop_async()
    answer = await visitor.send("/login", "/login", {"login": "admin", "password": "changeit", **form})
    assert answer.status == 401


async def test_a_login_that_the_server_did_not_answer_is_a_guess(
    visitor: Visitor, secure_server: EmbeddedServer
) -> None:
    await secure_server.stop_async()
    assert [(await log_in(visitor)).status for _ in range(11)] == [503] * 10 + [429]


async def test_a_login_of_another_site(visitor: Visitor) -> None:
    await visitor.get("/login")
    assert (await visitor.post("/login", {"login": "admin", "password": "changeit"})).status == 403


async def test_logging_out(visitor: Visitor) -> None:
    await log_in(visitor)
    kept = dict(visitor.cookies)
    assert (await visitor.send("/", "/logout", {})).place == "/login"
    assert (await visitor.get("/")).status == 303
    visitor.cookies.update(kept)  # the name opens nothing any more
    assert (await visitor.get("/")).status == 303


async def test_a_session_ends_when_the_server_does_not_know_the_user_any_more(
    visitor: Visitor, admin: AsyncEsdbClient
) -> None:
    await admin.create_user("ada", "secret pw", groups=["$ops"])
    await log_in(visitor, "ada", "secret pw")
    assert (await visitor.get("/groups")).status == 200
    await admin.disable_user("ada")
    assert (await visitor.get("/groups")).status == 303
    await admin.enable_user("ada")
    assert (await visitor.get("/groups")).status == 303


async def test_visitors_do_what_their_user_may(visitor: Visitor, admin: AsyncEsdbClient) -> None:
    await admin.append_events("secret-1", None, NewEvent("Hidden", b""))
    await admin.set_stream_metadata("secret-1", {"$acl": {"$r": "$admins"}})
    await admin.append_events("plain-1", None, NewEvent("Seen", b""))
    await admin.create_user("ada", "pw")
    await log_in(visitor, "ada", "pw")
    assert (await visitor.get("/stream?name=secret-1")).status == 403
    assert "Seen" in (await visitor.get("/stream?name=plain-1")).seen
    assert "cannot list names" in (await visitor.get("/streams")).seen
    assert (await visitor.get("/all")).status == 403
    assert (await visitor.send("/users", "/users/create", {"login": "eve", "password": "pw"})).status == 403


async def test_users_are_managed(visitor: Visitor, secure_server: EmbeddedServer) -> None:
    await log_in(visitor)
    form = {"login": "ada", "password": " pw ", "full_name": "Ada", "groups": "team, $ops"}
    assert (await visitor.send("/users", "/users/create", form)).place == "/users"
    answer = await visitor.get("/users")
    assert "ada Ada team $ops enabled" in answer.seen
    assert "$ streams $admins" in answer.seen
    async with AsyncEsdbClient(secure_server.uri, credentials=("ada", " pw ")) as ada:
        assert (await ada.get_user("ada")).groups == ("team", "$ops")
    for change, seen in (
        ({"action": "disable"}, "disabled"),
        ({"action": "enable"}, "enabled"),
        ({"action": "groups", "full_name": "Ada L", "groups": "other"}, "ada Ada L other enabled"),
        ({"action": "password", "password": "new"}, "enabled"),
    ):
        done = await visitor.send("/user?login=ada", "/users/change", {"login": "ada", **change})
        assert done.place == "/user?login=ada"
        assert seen in (await visitor.get("/users")).seen
    async with AsyncEsdbClient(secure_server.uri, credentials=("ada", "new")) as ada:
        assert (await ada.get_user("ada")).full_name == "Ada L"
    assert (await visitor.send("/user?login=ada", "/users/change", {"login": "ada", "action": "delete"})).status == 400
    await visitor.send("/user?login=ada", "/users/change", {"login": "ada", "action": "delete", "sure": "1"})
    assert "ada Ada" not in (await visitor.get("/users")).seen


async def test_everybody_acts_as_the_client_where_that_is_meant(admin: AsyncEsdbClient) -> None:
    assert (await Visitor(app(admin, login=False)).get("/all?system=1")).status == 200
    assert (await Visitor(app(admin)).get("/all")).status == 303


async def test_a_login_to_a_mounted_console(console: WebConsole) -> None:
    visitor = Visitor(Starlette(routes=[Mount("/ops/console", console)]), scheme="https")
    asked = await visitor.get("/ops/console/all?system=1")
    assert asked.place == "/ops/console/login?next=%2Fops%2Fconsole%2Fall%3Fsystem%3D1"
    done = await log_in(visitor, target=asked.place)
    assert done.place == "/ops/console/all?system=1"
    assert "Path=/ops/console" in done.headers["set-cookie"]
    assert (await visitor.get(done.place)).status == 200


async def test_live_events_want_a_login(visitor: Visitor) -> None:
    async with visitor.listen("/live/events") as messages:
        assert await messages.get() == "401"
