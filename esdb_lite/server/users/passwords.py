"""What the server keeps of passwords, and how it checks them.

Owns: the slow hash. Must not know: users, calls, asyncio. Everything here takes some 50 ms of a processor: not for
the event loop.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from typing import NamedTuple

_N, _R, _P = 2**14, 8, 1
_LENGTH = 32
_SALT = 16
_MEMORY = 64 * 1024 * 1024


class Hashed(NamedTuple):
    """What is kept of a password; both base64."""

    hash: str
    salt: str


def hash_password(password: str) -> Hashed:
    """Hash a password with a new salt."""
    salt = os.urandom(_SALT)
    return Hashed(_encode(_scrypt(password, salt)), _encode(salt))


def matches(password: str, hashed: Hashed) -> bool:
    """Whether this is the password; takes as long when it is not, and when what is kept is no hash of this kind."""
    try:
        expected, salt = (base64.b64decode(text, validate=True) for text in hashed)
    except (binascii.Error, ValueError):
        expected, salt = b"", b""
    found = _scrypt(password, salt)
    return hmac.compare_digest(found, expected)


NOBODY = Hashed("", "")
"""Matches no password: for users that do not exist, so that their check takes as long."""


def _scrypt(password: str, salt: bytes) -> bytes:
    secret = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(secret, salt=salt, n=_N, r=_R, p=_P, maxmem=_MEMORY, dklen=_LENGTH)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
