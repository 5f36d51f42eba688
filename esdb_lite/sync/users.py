"""The calls about users, for code without asyncio.

Owns: `UserApi`, the part of the client for threads that makes, changes and lists users.
Must not know: how anything is done. A test holds it to the part of the client for asyncio.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from esdb_lite._checks import Seconds
from esdb_lite.settings import CredentialsLike

if TYPE_CHECKING:
    from esdb_lite.sync.live import Live
    from esdb_lite.users import User


class UserApi:
    """Users of a server with authentication; without it, every call raises NotSupported."""

    def _live(self) -> Live:
        raise AssertionError("the client says where it lives")

    def create_user(
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
        live = self._live()
        live.portal.run(
            live.client.create_user,
            login_name,
            password,
            full_name=full_name,
            groups=groups,
            timeout=timeout,
            credentials=credentials,
        )

    def update_user(
        self,
        login_name: str,
        *,
        full_name: str,
        groups: Sequence[str],
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> None:
        """Replace the full name and the groups of a user. Raises UserNotFound."""
        live = self._live()
        live.portal.run(
            live.client.update_user,
            login_name,
            full_name=full_name,
            groups=groups,
            timeout=timeout,
            credentials=credentials,
        )

    def delete_user(
        self, login_name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Delete a user, whose open calls end at once. Raises UserNotFound, OutcomeUnknown."""
        live = self._live()
        live.portal.run(live.client.delete_user, login_name, timeout=timeout, credentials=credentials)

    def enable_user(
        self, login_name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Let a disabled user log in again. Raises UserNotFound."""
        live = self._live()
        live.portal.run(live.client.enable_user, login_name, timeout=timeout, credentials=credentials)

    def disable_user(
        self, login_name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Lock a user out until `enable_user`; open calls end at once. Raises UserNotFound."""
        live = self._live()
        live.portal.run(live.client.disable_user, login_name, timeout=timeout, credentials=credentials)

    def get_user(self, login_name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None) -> User:
        """Return a user. Raises UserNotFound."""
        live = self._live()
        return live.portal.run(live.client.get_user, login_name, timeout=timeout, credentials=credentials)

    def list_users(self, *, timeout: Seconds | None = None, credentials: CredentialsLike = None) -> list[User]:
        """Return all users, sorted by name."""
        live = self._live()
        return live.portal.run(live.client.list_users, timeout=timeout, credentials=credentials)

    def change_password(
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
        live = self._live()
        live.portal.run(
            live.client.change_password,
            login_name,
            current_password,
            new_password,
            timeout=timeout,
            credentials=credentials,
        )

    def reset_password(
        self, login_name: str, new_password: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Replace the password of a user without the current one. Raises UserNotFound."""
        live = self._live()
        live.portal.run(live.client.reset_password, login_name, new_password, timeout=timeout, credentials=credentials)
