"""`EmbeddedServer`: a server in this process, for code with an event loop and for code without.

Owns: its life, on a loop that is there or on a thread of its own. Must not know: what a server consists of (`node`
does, and is imported when one is started).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Literal

from esdb_lite._checks import checked_bool, checked_hidden, checked_int, checked_text
from esdb_lite._loop_thread import LoopThread
from esdb_lite.errors import InvalidArgument, WrongArgumentType
from esdb_lite.server.addresses import advertised, is_loopback, reachable, with_port
from esdb_lite.server.faults.api import Faults
from esdb_lite.server.options import (
    DEFAULT_COMPATIBILITY,
    Compatibility,
    Durability,
    RunProjections,
    checked_size,
    one_of,
)
from esdb_lite.server.tls import Certificates

if TYPE_CHECKING:
    from esdb_lite.server.handlers import Http1Factory, PageBody
    from esdb_lite.server.node import Security, ServerNode, ServerSettings

_SHUTDOWN_DELAY = 0.05
"""Seconds between the answer to Operations.Shutdown and what it asks for."""


_PASSWORD_VARIABLES = {"admin": "ESDB_ADMIN_PASSWORD", "ops": "ESDB_OPS_PASSWORD"}


def security_of(certificates: Certificates, passwords: Mapping[str, str | None]) -> Security | None:
    """Return what the server has to know of who may do what; None without TLS: then everybody may do everything.

    Passwords of the first users that are not given are those of the environment, if any.
    """
    if not certificates.secure:
        return None
    from esdb_lite.server.node import Security

    found = {login: os.environ.get(name) for login, name in _PASSWORD_VARIABLES.items()}
    of_environment = {login: password for login, password in found.items() if password}
    given = {login: password for login, password in passwords.items() if password is not None}
    return Security(certificates.files(), {**of_environment, **given})


def passwords_of(admin: str | None, ops: str | None) -> Mapping[str, str | None]:
    """Return the passwords that are given, by login name. Raises WrongArgumentType, InvalidArgument."""
    found = {"admin": admin, "ops": ops}
    for login, password in found.items():
        if password is not None:
            checked_hidden(f"{login}_password", password)
    return found


def path_of(argument: str, path: str | os.PathLike[str] | None) -> str | None:
    """Return a path as a text. Raises WrongArgumentType, InvalidArgument."""
    if path is None:
        return None
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else path
    if not isinstance(text, str):
        raise WrongArgumentType(argument, path, "must be a path")
    if "\0" in text:
        raise InvalidArgument(argument, path, "must be a path, without a NUL in it")
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        raise InvalidArgument(argument, path, "must be a path that this system can encode") from error
    return text


def projections_of(run: object, start_standard: bool) -> RunProjections:
    """Return which projections are to run. Raises InvalidArgument."""
    chosen = one_of("run_projections", run, RunProjections)
    if checked_bool("start_standard_projections", start_standard) and chosen is RunProjections.NONE:
        reason = "must be 'system' or 'all' with start_standard_projections"
        raise InvalidArgument("run_projections", chosen.value, reason)
    return chosen


class EmbeddedServer:
    """A server that speaks EventStoreDB's protocol, in this process, on SQLite.

    `path` is the database file, made if missing; without it, events are in memory. `port` 0 takes a free port.
    `durability` (or its value as text) says what an acknowledged append survives: a power cut (default), or the end of
    the process.

    With a certificate the server speaks TLS and checks who is calling; without one, everybody may do everything, so
    it listens on addresses of this machine only, unless `insecure` says that others may reach it.
    `certificate_file` and `certificate_private_key_file` are PEM files; clients may present certificates of the
    authorities in `trusted_root_certificates_path`. Instead, `dev_certificate` is a folder with a certificate for this
    machine, made if missing (needs the package trustme). A new database gets the users admin and ops, with
    `admin_password` and `ops_password` (default: `ESDB_ADMIN_PASSWORD` and `ESDB_OPS_PASSWORD` of the environment,
    else `changeit`).

    `run_projections` (or its value as text): "system": it has the five system projections; those that are enabled
    write `$ce-...`, `$et-...` and the like. "all": it runs JavaScript projections, too (needs the extra
    `projections`). `start_standard_projections` enables the system projections at each start. "none": it has none.

    `compatibility`: the server that it passes for, "24.10" (EventStoreDB), "25.1" or "26.1" (KurrentDB): its version,
    its methods and its limits. `max_append_size` and `max_append_event_size`: bytes that the events of one append, and
    one event, may have; by default 1 MiB and no limit for 24.10, 256 MiB and 16 MiB for the others.

    `advertise_as`: the host, or the host and the port, at which others reach it: behind another name, or in a
    container. Clients that discover nodes (`+discover`, several hosts) go there.

    `async with EmbeddedServer() as server:` runs it on the running loop, `with EmbeddedServer() as server:` on a
    thread of its own. `start` and `stop`, `start_async` and `stop_async` do the same without `with`. A stopped server
    can be started again. Raises InvalidArgument; starting raises `esdb_lite.server.errors.ServerStartError`.

    For tests, `faults` makes things go wrong, `kill` ends it abruptly, and `restart` brings it back at the same port.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        durability: Durability | Literal["full", "relaxed"] = Durability.FULL,
        certificate_file: str | os.PathLike[str] | None = None,
        certificate_private_key_file: str | os.PathLike[str] | None = None,
        trusted_root_certificates_path: str | os.PathLike[str] | None = None,
        dev_certificate: str | os.PathLike[str] | None = None,
        admin_password: str | None = None,
        ops_password: str | None = None,
        run_projections: RunProjections | Literal["none", "system", "all"] = RunProjections.NONE,
        start_standard_projections: bool = False,
        compatibility: Compatibility | Literal["24.10", "25.1", "26.1"] = DEFAULT_COMPATIBILITY,
        max_append_size: int | None = None,
        max_append_event_size: int | None = None,
        insecure: bool = False,
        advertise_as: str | None = None,
    ) -> None:
        self._path = path_of("path", path)
        self._host = checked_text("host", host)
        self._port = checked_int("port", port, 0, 65535)
        self._durability = one_of("durability", durability, Durability)
        self._run_projections = projections_of(run_projections, start_standard_projections)
        self._start_standard_projections = start_standard_projections
        self._compatibility = one_of("compatibility", compatibility, Compatibility)
        self._max_append_size = checked_size("max_append_size", max_append_size)
        self._max_append_event_size = checked_size("max_append_event_size", max_append_event_size)
        self._advertised = advertised("advertise_as", advertise_as)
        self._certificates = Certificates(
            path_of("certificate_file", certificate_file),
            path_of("certificate_private_key_file", certificate_private_key_file),
            path_of("trusted_root_certificates_path", trusted_root_certificates_path),
            path_of("dev_certificate", dev_certificate),
        )
        if not checked_bool("insecure", insecure) and not self._certificates.secure and not is_loopback(host):
            where = host or "all addresses"
            reason = f"must be true for a server without TLS on {where}: whoever reaches it may do everything"
            raise InvalidArgument("insecure", insecure, reason)
        self._passwords = passwords_of(admin_password, ops_password)
        self._node: ServerNode | None = None
        self._stopped: asyncio.Event | None = None
        self._thread: LoopThread | None = None
        self._last_port = port
        self._faults = Faults()
        self._http1: Http1Factory | None = None

    # --- where it is ---

    @property
    def host(self) -> str:
        """The address that the server listens on, as given."""
        return self._host

    @property
    def port(self) -> int:
        """The port that the server listens on; before the start, the one that was asked for."""
        return self._port if self._node is None else self._node.port

    @property
    def address(self) -> str:
        """Host and port for clients on this machine, `127.0.0.1:2113`."""
        return with_port(reachable(self._host), self.port)

    @property
    def uri(self) -> str:
        """The connection string for clients on this machine; with port 0 once the server has started."""
        return self._certificates.uri(self.address)

    @property
    def secure(self) -> bool:
        """Whether the server speaks TLS and checks who is calling."""
        return self._certificates.secure

    @property
    def faults(self) -> Faults:
        """What you can break, from any thread."""
        return self._faults

    def __repr__(self) -> str:
        where = "in memory" if self._path is None else self._path
        state = "stopped" if self._node is None else self.address
        return f"<EmbeddedServer {where}, {state}>"

    # --- on the running loop ---

    async def start_async(self) -> None:
        """Start on the running event loop; ready for clients when it returns. Raises ServerStartError."""
        if self._node is not None or self._thread is not None:
            raise RuntimeError("the server is running already")
        await self._start_node(self._port)

    async def _start_node(self, port: int) -> None:
        from esdb_lite.server.node import ServerNode

        self._node = await ServerNode.start(self._settings(port), self._shut_down, self._faults)
        self._stopped = asyncio.Event()
        self._last_port = self._node.port

    def _settings(self, port: int) -> ServerSettings:
        from esdb_lite.server.node import ServerSettings

        return ServerSettings(
            self._path,
            self._host,
            port,
            self._durability,
            security=security_of(self._certificates, self._passwords),
            run_projections=self._run_projections,
            start_standard_projections=self._start_standard_projections,
            compatibility=self._compatibility,
            max_append_size=self._max_append_size,
            max_append_event_size=self._max_append_event_size,
            http1=self._http1,
            advertised=self._advertised,
        )

    def hand_http1_to(self, factory: Http1Factory | None) -> None:
        """Let another program serve all connections that speak HTTP/1.1, from the next start on.

        `factory` makes an `asyncio.Protocol` for each; None: the server answers with its few pages. Over TLS, a client
        that offers HTTP/1.1 and HTTP/2 gets HTTP/1.1. The protocols' transports are closed when the server stops; what
        they have begun is theirs to end. `page` still has what the server itself would have said.
        """
        self._http1 = factory

    def page(self, path: str) -> PageBody | None:
        """Return what the server says at `/info`, `/ping`, `/gossip`, `/stats` or `/metrics` now, on its event loop.

        None for other paths, and while it does not run.
        """
        page = None if self._node is None else self._node.pages.get(path)
        return None if page is None else page()

    def reload_certificate(self) -> None:
        """Read the certificate's files again, for new connections.

        Raises CertificateUnusable, and keeps the old certificate.
        """
        if self._node is not None:
            self._node.reload_certificate()

    def _shut_down(self) -> None:
        """A client has asked for it: let it have its answer first."""
        asyncio.get_running_loop().call_later(_SHUTDOWN_DELAY, self._end_soon, self.stop_async)

    def _end_soon(self, end: Callable[[], Coroutine[object, object, None]]) -> None:
        if self._node is not None:  # else the loop may be ending, and would leave a new task behind
            self._stopping = asyncio.ensure_future(end())

    async def stop_async(self) -> None:
        """Stop: open calls end, acknowledged events are kept. Idempotent."""
        await self._end(lambda node: node.stop())

    async def kill_async(self) -> None:
        """End abruptly, as SIGKILL would: connections are reset, and no call gets a status. Idempotent.

        As far as that is possible within a process: waiting appends are lost, and the file is closed.
        """
        await self._end(lambda node: node.kill())

    async def restart_async(self) -> None:
        """Stop, if it is running, and start at the same port with the same file. Raises ServerStartError.

        In memory everything is lost.
        """
        await self.stop_async()
        await self._start_node(self._last_port)

    async def _end(self, end: Callable[[ServerNode], Awaitable[None]]) -> None:
        node, self._node = self._node, None
        if node is not None and self._stopped is not None:
            try:
                await end(node)
            finally:
                self._stopped.set()
        elif self._stopped is not None:
            await self._stopped.wait()

    async def wait_stopped(self) -> None:
        """Return when the server has stopped, whoever asked for it (a client may)."""
        if self._stopped is not None:
            await self._stopped.wait()

    async def __aenter__(self) -> EmbeddedServer:
        await self.start_async()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop_async()

    # --- on a thread of its own ---

    def start(self) -> None:
        """Start on a thread of its own; ready for clients when it returns. Raises ServerStartError."""
        if self._node is not None or self._thread is not None:
            raise RuntimeError("the server is running already")
        self._start_thread(self._port)

    def _start_thread(self, port: int) -> None:
        thread = LoopThread("esdb-lite server", lambda: self._start_node(port), self.wait_stopped)
        self._thread = thread.start_and_wait()

    def stop(self) -> None:
        """Stop what `start` has started: open calls end, what was acknowledged is kept. Idempotent.

        Raises RuntimeError where the server runs on an event loop: `stop_async` is for that.
        """
        self._end_thread(self.stop_async)

    def kill(self) -> None:
        """End abruptly, as SIGKILL would: connections are reset, and no call gets a status. Idempotent.

        As far as that is possible within a process: waiting appends are lost, and the file is closed.
        """
        self._end_thread(self.kill_async)

    def _end_thread(self, end: Callable[[], Coroutine[object, object, None]]) -> None:
        self._check_not_on_a_loop(end.__name__)
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop_and_wait(lambda: self._end_soon(end))

    def restart(self) -> None:
        """Stop, if it is running, and start at the same port with the same file. Raises ServerStartError.

        In memory everything is lost.
        """
        self._check_not_on_a_loop("restart_async")
        self.stop()
        self._start_thread(self._last_port)

    def _check_not_on_a_loop(self, instead: str) -> None:
        if self._node is not None and self._thread is None:
            raise RuntimeError(f"the server runs on an event loop of yours: call {instead}() there")

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
