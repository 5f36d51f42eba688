"""The header with the credentials of a call.

Owns: making it, and asking for tokens: once for all who need one, again when the server refuses it. Must not know:
calls, what a caller may pass for credentials (`credentials`).
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary

from esdb_lite._rpc.deadline import Deadline
from esdb_lite.client.credentials import LONGEST, basic
from esdb_lite.errors import CredentialsUnavailable, DeadlineExceeded
from esdb_lite.settings import BearerToken, Credentials

Metadata = tuple[tuple[str, str], ...]


class Authorization:
    """The header with the credentials, for one client."""

    def __init__(self) -> None:
        self._tokens: WeakKeyDictionary[BearerToken, _Token] = WeakKeyDictionary()

    async def header(self, credentials: Credentials | BearerToken, deadline: Deadline) -> Metadata:
        """Return the header. Raises CredentialsUnavailable, DeadlineExceeded."""
        if isinstance(credentials, Credentials):
            return (("authorization", f"Basic {basic(credentials)}"),)
        if isinstance(credentials.provider, str):
            return (("authorization", f"Bearer {_checked_token(credentials.provider)}"),)
        token = self._tokens.get(credentials)
        if token is None:
            token = self._tokens[credentials] = _Token(credentials.provider)
        return (("authorization", f"Bearer {await token.get(deadline)}"),)

    def renew(self, credentials: Credentials | BearerToken | None) -> bool:
        """The server has refused these: forget a token that can be asked for again; False where there is none."""
        token = self._tokens.get(credentials) if isinstance(credentials, BearerToken) else None
        if token is None:
            return False
        token.value = None
        return True


class _Token:
    """A token that a function returns, for all who need it."""

    def __init__(self, provider: Callable[[], str | Awaitable[str]]) -> None:
        self.value: str | None = None
        self._provider = provider
        self._asking = asyncio.Lock()

    async def get(self, deadline: Deadline) -> str:
        try:
            return await asyncio.wait_for(self._get(), deadline.remaining())
        except asyncio.TimeoutError:
            raise DeadlineExceeded(f"no bearer token within {deadline.timeout} seconds", sent=False) from None

    async def _get(self) -> str:
        async with self._asking:
            if self.value is None:
                self.value = _checked_token(await self._ask())
            return self.value

    async def _ask(self) -> object:
        try:
            answer = self._provider()
            return await answer if inspect.isawaitable(answer) else answer
        except Exception as error:
            reason = f"the function that returns bearer tokens has failed with {type(error).__name__}"
            raise CredentialsUnavailable(reason) from error


def _checked_token(token: object) -> str:
    """Refuse what would break the header; the text does not show the token."""
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token or " " in token:
        raise CredentialsUnavailable("a bearer token must be a str of printable ASCII characters without blanks")
    if len(token) > LONGEST:
        raise CredentialsUnavailable(f"a bearer token must have {LONGEST:,} characters at most")
    return token
