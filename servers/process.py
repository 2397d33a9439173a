"""A server in a process of its own, on a port of the loopback, with its data in a folder."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final, Self

HOST: Final = "127.0.0.1"
_READY: Final = 60.0
"""Seconds that a start may take."""
_END: Final = 20.0
_PORTS: Final = range(20_000, 32_000)
"""Below those that Linux gives to whoever connects (net.ipv4.ip_local_port_range)."""


class Missing(Exception):
    """The programs of a server are not installed; the message says how to install them."""


class NotReady(Exception):
    """A server has ended, or does not answer; the message has what it has said."""


def free_port() -> int:
    """Return a port of the loopback that nobody uses now, nor will while its server is away."""
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as free, contextlib.suppress(OSError):  # It is taken.
            free.bind((HOST, port))
            return port


class Server(ABC):
    """One kind of server: how it is started, and how one sees that it answers.

    It can be stopped or killed, and started again: on the same port, with the same data. As a
    context manager it is started, and stopped at the end.
    """

    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, folder: Path) -> None:
        """Use a folder, which is made; nothing is started."""
        self.folder = folder
        self.port: int = free_port()
        self._prepared = False
        self._process: subprocess.Popen[bytes] | None = None

    # What each kind of server says of itself.

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients find it, user and password included."""

    @abstractmethod
    def missing(self) -> str | None:
        """What is to be installed before it can be started; None if nothing."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return the command that runs it in the foreground, in its folder."""

    @abstractmethod
    def ask(self) -> bool:
        """Ask whether it is ready; asked often while it starts. May raise OSError."""

    def prepare(self) -> None:  # noqa: B027 - most have nothing to do
        """Get the folder ready, before the first start."""

    def environment(self) -> Mapping[str, str]:
        """Return what it is to find in its environment, beside what is there."""
        return {}

    def user(self) -> str | None:
        """Return the user that it is to run as, if not as this one."""
        return None

    # What is done with all of them.

    @property
    def log(self) -> str:
        """Everything it has said so far, of all its runs."""
        return (self.folder / "log").read_text(errors="replace")

    @property
    def pid(self) -> int:
        """The process that runs."""
        assert self._process is not None, "it is not started"
        return self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it answers. Raises Missing, NotReady."""
        if (reason := self.missing()) is not None:
            raise Missing(reason)
        if not self._prepared:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.prepare()
            self._prepared = True
        with (self.folder / "log").open("ab") as output:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env={**os.environ, **self.environment()},
                user=self.user(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self.kill()
            raise

    def _wait(self) -> None:
        assert self._process is not None
        ends = time.monotonic() + _READY
        while not self.answers():
            late = time.monotonic() > ends
            if late or self._process.poll() is not None:
                what = "does not answer" if late else "has ended"
                raise NotReady(f"{' '.join(self.command())} {what}:\n{self.log}")
            time.sleep(0.02)

    def answers(self) -> bool:
        """Whether it answers now."""
        try:
            return self.ask()
        except OSError:
            return False

    def stop(self) -> None:
        """Stop it in order; may be called twice, and before start."""
        if self._process is not None:
            self._process.send_signal(self.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END)
            self.kill()

    def kill(self) -> None:
        """End it by SIGKILL, with all that it has started; may be called twice."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
