"""The users of a database: creating, changing and finding them.

Owns: which events are written for which change, and in which order. Must not know: who may ask for it, calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from esdb_lite.server.database.database import Database
from esdb_lite.server.database.group_commit import new_id
from esdb_lite.server.engine import users
from esdb_lite.server.engine.model import ANY, METADATA_TYPE, NO_STREAM, Appended, ProposedEvent, metastream_of
from esdb_lite.server.engine.users import StoredUser, UserRecord, user_stream
from esdb_lite.server.users.authentication import Authenticator, LoginRefused


class UserMissing(Exception):
    """There is no such user."""


class UserExists(Exception):
    """There is such a user already, with another password."""


class UserChanged(Exception):
    """Somebody else has changed the user at the same moment."""


class UserStore:
    """The users in a database."""

    def __init__(self, database: Database, authenticator: Authenticator) -> None:
        self._database = database
        self._authenticator = authenticator

    async def begin(self, initial_passwords: Mapping[str, str]) -> None:
        """Give a database that has never had them its first users; `initial_passwords` by login. Raises StorageError.

        Idempotent, also after an interruption: what is there is left alone, deleted users stay deleted.
        """
        missing = [first for first in users.FIRST_USERS if await self._never_was(first[0])]
        for login, _, _ in missing:
            await self._append(metastream_of(user_stream(login)), ANY, METADATA_TYPE, users.USER_METADATA)
        for login, full_name, group in missing:
            hashed = await self._authenticator.hash_password(initial_passwords[login])
            user = UserRecord(login, full_name, (group,), hashed.hash, hashed.salt)
            await self._append(user_stream(login), NO_STREAM, users.CREATED_TYPE, users.dump_user(user))
        for login, _, _ in users.FIRST_USERS:
            if not await self._database.read(lambda reader, login=login: users.listed(reader, login)):  # type: ignore[misc]
                await self._list(login)

    async def _never_was(self, login: str) -> bool:
        return await self._database.read(lambda reader: users.last_revision(reader, login)) < 0

    async def all(self) -> Sequence[StoredUser]:
        """Return all users, sorted by login. Raises StorageError."""
        return await self._database.read(users.all_users)

    async def find(self, login: str) -> StoredUser:
        """Return a user. Raises UserMissing, StorageError."""
        found = await self._database.read(lambda reader: users.find_user(reader, login))
        if found is None:
            raise UserMissing
        return found

    async def create(self, login: str, password: str, full_name: str, groups: Sequence[str]) -> None:
        """Create a user; does nothing if the user exists with this password.

        Raises UserExists, UserChanged, TooManyLogins, StorageError.
        """
        if await self._database.read(lambda reader: users.find_user(reader, login)) is not None:
            try:
                await self._authenticator.verify(login, password)
            except LoginRefused:
                raise UserExists from None
            return
        hashed = await self._authenticator.hash_password(password)
        user = UserRecord(login, full_name, tuple(groups), hashed.hash, hashed.salt)
        last = await self._database.read(lambda reader: users.last_revision(reader, login))
        await self._append(metastream_of(user_stream(login)), ANY, METADATA_TYPE, users.USER_METADATA)
        await self._append(user_stream(login), last, users.CREATED_TYPE, users.dump_user(user))
        await self._list(login)

    async def update(self, login: str, full_name: str, groups: Sequence[str]) -> None:
        """Give a user another full name and other groups. Raises UserMissing, UserChanged, StorageError."""
        found = await self.find(login)
        await self._change(found, found.user._replace(full_name=full_name, groups=tuple(groups)))
        await self._notify(login)

    async def enable(self, login: str) -> None:
        """Let a user in again. Raises UserMissing, UserChanged, StorageError."""
        found = await self.find(login)
        if found.user.disabled:
            await self._change(found, found.user._replace(disabled=False))

    async def disable(self, login: str) -> None:
        """Keep a user out. Raises UserMissing, UserChanged, StorageError."""
        found = await self.find(login)
        if not found.user.disabled:
            await self._change(found, found.user._replace(disabled=True))
        await self._notify(login)

    async def set_password(self, login: str, password: str) -> None:
        """Give a user another password. Raises UserMissing, UserChanged, StorageError."""
        found = await self.find(login)
        hashed = await self._authenticator.hash_password(password)
        await self._change(found, found.user._replace(hash=hashed.hash, salt=hashed.salt))
        await self._notify(login)

    async def delete(self, login: str) -> None:
        """Delete a user. Raises UserMissing, UserChanged, StorageError."""
        found = await self.find(login)
        if not isinstance(await self._database.delete(user_stream(login), found.revision), Appended):
            raise UserChanged
        await self._notify(login)

    async def _change(self, found: StoredUser, user: UserRecord) -> None:
        await self._append(user_stream(user.login), found.revision, users.UPDATED_TYPE, users.dump_user(user))

    async def _list(self, login: str) -> None:
        await self._append(users.USERS_STREAM, ANY, users.USER_TYPE, login.encode("utf-8", "replace"), is_json=False)

    async def _notify(self, login: str) -> None:
        """Tell other readers. (This server itself reacts to the change of the user's stream, which comes earlier.)"""
        stream = users.NOTIFICATIONS_STREAM
        if await self._database.read(lambda reader: reader.head(stream)) is None:
            await self._append(metastream_of(stream), ANY, METADATA_TYPE, users.NOTIFICATIONS_METADATA)
        await self._append(stream, ANY, users.NOTIFICATION_TYPE, users.dump_notification(login))

    async def _append(self, stream: str, expected: int, type_: str, data: bytes, *, is_json: bool = True) -> None:
        event = ProposedEvent(new_id(), type_, is_json, data)
        if not isinstance(await self._database.append(stream, expected, [event]), Appended):
            raise UserChanged
