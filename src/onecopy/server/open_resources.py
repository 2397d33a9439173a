"""What a lifespan's start-up has left open, told by comparing before and after.

Two workers must not read from one connection, no thread survives a fork, and a task goes on in
one process only. Files, pipes to nobody and mapped memory are inherited well, but for databases.
"""

import asyncio
import os
import socket
import stat
from dataclasses import dataclass
from typing import Any, Self

from onecopy.server.fork_safety import other_threads

_SQLITE = b"SQLite format 3\0"
_IDLE_POOL = "AnyIO worker thread"
"""Threads of a pool that is bound to one event loop; without work they hold nothing."""


@dataclass(frozen=True)
class OpenResources:
    """Connections, threads and tasks of this process at one moment, each with its name."""

    connections: dict[tuple[int, int], str]
    threads: frozenset[str]
    tasks: frozenset[asyncio.Task[Any]]

    @classmethod
    def look(cls, loop: asyncio.AbstractEventLoop) -> Self:
        """Take stock."""
        threads = (name for name in other_threads() if not name.startswith(_IDLE_POOL))
        return cls(_connections(), frozenset(threads), frozenset(asyncio.all_tasks(loop)))

    def since(self, before: Self) -> list[str]:
        """Return the names of what was not there before."""
        found = [name for key, name in self.connections.items() if key not in before.connections]
        found += [f"the thread {name!r}" for name in sorted(self.threads - before.threads)]
        for task in self.tasks - before.tasks:
            name = getattr(task.get_coro(), "__qualname__", "?")
            if name != "LifespanOn.main":
                found.append(f"the running task {task.get_name()!r} ({name})")
        return found


def _connections() -> dict[tuple[int, int], str]:
    found: dict[tuple[int, int], str] = {}
    for name in os.listdir("/dev/fd"):
        fd = int(name)
        try:
            status = os.fstat(fd)
        except OSError:  # The listing's own descriptor.
            continue
        if stat.S_ISSOCK(status.st_mode):
            found[fd, status.st_ino] = _name_socket(fd)
        elif stat.S_ISREG(status.st_mode) and _is_sqlite(fd):
            found[fd, status.st_ino] = f"an open SQLite database ({_path(fd)})"
    return found


def _name_socket(fd: int) -> str:
    with socket.socket(fileno=os.dup(fd)) as sock:
        try:
            return f"a connection to {_address(sock.getpeername())}"
        except OSError:
            return f"a socket at {_address(sock.getsockname())}"


def _address(address: tuple[str, int] | str) -> str:
    if isinstance(address, tuple):
        return f"{address[0]}:{address[1]}"
    return address or "another process"


def _is_sqlite(fd: int) -> bool:
    try:
        return os.pread(fd, len(_SQLITE), 0) == _SQLITE
    except OSError:
        return False


def _path(fd: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return f"descriptor {fd}"
