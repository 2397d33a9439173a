"""Real services for tests: `onecopy run` as a user starts it, on a free loopback port."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Self

from onecopy.server import control

DEADLINE = 30.0
"""Seconds after which what a test waits for will not come."""
ONECOPY = [sys.executable, "-c", "from onecopy.cli import main; main()"]


def wait_until[T](found: Callable[[], T | None], *, seconds: float = DEADLINE, what: str = "") -> T:
    """Return the first result that is not None or False, asking often."""
    ends = time.monotonic() + seconds
    while True:
        result = found()
        if result is not None and result is not False:
            return result
        if time.monotonic() > ends:
            raise AssertionError(f"waited {seconds} s in vain for {what or found}")
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


class Service:
    """A running `onecopy run`, in a session of its own, its output in a file.

    before: a command that becomes it. host: where it is reached.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        environment: dict[str, str] | None = None,
        before: Sequence[str] = (),
        host: str = "127.0.0.1",
    ) -> None:
        self.host = host
        self.folder = folder
        self.log_path = folder / f"log-{time.monotonic_ns()}.txt"
        self._log = self.log_path.open("wb")
        words = list(arguments)
        if not {"--port", "--uds", "--fd"} & set(words):
            words += ["--port", "0"]
        self.process = subprocess.Popen(
            [*before, *ONECOPY, "run", "--host", host, *words],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        self._port: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def log(self) -> str:
        """Everything it has said so far."""
        return self.log_path.read_text(errors="replace")

    @property
    def pid(self) -> int:
        """The supervisor's pid: the command becomes it."""
        return self.process.pid

    @property
    def port(self) -> int:
        """The port that it serves on, once it says so."""
        if self._port is None:
            self._port = int(self.wait_for_log(r"serves https?://\S*:(\d+)")[1])
        return self._port

    def wait_for_log(self, pattern: str, *, seconds: float = DEADLINE) -> re.Match[str]:
        """Wait until the log matches a regular expression."""

        def found() -> re.Match[str] | None:
            match = re.search(pattern, self.log)
            if (
                match is None
                and self.process.poll() is not None
                and not re.search(pattern, self.log)
            ):
                raise AssertionError(f"ended without saying {pattern!r}:\n{self.log}")
            return match

        try:
            return wait_until(found, seconds=seconds, what=f"{pattern!r} in the log")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log}") from None

    def wait_until_ready(self) -> Self:
        """Wait until all workers serve."""
        self.wait_for_log(r"onecopy serves ")
        return self

    def get(self, path: str = "/") -> Any:  # noqa: ANN401 - what the app answers
        """Ask with a connection of its own; return the JSON of the answer."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=DEADLINE)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, (answer.status, body, self.log)
            return json.loads(body)

    def status(self) -> dict[str, Any]:
        """What the supervisor says of itself."""
        return control.ask(self.pid, {"command": "status"})

    def pids(self, role: str, *, generation: int | None = None) -> list[int]:
        """The pids of one role."""
        return [
            process["pid"]
            for process in self.status()["processes"]
            if process["role"] == role and generation in (None, process["generation"])
        ]

    def memory_held(self) -> int:
        """Bytes that all its processes hold together: each page once, a shared one by shares.

        Without mapped files: whoever else runs the same Python takes a share of those.
        """
        pids = [process["pid"] for process in self.status()["processes"]]
        lines = "".join(Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids)
        found = re.findall(r"^Pss_Anon: +(\d+) kB$", lines, re.MULTILINE)
        assert len(found) == len(pids), "the kernel shows no Pss_Anon"
        return sum(int(size) * 1024 for size in found)

    def signal(self, number: int) -> None:
        """Send the supervisor a signal."""
        self.process.send_signal(number)

    def wait(self, seconds: float = DEADLINE) -> int:
        """Wait for the end; return the exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s:\n{self.log}") from None

    def stop(self) -> int:
        """Stop it as a deployment does; return the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it, whatever state it is in."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE)
        self._log.close()


@contextlib.contextmanager
def service(
    folder: Path, *arguments: str, environment: dict[str, str] | None = None
) -> Generator[Service]:
    """Start a service and wait until it serves; end it after the block."""
    with Service(folder, *arguments, environment=environment) as started:
        yield started.wait_until_ready()


def run_to_its_end(
    folder: Path, *arguments: str, environment: dict[str, str] | None = None
) -> tuple[int, str]:
    """Run `onecopy run` that is expected to fail; return exit code and output."""
    with Service(folder, *arguments, environment=environment) as started:
        code = started.wait()
        return code, started.log
