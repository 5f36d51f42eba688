"""Reverse proxies of other makers in front of a server: started where the machine has them."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PATIENCE = 20.0

NGINX = """
daemon off;
master_process off;
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
    values = {"folder": folder, "port": port, "behind": behind, "requests": requests, "idle": idle}
    if kind == "nginx":
        (folder / "nginx.conf").write_text(NGINX.format(**values))
        return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    if kind == "haproxy":
        (folder / "haproxy.cfg").write_text(HAPROXY.format(**values))
        return ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")]
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
    port = _free_port()
    command = _commands(kind, folder, port, behind, requests, idle)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
    try:
        _wait_for(process, port)
        yield port
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
