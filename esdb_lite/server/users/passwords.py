"""What the server keeps of passwords, and how it checks them.

Owns: the slow hash, and how its cost is written down. Must not know: users, calls, asyncio. Everything here takes some
100 ms of a processor: not for the event loop.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from typing import NamedTuple

_LENGTH = 32
_SALT = 16
_MOST_DOUBLINGS = 16
_MEMORY = 160 * 1024 * 1024
_HASH = re.compile(r"\$scrypt\$ln=(\d{1,2}),r=8,p=([1-5])\$([A-Za-z0-9+/=]*)")


class Hashed(NamedTuple):
    """What is kept of a password: `$scrypt$ln=15,r=8,p=1$` and the hash in base64, and the salt in base64.

    A hash without that beginning is one of an earlier version, which has not said what it cost.
    """

    hash: str
    salt: str


class _Cost(NamedTuple):
    """What a hash costs: blocks of 1 KiB, as a power of two, and how often all is done."""

    doublings: int
    times: int = 1


_COST = _Cost(15)
_EARLIER_COST = _Cost(14)


def hash_password(password: str) -> Hashed:
    """Hash a password with a new salt."""
    salt = os.urandom(_SALT)
    found = _encode(_scrypt(password, salt, _COST))
    return Hashed(f"$scrypt$ln={_COST.doublings},r=8,p={_COST.times}${found}", _encode(salt))


def matches(password: str, hashed: Hashed) -> bool:
    """Whether this is the password; takes as long when it is not, and when what is kept is no hash of this kind."""
    cost, text = _cost_of(hashed.hash)
    try:
        expected, salt = (base64.b64decode(each, validate=True) for each in (text, hashed.salt))
    except (binascii.Error, ValueError):
        cost, expected, salt = _COST, b"", b""
    found = _scrypt(password, salt, cost)
    # The hash takes NULs at the end for nothing: `changeit` and `changeit\0` have the same.
    return hmac.compare_digest(found, expected) and not password.endswith("\0")


NOBODY = Hashed("", "")
"""Matches no password: for users that do not exist, so that their check takes as long."""


def _cost_of(text: str) -> tuple[_Cost, str]:
    """Return what a hash has cost, and the hash. What is stored must not cost any amount."""
    match = _HASH.fullmatch(text)
    if match is not None and 1 <= int(match[1]) <= _MOST_DOUBLINGS:
        return _Cost(int(match[1]), int(match[2])), match[3]
    return (_EARLIER_COST if text else _COST), text


def _scrypt(password: str, salt: bytes, cost: _Cost) -> bytes:
    secret = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(secret, salt=salt, n=1 << cost.doublings, r=8, p=cost.times, maxmem=_MEMORY, dklen=_LENGTH)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
