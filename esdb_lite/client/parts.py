"""What every client consists of: its settings, its connections, and the way of its appends.

Owns: checking the arguments of a new client, and putting it together. Must not know: the public methods. It brings all
that connects, and is imported when a client is made: importing a client costs a program less that makes none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from esdb_lite._checks import checked_hidden
from esdb_lite.client.append.appender import Appender
from esdb_lite.client.append.repeating import Repeater
from esdb_lite.client.core import ClientCore
from esdb_lite.client.credentials import Pem, checked_credentials
from esdb_lite.connection_strings import ConnectionSettings, parse_uri
from esdb_lite.errors import InvalidArgument, WrongArgumentType
from esdb_lite.retries import RetryPolicy
from esdb_lite.settings import CredentialsLike

if TYPE_CHECKING:
    from esdb_lite.event_types.registry import EventTypes


def parts_of(settings: ConnectionSettings) -> tuple[ClientCore, Appender]:
    """Return the parts of a new client."""
    core = ClientCore(settings)
    return core, Appender(core, Repeater(core))


def settings_of(
    uri: str,
    *,
    credentials: CredentialsLike,
    root_certificates: Pem,
    certificate_chain: Pem,
    private_key: Pem,
    send_credentials_insecurely: bool,
    retry: RetryPolicy | None,
    event_types: EventTypes | None,
) -> ConnectionSettings:
    """Return what a connection string and the arguments beside it say. Raises InvalidUri, InvalidArgument."""
    settings = parse_uri(uri)
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
