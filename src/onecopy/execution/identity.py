"""Who a worker is, so that others on its host can tell whether it lives."""

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@cache
def _host() -> str:
    """Return this host until its next start: another boot has other processes under the pids."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = "unknown"
    return f"{socket.gethostname()}/{boot}"


def _started(pid: int) -> str | None:
    """Return when a process began, in ticks since the boot; None if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # A zombie is dead: its parent has not asked yet.
    return None if fields[0] in "ZX" else fields[19]


@dataclass(frozen=True, slots=True)
class WorkerName:
    """Host, pid and start of a process: unique, and written as `host/boot#pid@start`."""

    host: str
    pid: int
    started: str

    @classmethod
    def own(cls) -> "WorkerName":
        """Return the name of this process."""
        return cls(_host(), os.getpid(), _started(os.getpid()) or "0")

    @classmethod
    def parse(cls, text: str) -> "WorkerName | None":
        """Return the name that was written as a text; None if it is of another form."""
        host, _, rest = text.partition("#")
        pid, _, started = rest.partition("@")
        return cls(host, int(pid), started) if pid.isdigit() and started else None

    def __str__(self) -> str:
        return f"{self.host}#{self.pid}@{self.started}"

    def alive(self) -> bool | None:
        """Return whether the process runs; None where that cannot be seen from here."""
        if self.host != _host():
            return None
        if not Path("/proc/self/stat").exists():
            return None
        return _started(self.pid) == self.started
