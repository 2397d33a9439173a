"""Programs beside a benchmark: started in a session of their own, watched by their log, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
BIN: Final = Path(sys.executable).parent
_READY: Final = 60.0  # seconds that a start may take
_END: Final = 30.0


@contextlib.contextmanager
def program(
    command: Sequence[str],
    folder: Path,
    ready: Callable[[str], bool],
    environment: Mapping[str, str] | None = None,
) -> Generator[subprocess.Popen[bytes]]:
    """Run a program in a folder until the block ends; `ready` is asked with all it has said so far.

    The root of the project is in its path. Exits with what the program has said if it ends or is
    not ready in time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment_of(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(process, command, log, ready)
        yield process
    finally:
        _end(process)


@contextlib.contextmanager
def on_cpus(cpus: set[int]) -> Generator[None]:
    """Have what is started within the block run on these CPUs alone, with this process."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def environment_of(more: Mapping[str, str]) -> dict[str, str]:
    """The environment of this process and more, with the root of the project in Python's path."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def _wait(
    process: subprocess.Popen[bytes],
    command: Sequence[str],
    log: Path,
    ready: Callable[[str], bool],
) -> None:
    begin = time.monotonic()
    while not ready(log.read_text(errors="replace")):
        late = time.monotonic() - begin > _READY
        if late or process.poll() is not None:
            what = "is not ready" if late else "has ended"
            raise SystemExit(f"{' '.join(command)} {what}:\n{log.read_text(errors='replace')}")
        time.sleep(0.02)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END)
    with contextlib.suppress(ProcessLookupError):  # whatever it has left behind
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def shown(command: Sequence[str]) -> str:
    """A command as a user would type it."""
    return " ".join(word.removeprefix(f"{BIN}{os.sep}") for word in command)
