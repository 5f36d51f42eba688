"""Who a call was made by, as its headers say it.

Owns: naming the caller in what a refusal says, without any secret. Must not know: credentials, how a call is made.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from esdb_lite._texts import printable
from esdb_lite.errors import AccessDenied, EsdbClientException, Unauthenticated

_BARE = frozenset(("", "accessdenied", "access denied", "unauthenticated"))
"""What servers say when they say nothing more."""


def caller_in(metadata: Iterable[tuple[str, str]]) -> str | None:
    """Return who is calling, in a few words; None where nobody says so."""
    value = dict(metadata).get("authorization")
    if value is None:
        return None
    scheme, _, content = value.partition(" ")
    if scheme.lower() != "basic":
        return "the bearer token"
    try:
        name = base64.b64decode(content).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return "an unknown user"
    return f"user {printable(name)!r}"


def named(error: EsdbClientException, caller: str | None, what: str, *, secure: bool = True) -> None:
    """Have a refusal say who was refused what, where the server does not. `secure`: it was said over TLS."""
    if not isinstance(error, (AccessDenied, Unauthenticated)) or error.details.lower() not in _BARE:
        return
    if isinstance(error, AccessDenied):
        error.args = (f"{what}: access denied {f'to {caller}' if caller else 'without credentials'}",)
    elif caller is None:
        hint = "" if secure else ", which are sent without TLS only where sendCredentialsInsecurely=true says so"
        error.args = (f"the server does not accept calls without credentials{hint}",)
    else:
        whose = f"the credentials of {caller}" if caller.startswith(("user", "an")) else caller
        error.args = (f"the server does not accept {whose}",)
