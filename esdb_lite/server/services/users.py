"""The Users service, on servers with authentication and without.

Owns: its messages and its answers (section 21 of the protocol notes). Must not know: who may ask for what (`access`
does), how users are kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping

from esdb_lite_protos.event_store.client.users import (
    ChangePasswordReq,
    CreateReq,
    DeleteReq,
    DetailsReq,
    DetailsResp,
    DetailsRespUserDetails,
    DetailsRespUserDetailsDateTime,
    DisableReq,
    EnableReq,
    ResetPasswordReq,
    UpdateReq,
)

from esdb_lite._status import refusals
from esdb_lite.server.engine.users import StoredUser
from esdb_lite.server.handlers import Handler, ServerCall
from esdb_lite.server.services.group_requests import parse, required
from esdb_lite.server.services.unary import only_request, unary
from esdb_lite.server.users.authentication import Authenticator, LoginRefused, TooManyLogins
from esdb_lite.server.users.store import UserChanged, UserExists, UserMissing, UserStore

SERVICE = "event_store.client.users.Users"
METHODS = ("Create", "Update", "Delete", "Disable", "Enable", "Details", "ChangePassword", "ResetPassword")


def without_authentication() -> Mapping[str, Handler]:
    """The handlers by path, each of which refuses: a real server would not answer at all."""
    return {f"/{SERVICE}/{method}": _refuse for method in METHODS}


async def _refuse(_: ServerCall) -> None:
    raise refusals.users_need_authentication()


class Users:
    """The methods of the service on a server with authentication."""

    def __init__(self, store: UserStore, authenticator: Authenticator) -> None:
        self._store = store
        self._authenticator = authenticator

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers by path."""
        # In the order in which a real server lists them.
        methods: dict[str, Handler] = {
            "Create": unary(self._create),
            "Update": unary(self._update),
            "Delete": unary(self._delete),
            "Disable": unary(self._disable),
            "Enable": unary(self._enable),
            "Details": self._details,
            "ChangePassword": unary(self._change_password),
            "ResetPassword": unary(self._reset_password),
        }
        return {f"/{SERVICE}/{name}": method for name, method in methods.items()}

    async def _create(self, data: bytes) -> bytes:
        asked = required(parse(CreateReq, data).options, "options")
        try:
            await self._store.create(asked.login_name, asked.password, asked.full_name, asked.groups)
        except UserExists:
            raise refusals.user_conflict(asked.login_name) from None
        except TooManyLogins:
            raise refusals.too_busy() from None
        except UserChanged:
            raise refusals.user_try_again(asked.login_name) from None
        return b""

    async def _update(self, data: bytes) -> bytes:
        asked = required(parse(UpdateReq, data).options, "options")
        return await _changing(asked.login_name, self._store.update(asked.login_name, asked.full_name, asked.groups))

    async def _delete(self, data: bytes) -> bytes:
        asked = required(parse(DeleteReq, data).options, "options")
        return await _changing(asked.login_name, self._store.delete(asked.login_name))

    async def _disable(self, data: bytes) -> bytes:
        asked = required(parse(DisableReq, data).options, "options")
        return await _changing(asked.login_name, self._store.disable(asked.login_name))

    async def _enable(self, data: bytes) -> bytes:
        asked = required(parse(EnableReq, data).options, "options")
        return await _changing(asked.login_name, self._store.enable(asked.login_name))

    async def _change_password(self, data: bytes) -> bytes:
        asked = required(parse(ChangePasswordReq, data).options, "options")
        try:
            await self._store.find(asked.login_name)
            await self._authenticator.verify(asked.login_name, asked.current_password)
        except UserMissing:
            raise refusals.user_not_found(asked.login_name) from None
        except LoginRefused:
            raise refusals.access_denied() from None
        except TooManyLogins:
            raise refusals.too_busy() from None
        return await _changing(asked.login_name, self._store.set_password(asked.login_name, asked.new_password))

    async def _reset_password(self, data: bytes) -> bytes:
        asked = required(parse(ResetPasswordReq, data).options, "options")
        return await _changing(asked.login_name, self._store.set_password(asked.login_name, asked.new_password))

    async def _details(self, call: ServerCall) -> None:
        login = parse(DetailsReq, await only_request(call)).options.login_name
        try:
            found = [await self._store.find(login)] if login else await self._store.all()
        except UserMissing:
            raise refusals.user_not_found(login) from None
        await call.send([bytes(DetailsResp(user_details=_details(stored))) for stored in found])


async def _changing(login: str, change: Awaitable[None]) -> bytes:
    try:
        await change
    except UserMissing:
        raise refusals.user_not_found(login) from None
    except UserChanged:
        raise refusals.user_try_again(login) from None
    return b""


def _details(stored: StoredUser) -> DetailsRespUserDetails:
    user = stored.user
    return DetailsRespUserDetails(
        login_name=user.login,
        full_name=user.full_name,
        groups=list(user.groups),
        last_updated=DetailsRespUserDetailsDateTime(ticks_since_epoch=stored.updated),
        disabled=user.disabled,
    )
