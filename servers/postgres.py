"""Debian's PostgreSQL, a cluster of its own: the distribution's is not needed, and not touched."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Final

from servers.process import HOST, Server

MISSING: Final = "there is no PostgreSQL: apt-get install postgresql"
_NAME: Final = "onecopy"
"""Of the user, and of the database that it owns."""
_DEBIAN: Final = Path("/usr/lib/postgresql")
_UNPRIVILEGED: Final = "postgres"
"""PostgreSQL refuses to run as root."""


def programs() -> Path | None:
    """Return the folder of the newest PostgreSQL; None if there is none."""
    of_debian = sorted(_DEBIAN.glob("*/bin/postgres"), key=lambda each: float(each.parts[-3]))
    found = of_debian[-1] if of_debian else shutil.which("postgres")
    return None if found is None else Path(found).resolve().parent


class Postgres(Server):
    """A PostgreSQL with its defaults, by which what is committed is on the disk.

    options: more of its settings, as name=value.
    """

    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # it does not wait for its clients

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        super().__init__(folder)
        self._options = options
        self.password = secrets.token_urlsafe(12)
        self._home: tempfile.TemporaryDirectory[str] | None = None

    @property
    def url(self) -> str:
        """The database of its ordinary user."""
        return f"postgresql://{_NAME}:{self.password}@{HOST}:{self.port}/{_NAME}"

    @property
    def superuser_url(self) -> str:
        """The same database, for whoever may do everything."""
        return f"postgresql://{_UNPRIVILEGED}:{self.password}@{HOST}:{self.port}/{_NAME}"

    @property
    def home(self) -> Path:
        """Where its data and its Unix socket are: a test's own folder is closed to other users."""
        assert self._home is not None, "it is not prepared"
        return Path(self._home.name)

    @property
    def data(self) -> Path:
        """Its data."""
        return self.home / "data"

    def missing(self) -> str | None:
        """The server, and a user to run it as."""
        return MISSING if programs() is None else None

    def user(self) -> str | None:
        """Somebody else than root."""
        return _UNPRIVILEGED if os.geteuid() == 0 else None

    def environment(self) -> Mapping[str, str]:
        """Nothing of whoever runs the tests."""
        return {"HOME": str(self.home), "LC_ALL": "C.UTF-8"}

    def prepare(self) -> None:
        """Make the cluster, its user and its database."""
        self._home = tempfile.TemporaryDirectory(prefix="onecopy-postgres-")
        if (user := self.user()) is not None:
            shutil.chown(self.home, user, pwd.getpwnam(user).pw_gid)
        secret = self.home / "password"
        secret.write_text(self.password)
        secret.chmod(0o644)
        initdb = ["initdb", "-D", str(self.data), "-U", _UNPRIVILEGED, f"--pwfile={secret}"]
        self._run([*initdb, "--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256"])
        role = f"CREATE ROLE {_NAME} LOGIN PASSWORD '{self.password}'"
        database = f"CREATE DATABASE {_NAME} OWNER {_NAME}"
        first = ["postgres", "--single", "-D", str(self.data), "postgres"]
        self._run(first, f"{role}\n{database}\n")

    def _run(self, command: Sequence[str], text: str = "") -> None:
        folder = programs()
        assert folder is not None, "the caller has asked whether it is missing"
        subprocess.run(
            [str(folder / command[0]), *command[1:]],
            input=text,
            text=True,
            check=True,
            capture_output=True,
            user=self.user(),
            cwd=self.home,
            env={**os.environ, **self.environment()},
        )

    def command(self) -> Sequence[str]:
        """One of the loopback, and a Unix socket beside the data."""
        settings = [
            f"listen_addresses={HOST}",
            f"unix_socket_directories={self.home}",
            "max_connections=200",
            *self._options,
        ]
        folder = programs()
        words = [word for each in settings for word in ("-c", each)]
        return [f"{folder}/postgres", "-D", str(self.data), "-p", str(self.port), *words]

    def ask(self) -> bool:
        """It may refuse everybody while it recovers."""
        ready = [f"{programs()}/pg_isready", "-q", "-h", HOST, "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        if self._home is not None:
            self._home.cleanup()

    def kill(self) -> None:
        """End it by SIGKILL, with what serves its clients: each in a session of its own."""
        serving = self.children()
        super().kill()
        for pid in serving:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def children(self) -> list[int]:
        """The processes that serve it and its clients."""
        if self._process is None or self._process.poll() is not None:
            return []
        found = subprocess.run(
            ["ps", "--no-headers", "-o", "pid", "--ppid", str(self.pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        return [int(pid) for pid in found.stdout.split()]
