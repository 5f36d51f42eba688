"""TLS for clients.

Owns: the ssl context that settings ask for, and saying what was wrong with a handshake. Must not know: connections.
"""

from __future__ import annotations

import logging
import os
import ssl
import tempfile

from esdb_lite.connection_strings import ConnectionSettings
from esdb_lite.errors import InvalidArgument, InvalidUri

_log = logging.getLogger("esdb_lite.tls")


def client_context(settings: ConnectionSettings) -> ssl.SSLContext:
    """Return a context that checks the server's certificate and name, unless the settings say otherwise.

    Raises InvalidUri, InvalidArgument for certificates that cannot be used.
    """
    context = _trusting(settings)
    # Whoever is named is trusted, also where that is the server's own certificate; Python 3.13 does it by itself.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if settings.certificate_chain is not None and settings.private_key is not None:
        _show(context, settings.certificate_chain, settings.private_key)
    elif settings.user_cert_file is not None:
        try:
            context.load_cert_chain(settings.user_cert_file, settings.user_key_file, password=_no_password)
        except (OSError, ValueError) as error:
            files = f"{settings.user_cert_file}, {settings.user_key_file}"
            raise InvalidUri("", f"cannot read the certificates in {files}: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    if not settings.tls_verify:
        _log.warning("the server's certificate is not verified (tlsVerifyCert=false)")
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _trusting(settings: ConnectionSettings) -> ssl.SSLContext:
    """Return a context that trusts whom it is to trust."""
    if settings.root_certificates is not None:
        try:
            return ssl.create_default_context(cadata=settings.root_certificates.decode("ascii", "ignore"))
        except (OSError, ValueError) as error:
            raise InvalidArgument("root_certificates", None, f"cannot be read as certificates ({error})") from error
    try:
        return ssl.create_default_context(cafile=settings.tls_ca_file)
    except (OSError, ValueError) as error:
        raise InvalidUri("", f"cannot read the certificates in {settings.tls_ca_file}: {error}") from error


def _show(context: ssl.SSLContext, chain: bytes, key: bytes) -> None:
    """Have the client show a certificate. Python reads them from files only."""
    with tempfile.TemporaryDirectory(prefix="esdb-lite-") as folder:
        path = os.path.join(folder, "client.pem")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(key + b"\n" + chain)
        try:
            context.load_cert_chain(path, password=_no_password)
        except (OSError, ValueError) as error:
            raise InvalidArgument("certificate_chain", None, f"cannot be used with private_key ({error})") from error


def _no_password() -> str:
    raise ValueError("the key is protected by a password")


_EXPIRED, _NOT_YET_VALID, _WRONG_NAME, _WRONG_ADDRESS = 10, 9, 62, 64
_UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21)
_NOT_TLS = (
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "UNKNOWN_PROTOCOL",
    "RECORD_LAYER_FAILURE",
    "PACKET_LENGTH_TOO_LONG",
)


_ALERTS = (
    "ALERT_HANDSHAKE_FAILURE",
    "ALERT_UNKNOWN_CA",
    "ALERT_BAD_CERTIFICATE",
    "CERTIFICATE_REQUIRED",
    "PROTOCOL_VERSION",
    "UNSUPPORTED_PROTOCOL",
)
"""Parts of the reasons that say: this client and this server will not do."""


def is_final(error: ssl.SSLError, *, met: bool) -> bool:
    """Whether another attempt must end in the same way. A handshake that breaks off is a lost link like any other.

    `met`: TLS was spoken there before. Then whatever is not TLS comes from somebody in between (a proxy that has lost
    its server, say), and may pass.
    """
    reason = error.reason or ""
    if isinstance(error, ssl.SSLCertVerificationError) or any(alert in reason for alert in _ALERTS):
        return True
    return reason in _NOT_TLS and not met


def explain(error: ssl.SSLError) -> str:
    """Say why a handshake has failed, and what can be done about it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _explain_certificate(error)
    reason = error.reason or ""
    if reason in _NOT_TLS:
        return "the server does not speak TLS on this port (a connection without TLS is asked for with tls=false)"
    if reason == "UNSUPPORTED_PROTOCOL" or "PROTOCOL_VERSION" in reason:
        return "the server does not speak TLS 1.2 or later"
    if reason.endswith("ALERT_HANDSHAKE_FAILURE"):
        return (
            "the server has refused it: it asks for a certificate of the client (userCertFile, userKeyFile), "
            "or has no cipher in common with the client"
        )
    if "CERTIFICATE_REQUIRED" in reason:
        return "the server asks for a certificate of the client (userCertFile, userKeyFile)"
    if reason.endswith("ALERT_UNKNOWN_CA") or "ALERT_BAD_CERTIFICATE" in reason:
        return "the server does not accept the certificate of the client"
    return str(error)


def _explain_certificate(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code == _EXPIRED:
        return "the server's certificate has expired"
    if error.verify_code == _NOT_YET_VALID:
        return "the server's certificate is not valid yet"
    if error.verify_code in (_WRONG_NAME, _WRONG_ADDRESS):
        return f"the server's certificate is for another host: {error.verify_message}"
    if error.verify_code in _UNKNOWN_AUTHORITY:
        return (
            "the server's certificate is not of an authority that is trusted "
            f"(tlsCaFile or root_certificates name others): {error.verify_message}"
        )
    return f"the server's certificate is refused: {error.verify_message}"
