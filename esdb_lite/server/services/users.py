"""The Users service of a server without authentication: there are no users to manage.

Owns: that answer, and the names of the methods. Must not know: anything else.
"""

from __future__ import annotations

from collections.abc import Mapping

from esdb_lite._status import answers
from esdb_lite.server.calls import Call, Handler

SERVICE = "event_store.client.users.Users"
METHODS = ("Create", "Update", "Delete", "Disable", "Enable", "Details", "ChangePassword", "ResetPassword")


def without_authentication() -> Mapping[str, Handler]:
    """The handlers by path, each of which refuses: a real server would not answer at all."""
    return {f"/{SERVICE}/{method}": _refuse for method in METHODS}


async def _refuse(_: Call) -> None:
    raise answers.users_need_authentication()
