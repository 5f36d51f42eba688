"""Who is visiting: sessions that are kept here, and the tokens that forms carry.

Owns: how long a session lasts, how many there are, and how often somebody may guess a password. Must not know:
requests, the server. Credentials stay in this process: a cookie holds nothing but a random name.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

IDLE = 30 * 60.0
"""Seconds after which a session ends that nobody uses."""
LONGEST = 12 * 3600.0
"""Seconds after which a session ends in any case."""
MOST = 1000
"""Sessions at a time; one more ends the one that was not used for longest."""
GUESSES = 10
"""Failed logins from one address within GUESSING_TIME."""
GUESSING_TIME = 60.0
_MOST_GUESSERS = 10_000

Clock = Callable[[], float]


@dataclass
class WebSession:
    """A visitor who has logged in."""

    login: str
    """The user's name."""
    password: str
    groups: tuple[str, ...]
    """The user's groups, as far as the server told them."""
    began: float
    used: float

    def has_ended(self, now: float) -> bool:
        """Whether its time is over."""
        return now - self.used > IDLE or now - self.began > LONGEST


class Sessions:
    """The sessions of a console, by the random names that cookies carry."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._sessions: dict[str, WebSession] = {}
        """The one that was not used for longest comes first."""

    def __len__(self) -> int:
        return len(self._sessions)

    def new_name(self) -> str:
        """Return a name that nobody guesses."""
        return secrets.token_urlsafe(32)

    def begin(self, login: str, password: str, groups: tuple[str, ...]) -> str:
        """Begin a session and return its name, which is new: one that was known before the login is worth nothing."""
        now = self._clock()
        name = self.new_name()
        self._sessions[name] = WebSession(login, password, groups, now, now)
        while len(self._sessions) > MOST:
            del self._sessions[next(iter(self._sessions))]
        return name

    def find(self, name: str) -> WebSession | None:
        """Return a session and count it as used; None if there is none, or its time is over."""
        session = self._sessions.pop(name, None)
        if session is None or session.has_ended(self._clock()):
            return None
        session.used = self._clock()
        self._sessions[name] = session
        return session

    def is_open(self, name: str) -> bool:
        """Whether there is such a session, without counting it as used."""
        session = self._sessions.get(name)
        return session is not None and not session.has_ended(self._clock())

    def end(self, name: str) -> None:
        """Log somebody out."""
        self._sessions.pop(name, None)

    def token(self, name: str) -> str:
        """The token that forms of this visitor carry: other sites cannot know it."""
        return hmac.new(self._secret, name.encode(), hashlib.sha256).hexdigest()

    def is_token(self, name: str, token: str) -> bool:
        """Whether a form carried the right token."""
        return hmac.compare_digest(self.token(name).encode(), token.encode())


def _network(address: str) -> str:
    """What one machine can have addresses from at will: all of loopback, and a /64 of IPv6."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    found = getattr(found, "ipv4_mapped", None) or found
    if found.is_loopback:
        return "loopback"
    return str(found) if found.version == 4 else f"{int(found) >> 64:x}"


class Guesses:
    """Failed logins by where they come from, so that nobody tries passwords by the thousand."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._failed: dict[str, list[float]] = {}

    def too_many(self, address: str) -> bool:
        """Whether an address has to wait."""
        return len(self._recent(address)) >= GUESSES

    def begun(self, address: str) -> None:
        """Count a login as failed until it is `right`: those that are tried at the same time count, too."""
        self._failed[_network(address)] = [*self._recent(address), self._clock()][-GUESSES:]
        while len(self._failed) > _MOST_GUESSERS:
            del self._failed[next(iter(self._failed))]

    def right(self, address: str) -> None:
        """A login that has begun was no guess."""
        self._failed[_network(address)] = self._recent(address)[:-1]

    def _recent(self, address: str) -> list[float]:
        now = self._clock()
        return [moment for moment in self._failed.get(_network(address), ()) if now - moment < GUESSING_TIME]
