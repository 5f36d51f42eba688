"""The Users service: its calls, requests from arguments, users from answers.

Owns: the translation. Must not know: connections, who may ask for what.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from esdb_lite_protos.event_store.client import users as pb

from esdb_lite.users import User

if TYPE_CHECKING:
    from grpclib.client import Channel

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


async def create(channel: Channel, login: str, password: str, full_name: str, groups: Sequence[str]) -> None:
    """Create a user."""
    options = pb.CreateReqOptions(login_name=login, password=password, full_name=full_name, groups=list(groups))
    await pb.UsersStub(channel).create(pb.CreateReq(options=options))


async def update(channel: Channel, login: str, full_name: str, groups: Sequence[str]) -> None:
    """Replace the full name and the groups of a user."""
    options = pb.UpdateReqOptions(login_name=login, full_name=full_name, groups=list(groups))
    await pb.UsersStub(channel).update(pb.UpdateReq(options=options))


async def delete(channel: Channel, login: str) -> None:
    """Delete a user."""
    await pb.UsersStub(channel).delete(pb.DeleteReq(options=pb.DeleteReqOptions(login_name=login)))


async def enable(channel: Channel, login: str) -> None:
    """Let a user in again."""
    await pb.UsersStub(channel).enable(pb.EnableReq(options=pb.EnableReqOptions(login_name=login)))


async def disable(channel: Channel, login: str) -> None:
    """Keep a user out."""
    await pb.UsersStub(channel).disable(pb.DisableReq(options=pb.DisableReqOptions(login_name=login)))


async def details(channel: Channel, login: str) -> list[User]:
    """Return the user; with "" all of them."""
    request = pb.DetailsReq(options=pb.DetailsReqOptions(login_name=login))
    return [_user(found) async for found in pb.UsersStub(channel).details(request)]


async def change_password(channel: Channel, login: str, current: str, new: str) -> None:
    """Replace the password of a user who knows the present one."""
    options = pb.ChangePasswordReqOptions(login_name=login, current_password=current, new_password=new)
    await pb.UsersStub(channel).change_password(pb.ChangePasswordReq(options=options))


async def reset_password(channel: Channel, login: str, new: str) -> None:
    """Replace the password of a user."""
    options = pb.ResetPasswordReqOptions(login_name=login, new_password=new)
    await pb.UsersStub(channel).reset_password(pb.ResetPasswordReq(options=options))


def _user(answer: pb.DetailsResp) -> User:
    details = answer.user_details
    return User(
        login_name=details.login_name,
        full_name=details.full_name,
        groups=tuple(details.groups),
        disabled=details.disabled,
        updated_at=_EPOCH + timedelta(microseconds=details.last_updated.ticks_since_epoch // 10),
    )
