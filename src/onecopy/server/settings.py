"""What the command line decided, as every process of a run reads it.

Handed over in an open, nameless file: it may hold a password (of a TLS key), which must not
show in a process list or an environment.
"""

from __future__ import annotations

import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Settings:
    """Options of `onecopy run`, resolved: sockets are open, numbers are checked."""

    app: str
    """Import string, `module:attribute`."""
    app_dir: str
    """Folder put first on the import path."""
    argv: list[str]
    """The command line as the user gave it."""
    python: list[str]
    """Interpreter and its flags, to start an image with."""
    tier: str
    """What runs: "all", "web" (no job workers, no data), or "worker" (job workers alone)."""
    workers: int
    """Web workers."""
    job_workers: int | None
    """Job workers; None: one if the app has tasks."""
    queues: list[str]
    """Queues that job workers serve."""
    weights: list[int]
    """Of each of them; empty: they are served strictly in their order."""
    concurrency: int
    """Async jobs that a job worker runs at once."""
    bell: int
    """Descriptor of the bell that job workers wait on; -1 without job workers."""
    calls: int
    """Descriptor of the socket that takes calls; -1 without job workers."""
    distant_calls: int
    """Descriptor of the socket that takes calls of other hosts; -1 where none are taken."""
    calls_address: str
    """Where other hosts reach it; empty where none are taken."""
    sockets: list[int]
    """Descriptors of the sockets to accept on."""
    listen: bool
    """Whether these still have to be told to listen (not so with `--fd`)."""
    backlog: int
    url: str
    uds: str | None
    """Socket file to remove at the end."""
    state_dir: str
    lifespan_in_image: bool
    max_requests: int | None
    max_requests_jitter: int
    max_worker_memory: int | None
    """Bytes of private memory, or None."""
    timeout: float | None
    """Seconds that an event loop may stand still, or None."""
    timeout_keep_alive: int
    timeout_graceful_shutdown: int | None
    """Seconds, or None: wait for as long as it takes."""
    reload: dict[str, Any] | None
    """uvicorn's reload options, or None."""
    uvicorn: dict[str, Any]
    """Arguments of `uvicorn.Config`, without `app`."""
    log_level: str
    colors: bool
    debug: bool

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)

    def save(self) -> int:
        """Write to a nameless file and return its descriptor, which survives an exec."""
        if sys.platform == "linux":
            fd = os.memfd_create("onecopy-settings", 0)
        else:
            import tempfile

            fd, path = tempfile.mkstemp(prefix="onecopy-")
            os.unlink(path)
        os.write(fd, marshal.dumps(self.__dict__, 4))
        os.set_inheritable(fd, True)
        return fd

    @classmethod
    def load(cls, fd: int) -> Settings:
        """Read what `save` wrote; the descriptor stays open for the next reader."""
        return cls(marshal.loads(os.pread(fd, os.fstat(fd).st_size, 0)))
