"""The Users service: its calls, requests from arguments, users from answers.

Owns: the translation. Must not know: connections, who may ask for what.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from esdb_lite_protos.event_store.client.users import (
    ChangePasswordReq,
    ChangePasswordReqOptions,
    CreateReq,
    CreateReqOptions,
    DeleteReq,
    DeleteReqOptions,
    DetailsReq,
    DetailsReqOptions,
    DetailsResp,
    DisableReq,
    DisableReqOptions,
    EnableReq,
    EnableReqOptions,
    ResetPasswordReq,
    ResetPasswordReqOptions,
    UpdateReq,
    UpdateReqOptions,
    UsersStub,
)

from esdb_lite.users import User

if TYPE_CHECKING:
    from grpclib.client import Channel

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


async def create(channel: Channel, login: str, password: str, full_name: str, groups: Sequence[str]) -> None:
    """Create a user."""
    options = CreateReqOptions(login_name=login, password=password, full_name=full_name, groups=list(groups))
    await UsersStub(channel).create(CreateReq(options=options))


async def update(channel: Channel, login: str, full_name: str, groups: Sequence[str]) -> None:
    """Replace the full name and the groups of a user."""
    options = UpdateReqOptions(login_name=login, full_name=full_name, groups=list(groups))
    await UsersStub(channel).update(UpdateReq(options=options))


async def delete(channel: Channel, login: str) -> None:
    """Delete a user."""
    await UsersStub(channel).delete(DeleteReq(options=DeleteReqOptions(login_name=login)))


async def enable(channel: Channel, login: str) -> None:
    """Let a user in again."""
    await UsersStub(channel).enable(EnableReq(options=EnableReqOptions(login_name=login)))


async def disable(channel: Channel, login: str) -> None:
    """Keep a user out."""
    await UsersStub(channel).disable(DisableReq(options=DisableReqOptions(login_name=login)))


async def details(channel: Channel, login: str) -> list[User]:
    """Return the user; with "" all of them."""
    request = DetailsReq(options=DetailsReqOptions(login_name=login))
    return [_user(found) async for found in UsersStub(channel).details(request)]


async def change_password(channel: Channel, login: str, current: str, new: str) -> None:
    """Replace the password of a user who knows the present one."""
    options = ChangePasswordReqOptions(login_name=login, current_password=current, new_password=new)
    await UsersStub(channel).change_password(ChangePasswordReq(options=options))


async def reset_password(channel: Channel, login: str, new: str) -> None:
    """Replace the password of a user."""
    options = ResetPasswordReqOptions(login_name=login, new_password=new)
    await UsersStub(channel).reset_password(ResetPasswordReq(options=options))


def _user(answer: DetailsResp) -> User:
    details = answer.user_details
    return User(
        login_name=details.login_name,
        full_name=details.full_name,
        groups=tuple(details.groups),
        disabled=details.disabled,
        updated_at=_EPOCH + timedelta(microseconds=details.last_updated.ticks_since_epoch // 10),
    )
