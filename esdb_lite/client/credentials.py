"""Credentials as a caller may pass them.

Owns: checking this argument, and its forms. Must not know: ssl, calls; how tokens are got (`authorization`).
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Union

from esdb_lite._checks import checked_hidden
from esdb_lite.errors import InvalidArgument, WrongArgumentType
from esdb_lite.settings import BearerToken, Credentials, CredentialsLike

if TYPE_CHECKING:
    pass

Pem = Union[str, bytes, None]  # noqa: UP007
"""Certificates or a key in PEM form: the content, not the name of a file."""

LONGEST = 16 * 1024
"""Characters of the header: servers take no more, and to compress one takes time that grows with the square of it."""


def checked_credentials(value: CredentialsLike) -> Credentials | BearerToken | None:
    """Return credentials from what a caller may pass for them. Raises WrongArgumentType, InvalidArgument."""
    if isinstance(value, tuple) and len(value) == 2:
        value = Credentials(*value)
    if isinstance(value, Credentials):
        checked_hidden("credentials", value.password)
        if ":" in checked_hidden("credentials", value.username):
            raise InvalidArgument("credentials", None, "the name of a user cannot have a colon in it")
        if len(basic(value)) > LONGEST:
            raise InvalidArgument("credentials", None, f"a login must have {LONGEST * 3 // 4:,} bytes at most")
    if isinstance(value, BearerToken) and not (isinstance(value.provider, str) or callable(value.provider)):
        raise WrongArgumentType("credentials", None, "a bearer token must be a str or a function that returns one")
    if isinstance(value, BearerToken) and isinstance(value.provider, str) and len(value.provider) > LONGEST:
        raise InvalidArgument("credentials", None, f"a bearer token must have {LONGEST:,} characters at most")
    if value is None or isinstance(value, (Credentials, BearerToken)):
        return value
    raise WrongArgumentType("credentials", None, "must be Credentials, a BearerToken, or a tuple of name and password")


def basic(credentials: Credentials) -> str:
    """Return what the header says of a name and password."""
    return b64encode(f"{credentials.username}:{credentials.password}".encode()).decode("ascii")
