"""Who a worker is, so that others on its host can tell whether it lives."""

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@cache
def _host() -> str:
    """Return where a pid means the same process: this host, until its next start, this container.

    Containers of one machine may have one host name, and each has pids of its own (a namespace).
    What else is to be a host of its own is named by ONECOPY_HOST_NAME.
    """
    if named := os.environ.get("ONECOPY_HOST_NAME"):
        return named.replace("#", "_")
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        pids = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        return f"{socket.gethostname()}/unknown"
    return f"{socket.gethostname()}/{boot}/{pids}"


def _started(pid: int) -> str | None:
    """Return when a process began, in ticks since the boot; None if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # A zombie is dead: its parent has not asked yet.
    return None if fields[0] in "ZX" else fields[19]


def _parse_process(text: str) -> tuple[int, str] | None:
    pid, _, started = text.partition("@")
    return (int(pid), started) if pid.isdecimal() and started else None


@dataclass(frozen=True, slots=True)
class WorkerName:
    """Host, pid and start of a process, unique, and of its supervisor, if it has one.

    Written as `host/boot/pids#pid@start`, and `<pid@start` of the supervisor.
    """

    host: str
    pid: int
    started: str
    supervisor: tuple[int, str] | None = None

    @classmethod
    def own(cls, supervisor: int | None = None) -> "WorkerName":
        """Return the name of this process; give the pid of whoever will tell of its end."""
        above = None if supervisor is None else (supervisor, _started(supervisor) or "0")
        return cls(_host(), os.getpid(), _started(os.getpid()) or "0", above)

    @classmethod
    def of_child(cls, pid: int) -> "WorkerName":
        """Return the name that a child of this process has, which tells of its end."""
        above = (os.getpid(), _started(os.getpid()) or "0")
        return cls(_host(), pid, _started(pid) or "0", above)

    @classmethod
    def parse(cls, text: str) -> "WorkerName | None":
        """Return the name that was written as a text; None if it is of another form."""
        host, _, rest = text.partition("#")
        own, _, above = rest.partition("<")
        process = _parse_process(own)
        return None if process is None else cls(host, *process, _parse_process(above))

    def __str__(self) -> str:
        above = "" if self.supervisor is None else "<{}@{}".format(*self.supervisor)
        return f"{self.host}#{self.pid}@{self.started}{above}"

    def alive(self) -> bool | None:
        """Return whether the process runs; None where that cannot be seen from here."""
        if self.host != _host():
            return None
        if not Path("/proc/self/stat").exists():
            return None
        return _started(self.pid) == self.started

    def supervised(self) -> bool:
        """Return whether its supervisor runs, on this host: it will tell of this worker's end."""
        if self.host != _host() or self.supervisor is None:
            return False
        pid, started = self.supervisor
        return _started(pid) == started
