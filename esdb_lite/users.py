"""The users of a server, as a client sees them.

Owns: the value. Must not know: calls, protobuf.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class User:
    """A user of a server with authentication."""

    login_name: str
    """The name to log in with."""
    full_name: str
    """The name to show."""
    groups: tuple[str, ...]
    """Members of `$admins` may do everything, of `$ops` run the server; other names are for access lists."""
    disabled: bool
    """Whether the user is locked out."""
    updated_at: datetime
    """When the user was last changed, in UTC."""
