"""A server under test: started, watched from outside, stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from onecopy import heap
from servers.process import free_port

_DEADLINE: Final = 300.0  # seconds that a start may take
_PYTHON: Final = sys.executable


@dataclass(frozen=True)
class SetUp:
    """One way to serve: its command, which the port is added to, and what its log says at last."""

    name: str
    command: tuple[str, ...]
    ready_text: str
    ready_count: int
    folder: Path
    environment: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def shown(self) -> str:
        """The command as a user would type it."""
        words = [word.removeprefix(f"{Path(_PYTHON).parent}{os.sep}") for word in self.command]
        return " ".join(words)


class Server:
    """A running set-up."""

    def __init__(self, set_up: SetUp, log: Path) -> None:
        self._set_up = set_up
        self._log = log

    def __enter__(self) -> Self:
        self._port = free_port()
        self._log.write_text("")
        self._begin = time.monotonic()
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [*self._set_up.command, *self._port_arguments()],
                cwd=self._set_up.folder,
                env={**os.environ, **self._set_up.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        with contextlib.suppress(ProcessLookupError):  # whatever it has left behind
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _port_arguments(self) -> tuple[str, ...]:
        if "gunicorn" in self._set_up.command[0]:
            return ("--bind", f"127.0.0.1:{self._port}")
        return ("--port", str(self._port))

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def root(self) -> int:
        """The process that was started: Gunicorn's master, or the supervisor."""
        return self._process.pid

    def seconds_until_ready(self, path: str) -> float:
        """Wait until all workers say they are ready and a request is answered; the time it took."""
        while not (self._says_ready() and self._answers(path)):
            if self._process.poll() is not None:
                raise SystemExit(f"{self._set_up.shown} ended:\n{self._log.read_text()}")
            if time.monotonic() - self._begin > _DEADLINE:
                raise SystemExit(f"{self._set_up.shown} is not ready:\n{self._log.read_text()}")
            time.sleep(0.01)
        return time.monotonic() - self._begin

    def _says_ready(self) -> bool:
        return self._log.read_text().count(self._set_up.ready_text) >= self._set_up.ready_count

    def _answers(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(self.url + path, timeout=_DEADLINE):
                return True
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{self._set_up.name}: {path} is answered {error.code}") from None
        except OSError:
            return False

    def memory(self) -> dict[int, heap.ProcessMemory]:
        """The memory of every process of the server, by its id."""
        return heap.memory(_descendants(self.root))


def _descendants(pid: int) -> list[int]:
    """A process and all that descend from it, in the order of their start."""
    found = [pid]
    for each in found:
        try:
            children = Path(f"/proc/{each}/task/{each}/children").read_text().split()
        except OSError:
            continue
        found.extend(int(child) for child in children)
    return found
