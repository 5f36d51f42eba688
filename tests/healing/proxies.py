"""Reverse proxies of other makers in front of a server: started where the machine has them."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support import free_port

_PATIENCE = 20.0

NGINX = """
daemon off;
user {user};
worker_shutdown_timeout 1s;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests {requests};
    client_max_body_size 0;
    server {{
        listen 127.0.0.1:{port} http2;
        location / {{
            grpc_pass grpc://127.0.0.1:{behind};
            grpc_read_timeout {idle}s;
            grpc_send_timeout {idle}s;
        }}
    }}
}}
"""

HAPROXY = """
global
    maxconn 256
    hard-stop-after 1s
    stats socket unix@haproxy.sock level admin
defaults
    mode http
    timeout connect 2s
    timeout client {idle}s
    timeout server {idle}s
frontend front
    bind 127.0.0.1:{port} proto h2
    default_backend back
backend back
    server one 127.0.0.1:{behind} proto h2
"""


def _commands(kind: str, folder: Path, port: int, behind: int, requests: int, idle: int) -> list[str]:
    options = {"port": port, "behind": behind, "requests": requests, "idle": idle}
    values = {"folder": folder, "user": getpass.getuser(), **options}
    if kind == "nginx":
        (folder / "nginx.conf").write_text(NGINX.format(**values))
        return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    if kind == "haproxy":
        (folder / "haproxy.cfg").write_text(HAPROXY.format(**values))
        return ["haproxy", "-W", "-db", "-f", str(folder / "haproxy.cfg")]
    return [
        "nghttpx",
        f"--frontend=127.0.0.1,{port};no-tls",
        f"--backend=127.0.0.1,{behind};;proto=h2",
        f"--backend-read-timeout={idle}",
        f"--frontend-http2-read-timeout={idle}",
        "--workers=1",
        f"--errorlog-file={folder}/error.log",
        f"--pid-file={folder}/nghttpx.pid",
        "--conf=/dev/null",
    ]


KINDS = ("nginx", "haproxy", "nghttpx")


@contextmanager
def proxied(kind: str, folder: Path, behind: int, *, requests: int = 100_000, idle: int = 60) -> Iterator[int]:
    """Run a proxy in front of a port; yields the one that it listens on.

    `requests`: after so many, nginx says goodbye to a connection. `idle`: seconds without data that it bears.
    """
    if shutil.which(kind) is None:
        pytest.skip(f"{kind} is not installed")
    proxy = Proxy(kind, folder, behind, requests=requests, idle=idle)
    proxy.start()
    try:
        yield proxy.port
    finally:
        proxy.kill()


class Proxy:
    """A proxy in front of a port; started, ended and started again at the same one. nghttpx cannot reload or cut."""

    def __init__(self, kind: str, folder: Path, behind: int, *, requests: int = 100_000, idle: int = 60) -> None:
        self.kind = kind
        self.port = free_port()
        self._folder = folder
        self._command = _commands(kind, folder, self.port, behind, requests, idle)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns when it listens."""
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(
            self._command, stdout=quiet, stderr=quiet, cwd=self._folder, start_new_session=True
        )
        _wait_for(self._process, self.port)

    def kill(self) -> None:
        """SIGKILL to all of its processes; returns when they are dead. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def stop(self) -> None:
        """Let it end in its own way: it takes no connections, and lets calls finish for a second."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT if self.kind == "nginx" else signal.SIGUSR1)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)
        self.kill()

    def reload(self) -> None:
        """Let other processes of it take the new connections; the old ones end within a second."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP if self.kind == "nginx" else signal.SIGUSR2)

    def cut(self) -> None:
        """Cut what goes through it: nginx loses its worker, and with it all connections; HAProxy ends its sessions."""
        assert self._process is not None
        if self.kind == "nginx":
            subprocess.run(["pkill", "-KILL", "-P", str(self._process.pid)], check=False)
            return
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(_PATIENCE)
            control.connect(str(self._folder / "haproxy.sock"))
            control.sendall(b"shutdown sessions server back/one\n")
            control.recv(1_000)


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        assert process.poll() is None, f"{process.args!r} has ended with {process.returncode}"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise AssertionError("the proxy does not listen")
