"""Credentials and trusted authorities, as far as they are not in the connection string.

Owns: checking these arguments. Must not know: ssl, calls; how tokens are got (`authorization`).
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import TYPE_CHECKING, Union

from esdb_lite._checks import checked_hidden
from esdb_lite.errors import InvalidArgument, WrongArgumentType
from esdb_lite.retries import RetryPolicy
from esdb_lite.settings import BearerToken, Credentials, CredentialsLike

if TYPE_CHECKING:
    from esdb_lite.connection_strings import ConnectionSettings
    from esdb_lite.event_types.registry import EventTypes

Pem = Union[str, bytes, None]  # noqa: UP007
"""Certificates or a key in PEM form: the content, not the name of a file."""

LONGEST = 16 * 1024
"""Characters of the header: servers take no more, and to compress one takes time that grows with the square of it."""


def with_arguments(
    settings: ConnectionSettings,
    *,
    credentials: CredentialsLike,
    root_certificates: Pem,
    certificate_chain: Pem,
    private_key: Pem,
    send_credentials_insecurely: bool,
    retry: RetryPolicy | None,
    event_types: EventTypes | None,
) -> ConnectionSettings:
    """Return the settings with what was passed beside the connection string. Raises InvalidArgument."""
    if (certificate_chain is None) != (private_key is None):
        raise InvalidArgument("certificate_chain", None, "must be given together with private_key")
    if not isinstance(send_credentials_insecurely, bool):
        raise WrongArgumentType("send_credentials_insecurely", send_credentials_insecurely, "must be a bool")
    if retry is not None and not isinstance(retry, RetryPolicy):
        raise WrongArgumentType("retry", retry, "must be a RetryPolicy")
    if event_types is not None and not callable(getattr(event_types, "new_event", None)):
        raise WrongArgumentType("event_types", event_types, "must be EventTypes")
    return replace(
        settings,
        retry=retry or settings.retry,
        event_types=event_types,
        credentials=checked_credentials(credentials) or checked_credentials(settings.credentials),
        send_credentials_insecurely=send_credentials_insecurely or settings.send_credentials_insecurely,
        root_certificates=_pem("root_certificates", root_certificates, settings),
        certificate_chain=_pem("certificate_chain", certificate_chain, settings),
        private_key=_pem("private_key", private_key, settings),
    )


def _pem(name: str, value: Pem, settings: ConnectionSettings) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, (str, bytes)):
        raise WrongArgumentType(name, None, "must be a str or bytes in PEM form")
    if not settings.tls:
        raise InvalidArgument(name, None, "is for connections with TLS (esdb://, not tls=false)")
    content = checked_hidden(name, value).encode() if isinstance(value, str) else value
    if b"-----BEGIN " not in content:
        raise InvalidArgument(name, None, "must be the content in PEM form (not the name of a file)")
    return content


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
