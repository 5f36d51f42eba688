"""What a client of kurrentdbclient has of a server: here, one of our clients.

Owns: making our client for a connection string, certificates and a target. Must not know: calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import UUID, uuid4
from weakref import WeakSet, ref

import esdb_lite
from esdb_lite.compat.kurrentdbclient._services import SERVICES, Service

if TYPE_CHECKING:
    from esdb_lite.compat.kurrentdbclient.connection_spec import ConnectionSpec

_RETRY = esdb_lite.RetryPolicy(attempts=4, first_pause=0.1)
"""About as stubborn as kurrentdbclient: programs that come from there have their own ways for the rest."""


class _Staying(esdb_lite.RetryPolicy):
    """The same, and a node that does not lead says so to the program."""

    @property
    def follows_leader(self) -> bool:
        """Never."""
        return False


_STAYING = _Staying(_RETRY.attempts, _RETRY.first_pause)

C = TypeVar("C", "esdb_lite.EsdbClient", "esdb_lite.AsyncEsdbClient")


@dataclass(frozen=True)
class Certificates:
    """In PEM form: the authorities to trust, and what the client shows of itself."""

    root_certificates: bytes | None
    private_key: bytes | None
    certificate_chain: bytes | None


class BaseKurrentDBConnection(Generic[C]):
    """One of our clients, what is open on it, and the server that it is for."""

    def __init__(
        self, kind: type[C], spec: ConnectionSpec, certificates: Certificates, grpc_target: str | None, client: object
    ) -> None:
        """`grpc_target`: for that server alone; None: what the connection string says."""
        self._client = ref(client)
        self._kind: type[C] = kind
        self._spec = spec
        self._certificates = certificates
        self._preference = spec.options.node_preference
        self._grpc_target = grpc_target or ",".join(spec.targets)
        self._ours: C | None = None
        self.is_elsewhere = grpc_target is not None
        """Whether it is for a server that was named later."""
        self.is_closed = False
        self.connection_id = uuid4()
        self.open_ones: WeakSet[Any] = WeakSet()

    @property
    def grpc_target(self) -> str:
        """The server, as `host:port`."""
        return self._grpc_target

    @property
    def is_usable(self) -> bool:
        """Whether it is open, and for the kind of node that is wanted: the program may change its mind."""
        return not self.is_closed and self._preference == self._spec.options.node_preference

    @property
    def is_one_of_several(self) -> bool:
        """Whether there may be another node to connect to when this one fails, which our client does not look for."""
        return self.is_elsewhere or (self._spec.discovers and not self._spec.follows_leader)

    @property
    def ours(self) -> C:
        """Our client, which is made when it is used first, so that a wrong certificate fails where calls do."""
        if self._ours is None:
            spec, given = self._spec, self._certificates
            credentials = (spec.username, spec.password) if spec.username and spec.password else None
            encrypted = spec.options.tls
            try:
                self._ours = self._kind(
                    spec.for_esdb_lite(self._grpc_target if self.is_elsewhere else None),
                    credentials=credentials,
                    root_certificates=given.root_certificates if encrypted else None,
                    private_key=given.private_key if encrypted else None,
                    certificate_chain=given.certificate_chain if encrypted else None,
                    retry=_RETRY if spec.follows_leader and not self.is_elsewhere else _STAYING,
                )
            except esdb_lite.InvalidArgument as error:
                if error.argument not in vars(given):
                    raise
                raise esdb_lite.TlsError(str(error), sent=False) from error
        return self._ours

    def __getattr__(self, name: str) -> Service:
        client = self._client()
        if name not in SERVICES or client is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return Service(client, name)

    def settle(self, grpc_target: str) -> None:
        """Say which server it is, once that is known."""
        self._grpc_target = grpc_target


class KurrentDBConnection(BaseKurrentDBConnection["esdb_lite.EsdbClient"]):
    """The one without asyncio."""

    def close(self) -> None:
        """Break off what is open, and close our client."""
        self.is_closed = True
        for each in tuple(self.open_ones):
            each.stop(cancel=True)
        if self._ours is not None:
            self._ours.close()


class AsyncKurrentDBConnection(BaseKurrentDBConnection["esdb_lite.AsyncEsdbClient"]):
    """The one with asyncio."""

    async def close(self) -> None:
        """Break off what is open, and close our client."""
        self.is_closed = True
        for each in tuple(self.open_ones):
            await each.stop(cancel=True)
        if self._ours is not None:
            await self._ours.close()


def same(connection: BaseKurrentDBConnection[Any], connection_id: UUID | None) -> bool:
    """Whether a connection is the one that is to be replaced."""
    return connection_id is None or connection_id == connection.connection_id
