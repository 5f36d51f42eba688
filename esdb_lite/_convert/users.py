"""The Users service on the wire: requests from arguments, users from answers.

Owns: the translation. Must not know: calls, who may ask for what.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

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
)

from esdb_lite.errors import ProtocolError
from esdb_lite.users import User

_SERVICE = "/event_store.client.users.Users"
CREATE = f"{_SERVICE}/Create"
UPDATE = f"{_SERVICE}/Update"
DELETE = f"{_SERVICE}/Delete"
ENABLE = f"{_SERVICE}/Enable"
DISABLE = f"{_SERVICE}/Disable"
DETAILS = f"{_SERVICE}/Details"
CHANGE_PASSWORD = f"{_SERVICE}/ChangePassword"
RESET_PASSWORD = f"{_SERVICE}/ResetPassword"

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def encode_create(login: str, password: str, full_name: str, groups: Sequence[str]) -> bytes:
    """Return a Create request."""
    options = CreateReqOptions(login_name=login, password=password, full_name=full_name, groups=list(groups))
    return bytes(CreateReq(options=options))


def encode_update(login: str, full_name: str, groups: Sequence[str]) -> bytes:
    """Return an Update request."""
    return bytes(UpdateReq(options=UpdateReqOptions(login_name=login, full_name=full_name, groups=list(groups))))


def encode_delete(login: str) -> bytes:
    """Return a Delete request."""
    return bytes(DeleteReq(options=DeleteReqOptions(login_name=login)))


def encode_enable(login: str) -> bytes:
    """Return an Enable request."""
    return bytes(EnableReq(options=EnableReqOptions(login_name=login)))


def encode_disable(login: str) -> bytes:
    """Return a Disable request."""
    return bytes(DisableReq(options=DisableReqOptions(login_name=login)))


def encode_details(login: str) -> bytes:
    """Return a Details request; "" asks for all users."""
    return bytes(DetailsReq(options=DetailsReqOptions(login_name=login)))


def encode_change_password(login: str, current: str, new: str) -> bytes:
    """Return a ChangePassword request."""
    options = ChangePasswordReqOptions(login_name=login, current_password=current, new_password=new)
    return bytes(ChangePasswordReq(options=options))


def encode_reset_password(login: str, new: str) -> bytes:
    """Return a ResetPassword request."""
    return bytes(ResetPasswordReq(options=ResetPasswordReqOptions(login_name=login, new_password=new)))


def decode_user(message: bytes) -> User:
    """Read an answer to Details. Raises ProtocolError."""
    try:
        details = DetailsResp().parse(message).user_details
    except Exception as error:
        raise ProtocolError(f"a user cannot be decoded: {error}") from error
    return User(
        login_name=details.login_name,
        full_name=details.full_name,
        groups=tuple(details.groups),
        disabled=details.disabled,
        updated_at=_EPOCH + timedelta(microseconds=details.last_updated.ticks_since_epoch // 10),
    )
