"""TLS for clients.

Owns: the ssl context that settings ask for. Must not know: connections.
"""

from __future__ import annotations

import logging
import ssl

from esdb_lite.errors import InvalidUri
from esdb_lite.settings import Settings

_log = logging.getLogger("esdb_lite.tls")


def client_context(settings: Settings) -> ssl.SSLContext:
    """Return a context that checks the server's certificate and name, unless the settings say otherwise."""
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca_file)
        if settings.user_cert_file is not None:
            context.load_cert_chain(settings.user_cert_file, settings.user_key_file)
    except (OSError, ssl.SSLError) as error:
        files = settings.tls_ca_file or f"{settings.user_cert_file}, {settings.user_key_file}"
        raise InvalidUri("", f"cannot read the certificates in {files}: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    if not settings.tls_verify:
        _log.warning("the server's certificate is not verified (tlsVerifyCert=false)")
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
