"""Which certificate a server is to show: what its user has said about that.

Owns: checking that the arguments go together. Must not know: ssl (`tls` does, and is imported when it is needed).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from esdb_lite.server.tls import CertificateFiles


def path_of(path: str | os.PathLike[str] | None) -> str | None:
    """Return a path as a text."""
    return None if path is None else os.fspath(path)


@dataclass(frozen=True)
class Certificates:
    """Where the certificate comes from; all None: no TLS."""

    certificate_file: str | None
    certificate_private_key_file: str | None
    trusted_root_certificates_path: str | None
    dev_certificate: str | None

    def __post_init__(self) -> None:
        if (self.certificate_file is None) != (self.certificate_private_key_file is None):
            raise ValueError("certificate_file and certificate_private_key_file must be given together")
        if self.certificate_file is not None and self.dev_certificate is not None:
            raise ValueError("dev_certificate and certificate_file exclude each other")
        if self.trusted_root_certificates_path is not None and not self.secure:
            raise ValueError("trusted_root_certificates_path needs a certificate for the server")

    @property
    def secure(self) -> bool:
        """Whether there is to be TLS."""
        return self.certificate_file is not None or self.dev_certificate is not None

    @property
    def authority(self) -> str | None:
        """The file that clients of this machine need, where that is known."""
        return None if self.dev_certificate is None else os.path.join(os.path.abspath(self.dev_certificate), "ca.pem")

    def files(self) -> CertificateFiles:
        """Return the files, making them if that was asked for. Raises CertificateUnusable."""
        from dataclasses import replace

        from esdb_lite.server.tls import CertificateFiles, dev_certificate

        if self.dev_certificate is not None:
            made = dev_certificate(self.dev_certificate).files
            return replace(made, trusted_roots=self.trusted_root_certificates_path)
        return CertificateFiles(
            self.certificate_file or "", self.certificate_private_key_file or "", self.trusted_root_certificates_path
        )
