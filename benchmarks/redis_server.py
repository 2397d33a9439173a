"""A Redis for the peers that need one: Debian's redis-server with its defaults, on a free port."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Final

from benchmarks.processes import free_port, program

MISSING: Final = "there is no redis-server: apt-get install redis-server"


def version() -> str | None:
    """The version of the installed redis-server; None if there is none."""
    if shutil.which("redis-server") is None:
        return None
    words = subprocess.run(
        ["redis-server", "--version"], capture_output=True, text=True, check=True
    ).stdout.split()
    return next(word.removeprefix("v=") for word in words if word.startswith("v="))


@contextlib.contextmanager
def redis_server(folder: Path) -> Generator[str]:
    """Run one in a folder until the block ends; yields its URL.

    Nothing is set but where it listens: it writes no append-only file, so what was accepted in the
    last minutes is lost with the process. That is how most of those who use it as a broker run it.
    """
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1"]
    with program(command, folder, lambda log: "Ready to accept connections" in log):
        yield f"redis://127.0.0.1:{port}/0"
