"""The calls about users.

Owns: `AsyncUserApi`, the part of the asynchronous client that makes, changes and lists users. Must not know: bytes.
What translates the messages is imported when one of the calls is made: few programs need it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from esdb_lite import _convert
from esdb_lite._checks import Seconds, checked_hidden, checked_items, checked_text
from esdb_lite.errors import InvalidArgument, ProtocolError

if TYPE_CHECKING:
    from esdb_lite.client.core import ClientCore
    from esdb_lite.settings import CredentialsLike
    from esdb_lite.users import User


class AsyncUserApi:
    """Users of a server with authentication; without it, every call raises NotSupported."""

    _core: ClientCore

    async def create_user(
        self,
        login_name: str,
        password: str,
        *,
        full_name: str = "",
        groups: Sequence[str] = (),
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> None:
        """Create a user. Does nothing if there is one with this name and password.

        `groups`: members of `$admins` may do everything, of `$ops` run the server; other names are for access lists.
        Only administrators may do this, and all other calls about users except `get_user`, `list_users` and
        `change_password`. Raises UserConflict if there is a user of this name with another password. The rules are in
        section 21 of the protocol notes.
        """
        channel = self._core.channel(self._core.deadline(timeout), credentials, repeatable=True)
        _checked_login(login_name)
        await _convert.users.create(
            channel, login_name, _checked_password("password", password), *_checked(full_name, groups)
        )

    async def update_user(
        self,
        login_name: str,
        *,
        full_name: str,
        groups: Sequence[str],
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> None:
        """Replace the full name and the groups of a user. Raises UserNotFound."""
        channel = self._core.channel(self._core.deadline(timeout), credentials, repeatable=True)
        await _convert.users.update(channel, _checked_login(login_name), *_checked(full_name, groups))

    async def delete_user(
        self, login_name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Delete a user, whose open calls end at once. Raises UserNotFound, OutcomeUnknown."""
        channel = self._core.channel(self._core.deadline(timeout), credentials)
        await _convert.users.delete(channel, _checked_login(login_name))

    async def enable_user(
        self, login_name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Enable a disabled user, who can log in again. Raises UserNotFound."""
        channel = self._core.channel(self._core.deadline(timeout), credentials, repeatable=True)
        await _convert.users.enable(channel, _checked_login(login_name))

    async def disable_user(
        self, login_name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Disable a user, who cannot log in until `enable_user`; open calls end at once. Raises UserNotFound."""
        channel = self._core.channel(self._core.deadline(timeout), credentials, repeatable=True)
        await _convert.users.disable(channel, _checked_login(login_name))

    async def get_user(
        self, login_name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> User:
        """Return a user. Raises UserNotFound."""
        channel = self._core.channel(self._core.deadline(timeout), credentials, repeatable=True)
        found = await _convert.users.details(channel, _checked_login(login_name))
        if len(found) != 1:
            raise ProtocolError(f"the server was asked for one user, and has answered with {len(found)}")
        return found[0]

    async def list_users(self, *, timeout: Seconds | None = None, credentials: CredentialsLike = None) -> list[User]:
        """Return all users, sorted by name."""
        channel = self._core.channel(self._core.deadline(timeout), credentials, repeatable=True)
        return await _convert.users.details(channel, "")

    async def change_password(
        self,
        login_name: str,
        current_password: str,
        new_password: str,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> None:
        """Replace the password of a user who knows the current one.

        Raises UserNotFound; AccessDenied if `current_password` is wrong; OutcomeUnknown when the request was sent and
        no answer came.
        """
        channel = self._core.channel(self._core.deadline(timeout), credentials)
        await _convert.users.change_password(
            channel,
            _checked_login(login_name),
            _checked_password("current_password", current_password),
            _checked_password("new_password", new_password),
        )

    async def reset_password(
        self, login_name: str, new_password: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Replace the password of a user without the current one. Raises UserNotFound."""
        channel = self._core.channel(self._core.deadline(timeout), credentials, repeatable=True)
        await _convert.users.reset_password(
            channel, _checked_login(login_name), _checked_password("new_password", new_password)
        )


def _checked_login(login_name: str) -> str:
    if not checked_text("login_name", login_name) or ":" in login_name or "\0" in login_name:
        raise InvalidArgument("login_name", login_name, "must not be empty, nor have a colon or NUL in it")
    return login_name


def _checked_password(argument: str, password: str) -> str:
    return checked_hidden(argument, password)


def _checked(full_name: str, groups: Sequence[str]) -> tuple[str, Sequence[str]]:
    names = checked_items("groups", groups, str, "must be a sequence of str")
    return checked_text("full_name", full_name), [checked_text("groups", name) for name in names]
