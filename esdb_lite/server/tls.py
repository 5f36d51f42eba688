"""TLS of the server: its certificate, and one to develop with.

Owns: which certificate is meant, the ssl context, reading certificates again, making an authority and a certificate for
this machine.
Must not know: connections, users.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, replace
from urllib.parse import quote

from esdb_lite.errors import InvalidArgument
from esdb_lite.server.errors import CertificateUnusable

DEV_NAMES = ("localhost", "127.0.0.1", "::1")
"""What a certificate for developing is valid for."""


_CERTIFICATES = (".crt", ".cert", ".cer", ".pem", ".der")
"""How the names of files with certificates end."""


@dataclass(frozen=True)
class CertificateFiles:
    """Files in PEM form."""

    certificate: str
    """The certificate of the server, followed by those between it and the authority."""
    private_key: str
    trusted_roots: str | None = None
    """Self-signed certificates of authorities, PEM or DER: a file, or a folder of files whose names say what they are
    (`.crt .cert .cer .pem .der`). Clients that show a certificate need one of theirs."""


@dataclass(frozen=True)
class Certificates:
    """Where the certificate of a server comes from; all None: no TLS. Raises InvalidArgument."""

    certificate_file: str | None
    certificate_private_key_file: str | None
    trusted_root_certificates_path: str | None
    dev_certificate: str | None

    def __post_init__(self) -> None:
        if (self.certificate_file is None) != (self.certificate_private_key_file is None):
            argument = "certificate_file" if self.certificate_file is None else "certificate_private_key_file"
            raise InvalidArgument(argument, None, "certificate and private key must be given together")
        if self.certificate_file is not None and self.dev_certificate is not None:
            raise InvalidArgument("dev_certificate", self.dev_certificate, "must be None beside certificate_file")
        if self.trusted_root_certificates_path is not None and not self.secure:
            value = self.trusted_root_certificates_path
            raise InvalidArgument("trusted_root_certificates_path", value, "must be None without a certificate")

    @property
    def secure(self) -> bool:
        """Whether to use TLS."""
        return self.certificate_file is not None or self.dev_certificate is not None

    @property
    def authority(self) -> str | None:
        """The file that clients of this machine need, where that is known."""
        return None if self.dev_certificate is None else os.path.join(os.path.abspath(self.dev_certificate), "ca.pem")

    def uri(self, hosts: str) -> str:
        """Return the connection string for clients of this machine; `hosts` with their ports."""
        if not self.secure:
            return f"esdb://{hosts}?tls=false"
        return f"esdb://{hosts}" + ("" if self.authority is None else f"?tlsCaFile={quote(self.authority)}")

    def files(self) -> CertificateFiles:
        """Return the files, making them if that was asked for. Raises CertificateUnusable."""
        if self.dev_certificate is not None:
            made = dev_certificate(self.dev_certificate).files
            return replace(made, trusted_roots=self.trusted_root_certificates_path)
        return CertificateFiles(
            self.certificate_file or "", self.certificate_private_key_file or "", self.trusted_root_certificates_path
        )


class ServerTls:
    """The TLS side of a listening port: TLS 1.2 or later."""

    def __init__(self, files: CertificateFiles, *, http1: bool = False) -> None:
        """`http1`: browsers, which speak both, are to speak HTTP/1.1. Raises CertificateUnusable."""
        self._files = files
        self._protocols = ["http/1.1", "h2"] if http1 else ["h2"]  # clients of gRPC offer HTTP/2 alone
        self.context = _context(files, self._protocols)
        """For connections to come; `reload` makes another one: authorities cannot be taken out of one."""

    def reload(self) -> None:
        """Read the files again. Raises CertificateUnusable, and keeps the old certificate, if they cannot be used."""
        self.context = _context(self._files, self._protocols)


def _context(files: CertificateFiles, protocols: list[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(protocols)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    _load(context, files)
    return context


def _load(context: ssl.SSLContext, files: CertificateFiles) -> None:
    try:
        context.load_cert_chain(files.certificate, files.private_key, password=_no_password)
    except (OSError, ValueError) as error:
        missing = [name for name in (files.certificate, files.private_key) if not os.path.exists(name)]
        reason = f"there is no {' and no '.join(missing)}" if missing else _reason(error)
        raise CertificateUnusable(
            f"the certificate {files.certificate} with the key {files.private_key} cannot be used: {reason}"
        ) from error
    if files.trusted_roots is not None:
        _load_roots(context, files.trusted_roots)


def _load_roots(context: ssl.SSLContext, path: str) -> None:
    for name in _roots_in(path):
        try:
            found = _checked_roots(name)
            context.load_verify_locations(cadata=found)
        except (OSError, ValueError) as error:
            raise CertificateUnusable(f"the trusted certificate {name} cannot be used: {_reason(error)}") from error
    context.verify_mode = ssl.CERT_OPTIONAL


def _roots_in(path: str) -> list[str]:
    """Return the files with certificates: of a folder those that are named so. There may be keys beside them."""
    if not os.path.isdir(path):
        return [path]
    try:
        names = [name for name in sorted(os.listdir(path)) if os.path.splitext(name)[1].lower() in _CERTIFICATES]
    except OSError as error:
        raise CertificateUnusable(f"the trusted certificates in {path} cannot be read: {_reason(error)}") from error
    if not names:
        raise CertificateUnusable(f"there are no trusted certificates in {path} ({' '.join(_CERTIFICATES)})")
    return [os.path.join(path, name) for name in names]


def _checked_roots(name: str) -> str | bytes:
    """Return the certificates in a file, PEM or DER. Raises OSError, ValueError: also where one is no authority's."""
    with open(name, "rb") as file:
        content = file.read()
    found = content.decode("ascii", "replace") if b"-----BEGIN" in content else content
    alone = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    alone.load_verify_locations(cadata=found)
    authorities = alone.get_ca_certs()
    all_self_signed = all(each["subject"] == each["issuer"] for each in authorities)
    if not authorities or len(authorities) < alone.cert_store_stats()["x509"] or not all_self_signed:
        raise ValueError("it is not the self-signed certificate of an authority")
    return found


def _no_password() -> str:
    raise ValueError("the key is protected by a password")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "not in PEM form"
    return (isinstance(error, OSError) and error.strerror) or str(error)


@dataclass(frozen=True)
class DevCertificate:
    """A certificate for developing on this machine, and the authority that clients have to trust."""

    files: CertificateFiles
    authority: str


def dev_certificate(folder: str) -> DevCertificate:
    """Return the certificate for developing in a folder, making it if there is none. Raises CertificateUnusable."""
    authority, certificate, key = (os.path.join(folder, name) for name in ("ca.pem", "node.pem", "node.key"))
    present = [os.path.exists(path) for path in (authority, certificate, key)]
    if any(present) and not all(present):
        raise CertificateUnusable(
            f"{folder} holds only some of ca.pem, node.pem and node.key: remove them, or name another"
        )
    if not any(present):
        _make(folder, authority, certificate, key)
    return DevCertificate(CertificateFiles(certificate, key), authority)


def _make(folder: str, authority: str, certificate: str, key: str) -> None:
    try:
        import trustme
    except ImportError:
        raise CertificateUnusable(
            "a certificate for developing needs the package trustme: pip install trustme"
        ) from None
    made = trustme.CA(organization_name="esdb-lite development")
    node = made.issue_cert(*DEV_NAMES)
    try:
        os.makedirs(folder, exist_ok=True)
        _write(key, node.private_key_pem.bytes(), 0o600)
        _write(certificate, b"".join(blob.bytes() for blob in node.cert_chain_pems))
        _write(authority, made.cert_pem.bytes())
    except OSError as error:
        raise CertificateUnusable(f"a certificate cannot be written to {folder}: {error.strerror}") from error


def _write(path: str, content: bytes, mode: int = 0o644) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
