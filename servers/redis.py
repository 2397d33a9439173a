"""Debian's redis-server."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from servers.process import HOST, Server, free_port
from servers.tls import Tls

MISSING: Final = "there is no redis-server: apt-get install redis-server"
DURABLE: Final = ("--appendonly", "yes", "--appendfsync", "always")
"""What is answered is on the disk."""


def version() -> str | None:
    """Return the version of the installed redis-server; None if there is none."""
    if shutil.which("redis-server") is None:
        return None
    words = subprocess.run(
        ["redis-server", "--version"], capture_output=True, text=True, check=True
    ).stdout.split()
    return next(word.removeprefix("v=") for word in words if word.startswith("v="))


class Redis(Server):
    """A Redis, as durable as it can be unless other options are given.

    options: words of its command line; none: its defaults, with which it writes no append-only
        file, and what was accepted in the last minutes is lost with the process. That is how most
        of those who use it as a broker run it.
    tls: has it listen by TLS too: `tls_url`.
    """

    def __init__(
        self,
        folder: Path,
        options: Sequence[str] = DURABLE,
        *,
        password: str | None = None,
        tls: Tls | None = None,
    ) -> None:
        super().__init__(folder)
        self._options = options
        self._password = password
        self._tls = tls
        self._tls_port = free_port()

    @property
    def url(self) -> str:
        """Its first database."""
        return f"redis://{self._user}{HOST}:{self.port}/0"

    @property
    def tls_url(self) -> str:
        """Its first database, by TLS."""
        return f"rediss://{self._user}{HOST}:{self._tls_port}/0"

    @property
    def _user(self) -> str:
        return "" if self._password is None else f":{self._password}@"

    def missing(self) -> str | None:
        """Nothing but the program is needed."""
        return MISSING if shutil.which("redis-server") is None else None

    def command(self) -> Sequence[str]:
        """Whatever it writes lies in its folder."""
        place = ("--bind", HOST, "--port", str(self.port), "--dir", str(self.folder))
        secret = () if self._password is None else ("--requirepass", self._password)
        secure = () if self._tls is None else self._secure(self._tls)
        return ["redis-server", *place, *secret, *secure, *self._options]

    def _secure(self, tls: Tls) -> Sequence[str]:
        shown = ("--tls-cert-file", str(tls.certificate), "--tls-key-file", str(tls.key))
        authority = ("--tls-ca-cert-file", str(tls.authority), "--tls-auth-clients", "no")
        return ("--tls-port", str(self._tls_port), *shown, *authority)

    def ask(self) -> bool:
        """One that asks for a password answers; one that reads its data does not yet."""
        with socket.create_connection((HOST, self.port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
