"""What is kept of passwords, what a check costs, and whom a refusal keeps waiting."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest

from esdb_lite.server.addresses import network_of
from esdb_lite.server.database.database import Database
from esdb_lite.server.users import passwords
from esdb_lite.server.users.authentication import Authenticator, Caller, LoginRefused, TooManyLogins
from esdb_lite.server.users.guessing import ALLOWANCE, ALLOWANCE_OF_ALL, SOURCES, GuessBrake
from esdb_lite.server.users.passwords import Hashed, hash_password, matches
from esdb_lite.server.users.store import UserStore
from tests.security.conftest import basic

HOUR = 3600.0


@asynccontextmanager
async def authenticating() -> AsyncIterator[tuple[Authenticator, list[asyncio.Task[object]]]]:
    """Who logs users in, and a list for guesses that wait: they are cancelled at the end."""
    database = await Database.open(None)
    authenticator = Authenticator(database, failure_delay=HOUR)
    await UserStore(database, authenticator).begin({"admin": "changeit", "ops": "changeit"})
    guesses: list[asyncio.Task[object]] = []
    try:
        yield authenticator, guesses
    finally:
        for guess in guesses:
            guess.cancel()
        await asyncio.gather(*guesses, return_exceptions=True)
        await authenticator.stop()
        await database.close()


def scrypt(password: str, salt: bytes, cost: int) -> str:
    found = hashlib.scrypt(password.encode(), salt=salt, n=cost, r=8, p=1, maxmem=2**27, dklen=32)
    return base64.b64encode(found).decode()


def test_what_a_hash_has_cost_is_kept_with_it() -> None:
    kept = hash_password("pw")
    assert kept.hash == "$scrypt$ln=15,r=8,p=1$" + scrypt("pw", base64.b64decode(kept.salt), 2**15)
    assert matches("pw", kept)
    assert not matches("other", kept)


def test_hashes_of_earlier_versions_are_still_good() -> None:
    kept = Hashed(scrypt("pw", b"salt of 16 bytes", 2**14), base64.b64encode(b"salt of 16 bytes").decode())
    assert matches("pw", kept)
    assert not matches("other", kept)


@pytest.mark.parametrize("cost", ["ln=40,r=8,p=1", "ln=0,r=8,p=1", "ln=15,r=8,p=9", "ln=15,r=999,p=1"])
def test_what_is_stored_does_not_cost_any_amount(cost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may write users could have the server compute, or take its memory."""
    asked: list[int] = []
    made = scrypt("pw", b"x" * 16, 2**4)
    real = hashlib.scrypt
    monkeypatch.setattr(passwords.hashlib, "scrypt", lambda *a, n, **k: asked.append(n) or real(*a, n=n, **k))
    kept = Hashed(f"$scrypt${cost}$" + made, base64.b64encode(b"x" * 16).decode())
    assert not matches("pw", kept)
    assert asked == [2**15]


def test_the_brake_stops_those_who_guess_and_forgets() -> None:
    brake = GuessBrake(delay=1.0)
    assert [brake.refused("a", 0.0) for _ in range(ALLOWANCE)] == [0.0] * ALLOWANCE
    assert brake.refused("a", 0.0) == 1.0
    assert brake.refused("a", HOUR) == 0.0
    assert [brake.refused("a", HOUR) for _ in range(ALLOWANCE)] == [0.0] * (ALLOWANCE - 1) + [1.0]


def test_who_mistypes_does_not_wait_for_what_others_guess_unless_many_do() -> None:
    brake = GuessBrake(delay=1.0)
    for _ in range(1000):
        brake.refused("a", 0.0)
    assert brake.refused("b", 0.0) == 0.0
    sources = (f"source {number}" for number in count())
    assert [brake.refused(next(sources), 0.0) for _ in range(ALLOWANCE_OF_ALL - ALLOWANCE)][-2:] == [0.0, 1.0]


def test_of_sources_that_guess_only_some_are_remembered() -> None:
    brake = GuessBrake(delay=1.0)
    for number in range(SOURCES + 10):
        brake.refused(f"source {number}", 0.0)
    assert len(brake._sources) == SOURCES


async def test_who_guesses_over_many_connections_leaves_room_for_callers_from_elsewhere() -> None:
    async with authenticating() as (authenticator, guesses):
        for number in range(80):
            header, caller = basic(f"user{number}", "guess")[0][1], Caller(number % 8, "192.0.2.1")
            guesses.append(asyncio.ensure_future(authenticator.identify(header, caller)))
        await asyncio.sleep(0)
        with pytest.raises(TooManyLogins):
            await authenticator.identify(basic("ops", "changeit")[0][1], Caller(8, "192.0.2.1"))
        assert (await authenticator.identify(basic("ops", "changeit")[0][1], Caller(9, "192.0.2.2"))).name == "ops"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("127.0.0.1", "loopback"),
        ("127.8.9.1", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("an unknown address", "an unknown address"),
    ],
)
def test_one_machine_is_one_source(address: str, network: str) -> None:
    assert network_of(address) == network


async def test_a_mistyped_password_is_refused_at_once_and_a_right_one_never_waits() -> None:
    async with authenticating() as (authenticator, guesses):
        for number in range(ALLOWANCE):
            with pytest.raises(LoginRefused):
                await authenticator.identify(basic("admin", f"guess {number}")[0][1])
        guesses.append(asyncio.ensure_future(authenticator.identify(basic("admin", "one more")[0][1])))
        assert (await authenticator.identify(basic("ops", "changeit")[0][1])).name == "ops"
        assert (await authenticator.identify(basic("admin", "changeit")[0][1])).name == "admin"
        assert not guesses[0].done()
