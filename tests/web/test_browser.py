"""The console in a real browser: what its script does, what it must never run, how it looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from esdb_lite import AsyncEsdbClient, EmbeddedServer, NackAction, NewEvent, StreamState, SubscriptionSettings
from esdb_lite.web import app
from esdb_lite.web.serving import ConsoleServer
from tests.web.browser import CHROMIUM, DRIVER, Browser, browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"),
]

EVIL = "</script><script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"
PAGES = ["", "streams", "all", "live", "groups", "projections", "query", "users", "stream?name=order-1"]
WIDE, NARROW = (1280, 800), (390, 844)


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for all tests here."""
    with browser(tmp_path_factory.mktemp("profile")) as made:
        yield made


@asynccontextmanager
async def served(client: AsyncEsdbClient) -> AsyncIterator[str]:
    """A console behind a port; gives its address."""
    server = ConsoleServer(app(client, allow_changes=True))
    port = await server.start("127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        await server.stop()


@pytest.fixture
async def address(client: AsyncEsdbClient) -> AsyncIterator[str]:
    """Where the console of a server without users is."""
    async with served(client) as found:
        yield found


async def park(client: AsyncEsdbClient) -> None:
    """Have a group park an event."""
    await client.create_subscription("g", "order-1", settings=SubscriptionSettings(min_checkpoint_count=1))
    async with await client.read_subscription("g", "order-1") as subscription:
        async for event in subscription:
            await subscription.nack(event, NackAction.PARK, EVIL)
            break


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_every_page_fits_and_complains_about_nothing(
    client: AsyncEsdbClient, address: str, window: Browser, size: tuple[int, int], dark: bool
) -> None:
    await client.append_events("order-1", None, NewEvent.json("Placed", {"text": "x" * 500}))
    await park(client)
    places = [*PAGES, "event?stream=order-1&position=0", "group?stream=order-1&name=g", "projection?name=%24streams"]

    def look() -> None:
        window.look(width=size[0], height=size[1], dark=dark)
        for place in places:
            window.go(address + place)
            assert window.title.endswith("esdb-lite")
            assert window.run("return document.documentElement.scrollWidth <= innerWidth"), place
            background = str(window.run("return getComputedStyle(document.documentElement).backgroundColor"))
            assert (sum(map(int, background.strip("rgb()").split(","))) < 200) is dark
            assert window.log() == [], place

    await asyncio.to_thread(look)


async def test_nothing_that_is_stored_runs(client: AsyncEsdbClient, address: str, window: Browser) -> None:
    await client.append_events("order-1", None, NewEvent.json(EVIL, {EVIL: EVIL}, {"$correlationId": EVIL}))
    await client.append_events(EVIL, None, NewEvent("Html", EVIL.encode(), EVIL.encode()))
    await park(client)

    def look() -> None:
        for place in (*PAGES, "event?stream=order-1&position=0", "group?stream=order-1&name=g"):
            window.go(address + place)
            assert "run" not in window.title
            assert window.run("return document.querySelectorAll('main script, main img').length") == 0
        window.go(f"{address}event?stream=order-1&position=0")
        assert EVIL.replace('"', '\\"') in window.text("main")
        # Were markup to get into a page, the browser would refuse to run what is in it.
        for way, refused in (
            ("document.createElement('img').setAttribute('onerror', '1')", "TrustedScript"),
            ("document.body.innerHTML = arguments[0]", "TrustedHTML"),
            ("document.createElement('script').text = '1'", "TrustedScript"),
        ):
            with pytest.raises(AssertionError, match=refused):
                window.run(way, EVIL)
        assert "run" not in window.title

    await asyncio.to_thread(look)


async def test_live_events(client: AsyncEsdbClient, address: str, window: Browser) -> None:
    rows = "[data-rows] tr"
    await asyncio.to_thread(window.go, f"{address}live?by=stream&match=prefix&text=order-")
    live = "return document.querySelector('[data-state]').textContent.startsWith(arguments[0])"
    await asyncio.to_thread(window.wait_for, live, "live")
    await client.append_events("other-1", None, NewEvent("Other", b""))
    await client.append_events("order-1", None, [NewEvent.json(EVIL, {"n": 1}), NewEvent.json("Second", {"n": 2})])
    await asyncio.to_thread(window.wait_for, live, "live, 2 new")
    seen = await asyncio.to_thread(window.texts, rows)
    assert ["Second" in seen[0], EVIL in seen[1], len(seen)] == [True, True, 2]
    await asyncio.to_thread(window.click, "[data-pause]")
    await client.append_events("order-1", 1, NewEvent.json("Third", {"n": 3}))
    await asyncio.to_thread(
        window.wait_for, "return document.querySelector('[data-pause]').textContent == 'Resume (1)'"
    )
    assert await asyncio.to_thread(window.count, rows) == 2
    await asyncio.to_thread(window.click, "[data-pause]")
    assert "Third" in (await asyncio.to_thread(window.texts, rows))[0]
    assert "run" not in await asyncio.to_thread(lambda: window.title)
    await asyncio.to_thread(window.click, f"{rows} a")
    assert (await asyncio.to_thread(lambda: window.address)).endswith("/event?stream=order-1&position=2")


async def test_a_stream_grows_while_it_is_looked_at(client: AsyncEsdbClient, address: str, window: Browser) -> None:
    await client.append_events("order-1", None, [NewEvent(f"T{n}", b"") for n in range(3)])
    await asyncio.to_thread(window.go, f"{address}stream?name=order-1")
    await client.append_events("order-1", 2, NewEvent("T3", b""))
    await asyncio.to_thread(window.wait_for, "return document.querySelectorAll('[data-rows] tr').length == 4")
    types = await asyncio.to_thread(window.texts, "[data-rows] td.type")
    assert types == ["T3", "T2", "T1", "T0"]


async def test_charts_go_on(client: AsyncEsdbClient, address: str, window: Browser) -> None:
    points = "return document.querySelector('#charts .line')?.getAttribute('points') ?? ''"
    await asyncio.to_thread(window.go, address)
    first = await asyncio.to_thread(window.wait_for, points)
    await client.append_events("order-1", StreamState.ANY, NewEvent("T", b"x" * 10_000))
    await asyncio.to_thread(window.wait_for, points + " != arguments[0]", first)


async def test_parked_events_are_replayed(client: AsyncEsdbClient, address: str, window: Browser) -> None:
    await client.append_events("order-1", None, NewEvent.json("Placed", {}))
    await park(client)

    def replay() -> None:
        window.go(f"{address}groups")
        window.click("main td a")
        assert EVIL in window.text("#parked")
        window.click("#parked button.main")
        window.wait_for("return document.querySelector('#parked')?.innerText.includes('There are none.')")

    await asyncio.to_thread(replay)
    async with await client.read_subscription("g", "order-1") as subscription:
        async for event in subscription:
            assert event.type == "Placed"
            await subscription.ack(event)
            break


async def test_a_login(stranger: AsyncEsdbClient, window: Browser) -> None:
    async with served(stranger) as address:

        def log_in() -> None:
            window.go(f"{address}users")
            assert "/login?next=" in window.address
            window.type("[name=login]", "admin")
            window.type("[name=password]", "wrong")
            window.click("button.main")
            window.wait_for("return document.querySelector('[role=alert]')?.innerText.includes('another')")
            window.type("[name=password]", "changeit")
            window.click("button.main")
            window.wait_for("return location.href == arguments[0]", f"{address}users")
            assert "Event Store Administrator" in window.text("main")
            window.look(width=NARROW[0], height=NARROW[1], dark=False)
            for place in ("users", "user?login=admin"):
                window.go(address + place)
                assert window.run("return document.documentElement.scrollWidth <= innerWidth"), place
            assert window.run("return document.cookie") == ""
            window.click("header button")
            window.wait_for("return location.pathname == '/login'")

        await asyncio.to_thread(log_in)


async def test_keys(client: AsyncEsdbClient, address: str, window: Browser) -> None:
    await client.append_events("order-1", None, [NewEvent("A", b""), NewEvent("B", b"")])

    def press() -> None:
        window.go(f"{address}stream?name=order-1")
        focused = "return document.activeElement.textContent"
        window.press("j")
        assert window.run(focused) == "1"
        window.press("j")
        assert window.run(focused) == "0"
        window.press("k")
        window.press("\ue007")  # enter
        assert window.wait_for("return location.search == '?stream=order-1&position=1'")
        window.press("\ue012")  # to the left
        assert window.wait_for("return location.search == '?stream=order-1&position=0'")
        window.press("/")
        assert window.run("return document.activeElement.id") == "q"
        window.press("j")
        assert window.run("return document.activeElement.value") == "j"

    await asyncio.to_thread(press)


async def test_names_of_everything_that_can_be_used(client: AsyncEsdbClient, address: str, window: Browser) -> None:
    """Screen readers need a name for every link, button and field, and one heading for a page."""
    nameless = """
        const named = (e) => e.textContent.trim() || e.ariaLabel || e.title || e.labels?.length || e.type == "hidden";
        return [...document.querySelectorAll("a, button, input, select, textarea")].filter(e => !named(e))
            .map(e => e.outerHTML)"""

    def look() -> None:
        for place in PAGES:
            window.go(address + place)
            assert window.run(nameless) == [], place
            assert window.count("h1") == 1
            assert window.run("return document.documentElement.lang") == "en"

    await client.append_events("order-1", None, NewEvent("A", b""))
    await asyncio.to_thread(look)


async def test_reading_without_scripts(server: EmbeddedServer, client: AsyncEsdbClient, tmp_path: Path) -> None:
    await client.append_events("order-1", None, [NewEvent.json("Placed", {"n": n}) for n in range(50)])

    def read(address: str) -> None:
        with browser(tmp_path, scripts=False) as plain:
            plain.go(f"{address}stream?name=order-1")
            assert '{"n": 49}' in plain.text("main")
            plain.click(".pager a:nth-of-type(2)")
            assert '{"n": 9}' in plain.text("main")
            plain.click("td.type a")
            assert '"n": 9' in plain.text("main")
            plain.go(f"{address}live")
            assert "takes JavaScript" in plain.text("main")

    async with served(client) as address:
        await asyncio.to_thread(read, address)
