"""The Users service, on servers with authentication and without.

Owns: its messages and its answers (section 21 of the protocol notes). Must not know: who may ask for what (`access`
does), how users are kept.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager

from esdb_lite_protos.event_store.client import users as pb

from esdb_lite._status import refusals
from esdb_lite.server.engine.model import LONGEST_NAME, is_too_long
from esdb_lite.server.engine.users import StoredUser
from esdb_lite.server.handlers import Handler
from esdb_lite.server.services.authorization import caller_of
from esdb_lite.server.services.unary import current_call, refusing, required
from esdb_lite.server.users.authentication import Authenticator, LoginRefused, TooManyLogins
from esdb_lite.server.users.store import UserChanged, UserExists, UserMissing, UserStore


def without_authentication() -> Mapping[str, Handler]:
    """The handlers by path, each of which refuses: a real server would not answer at all."""
    return refusing(pb.UsersBase, refusals.users_need_authentication)


class Users(pb.UsersBase):
    """The methods of the service on a server with authentication."""

    def __init__(self, store: UserStore, authenticator: Authenticator) -> None:
        self._store = store
        self._authenticator = authenticator

    async def create(self, create_req: pb.CreateReq) -> pb.CreateResp:
        """Create a user."""
        asked = required(create_req.options, "options")
        if is_too_long(asked.login_name):
            raise refusals.invalid_argument(f"options.login_name has more than {LONGEST_NAME} bytes.")
        _refuse_nul(login_name=asked.login_name, password=asked.password)
        with _refusals(asked.login_name):
            await self._store.create(asked.login_name, asked.password, asked.full_name, asked.groups)
        return pb.CreateResp()

    async def update(self, update_req: pb.UpdateReq) -> pb.UpdateResp:
        """Replace a user's name and groups."""
        asked = required(update_req.options, "options")
        with _refusals(asked.login_name):
            await self._store.update(asked.login_name, asked.full_name, asked.groups)
        return pb.UpdateResp()

    async def delete(self, delete_req: pb.DeleteReq) -> pb.DeleteResp:
        """Delete a user."""
        asked = required(delete_req.options, "options")
        with _refusals(asked.login_name):
            await self._store.delete(asked.login_name)
        return pb.DeleteResp()

    async def disable(self, disable_req: pb.DisableReq) -> pb.DisableResp:
        """Keep a user out."""
        asked = required(disable_req.options, "options")
        with _refusals(asked.login_name):
            await self._store.disable(asked.login_name)
        return pb.DisableResp()

    async def enable(self, enable_req: pb.EnableReq) -> pb.EnableResp:
        """Let a user in again."""
        asked = required(enable_req.options, "options")
        with _refusals(asked.login_name):
            await self._store.enable(asked.login_name)
        return pb.EnableResp()

    async def details(self, details_req: pb.DetailsReq) -> AsyncIterator[pb.DetailsResp]:
        """Describe a user, or all."""
        login = details_req.options.login_name
        with _refusals(login):
            found = [await self._store.find(login)] if login else await self._store.all()
        for stored in found:
            yield pb.DetailsResp(user_details=_details(stored))

    async def change_password(self, change_password_req: pb.ChangePasswordReq) -> pb.ChangePasswordResp:
        """Replace the password of a user who knows the present one."""
        asked = required(change_password_req.options, "options")
        _refuse_nul(new_password=asked.new_password)
        with _refusals(asked.login_name):
            await self._store.find(asked.login_name)
            await self._authenticator.verify(asked.login_name, asked.current_password, caller_of(current_call()))
            await self._store.set_password(asked.login_name, asked.new_password)
        return pb.ChangePasswordResp()

    async def reset_password(self, reset_password_req: pb.ResetPasswordReq) -> pb.ResetPasswordResp:
        """Replace the password of a user."""
        asked = required(reset_password_req.options, "options")
        _refuse_nul(new_password=asked.new_password)
        with _refusals(asked.login_name):
            await self._store.set_password(asked.login_name, asked.new_password)
        return pb.ResetPasswordResp()


def _refuse_nul(**fields: str) -> None:
    for name, value in fields.items():
        if "\0" in value:
            raise refusals.invalid_argument(f"options.{name} has a NUL in it.")


@contextmanager
def _refusals(login: str) -> Iterator[None]:
    """What is refused, in the words of a real server."""
    try:
        yield
    except UserMissing:
        raise refusals.user_not_found(login) from None
    except UserExists:
        raise refusals.user_conflict(login) from None
    except UserChanged:
        raise refusals.user_try_again(login) from None
    except LoginRefused:
        raise refusals.access_denied() from None
    except TooManyLogins:
        raise refusals.too_busy() from None


def _details(stored: StoredUser) -> pb.DetailsRespUserDetails:
    user = stored.user
    return pb.DetailsRespUserDetails(
        login_name=user.login,
        full_name=user.full_name,
        groups=list(user.groups),
        last_updated=pb.DetailsRespUserDetailsDateTime(ticks_since_epoch=stored.updated),
        disabled=user.disabled,
    )
