"""`google.rpc.Status` with typed details, as the newer services send it in the trailer `grpc-status-details-bin`.

Owns: the layout of the status, both directions, and that its first detail names the reason where there is one. Must not
know: which condition has which details.

    Status    1 code (varint)   2 message   3 details, repeated Any {1 type_url, 2 value}
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from esdb_lite_protos.tags import (
    PROTOBUF_ANY_TYPE_URL,
    PROTOBUF_ANY_VALUE,
    RPC_ERROR_INFO_DOMAIN,
    RPC_ERROR_INFO_REASON,
    RPC_STATUS_CODE,
    RPC_STATUS_DETAILS,
    RPC_STATUS_MESSAGE,
)

from esdb_lite._status.codes import DETAILS_TRAILER, RpcError, StatusCode
from esdb_lite._wire.primitives import WireError, block, fields, last_field, number, text

if TYPE_CHECKING:
    from betterproto import Message

    M = TypeVar("M", bound=Message)

_TYPE_URL = "type.googleapis.com/"
_GENERATED = "esdb_lite_protos."
_ERROR_INFO = "google.rpc.ErrorInfo"


class Details(NamedTuple):
    """What a status says to programs."""

    reason: str = ""
    """Such as STREAM_REVISION_CONFLICT; empty where the server gave none."""
    domain: str = ""
    messages: tuple[tuple[str, bytes], ...] = ()
    """The other details: full name of the message, and its bytes."""

    def find(self, kind: type[M]) -> M | None:
        """The first detail of this kind. Raises ValueError and the like for one that cannot be read."""
        wanted = _name(kind)
        return next((kind().parse(value) for name, value in self.messages if name == wanted), None)


NO_DETAILS = Details()


def detailed(code: StatusCode, message: str, reason: str, domain: str, *details: Message) -> RpcError:
    """Return the end of a call that programs can understand: the reason first, then the details."""
    info = block(RPC_ERROR_INFO_REASON, reason.encode()) + block(RPC_ERROR_INFO_DOMAIN, domain.encode())
    return _ended(code, message, [_any(_ERROR_INFO, info), *map(_packed, details)])


def unnamed(code: StatusCode, message: str, *details: Message) -> RpcError:
    """Return the end of a call with details, and without a reason before them."""
    return _ended(code, message, list(map(_packed, details)))


def _packed(detail: Message) -> bytes:
    return _any(_name(type(detail)), bytes(detail))


def _ended(code: StatusCode, message: str, packed: list[bytes]) -> RpcError:
    status = number(RPC_STATUS_CODE, code) + block(RPC_STATUS_MESSAGE, message.encode("utf-8", "replace"))
    status += b"".join(block(RPC_STATUS_DETAILS, detail) for detail in packed)
    return RpcError(code, message, [(DETAILS_TRAILER, base64.b64encode(status).rstrip(b"=").decode())])


def read_details(trailer: str) -> Details:
    """Read the value of the trailer; what cannot be read says nothing."""
    try:
        status = base64.b64decode(trailer + "=" * (-len(trailer) % 4), validate=True)
        found = list(_anys(status))
    except (WireError, binascii.Error):
        return NO_DETAILS
    info = next((value for name, value in found if name == _ERROR_INFO), b"")
    rest = tuple(detail for detail in found if detail[0] != _ERROR_INFO)
    reason, domain = (last_field(info, tag).decode("utf-8", "replace") for tag in _INFO)
    return Details(reason, domain, rest)


_INFO = (RPC_ERROR_INFO_REASON, RPC_ERROR_INFO_DOMAIN)


def _anys(status: bytes) -> Iterator[tuple[str, bytes]]:
    for tag, _, raw in fields(status):
        if tag == RPC_STATUS_DETAILS:
            url = text(last_field(raw, PROTOBUF_ANY_TYPE_URL))
            yield url.rpartition("/")[2], last_field(raw, PROTOBUF_ANY_VALUE)


def _any(name: str, value: bytes) -> bytes:
    url = block(PROTOBUF_ANY_TYPE_URL, f"{_TYPE_URL}{name}".encode())
    return url + (block(PROTOBUF_ANY_VALUE, value) if value else b"")


def _name(kind: type[Message]) -> str:
    """The full name of a message that is not within another."""
    return f"{kind.__module__.removeprefix(_GENERATED)}.{kind.__name__}"
