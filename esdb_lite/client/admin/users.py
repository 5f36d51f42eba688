"""The calls about users.

Owns: `AsyncUserApi`, the part of the asynchronous client that makes, changes and lists users. Must not know: bytes.
What translates the messages is imported when one of the calls is made: few programs need it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from esdb_lite.errors import InvalidArgument, WrongArgumentType
from esdb_lite.users import User

if TYPE_CHECKING:
    from esdb_lite.client.core import ClientCore
    from esdb_lite.settings import CredentialsLike


class AsyncUserApi:
    """Users of a server with authentication. One without answers with NotSupported."""

    _session: ClientCore

    async def create_user(
        self,
        login_name: str,
        password: str,
        *,
        full_name: str = "",
        groups: Sequence[str] = (),
        timeout: float | None = None,
        credentials: CredentialsLike = None,
    ) -> None:
        """Create a user. Does nothing where there is one with this name and password.

        `groups`: `$admins` may do everything, `$ops` may run the server; other names are for access lists.
        Takes an administrator, as all calls about users do but `get_user`, `list_users` and `change_password`.
        Raises UserConflict.
        """
        from esdb_lite._convert import users as convert

        deadline = self._session.deadline(timeout)
        _checked_login(login_name)
        message = convert.encode_create(
            login_name, _checked_password("password", password), *_checked(full_name, groups)
        )
        await self._session.call(convert.CREATE, message, deadline=deadline, credentials=credentials, repeatable=True)

    async def update_user(
        self,
        login_name: str,
        *,
        full_name: str,
        groups: Sequence[str],
        timeout: float | None = None,
        credentials: CredentialsLike = None,
    ) -> None:
        """Replace the full name and the groups of a user. Raises UserNotFound."""
        from esdb_lite._convert import users as convert

        deadline = self._session.deadline(timeout)
        message = convert.encode_update(_checked_login(login_name), *_checked(full_name, groups))
        await self._session.call(convert.UPDATE, message, deadline=deadline, credentials=credentials, repeatable=True)

    async def delete_user(
        self, login_name: str, *, timeout: float | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Delete a user, for whom everything ends at once. Raises UserNotFound."""
        from esdb_lite._convert import users as convert

        deadline = self._session.deadline(timeout)
        message = convert.encode_delete(_checked_login(login_name))
        await self._session.call(convert.DELETE, message, deadline=deadline, credentials=credentials)

    async def enable_user(
        self, login_name: str, *, timeout: float | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Let a user in again. Raises UserNotFound."""
        from esdb_lite._convert import users as convert

        deadline = self._session.deadline(timeout)
        message = convert.encode_enable(_checked_login(login_name))
        await self._session.call(convert.ENABLE, message, deadline=deadline, credentials=credentials, repeatable=True)

    async def disable_user(
        self, login_name: str, *, timeout: float | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Keep a user out until `enable_user`. Raises UserNotFound."""
        from esdb_lite._convert import users as convert

        deadline = self._session.deadline(timeout)
        message = convert.encode_disable(_checked_login(login_name))
        await self._session.call(convert.DISABLE, message, deadline=deadline, credentials=credentials, repeatable=True)

    async def get_user(
        self, login_name: str, *, timeout: float | None = None, credentials: CredentialsLike = None
    ) -> User:
        """Return a user. Raises UserNotFound."""
        from esdb_lite._convert import users as convert

        deadline = self._session.deadline(timeout)
        message = convert.encode_details(_checked_login(login_name))
        found = await self._session.call(
            convert.DETAILS, message, deadline=deadline, credentials=credentials, repeatable=True
        )
        return convert.decode_user(found)

    async def list_users(self, *, timeout: float | None = None, credentials: CredentialsLike = None) -> list[User]:
        """Return all users, sorted by name."""
        from esdb_lite._convert import users as convert

        deadline = self._session.deadline(timeout)
        found = await self._session.call_for_many(
            convert.DETAILS, convert.encode_details(""), deadline=deadline, credentials=credentials
        )
        return [convert.decode_user(message) for message in found]

    async def change_password(
        self,
        login_name: str,
        current_password: str,
        new_password: str,
        *,
        timeout: float | None = None,
        credentials: CredentialsLike = None,
    ) -> None:
        """Give a user another password, with the knowledge of the present one. Raises UserNotFound, AccessDenied."""
        from esdb_lite._convert import users as convert

        deadline = self._session.deadline(timeout)
        message = convert.encode_change_password(
            _checked_login(login_name),
            _checked_password("current_password", current_password),
            _checked_password("new_password", new_password),
        )
        await self._session.call(convert.CHANGE_PASSWORD, message, deadline=deadline, credentials=credentials)

    async def reset_password(
        self, login_name: str, new_password: str, *, timeout: float | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Give a user another password without knowledge of the present one. Raises UserNotFound."""
        from esdb_lite._convert import users as convert

        deadline = self._session.deadline(timeout)
        message = convert.encode_reset_password(
            _checked_login(login_name), _checked_password("new_password", new_password)
        )
        await self._session.call(
            convert.RESET_PASSWORD, message, deadline=deadline, credentials=credentials, repeatable=True
        )


def _checked_login(login_name: str) -> str:
    if not isinstance(login_name, str):
        raise WrongArgumentType("login_name", login_name, "must be a str")
    if not login_name or ":" in login_name:
        raise InvalidArgument("login_name", login_name, "must not be empty, nor have a colon in it")
    return login_name


def _checked_password(argument: str, password: str) -> str:
    if not isinstance(password, str):
        raise WrongArgumentType(argument, None, "must be a str")
    return password


def _checked(full_name: str, groups: Sequence[str]) -> tuple[str, Sequence[str]]:
    if not isinstance(full_name, str):
        raise WrongArgumentType("full_name", full_name, "must be a str")
    if isinstance(groups, str) or not all(isinstance(group, str) for group in groups):
        raise WrongArgumentType("groups", groups, "must be a sequence of str")
    return full_name, groups
