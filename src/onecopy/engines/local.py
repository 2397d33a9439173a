"""The local engine: datagrams over Unix sockets in the state folder.

Two kinds of sockets lie there, each 0600:

- a *bell* for each run that has job workers. All its workers wait on it, so each datagram wakes
  exactly one; it holds the name of a queue.
- an *ear* for each process that follows changes. A datagram holds the ids of jobs, in lines.

Who sends finds them by listing the folder, again whenever the folder has changed. A socket whose
process is gone refuses, and is removed.
"""

import asyncio
import contextlib
import errno
import os
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Final

from onecopy.engines.base import Rung
from onecopy.engines.local_ears import Ears
from onecopy.jobs import Job

_BELL: Final = "bell-"
_EAR: Final = "ear-"
_SUFFIX: Final = ".sock"
_LONGEST: Final = 64 * 1024
_TICK: Final = 50_000_000


class LocalEngine:
    """Wakes the processes that share a state folder."""

    def __init__(self, folder: str, *, bell: int | None = None) -> None:
        """Use a folder (it must exist).

        Args:
            folder: the state folder; 0700, so that only this user rings.
            bell: descriptor of the bell that this process's run shares. Without one,
                `wait_for_ring` hangs up a bell of its own.
        """
        self._folder = folder
        self._bell_fd = bell
        self._bell: socket.socket | None = None
        self._own_bell: str | None = None
        self._sender: socket.socket | None = None
        self._directory = -1
        self._listed = (-1, -1)
        self._names: dict[str, list[str]] = {_BELL: [], _EAR: []}
        self._heard = 0
        """How many times changes were followed."""
        self._ears = Ears(self._send)

    @property
    def names_jobs(self) -> bool:
        """No: a worker finds in the store what it was rung for."""
        return False

    async def open(self) -> None:
        """Get ready to send. Raises OSError if there is no such folder."""
        if self._sender is not None:
            return
        # Reached through a descriptor: a socket's path may not be longer than about 100 bytes.
        self._directory = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sender.setblocking(False)
        self._listed = (-1, -1)

    async def close(self) -> None:
        """Close all, and take down what this process hung up."""
        if self._sender is not None:
            self._ears.close()
        for sock in (self._sender, self._bell):
            if sock is not None:
                sock.close()
        if self._own_bell is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._own_bell, dir_fd=self._directory)
        if self._directory >= 0:
            os.close(self._directory)
        self._sender = self._bell = self._own_bell = None
        self._directory = -1

    # Rings.

    async def ring(self, jobs: Sequence[Job]) -> None:
        """Send as many datagrams to each bell; a full one is ringing already."""
        for queue, count in Counter(job.queue for job in jobs).items():
            self._ring(queue, count)

    def _ring(self, queue: str, count: int) -> None:
        data = queue.encode()
        for _ in range(count):
            had_room = [self._send(bell, data) for bell in self._listening(_BELL)]
            if not any(had_room):
                return

    async def wait_for_ring(
        self, queues: Sequence[str], seconds: float, *, limit: int = 1
    ) -> Sequence[Rung] | None:
        """Take one datagram from the bell."""
        loop = asyncio.get_running_loop()
        bell = self._hang_up_bell()
        try:
            async with asyncio.timeout(seconds):
                # Which queue it was does not matter: the worker looks at all of its own.
                await loop.sock_recv(bell, _LONGEST)
        except TimeoutError:
            return None
        return ()

    async def claimed(self) -> None:
        """Do nothing: a ring is heard once."""

    def _hang_up_bell(self) -> socket.socket:
        if self._bell is None:
            if self._bell_fd is not None:
                self._bell = socket.socket(fileno=os.dup(self._bell_fd))
            else:
                self._own_bell = f"{_BELL}{os.getpid()}-{id(self):x}{_SUFFIX}"
                self._bell = self._listen(self._own_bell)
            self._bell.setblocking(False)
        return self._bell

    # Changes.

    async def tell(self, jobs: Sequence[str]) -> None:
        """Send the ids to each ear."""
        self._ears.tell(self._listening(_EAR), jobs)

    async def changes(self) -> AsyncIterator[str]:
        """Listen with an ear of one's own for as long as the iteration goes on."""
        self._heard += 1
        name = f"{_EAR}{os.getpid()}-{id(self):x}-{self._heard}{_SUFFIX}"
        ear = self._listen(name)
        ear.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            while True:
                for job in (await loop.sock_recv(ear, _LONGEST)).decode().splitlines():
                    yield job
        finally:
            ear.close()
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self._folder, name))

    # Sockets.

    def _path(self, name: str) -> str:
        return path_in(self._folder, self._directory, name)

    def _listen(self, name: str) -> socket.socket:
        return listen(self._path(name))

    def _send(self, name: str, data: bytes) -> bool | None:
        """Send to a socket; tell whether it had room. None: it is nobody's, or another user's."""
        assert self._sender is not None, "the engine is not open"
        try:
            self._sender.sendto(data, self._path(name))
        except BlockingIOError:
            return False
        except (ConnectionRefusedError, FileNotFoundError):
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self._directory)
            self._listed = (-1, -1)
        except OSError as error:
            return False if error.errno == errno.ENOBUFS else None
        else:
            return True
        return None

    def _listening(self, kind: str) -> list[str]:
        status = os.fstat(self._directory)
        if (status.st_mtime_ns, status.st_nlink) != self._listed:
            # The clock of files ticks a few times in ten milliseconds: what is changed again within
            # the tick does not show.
            settled = time.time_ns() - status.st_mtime_ns > _TICK
            self._listed = (status.st_mtime_ns, status.st_nlink) if settled else (-1, -1)
            names = os.listdir(self._directory)
            for each in self._names:
                self._names[each] = [
                    name for name in names if name.startswith(each) and name.endswith(_SUFFIX)
                ]
        return self._names[kind]


def bell_name(pid: int) -> str:
    """Return the name of the bell of a run, in the state folder."""
    return f"{_BELL}{pid}{_SUFFIX}"


def path_in(folder: str, descriptor: int, name: str) -> str:
    """Return a path to `name` that is short enough for a socket, through the open folder."""
    if os.path.isdir("/proc/self/fd"):
        return f"/proc/self/fd/{descriptor}/{name}"
    return os.path.join(folder, name)


def listen(path: str) -> socket.socket:
    """Return a datagram socket at a path, for this user only."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    before = os.umask(0o177)
    try:
        sock.bind(path)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(before)
    return sock
