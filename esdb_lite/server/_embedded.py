"""`EmbeddedServer`: a server in this process, for code with an event loop and for code without.

Owns: its life, on a loop that is there or on a thread of its own. Must not know: what a server consists of (`stack`
does, and is imported when one is started).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import quote

from esdb_lite.server._certificates import Certificates, path_of

if TYPE_CHECKING:
    from esdb_lite.server.stack import Security, Settings, Stack

_THREAD_PATIENCE = 30.0
_SHUTDOWN_DELAY = 0.05
"""Seconds between the answer to Operations.Shutdown and what it asks for."""


_PASSWORD_VARIABLES = {"admin": "ESDB_ADMIN_PASSWORD", "ops": "ESDB_OPS_PASSWORD"}


def _passwords_of_environment() -> dict[str, str]:
    found = {login: os.environ.get(name) for login, name in _PASSWORD_VARIABLES.items()}
    return {login: password for login, password in found.items() if password}


class EmbeddedServer:
    """A server that speaks EventStoreDB's protocol, in this process, on SQLite.

    `path` is the database file, made if missing; without it events are kept in memory. `port` 0 takes a free one.
    `durability` "full": an acknowledged append survives a power cut; "relaxed": it survives the end of the process.

    With a certificate it speaks TLS and asks who is calling; without, everybody may do everything. `certificate_file`
    and `certificate_private_key_file` are in PEM form; `trusted_root_certificates_path`: authorities whose
    certificates clients may show. Instead of these, `dev_certificate` is a folder with a certificate for this machine,
    which is made if missing (extra `tls`). A new database gets the users admin and ops with the passwords
    `admin_password` and `ops_password` (default: `ESDB_ADMIN_PASSWORD` and `ESDB_OPS_PASSWORD` of the environment,
    else `changeit`).

    `run_projections` "system": it has the five system projections, stopped, like a new node with projections; nothing
    here can run them or others. "none": it has no projections.

    `async with EmbeddedServer() as server:` runs it on the running loop, `with EmbeddedServer() as server:` on a
    thread of its own. `start` and `stop`, `start_async` and `stop_async` are the same without `with`. It can be
    started again after it was stopped. Starting raises `esdb_lite.server.errors.ServerStartError`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        durability: str = "full",
        certificate_file: str | os.PathLike[str] | None = None,
        certificate_private_key_file: str | os.PathLike[str] | None = None,
        trusted_root_certificates_path: str | os.PathLike[str] | None = None,
        dev_certificate: str | os.PathLike[str] | None = None,
        admin_password: str | None = None,
        ops_password: str | None = None,
        run_projections: str = "none",
    ) -> None:
        if not isinstance(port, int) or not 0 <= port <= 65535:
            raise ValueError(f"port must be a number between 0 and 65535, not {port!r}")
        if durability not in ("full", "relaxed"):
            raise ValueError(f"durability must be 'full' or 'relaxed', not {durability!r}")
        if run_projections not in ("none", "system"):
            raise ValueError(f"run_projections must be 'none' or 'system', not {run_projections!r}")
        self._path = path_of(path)
        self._host = host
        self._port = port
        self._durability = durability
        self._run_projections = run_projections
        self._certificates = Certificates(
            *map(
                path_of,
                (certificate_file, certificate_private_key_file, trusted_root_certificates_path, dev_certificate),
            )
        )
        self._passwords = {"admin": admin_password, "ops": ops_password}
        self._stack: Stack | None = None
        self._stopped: asyncio.Event | None = None
        self._thread: _Thread | None = None

    # --- where it is ---

    @property
    def host(self) -> str:
        """The address that it listens on, as given."""
        return self._host

    @property
    def port(self) -> int:
        """The port that it listens on; before it is started, the one that was asked for."""
        return self._port if self._stack is None else self._stack.port

    @property
    def address(self) -> str:
        """Host and port for clients on this machine, `127.0.0.1:2113`."""
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    @property
    def uri(self) -> str:
        """The connection string for clients on this machine."""
        if not self._certificates.secure:
            return f"esdb://{self.address}?tls=false"
        authority = self._certificates.authority
        return f"esdb://{self.address}" + ("" if authority is None else f"?tlsCaFile={quote(authority)}")

    @property
    def secure(self) -> bool:
        """Whether it speaks TLS and asks who is calling."""
        return self._certificates.secure

    def __repr__(self) -> str:
        where = "in memory" if self._path is None else self._path
        state = "stopped" if self._stack is None else self.address
        return f"<EmbeddedServer {where}, {state}>"

    # --- on the running loop ---

    async def start_async(self) -> None:
        """Start on the running event loop; ready for clients when it returns. Raises ServerStartError."""
        if self._stack is not None or self._thread is not None:
            raise RuntimeError("the server is running already")
        from esdb_lite.server.stack import Stack

        self._stack = await Stack.start(self._settings(), self._shut_down)
        self._stopped = asyncio.Event()

    def _settings(self) -> Settings:
        from esdb_lite.server.database import Durability
        from esdb_lite.server.stack import Settings

        return Settings(
            self._path,
            self._host,
            self._port,
            Durability(self._durability),
            security=self._security(),
            lists_projections=self._run_projections == "system",
        )

    def _security(self) -> Security | None:
        if not self._certificates.secure:
            return None
        from esdb_lite.server.stack import Security

        given = {login: password for login, password in self._passwords.items() if password is not None}
        return Security(self._certificates.files(), {**_passwords_of_environment(), **given})

    def reload_certificate(self) -> None:
        """Read the certificate's files anew, for connections to come. Raises CertificateUnusable; then all stays."""
        if self._stack is not None:
            self._stack.reload_certificate()

    def _shut_down(self) -> None:
        """A client has asked for it: let it have its answer first."""
        asyncio.get_running_loop().call_later(_SHUTDOWN_DELAY, self._stop_soon)

    def _stop_soon(self) -> None:
        self._stopping = asyncio.ensure_future(self.stop_async())

    async def stop_async(self) -> None:
        """Stop: open calls end, what was acknowledged is kept. Idempotent."""
        stack, self._stack = self._stack, None
        if stack is not None and self._stopped is not None:
            try:
                await stack.stop()
            finally:
                self._stopped.set()
        elif self._stopped is not None:
            await self._stopped.wait()

    async def wait_stopped(self) -> None:
        """Return when the server has been stopped, by whomever (a client may ask for it)."""
        if self._stopped is not None:
            await self._stopped.wait()

    async def __aenter__(self) -> EmbeddedServer:
        await self.start_async()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop_async()

    # --- on a thread of its own ---

    def start(self) -> None:
        """Start on a thread of its own; ready for clients when it returns. Raises ServerStartError."""
        if self._stack is not None or self._thread is not None:
            raise RuntimeError("the server is running already")
        thread = _Thread(self)
        thread.start_and_wait()
        self._thread = thread

    def stop(self) -> None:
        """Stop what `start` has started: open calls end, what was acknowledged is kept. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop_and_wait()

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


class _Thread:
    """A thread with an event loop on which the server runs until it is stopped."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="esdb-lite server", daemon=True)

    def start_and_wait(self) -> None:
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error

    def stop_and_wait(self) -> None:
        loop = self._loop
        if loop is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop has been closed just now
                loop.call_soon_threadsafe(self._server._stop_soon)
        self._thread.join(_THREAD_PATIENCE)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._server_starts()
        self._ready.set()
        await self._server.wait_stopped()

    async def _server_starts(self) -> None:
        from esdb_lite.server.stack import Stack

        server = self._server
        server._stack = await Stack.start(server._settings(), server._shut_down)
        server._stopped = asyncio.Event()
