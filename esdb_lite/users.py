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
    full_name: str
    groups: tuple[str, ...]
    """`$admins` may do everything, `$ops` may run the server; all other names are for access lists."""
    disabled: bool
    updated_at: datetime
    """When the user was changed last; in UTC."""
