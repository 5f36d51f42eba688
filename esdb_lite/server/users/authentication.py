"""Who is calling: the `authorization` header, passwords, and what happens to calls when a user is changed.

Owns: recognising callers, slowing down those who guess, and forgetting what was recognised the moment the user's
streams change, whoever has changed them. Must not know: what callers may do, gRPC, how users are written.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import os
from collections import Counter
from collections.abc import Callable, Coroutine, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from esdb_lite.server.database.database import Database
from esdb_lite.server.database.feed import Listener
from esdb_lite.server.engine.access import ANONYMOUS, Principal
from esdb_lite.server.engine.model import metastream_of
from esdb_lite.server.engine.users import UserRecord, find_user, user_stream
from esdb_lite.server.storage.errors import StorageError
from esdb_lite.server.users import passwords
from esdb_lite.server.users.guessing import DELAY, GuessBrake

_MAX_HEADER = 8192
_CHECKS_AT_ONCE = 2
_WAITING = 64
_WAITING_OF_LOGIN = 4
_WAITING_OF_SOURCE = _WAITING // 2
_WAITING_OF_CONNECTION = _WAITING_OF_SOURCE // 2
_ACCOUNTS_KEPT = 1000


class LoginRefused(Exception):
    """No such user, a wrong password, or a user who is disabled."""


class TooManyLogins(Exception):
    """More passwords wait to be checked than are taken at a time, or from one caller: come back later."""


class Caller(NamedTuple):
    """Where a login comes from."""

    connection: Hashable = None
    network: str = ""
    """What others may have in common with it who guess; see `network_of`."""


NOWHERE = Caller()


class Login(NamedTuple):
    """What a caller says who they are."""

    name: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.name!r}, ***)"


def login_of(header: str | None) -> str:
    """Return the login of an `authorization` header as it may be logged."""
    try:
        login = read_header(header)
    except LoginRefused:
        return "nobody"
    return "nobody" if login is None else repr(login.name[:100])


def read_header(header: str | None) -> Login | None:
    """Read an `authorization` header; None for what is taken for no login at all.

    Raises LoginRefused for one that begins like a login and is none.
    """
    if header is None:
        return None
    scheme, _, encoded = header.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    if not encoded.strip() or len(encoded) > _MAX_HEADER:
        raise LoginRefused
    try:
        raw = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise LoginRefused from None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    name, colon, password = text.partition(":")
    return Login(name, password) if colon else None


class _Check(NamedTuple):
    """A password that is being checked."""

    login: str
    digest: bytes
    current: bool = False
    """Asked for by a user who wants to change it: no login."""


class _Account:
    """What the server remembers of a user who logged in."""

    def __init__(self) -> None:
        self.user: UserRecord | None = None
        self.principal = ANONYMOUS
        self.digest: bytes | None = None
        """Of the password that was found right; None: it has to be checked again."""
        self.version = 0
        self.checks = 0
        self.calls: set[UserCall] = set()
        self.listeners: list[Listener] = []

    def close(self) -> None:
        """Stop watching the user's streams."""
        for listener in self.listeners:
            listener.close()


class UserCall:
    """A call that may stay open for long, as far as its user is concerned."""

    def __init__(self, task: asyncio.Task[object]) -> None:
        self._task = task
        self.revoked = False

    def revoke(self) -> None:
        """The user may not have opened it any more."""
        self.revoked = True
        self._task.cancel()


class Authenticator:
    """Recognises callers by the users in a database. Belongs to its event loop."""

    def __init__(self, database: Database, *, failure_delay: float = DELAY) -> None:
        self._database = database
        self._brake = GuessBrake(delay=failure_delay)
        self._key = os.urandom(32)
        self._accounts: dict[str, _Account] = {}
        self._checks: dict[_Check, asyncio.Task[None]] = {}
        self._waiting: Counter[Hashable] = Counter()
        self._reviews: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(_CHECKS_AT_ONCE, thread_name_prefix="esdb-lite passwords")

    async def stop(self) -> None:
        """Give up what is being checked. Idempotent."""
        tasks = [*self._checks.values(), *self._reviews]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for account in self._accounts.values():
            account.close()
        self._accounts.clear()
        self._threads.shutdown(wait=True, cancel_futures=True)

    # --- callers ---

    async def identify(self, header: str | None, caller: Caller = NOWHERE) -> Principal:
        """Return who is calling, true at the moment of returning. Raises LoginRefused, TooManyLogins.

        Those who guess leave room for callers from elsewhere.
        """
        login = read_header(header)
        if login is None:
            return ANONYMOUS
        digest = self._digest(login.password)
        while True:
            account = self._accounts.get(login.name)
            if account is not None and account.digest is not None and hmac.compare_digest(account.digest, digest):
                return account.principal
            await self._shared(_Check(login.name, digest), partial(self._check, login, digest, caller.network), caller)

    async def verify(self, login: str, password: str, caller: Caller = NOWHERE) -> None:
        """Check a password, as slowly as at a login, and for disabled users as well.

        Raises LoginRefused, TooManyLogins.
        """
        check = _Check(login, self._digest(password), current=True)
        await self._shared(check, partial(self._verify, login, password, caller.network), caller)

    async def has_password(self, login: str, password: str) -> bool:
        """Whether this is the password of a user. Not for what callers send. Raises StorageError."""
        found = await self._database.read(lambda reader: find_user(reader, login))
        return await self._matches(password, None if found is None else found.user)

    def _digest(self, password: str) -> bytes:
        return hashlib.blake2b(password.encode("utf-8", "surrogatepass"), key=self._key).digest()

    @contextmanager
    def session(self, principal: Principal) -> Iterator[UserCall | None]:
        """While this lasts, the current task is cancelled when the user is deleted, disabled, or gets another
        password or other groups; the session then says that it was `revoked`."""
        account = self._accounts.get(principal.name)
        task = asyncio.current_task()
        if account is None or task is None:
            yield None
            return
        session = UserCall(task)
        account.calls.add(session)
        try:
            yield session
        finally:
            account.calls.discard(session)
            self._forget_if_idle(principal.name, account)

    # --- checking ---

    async def _shared(
        self, check: _Check, checking: Callable[[], Coroutine[object, object, None]], caller: Caller
    ) -> None:
        """Check a password; callers who ask the same at the same time wait for the same answer."""
        task = self._checks.get(check)
        if task is None:
            if self._is_full(check.login, caller):
                raise TooManyLogins
            self._waiting.update(caller)
            task = self._checks[check] = asyncio.get_running_loop().create_task(checking())
            task.add_done_callback(lambda task: self._checked(check, caller, task))
        await asyncio.shield(task)

    def _is_full(self, login: str, caller: Caller) -> bool:
        same = sum(1 for waiting in self._checks if waiting.login == login)
        return (
            len(self._checks) >= _WAITING
            or same >= _WAITING_OF_LOGIN
            or self._waiting[caller.connection] >= _WAITING_OF_CONNECTION
            or self._waiting[caller.network] >= _WAITING_OF_SOURCE
        )

    def _checked(self, check: _Check, caller: Caller, task: asyncio.Task[None]) -> None:
        self._checks.pop(check, None)
        for key in caller:
            self._waiting[key] -= 1
            if not self._waiting[key]:
                del self._waiting[key]
        if not task.cancelled():
            task.exception()  # whoever asked may have gone

    async def _check(self, login: Login, digest: bytes, network: str) -> None:
        account = self._account(login.name)
        account.checks += 1
        try:
            version = account.version
            found = await self._database.read(lambda reader: find_user(reader, login.name))
            user = None if found is None or found.user.disabled else found.user
            right = await self._matches(login.password, user)
            if right and user is not None and account.version == version:
                account.user, account.principal, account.digest = user, user.principal, digest
        finally:
            account.checks -= 1
            self._forget_if_idle(login.name, account)
        if not right:
            await self._refuse(network)

    async def _verify(self, login: str, password: str, network: str) -> None:
        found = await self._database.read(lambda reader: find_user(reader, login))
        if not await self._matches(password, None if found is None else found.user):
            await self._refuse(network)

    async def _matches(self, password: str, user: UserRecord | None) -> bool:
        hashed = passwords.NOBODY if user is None else passwords.Hashed(user.hash, user.salt)
        loop = asyncio.get_running_loop()
        right = await loop.run_in_executor(self._threads, passwords.matches, password, hashed)
        return right and user is not None

    async def _refuse(self, network: str) -> None:
        delay = self._brake.refused(network, asyncio.get_running_loop().time())
        if delay:
            await asyncio.sleep(delay)
        raise LoginRefused

    async def hash_password(self, password: str) -> passwords.Hashed:
        """Return what to keep of a new password."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, passwords.hash_password, password)

    # --- accounts ---

    def _account(self, login: str) -> _Account:
        """Return what is known of a user, watched from now on."""
        account = self._accounts.get(login)
        if account is None:
            if len(self._accounts) >= _ACCOUNTS_KEPT:
                self._make_room()
            account = self._accounts[login] = _Account()
            for stream in (user_stream(login), metastream_of(user_stream(login))):
                self._watch(login, account, stream)
        return account

    def _watch(self, login: str, account: _Account, stream: str) -> None:
        def changed() -> None:
            listener.take()
            account.version += 1
            account.digest = None
            review = asyncio.get_running_loop().create_task(self._review(login, account))
            self._reviews.add(review)
            review.add_done_callback(self._reviews.discard)

        listener = self._database.listen(changed, stream=stream, limit=1024)
        account.listeners.append(listener)

    def _make_room(self) -> None:
        for login, account in list(self._accounts.items()):
            if not account.calls:
                account.digest = None
                self._forget_if_idle(login, account)

    def _forget_if_idle(self, login: str, account: _Account) -> None:
        idle = not account.calls and not account.checks and account.digest is None
        if idle and self._accounts.get(login) is account:
            account.close()
            del self._accounts[login]

    async def _review(self, login: str, account: _Account) -> None:
        """The user has been changed: end the calls that they could not open in the same way now."""
        try:
            found = await self._database.read(lambda reader: find_user(reader, login))
        except StorageError:
            found = None  # what cannot be looked up does not go on
        before = account.user
        same = before is not None and found is not None and found.user._replace(full_name=before.full_name) == before
        if not same:
            for session in list(account.calls):
                session.revoke()
        self._forget_if_idle(login, account)
