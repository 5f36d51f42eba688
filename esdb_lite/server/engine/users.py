"""Users as they are kept: which streams, which events, what is in them.

Owns: the documents in `$user-…`, the list in `$users`, and what creating a user needs to know of what was there.
Must not know: passwords (only what is stored of them), calls, how events are written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

from esdb_lite.server.engine import relaxed_json
from esdb_lite.server.engine.access import ADMINS, OPS, Principal
from esdb_lite.server.engine.visibility import last_event
from esdb_lite.server.storage import Reader

USERS_STREAM = "$users"
USER_TYPE = "$User"
CREATED_TYPE = "$UserCreated"
UPDATED_TYPE = "$UserUpdated"
NOTIFICATIONS_STREAM = "$users-password-notifications"
NOTIFICATIONS_METADATA = b'{"$maxAge":3600}'
NOTIFICATION_TYPE = "$PasswordChanged"
USER_METADATA = b'{"$acl":{"$w":"$admins","$d":"$admins","$mw":"$admins"}}'

_PAGE = 500


class UserRecord(NamedTuple):
    """A user as kept."""

    login: str
    full_name: str
    groups: tuple[str, ...]
    hash: str
    """What is kept of the password: a slow hash of it and of `salt`."""
    salt: str
    disabled: bool = False

    @property
    def principal(self) -> Principal:
        """The user as the rules of access see it."""
        return Principal(self.login, frozenset(self.groups))


class StoredUser(NamedTuple):
    """A user as found."""

    user: UserRecord
    revision: int
    """Of the event that says so."""
    updated: int
    """When that was written, ticks."""


FIRST_USERS = (
    ("ops", "Event Store Operations", OPS),
    ("admin", "Event Store Administrator", ADMINS),
)
"""Login, full name and group of the users of a new database, in the order in which they are written."""


def user_stream(login: str) -> str:
    """The stream that holds a user."""
    return "$user-" + login


def dump_user(user: UserRecord) -> bytes:
    """Write the document."""
    document: dict[str, object] = {
        "loginName": user.login,
        "fullName": user.full_name,
        "groups": list(user.groups),
        "hash": user.hash,
        "salt": user.salt,
    }
    if user.disabled:
        document["disabled"] = True
    return json.dumps(document, indent=2, ensure_ascii=False).encode("utf-8", "replace")


def parse_user(login: str, data: bytes) -> UserRecord | None:
    """Read the document of a user; None for what is none."""
    try:
        document = relaxed_json.parse_first(data)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    groups = document.get("groups") or []
    texts = [document.get(name) or "" for name in ("fullName", "hash", "salt")]
    if not isinstance(groups, list) or not all(isinstance(text, str) for text in (*texts, *groups)):
        return None
    full_name, hash_, salt = map(str, texts)
    # Whatever stands for "disabled" but is not exactly false keeps the user out.
    disabled = document.get("disabled") not in (None, False)
    return UserRecord(login, full_name, tuple(map(str, groups)), hash_, salt, disabled)


def dump_notification(login: str) -> bytes:
    """Write what is said of a change of a user."""
    return json.dumps({"loginName": login}, indent=2, ensure_ascii=False).encode("utf-8", "replace")


def find_user(reader: Reader, login: str) -> StoredUser | None:
    """Return a user; None where there is none, or none any more."""
    last = last_event(reader, user_stream(login))
    user = None if last is None else parse_user(login, last.data)
    return None if last is None or user is None else StoredUser(user, last.revision, last.created)


def last_revision(reader: Reader, login: str) -> int:
    """Return the number of the last event ever written for a login, -1 for none."""
    head = reader.head(user_stream(login))
    return -1 if head is None else head.last_revision


def listed(reader: Reader, login: str) -> bool:
    """Whether a login is in the list of users (it stays there for ever)."""
    return login in _logins(reader)


def all_users(reader: Reader) -> list[StoredUser]:
    """Return all users, sorted by login."""
    found = (find_user(reader, login) for login in sorted(set(_logins(reader))))
    return [stored for stored in found if stored is not None]


def _logins(reader: Reader) -> Iterator[str]:
    first = 0
    while page := reader.stream_forward(USERS_STREAM, first, _PAGE):
        first = page[-1].revision + 1
        yield from (record.data.decode("utf-8", "replace") for record in page if record.type == USER_TYPE)
