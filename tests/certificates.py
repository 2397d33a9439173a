"""Certificates for servers of the loopback, by an authority that nobody knows."""

from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from servers.process import HOST
from servers.tls import Tls


def issue(folder: Path) -> Tls:
    """Write a certificate, its key, and the authority of both into a folder."""
    authority = trustme.CA()
    certificate = authority.issue_cert(HOST)
    files = Tls(folder / "certificate.pem", folder / "key.pem", folder / "authority.pem")
    authority.cert_pem.write_to_path(str(files.authority))
    certificate.cert_chain_pems[0].write_to_path(str(files.certificate))
    files.key.write_bytes(_pkcs8(certificate.private_key_pem.bytes()))
    return files


def _pkcs8(key: bytes) -> bytes:
    """The form that every server takes."""
    private = load_pem_private_key(key, None)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
