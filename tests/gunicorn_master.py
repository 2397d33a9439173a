"""A real Gunicorn, started as its users start it, and what the tests ask of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from onecopy import heap

DEADLINE = 60.0  # seconds; the machine may be busy

# Not `python -m gunicorn`: an upgrade (SIGUSR2) starts sys.argv[0] again.
_COMMAND = str(Path(sys.executable).with_name("gunicorn"))


def until[T](condition: Callable[[], T], what: str) -> T:
    """Poll a condition until it is true, and return its value; fail after the deadline."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {DEADLINE:.0f} s: {what}")


class Gunicorn:
    """`gunicorn <arguments>` in a folder, on a free port of the loopback interface."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._folder = folder
        self._arguments = arguments
        self._lines: list[str] = []

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [
                *(_COMMAND, "--bind", "127.0.0.1:0"),
                *("--control-socket", "gunicorn.ctl", *self._arguments),
            ],
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(DEADLINE)
        self._reader.join(DEADLINE)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            self._lines.extend(iter(lines.readline, ""))

    @property
    def pid(self) -> int:
        """The master's process id."""
        return self._process.pid

    @property
    def log(self) -> str:
        """What Gunicorn and the app have written so far."""
        return "".join(self._lines)

    def send(self, signum: signal.Signals) -> None:
        """Send a signal to the master."""
        self._process.send_signal(signum)

    def exit_code(self) -> int:
        """Wait for the end of all processes; the log is complete then."""
        self._reader.join(DEADLINE)
        return self._process.wait(DEADLINE)

    def wait_for_end_of_master(self) -> None:
        """Wait for the end of the master that was started; one that it started may live on."""
        self._process.wait(DEADLINE)

    def wait_for_log(self, text: str, times: int = 1) -> None:
        """Wait until the log holds a text so many times; fail at once if Gunicorn ends before."""

        def found() -> bool:
            ended = self._process.poll() is not None
            if self.log.count(text) >= times:
                return True
            assert not ended, f"Gunicorn ended:\n{self.log}"
            return False

        until(found, f"{text!r} in the log:\n{self.log}")

    def workers(self, of: int | None = None) -> set[int]:
        """The processes that a master (this one, unless told) has forked, the living ones."""
        children = Path(f"/proc/{of or self.pid}/task/{of or self.pid}/children").read_text()
        return {int(pid) for pid in children.split() if not _is_zombie(int(pid))}

    def get(self, path: str) -> dict[str, Any]:
        """Request a path, on a connection of its own, and return the JSON of the answer."""
        self.wait_for_log("Listening at: ")
        port = re.findall(r"Listening at: http://127\.0\.0\.1:(\d+)", self.log)[0]
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}", headers={"Connection": "close"}
        )
        with urllib.request.urlopen(request, timeout=DEADLINE) as response:
            return json.load(response)

    def get_from_each(self, path: str, workers: int) -> dict[int, dict[str, Any]]:
        """Request a path until so many workers have answered; the answers by the worker's "pid"."""
        answers: dict[int, dict[str, Any]] = {}
        end = time.monotonic() + DEADLINE
        with ThreadPoolExecutor(2 * workers) as clients:
            while len(answers) < workers:
                assert time.monotonic() < end, f"only {len(answers)} of {workers} workers answered"
                for answer in clients.map(self.get, [path] * (2 * workers)):
                    answers[answer["pid"]] = answer
        return answers

    def pss(self) -> int:
        """The memory of the master and all its workers in bytes, shared pages counted once."""
        return sum(each.pss_bytes for each in heap.memory([self.pid, *self.workers()]).values())


def _is_zombie(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"
