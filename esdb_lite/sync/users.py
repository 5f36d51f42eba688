"""The calls about users, for code without asyncio.

Owns: `UserApi`, the part of the client for threads that makes, changes and lists users.
Must not know: how anything is done. A test holds it to the part of the client for asyncio.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from esdb_lite.settings import CredentialsLike
from esdb_lite.users import User

if TYPE_CHECKING:
    from esdb_lite.sync._client import _Live


class UserApi:
    """Users of a server with authentication. One without answers with NotSupported."""

    def _live(self) -> _Live:
        raise AssertionError("the client says where it lives")

    def create_user(
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
        live = self._live()
        live.portal.run(
            live.client.create_user(
                login_name, password, full_name=full_name, groups=groups, timeout=timeout, credentials=credentials
            )
        )

    def update_user(
        self,
        login_name: str,
        *,
        full_name: str,
        groups: Sequence[str],
        timeout: float | None = None,
        credentials: CredentialsLike = None,
    ) -> None:
        """Replace the full name and the groups of a user. Raises UserNotFound."""
        live = self._live()
        live.portal.run(
            live.client.update_user(
                login_name, full_name=full_name, groups=groups, timeout=timeout, credentials=credentials
            )
        )

    def delete_user(
        self, login_name: str, *, timeout: float | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Delete a user, for whom everything ends at once. Raises UserNotFound."""
        live = self._live()
        live.portal.run(live.client.delete_user(login_name, timeout=timeout, credentials=credentials))

    def enable_user(
        self, login_name: str, *, timeout: float | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Let a user in again. Raises UserNotFound."""
        live = self._live()
        live.portal.run(live.client.enable_user(login_name, timeout=timeout, credentials=credentials))

    def disable_user(
        self, login_name: str, *, timeout: float | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Keep a user out until `enable_user`. Raises UserNotFound."""
        live = self._live()
        live.portal.run(live.client.disable_user(login_name, timeout=timeout, credentials=credentials))

    def get_user(self, login_name: str, *, timeout: float | None = None, credentials: CredentialsLike = None) -> User:
        """Return a user. Raises UserNotFound."""
        live = self._live()
        return live.portal.run(live.client.get_user(login_name, timeout=timeout, credentials=credentials))

    def list_users(self, *, timeout: float | None = None, credentials: CredentialsLike = None) -> list[User]:
        """Return all users, sorted by name."""
        live = self._live()
        return live.portal.run(live.client.list_users(timeout=timeout, credentials=credentials))

    def change_password(
        self,
        login_name: str,
        current_password: str,
        new_password: str,
        *,
        timeout: float | None = None,
        credentials: CredentialsLike = None,
    ) -> None:
        """Give a user another password, with the knowledge of the present one. Raises UserNotFound, AccessDenied."""
        live = self._live()
        live.portal.run(
            live.client.change_password(
                login_name, current_password, new_password, timeout=timeout, credentials=credentials
            )
        )

    def reset_password(
        self, login_name: str, new_password: str, *, timeout: float | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Give a user another password without knowledge of the present one. Raises UserNotFound."""
        live = self._live()
        live.portal.run(live.client.reset_password(login_name, new_password, timeout=timeout, credentials=credentials))
