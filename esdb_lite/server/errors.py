"""Why a server could not be started. Each says it in one line.

    ServerStartError
     ├── AddressUnavailable       the host cannot be resolved, or is not of this machine, or may not be used
     │    └── PortInUse
     ├── CertificateUnusable      the files for TLS cannot be read or made, or do not belong together
     └── DatabaseUnavailable      the file cannot be opened, read or written, or is damaged
          ├── DatabaseInUse       another server has it
          ├── NotADatabase        not SQLite, or of another program
          └── DatabaseTooNew      written by a later version of this package

Owns: these exceptions, and which of them says what the system says of an address. Must not know: what raises them.
"""

from __future__ import annotations

import errno
import socket

from esdb_lite.errors import EsdbClientException


class ServerStartError(EsdbClientException):
    """The server could not be started; the text says why."""


class AddressUnavailable(ServerStartError):
    """The server cannot listen there."""


class PortInUse(AddressUnavailable):
    """Another program listens there."""


class CertificateUnusable(ServerStartError):
    """The files for TLS cannot be used, or cannot be made."""


class DatabaseUnavailable(ServerStartError):
    """The database file cannot be used."""


class DatabaseInUse(DatabaseUnavailable):
    """Another server has the database file open."""


class NotADatabase(DatabaseUnavailable):
    """The file is not SQLite, or belongs to another program."""


class DatabaseTooNew(DatabaseUnavailable):
    """The file was written by a later version of this package."""


def address_error(error: OSError, host: str, port: int) -> AddressUnavailable:
    """Return what says why a server cannot listen."""
    if isinstance(error, socket.gaierror):
        return AddressUnavailable(f"the host {host!r} cannot be resolved")
    if error.errno == errno.EADDRINUSE:
        return PortInUse(f"port {port} of {host} is in use")
    if error.errno == errno.EACCES:
        return AddressUnavailable(f"port {port} of {host} may not be used without more rights")
    if error.errno == errno.EADDRNOTAVAIL:
        return AddressUnavailable(f"{host} is not an address of this machine")
    return AddressUnavailable(f"port {port} of {host} cannot be used ({error.strerror or error})")
