"""What is kept of passwords, what a check costs, and whom a refusal keeps waiting."""

from __future__ import annotations

import asyncio
import base64
import hashlib

import pytest

from esdb_lite.server.database.database import Database
from esdb_lite.server.users import passwords
from esdb_lite.server.users.authentication import Authenticator, LoginRefused
from esdb_lite.server.users.guessing import ALLOWANCE, GuessBrake
from esdb_lite.server.users.passwords import Hashed, hash_password, matches
from esdb_lite.server.users.store import UserStore
from tests.security.conftest import basic

HOUR = 3600.0


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
    assert [brake.refused(0.0) for _ in range(ALLOWANCE)] == [0.0] * ALLOWANCE
    assert brake.refused(0.0) == 1.0
    assert brake.refused(HOUR) == 0.0
    assert [brake.refused(HOUR) for _ in range(ALLOWANCE)] == [0.0] * (ALLOWANCE - 1) + [1.0]


async def test_a_mistyped_password_is_refused_at_once_and_a_right_one_never_waits() -> None:
    database = await Database.open(None)
    authenticator = Authenticator(database, failure_delay=HOUR)
    await UserStore(database, authenticator).begin({"admin": "changeit", "ops": "changeit"})
    guesses: list[asyncio.Task[object]] = []
    try:
        for number in range(ALLOWANCE):
            with pytest.raises(LoginRefused):
                await authenticator.identify(basic("admin", f"guess {number}")[0][1])
        guesses = [asyncio.ensure_future(authenticator.identify(basic("admin", "one more")[0][1]))]
        assert (await authenticator.identify(basic("ops", "changeit")[0][1])).name == "ops"
        assert (await authenticator.identify(basic("admin", "changeit")[0][1])).name == "admin"
        assert not guesses[0].done()
    finally:
        for guess in guesses:
            guess.cancel()
        await asyncio.gather(*guesses, return_exceptions=True)
        await authenticator.stop()
        await database.close()
