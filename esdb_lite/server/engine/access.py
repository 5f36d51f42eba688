"""Access: callers, access lists, and who may do what (section 2.3 of the protocol notes).

Owns: the decision. Must not know: passwords, calls, how a caller was recognised, how events are kept.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from esdb_lite.positions import ALL_STREAM
from esdb_lite.server.engine import relaxed_json
from esdb_lite.server.engine.metadata import Acl, acl_from, of_record
from esdb_lite.server.engine.model import is_metastream, original_of
from esdb_lite.server.engine.parsed import Remembered
from esdb_lite.server.engine.visibility import last_event
from esdb_lite.server.storage import Reader

ADMINS = "$admins"
OPS = "$ops"
EVERYBODY = "$all"
"""In an access list: everybody who has logged in."""

SETTINGS_STREAM = "$settings"
"""Its last event holds the access lists that apply where a stream says nothing."""


class Principal(NamedTuple):
    """Who makes a call."""

    name: str = ""
    groups: frozenset[str] = frozenset()
    known: bool = True
    """Whether they have logged in."""
    trusted: bool = False
    """Whether nothing is checked: everybody on a server without authentication."""

    @property
    def is_admin(self) -> bool:
        """Whether no access list keeps them out."""
        return self.trusted or (self.known and ADMINS in self.groups)

    @property
    def is_operator(self) -> bool:
        """Whether they may run the server."""
        return self.is_admin or (self.known and OPS in self.groups)

    def has_role(self, role: str) -> bool:
        """Whether an entry of an access list means them. A login that reads like one of the server's groups is none."""
        if not self.known:
            return False
        return role == EVERYBODY or role in self.groups or (role == self.name and role not in (ADMINS, OPS))


SYSTEM = Principal("system", trusted=True)
ANONYMOUS = Principal(known=False)


class Action(enum.Enum):
    """What can be done with a stream; the value is the field of `Acl`."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    METADATA_READ = "metadata_read"
    METADATA_WRITE = "metadata_write"


class Defaults(NamedTuple):
    """What `$settings` says."""

    user_streams: Acl = Acl()
    system_streams: Acl = Acl()


class Question(NamedTuple):
    """May this be done with this stream? Metadata streams have been translated to the streams that they are about."""

    stream: str
    action: Action


_OF_METADATA = {Action.READ: Action.METADATA_READ, Action.WRITE: Action.METADATA_WRITE}


def question(stream: str, action: Action) -> Question | None:
    """Return what has to be asked of access lists; None for what is denied to everybody."""
    if not stream or (stream == ALL_STREAM and action in (Action.WRITE, Action.DELETE)):
        return None
    if not is_metastream(stream):
        return Question(stream, action)
    about = _OF_METADATA.get(action)
    return None if about is None else Question(original_of(stream), about)


def decide_early(principal: Principal, stream: str, action: Action) -> bool | None:
    """Decide without access lists; None where they have to be asked."""
    if principal.trusted:
        return True
    if not principal.known or question(stream, action) is None:
        return False
    return True if principal.is_admin else None


def allowed(reader: Reader, principal: Principal, stream: str, action: Action) -> bool:
    """Decide about a stream; what its links point to is asked by itself."""
    early = decide_early(principal, stream, action)
    asked = question(stream, action)
    if early is not None or asked is None:
        return bool(early)
    return any(map(principal.has_role, _roles(reader, asked)))


def _roles(reader: Reader, asked: Question) -> tuple[str, ...]:
    field = asked.action.value
    own: tuple[str, ...] | None = getattr(_acl_of(reader, asked.stream), field)
    if own is not None:
        return own
    system = asked.stream.startswith("$")
    defaults = _defaults(reader)
    general: tuple[str, ...] | None = getattr(defaults.system_streams if system else defaults.user_streams, field)
    if general is not None:
        return general
    return (ADMINS,) if system else (EVERYBODY,)


def _acl_of(reader: Reader, stream: str) -> Acl:
    if is_metastream(stream):
        return Acl()  # the metadata of metadata is not asked
    head = reader.head(stream)
    return (None if head is None else of_record(head.metadata).acl) or Acl()


def _defaults(reader: Reader) -> Defaults:
    last = last_event(reader, SETTINGS_STREAM)
    return Defaults() if last is None or not last.is_json else _remembered(last)


def parse_defaults(data: bytes) -> Defaults:
    """Read the data of an event of `$settings`; whatever is malformed makes the whole of it empty."""
    try:
        document = relaxed_json.parse_first(data)
        if not isinstance(document, dict) or not document.keys() <= {"$userStreamAcl", "$systemStreamAcl"}:
            return Defaults()
        return Defaults(
            acl_from(document.get("$userStreamAcl", {})),
            acl_from(document.get("$systemStreamAcl", {})),
        )
    except ValueError:
        return Defaults()


_remembered = Remembered(lambda record: parse_defaults(record.data))


def governing_streams(stream: str) -> tuple[str, ...]:
    """Return the streams whose events can change who may read a stream."""
    about = original_of(stream) if is_metastream(stream) else stream
    return ("$$" + about, SETTINGS_STREAM)
