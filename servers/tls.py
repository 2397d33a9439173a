"""What a server shows to who speaks TLS with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Tls:
    """Files, in PEM: a certificate, its key (PKCS 8), and the authority that has signed it."""

    certificate: Path
    key: Path
    authority: Path
